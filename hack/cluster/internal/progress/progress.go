// Package progress is what a cluster's node tells the command that starts it: one JSON object a
// line, through a pipe.
package progress

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"time"
)

// Event reports on the start of a cluster.
type Event struct {
	// Part is what was started, or the name of a step.
	Part string `json:"part"`
	// Took is the time from the part's start until it worked.
	Took time.Duration `json:"took"`
	// Error says why the part did not start. Nothing follows.
	Error string `json:"error,omitempty"`
	// Log is the path of the part's log, where it has one.
	Log string `json:"log,omitempty"`
	// Up says that everything works. Nothing follows.
	Up bool `json:"up,omitempty"`
}

// Writer writes events from several goroutines.
type Writer struct {
	mu sync.Mutex
	w  io.Writer
}

// NewWriter returns a writer of events.
func NewWriter(w io.Writer) *Writer { return &Writer{w: w} }

// Report writes an event. Nobody may be listening any more, which is no error.
func (w *Writer) Report(e Event) {
	raw, err := json.Marshal(e)
	if err != nil {
		return // An Event can always be encoded.
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	_, _ = w.w.Write(append(raw, '\n'))
}

// Follow hands events on until the one that says the cluster is up, or handle returns an error. If
// the writer's end closes before, it returns io.ErrUnexpectedEOF.
func Follow(r io.Reader, handle func(Event) error) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20) // An error may quote much of what a program said.
	for lines.Scan() {
		var e Event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return fmt.Errorf("the node reported %q: %w", lines.Text(), err)
		}
		if e.Up {
			return nil
		}
		if err := handle(e); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("reading what the node reports: %w", err)
	}
	return io.ErrUnexpectedEOF
}
