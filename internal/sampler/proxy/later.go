package proxy

import (
	"sync"
	"time"
)

const (
	// laterTime is how long what is left to do about an answer waits: by then the
	// server's next message, which somebody waits for, has been passed on.
	laterTime = 10 * time.Millisecond
	// maxLater is how much of it waits at the same time, and maxLaterBytes how large
	// a request and its answer may be that are held for it.
	maxLater      = 64
	maxLaterBytes = 16 << 10
)

// later holds what is left to do about answers.
type later struct {
	mu    sync.Mutex
	tasks []func()
}

// add takes a task, unless there are too many. first is true for one that begins
// a row.
func (l *later) add(f func()) (ok, first bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.tasks) == maxLater {
		return false, false
	}
	l.tasks = append(l.tasks, f)
	return true, len(l.tasks) == 1
}

// run runs the row of tasks.
func (l *later) run() {
	l.mu.Lock()
	tasks := l.tasks
	l.tasks = nil
	l.mu.Unlock()
	for _, f := range tasks {
		f()
	}
}

// later runs f in a moment, together with what else is left to do; at once where
// it holds much memory, and at the latest when the handler is closed.
func (h *Handler) later(f func(), size int) {
	if size > maxLaterBytes {
		f()
		return
	}
	switch ok, first := h.rest.add(f); {
	case !ok:
		f()
	case first && !h.spawn(h.runLater):
		h.rest.run()
	}
}

func (h *Handler) runLater() {
	wait := time.NewTimer(laterTime)
	defer wait.Stop()
	select {
	case <-wait.C:
	case <-h.ctx.Done():
	}
	h.rest.run()
}
