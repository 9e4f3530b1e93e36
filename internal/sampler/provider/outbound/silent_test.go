package outbound

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// fakeListener accepts what is dialled by its own end of a pipe.
type fakeListener struct {
	conns  chan net.Conn
	once   sync.Once
	dialed atomic.Int32
	newest atomic.Pointer[fakeConn]
}

func (l *fakeListener) Accept() (net.Conn, error) {
	conn, ok := <-l.conns
	if !ok {
		return nil, net.ErrClosed
	}
	return conn, nil
}

func (l *fakeListener) Close() error {
	l.once.Do(func() { close(l.conns) })
	return nil
}

func (l *fakeListener) Addr() net.Addr { return &net.TCPAddr{} }

func (l *fakeListener) dial(context.Context, string, string) (net.Conn, error) {
	near, far := net.Pipe()
	conn := &fakeConn{Conn: near}
	l.dialed.Add(1)
	l.newest.Store(conn)
	l.conns <- far
	return conn, nil
}

// fakeConn is one whose packets somebody can drop.
type fakeConn struct {
	net.Conn
	dropped atomic.Bool
}

func (c *fakeConn) Write(p []byte) (int, error) {
	if c.dropped.Load() {
		return len(p), nil
	}
	return c.Conn.Write(p)
}

func TestASilentConnectionIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var http2 http.Protocols
		http2.SetUnencryptedHTTP2(true)
		listener := &fakeListener{conns: make(chan net.Conn)}
		server := &http.Server{Protocols: &http2, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") })}
		served := make(chan error, 1)
		go func() { served <- server.Serve(listener) }()
		transport := newHTTPTransport()
		transport.Protocols, transport.DialContext = &http2, listener.dial
		ask := func() error {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://provider.invalid", http.NoBody)
			if err != nil {
				return err
			}
			resp, err := transport.RoundTrip(req)
			if err != nil {
				return err
			}
			_, err = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			return err
		}
		if err := ask(); err != nil {
			t.Fatal(err)
		}
		listener.newest.Load().dropped.Store(true)
		start := time.Now()
		for ask() != nil {
			if took := time.Since(start); took > 30*time.Second {
				t.Fatalf("requests still fail %s after the connection went silent", took)
			}
		}
		if n := listener.dialed.Load(); n != 2 {
			t.Errorf("%d connections, want another one than the silent", n)
		}
		transport.CloseIdleConnections()
		server.Close()
		<-served
	})
}
