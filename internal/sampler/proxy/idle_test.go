package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

// rawServer is a server of which next to nothing stays in memory: what is
// measured beside it is the proxy's.
type rawServer struct {
	listener net.Listener
	mu       sync.Mutex
	streams  []net.Conn
	served   sync.WaitGroup
}

func newRawServer(b *testing.B) *rawServer {
	b.Helper()
	listener, err := (&net.ListenConfig{}).Listen(b.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	s := &rawServer{listener: listener}
	s.served.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			s.served.Go(func() { s.serve(conn) })
		}
	})
	return s
}

func (s *rawServer) close() {
	_ = s.listener.Close()
	s.mu.Lock()
	for _, conn := range s.streams {
		_ = conn.Close()
	}
	s.mu.Unlock()
	s.served.Wait()
}

func (s *rawServer) serve(conn net.Conn) {
	r, err := http.ReadRequest(bufio.NewReaderSize(conn, 1<<10))
	if err != nil {
		_ = conn.Close()
		return
	}
	if r.Method == http.MethodGet {
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
		s.mu.Lock()
		s.streams = append(s.streams, conn) // without a goroutine that reads it
		s.mu.Unlock()
		return
	}
	_, _ = io.Copy(io.Discard, r.Body)
	const result = `{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-06-18"}}`
	_, _ = fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nMcp-Session-Id: session-%p\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s",
		r, len(result), result)
	_ = conn.Close()
}

func (s *rawServer) open() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.streams)
}

// rawCaller makes one request and returns the connection, and the header of the
// response.
func rawCaller(b *testing.B, address, line, session, body string) (net.Conn, http.Header) {
	b.Helper()
	conn, err := (&net.Dialer{}).DialContext(b.Context(), "tcp", address)
	if err != nil {
		b.Fatal(err)
	}
	_, _ = fmt.Fprintf(conn, "%s HTTP/1.1\r\nHost: sampler\r\nAccept: application/json, text/event-stream\r\nContent-Type: application/json\r\n"+
		"User-Agent: bench\r\nMcp-Session-Id: %s\r\nAuthorization: Bearer 0123456789abcdef0123456789abcdef\r\nContent-Length: %d\r\n\r\n%s", line, session, len(body), body)
	resp, err := http.ReadResponse(bufio.NewReaderSize(conn, 1<<10), nil)
	if err != nil {
		b.Fatal(err)
	}
	return conn, resp.Header
}

// BenchmarkIdleSession tells what an idle session costs whose caller holds its
// GET stream open: both connections and all that belongs to them.
func BenchmarkIdleSession(b *testing.B) {
	const sessions = 1000
	inUse := func() int64 {
		var m runtime.MemStats
		for range 3 { // pools are emptied in two steps
			runtime.GC()
		}
		runtime.ReadMemStats(&m)
		return int64(m.HeapInuse + m.StackInuse)
	}
	for b.Loop() {
		server := newRawServer(b)
		h, err := New(Options{
			Upstream: &url.URL{Scheme: "http", Host: server.listener.Addr().String(), Path: "/mcp"}, Sampling: &fakeSampling{},
		})
		if err != nil {
			b.Fatal(err)
		}
		front := httptest.NewServer(h)
		address := strings.TrimPrefix(front.URL, "http://")
		before, goroutines := inUse(), runtime.NumGoroutine()
		callers := make([]net.Conn, 0, sessions)
		for range sessions {
			conn, header := rawCaller(b, address, "POST /mcp", "", initializeBody)
			_ = conn.Close()
			name := header.Get(wire.HeaderSession)
			conn, header = rawCaller(b, address, "GET /mcp", name, "")
			if header.Get(wire.HeaderSession) != name {
				b.Fatal("no stream")
			}
			callers = append(callers, conn)
		}
		for server.open() < sessions {
			runtime.Gosched()
		}
		b.ReportMetric(float64(inUse()-before)/sessions/1024, "KiB/session")
		b.ReportMetric(float64(runtime.NumGoroutine()-goroutines)/sessions, "goroutines/session")
		for _, conn := range callers {
			_ = conn.Close()
		}
		front.CloseClientConnections()
		h.Close()
		front.Close()
		server.close()
	}
}
