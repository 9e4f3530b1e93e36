package proxy

import (
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

const (
	// writeBytes is what a caller must read within the write timeout.
	writeBytes = 64 << 10
	// lingerTime is how long bytes wait for more that are likely to come at once,
	// so that header, answer and end of a short stream are one write.
	lingerTime = time.Millisecond
)

// keepAliveComment is what load balancers between take for life. It is a line
// and not an event: some callers dispatch an event without data.
var keepAliveComment = []byte(": keepalive\n")

// callerWriter writes to a caller, who gets a bounded time to read. It is used
// by one goroutine; while that waits for more (between wait and woken), a timer
// writes what lingers, and the comments that keep an event stream alive.
type callerWriter struct {
	http.ResponseWriter
	control *http.ResponseController
	timeout time.Duration
	// keepAlive is how long an event stream may be silent; 0 where the response
	// is none.
	keepAlive time.Duration
	// lingers is set where what was written last may wait for more.
	lingers bool

	mu    sync.Mutex
	dirty bool
	// deadline is that of the caller's connection or stream; zero for none.
	deadline time.Time
	// waiting is true while the timer may write, which it does at due.
	waiting bool
	due     time.Time
	timer   *time.Timer
	// commented is true where a comment was written last.
	commented bool
}

func newCallerWriter(w http.ResponseWriter, timeout time.Duration) *callerWriter {
	return &callerWriter{ResponseWriter: w, control: http.NewResponseController(w), timeout: timeout}
}

// Write writes all of p, which no comment interrupts.
func (c *callerWriter) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.commented = false
	return c.write(p)
}

func (c *callerWriter) write(p []byte) (int, error) {
	written := 0
	for written < len(p) {
		// A caller that reads slowly gets its time anew for every piece.
		c.allowTime()
		c.dirty = true
		n, err := c.ResponseWriter.Write(p[written:min(len(p), written+writeBytes)])
		written += n
		if err != nil {
			return written, fmt.Errorf("writing to the caller: %w", err)
		}
	}
	return written, nil
}

// allowTime gives the caller the time for what is written next, or most of it.
// Not every ResponseWriter can; then the server's own timeouts hold.
func (c *callerWriter) allowTime() {
	now := time.Now()
	if c.deadline.Sub(now) < c.timeout-c.timeout/8 {
		c.deadline = now.Add(c.timeout)
		_ = c.control.SetWriteDeadline(c.deadline)
	}
}

// flush sends what was written. A caller that left is noticed by its context.
func (c *callerWriter) flush() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.send()
}

func (c *callerWriter) send() {
	if c.dirty {
		c.allowTime()
		_ = c.control.Flush()
		c.dirty = false
		// HTTP/2 ends a stream whose deadline passes, also where nothing is written.
		c.deadline = time.Time{}
		_ = c.control.SetWriteDeadline(c.deadline)
	}
}

// begin sends the response's header, with what comes at once.
func (c *callerWriter) begin(status int) {
	c.WriteHeader(status)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dirty, c.lingers = true, true
}

// wait is called before its user waits for more, woken after it. What was
// written is sent, so that no event is late.
func (c *callerWriter) wait() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dirty && !c.lingers {
		c.send()
	}
	c.waiting = true
	switch {
	case c.dirty:
		c.arm(lingerTime)
	case c.keepAlive > 0:
		c.arm(c.keepAlive)
	}
}

func (c *callerWriter) woken() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting, c.lingers = false, false
}

// interrupted reports whether a comment was written last.
func (c *callerWriter) interrupted() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.commented
}

// linger lets what was written last wait for more at the next wait.
func (c *callerWriter) linger() { c.lingers = true }

func (c *callerWriter) arm(after time.Duration) {
	c.due = time.Now().Add(after)
	if c.timer == nil {
		c.timer = time.AfterFunc(after, c.tick)
		return
	}
	c.timer.Reset(after)
}

func (c *callerWriter) tick() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.waiting || time.Now().Before(c.due) {
		return // it came too late for the wait that it was set for
	}
	if !c.dirty {
		c.commented = true
		if _, err := c.write(keepAliveComment); err != nil {
			return // the caller's context has ended, which ends the wait
		}
	}
	c.send()
	if c.keepAlive > 0 {
		c.arm(c.keepAlive)
	}
}

// end is called at the response's end. What was not flushed is sent by net/http,
// within the time that is given here; admit takes that away again for the next
// request.
func (c *callerWriter) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting = false
	if c.timer != nil {
		c.timer.Stop()
	}
	c.allowTime()
}

// flushReader sends to the caller what there is before it waits for more, so that
// a burst is one write.
type flushReader struct {
	io.Reader
	out *callerWriter
}

func (r flushReader) Read(p []byte) (int, error) {
	r.out.wait()
	n, err := r.Reader.Read(p)
	r.out.woken()
	return n, err
}
