package proxy

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

// streamOf opens the GET stream of a session on a connection that the test reads
// by itself.
func streamOf(t *testing.T, endpoint, name string) (net.Conn, *http.Response) {
	t.Helper()
	address := strings.TrimSuffix(strings.TrimPrefix(endpoint, "http://"), "/mcp")
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprintf(conn, "GET /mcp HTTP/1.1\r\nHost: %s\r\n%s: %s\r\nUser-Agent: Go-http-client/1.1\r\n\r\n", address, wire.HeaderSession, name); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK || !isEventStream(resp.Header) || !resp.Close || resp.Header.Get(wire.HeaderSession) != name {
		t.Fatalf("the stream begins with %d and %v", resp.StatusCode, resp.Header)
	}
	return conn, resp
}

// fakeFeed is a GET stream of the server that sends what it is given.
func fakeFeed() (feed chan string, get http.HandlerFunc) {
	feed = make(chan string)
	return feed, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		control := http.NewResponseController(w)
		_ = control.Flush()
		for {
			select {
			case text := <-feed:
				_, _ = io.WriteString(w, text)
				_ = control.Flush()
			case <-r.Context().Done():
				return
			}
		}
	}
}

func TestASharedStreamBringsEverything(t *testing.T) {
	feed, get := fakeFeed()
	endpoint, h := newFront(t, &fakeServer{get: get})
	name := begin(t, endpoint)
	_, resp := streamOf(t, endpoint, name)
	s := h.sessions.get(name)
	want := "id: 1\ndata: x\n\ndata: " + strings.Repeat("large ", 25_000) + "\n\nid: 2\r\ndata: last\r\n\r\n"
	done := make(chan struct{})
	go func() {
		defer close(done)
		for _, event := range strings.SplitAfter(want, "\n\n") {
			if event != "" {
				feed <- event
			}
		}
	}()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(resp.Body, got); err != nil || string(got) != want {
		t.Errorf("got %d bytes of %d, the same: %t, error %v", len(got), len(want), string(got) == want, err)
	}
	<-done
	h.Drain()
	if rest, err := io.ReadAll(resp.Body); err != nil || len(rest) > 0 {
		t.Errorf("the stream ended with %q, error %v", rest, err)
	}
	eventually(t, "the session is in use no more", func() bool {
		_, idle := s.idleFrom()
		return idle && h.open.Load() == 0
	})
}

func TestASilentSharedStreamIsKeptAlive(t *testing.T) {
	feed, get := fakeFeed()
	endpoint, _ := newFront(t, &fakeServer{get: get}, func(o *Options) { o.KeepAlive = 20 * time.Millisecond })
	_, resp := streamOf(t, endpoint, begin(t, endpoint))
	reader := bufio.NewReader(resp.Body)
	comments := func(n int) {
		t.Helper()
		for range n {
			if line, err := reader.ReadString('\n'); err != nil || line != ": keepalive\n" {
				t.Fatalf("got %q, error %v", line, err)
			}
		}
	}
	comments(3)
	feed <- "data: x\r\n\r"
	event := ""
	for !strings.HasSuffix(event, "\r\n\r") {
		b, err := reader.ReadByte()
		if err != nil {
			t.Fatal(err)
		}
		event = strings.TrimPrefix(event+string(b), ": keepalive\n")
	}
	if event != "data: x\r\n\r" {
		t.Errorf("got %q", event)
	}
	comments(2)
	feed <- "\n" // the rest of that event, which the comments have parted
	feed <- "data: y\n\n"
	for {
		line, err := reader.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if line == ": keepalive\n" {
			continue
		}
		if line != "data: y\n" {
			t.Errorf("got %q", line)
		}
		break
	}
}

func TestASharedStreamEndsWithItsCaller(t *testing.T) {
	endpoint, h := newFront(t, &fakeServer{get: hold("")})
	name := begin(t, endpoint)
	for range 3 * maxCallerStreams {
		conn, _ := streamOf(t, endpoint, name)
		_ = conn.Close()
		eventually(t, "the caller has left", func() bool {
			_, idle := h.sessions.get(name).idleFrom()
			return idle && h.open.Load() == 0 && len(h.allShares()) == 0
		})
	}
}

func TestACallerThatDoesNotReadHoldsUpNobody(t *testing.T) {
	feed, get := fakeFeed()
	endpoint, h := newFront(t, &fakeServer{get: get}, func(o *Options) { o.MaxBufferBytes = 64 << 10 })
	name := begin(t, endpoint)
	streamOf(t, endpoint, name)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	event := "data: " + strings.Repeat("x", 32<<10) + "\n\n"
	for range 1000 { // far more than all buffers on the way hold
		select {
		case feed <- event:
		case <-ctx.Done():
			t.Fatal("the server's stream is not read any more")
		}
	}
	log := h.sessions.get(name).listener.log
	log.mu.Lock()
	if log.bytes > 128<<10 || log.lost == 0 {
		t.Errorf("%d bytes are kept and %d events lost", log.bytes, log.lost)
	}
	log.mu.Unlock()
	start := time.Now()
	h.Close()
	if took := time.Since(start); took > 5*hurryTime {
		t.Errorf("closing took %v", took)
	}
}
