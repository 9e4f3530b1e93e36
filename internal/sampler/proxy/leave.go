package proxy

import (
	"context"
	"io"
	"net/http/httptrace"
	"time"
)

const (
	// leaveTime is how long a server has to end a GET stream that is given up, in
	// answer to the end of our side: far more than one that has no time for it needs.
	// deafTime is the same for one that did not do it the last time.
	leaveTime = 5 * time.Second
	deafTime  = 500 * time.Millisecond
	// noticeTime is how long one has whose two sides end together, so that nobody
	// hears of when the server has noticed.
	noticeTime = 200 * time.Millisecond
)

// serverStream is an open GET stream of the server.
type serverStream struct {
	body   io.Reader
	closer io.Closer
	// conn is the connection, where it carries this stream alone and its two sides
	// can end one after the other; else nil.
	conn closeWriter
}

// closeWriter is a connection whose one side can be ended: TCP, and TLS on it.
type closeWriter interface {
	CloseWrite() error
	io.Closer
}

// trace has the connection noted that a request is sent on.
func (s *serverStream) trace(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
		s.conn, _ = info.Conn.(closeWriter)
	}})
}

// close ends the stream at once.
func (s *serverStream) close() { _ = s.closer.Close() }

// leave gives the stream up for good. What is closed tells that it has ended: a
// server that has not noticed the end of a stream would send what it asks on that
// one, where nobody reads it, though there is another one by then. So our side is
// ended first, and what still comes is served until the server ends its own.
func (l *listener) leave() (ended <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.left != nil {
		return l.left
	}
	l.left = make(chan struct{})
	switch {
	case l.running == nil:
		close(l.left)
	case l.paused:
		l.running()
	case l.stream != nil:
		l.endOurSide()
	default: // it is being opened, and the server may hold it already
		time.AfterFunc(deafTime, l.running)
	}
	return l.left
}

// endOurSide lets the server know that the stream is given up. l.mu is held.
func (l *listener) endOurSide() {
	if l.stream.conn == nil || l.stream.conn.CloseWrite() != nil {
		l.stream.conn = nil
		l.stream.close()
		l.running()
		return
	}
	within := l.handler.leaveTime
	if l.handler.deaf.Load() {
		within = min(within, deafTime)
	}
	time.AfterFunc(within, l.running)
}

func (l *listener) isLeft() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.left != nil
}

// opened notes that the stream is open.
func (l *listener) opened(stream *serverStream) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stream = stream
	if l.left != nil { // it was given up meanwhile
		l.endOurSide()
	}
}

// closed notes that the stream has ended, by the server unless there was an error.
func (l *listener) closed(stream *serverStream, err error) {
	stream.close()
	l.mu.Lock()
	l.stream = nil
	left := l.left != nil
	l.mu.Unlock()
	if !left {
		return
	}
	if stream.conn != nil {
		_ = stream.conn.Close() // its one side has ended, so nothing can be sent on it
		if l.session.ctx.Err() == nil {
			l.handler.deaf.Store(err != nil)
		}
	}
	if err == nil {
		return
	}
	timer := time.NewTimer(noticeTime)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-l.session.ctx.Done():
	}
}
