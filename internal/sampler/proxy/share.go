package proxy

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

// hurryTime is how long what is left of a stream may take when the handler
// closes.
const hurryTime = time.Second

// share is a GET stream of a caller, as share in the server's, whose connection
// was taken over from net/http. Most of the time nothing comes on such a stream,
// and what net/http holds for a response (two buffers, a deep stack, the request)
// is most of what a session costs. This one holds a goroutine that waits for the
// caller to leave; who has something to write begins another one.
type share struct {
	handler *Handler
	session *session
	stream  *callerStream
	conn    net.Conn
	// commented is true where a comment was written last. It is the writer's.
	commented bool

	mu sync.Mutex
	// writing is true while there is a writer, again where it must look for more
	// before it ends.
	writing, again bool
	// hurried means that the handler closes, finished that all is over.
	hurried, finished bool
	// silent begins a writer when the stream was silent for too long.
	silent *time.Timer
}

// share gives a caller the events of a session over the connection of w. It is
// false where that cannot be taken over, and nothing has happened then.
func (h *Handler) share(w http.ResponseWriter, r *http.Request, s *session, lastID string, header http.Header) bool {
	if !r.ProtoAtLeast(1, 1) || r.ProtoMajor != 1 {
		return false
	}
	c := &share{handler: h, session: s, writing: true}
	stream := s.listener.log.attachFunc(lastID, c.wake)
	if stream == nil {
		return false
	}
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		stream.detach()
		return false
	}
	c.stream, c.conn = stream, conn
	c.silent = time.AfterFunc(h.opts.KeepAlive, c.tick)
	h.open.Add(1)
	s.use()
	s.beginStream()
	header.Del("Connection")
	var head bytes.Buffer
	head.WriteString("HTTP/1.1 200 OK\r\n")
	_ = header.Write(&head) // a buffer takes everything
	head.WriteString("Date: " + time.Now().UTC().Format(http.TimeFormat) + "\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n")
	if !h.addShare(c) {
		c.finish()
		return true
	}
	if !c.write(head.Bytes()) {
		c.finish()
		return true
	}
	c.run()
	return true
}

// addShare notes a share and has its caller watched. It is false when the handler
// is closed.
func (h *Handler) addShare(c *share) bool {
	h.mu.Lock()
	if h.shares == nil {
		h.shares = map[*share]struct{}{}
	}
	h.shares[c] = struct{}{}
	h.mu.Unlock()
	return h.spawn(c.watch)
}

// watch waits until the caller leaves.
func (c *share) watch() {
	defer c.finish()
	var rest [16]byte // what a caller sends is no part of a stream
	for {
		if _, err := c.conn.Read(rest[:]); err != nil {
			return
		}
	}
}

// wake has what is new written. It does not block.
func (c *share) wake() {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.finished:
	case c.writing:
		c.again = true
	default:
		c.writing = true
		// What watches still runs, so this is before the handler waits for all.
		c.handler.background.Go(c.run)
	}
}

// tick writes a comment on a stream that was silent for too long.
func (c *share) tick() {
	c.mu.Lock()
	if c.finished || c.writing {
		c.mu.Unlock()
		return
	}
	c.writing = true
	c.handler.background.Add(1) // as in wake
	c.mu.Unlock()
	defer c.handler.background.Done()
	if !c.write(keepAliveChunk) {
		c.finish()
		return
	}
	c.commented = true
	c.run()
}

// keepAliveChunk is the comment as a chunk of a body.
var keepAliveChunk = fmt.Appendf(nil, "%x\r\n%s\r\n", len(keepAliveComment), keepAliveComment)

// run writes all that there is for the caller.
func (c *share) run() {
	for {
		raw, ended := c.stream.pop()
		switch {
		case raw != nil && c.commented && string(raw) == "\n":
			// The rest of a line end, which the comment has parted.
		case raw != nil:
			c.commented = false
			if !c.chunk(raw) {
				c.finish()
				return
			}
		case ended:
			c.write([]byte("0\r\n\r\n"))
			c.finish()
			return
		case c.rest():
			return
		}
	}
}

// rest ends the writer, unless there is something new.
func (c *share) rest() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.again {
		c.again = false
		return false
	}
	c.writing = false
	if !c.finished {
		c.silent.Reset(c.handler.opts.KeepAlive)
	}
	return true
}

// chunk writes bytes of the body.
func (c *share) chunk(p []byte) bool {
	for len(p) > 0 {
		piece := p[:min(len(p), writeBytes)]
		p = p[len(piece):]
		framed := fmt.Appendf(make([]byte, 0, len(piece)+16), "%x\r\n", len(piece))
		framed = append(append(framed, piece...), "\r\n"...)
		if !c.write(framed) {
			return false
		}
	}
	return true
}

// write writes within the time that a caller has to read.
func (c *share) write(p []byte) bool {
	c.mu.Lock()
	timeout := c.handler.opts.WriteTimeout
	if c.hurried {
		timeout = min(timeout, hurryTime)
	}
	err := c.conn.SetWriteDeadline(time.Now().Add(timeout))
	c.mu.Unlock()
	if err != nil {
		return false
	}
	_, err = c.conn.Write(p)
	return err == nil
}

// hurry bounds what is still written.
func (c *share) hurry() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hurried = true
	if err := c.conn.SetWriteDeadline(time.Now().Add(hurryTime)); err != nil && !errors.Is(err, net.ErrClosed) {
		_ = c.conn.Close()
	}
}

// finish ends the stream. It may be called again.
func (c *share) finish() {
	c.mu.Lock()
	if c.finished {
		c.mu.Unlock()
		return
	}
	c.finished = true
	c.silent.Stop()
	c.mu.Unlock()
	c.stream.detach()
	_ = c.conn.Close()
	h := c.handler
	h.mu.Lock()
	delete(h.shares, c)
	h.mu.Unlock()
	c.session.endStream()
	h.release(c.session)
	h.leave()
}
