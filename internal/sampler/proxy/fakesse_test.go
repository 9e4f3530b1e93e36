package proxy

import (
	"bufio"
	"compress/gzip"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

// ssePost is what the fake server got.
type ssePost struct {
	path, authorization, body string
}

// fakeSSEServer is a server of the HTTP+SSE transport with one stream, which
// sends exactly what it is told to.
type fakeSSEServer struct {
	// first is what a stream begins with.
	first string
	// send is what comes on it; the stream ends when it is closed.
	send chan string
	// posts are the messages that it got.
	posts chan ssePost
	// hold, where set, says which posts are answered only when it is closed.
	hold map[string]chan struct{}
	// status, where set, refuses every post.
	status int
	// gone is told when a stream ended.
	gone       chan struct{}
	compressed bool
	byteByByte bool
}

const namedEndpoint = "event: endpoint\ndata: /messages/?sid=1\n\n"

func newFakeSSEServer() *fakeSSEServer {
	return &fakeSSEServer{
		first: namedEndpoint, send: make(chan string, 16), posts: make(chan ssePost, 64),
		gone: make(chan struct{}, 1),
	}
}

func (s *fakeSSEServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet {
		s.stream(w, r)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	got := ssePost{r.URL.RequestURI(), r.Header.Get("Authorization"), string(body)}
	s.posts <- got
	if r.Header.Get(wire.HeaderSession) != "" {
		http.Error(w, "no such header here", http.StatusTeapot)
		return
	}
	if s.status != 0 {
		http.Error(w, "no", s.status)
		return
	}
	if hold := s.hold[got.body]; hold != nil {
		select {
		case <-hold:
		case <-r.Context().Done():
		}
	}
	w.WriteHeader(http.StatusAccepted)
}

func (s *fakeSSEServer) stream(w http.ResponseWriter, r *http.Request) {
	defer func() { s.gone <- struct{}{} }()
	w.Header().Set("Content-Type", "text/event-stream")
	write := func(text string) {
		size := len(text)
		if s.byteByByte {
			size = 1
		}
		for ; text != ""; text = text[min(size, len(text)):] {
			_, _ = io.WriteString(w, text[:min(size, len(text))])
			_ = http.NewResponseController(w).Flush()
		}
	}
	if s.compressed {
		w.Header().Set("Content-Encoding", "gzip")
		zip := gzip.NewWriter(w)
		write = func(text string) {
			_, _ = io.WriteString(zip, text)
			_ = zip.Flush()
			_ = http.NewResponseController(w).Flush()
		}
	}
	write(s.first)
	for {
		select {
		case text, more := <-s.send:
			if !more {
				return
			}
			write(text)
		case <-r.Context().Done():
			return
		}
	}
}

func speakSSE(o *Options) { o.SSE = true }

// sseCaller is a caller with an open stream.
type sseCaller struct {
	t        *testing.T
	endpoint string
	events   *bufio.Reader
	leave    context.CancelFunc
	// auditName is by what name audit records know the session.
	auditName string
}

// openSSE opens a stream and reads the endpoint off it.
func openSSE(t *testing.T, front string, header ...string) *sseCaller {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	resp := open(ctx, t, http.MethodGet, front, "", header...)
	t.Cleanup(func() { resp.Body.Close() })
	if resp.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(resp.Body)
		t.Fatalf("status %d: %s", resp.StatusCode, body)
	}
	c := &sseCaller{t: t, events: bufio.NewReader(resp.Body), leave: cancel, auditName: resp.Header.Get(wire.HeaderAudit)}
	got := c.next()
	path, ok := strings.CutPrefix(got, "event: endpoint\ndata: /mcp?mcp-sampling-session=")
	if !ok {
		t.Fatalf("the stream began with %q", got)
	}
	c.endpoint = front + "?mcp-sampling-session=" + strings.TrimSpace(path)
	return c
}

// next returns the next event; empty where the stream has ended.
func (c *sseCaller) next() string {
	c.t.Helper()
	read := make(chan string, 1)
	go func() {
		var event strings.Builder
		for {
			line, err := c.events.ReadString('\n')
			event.WriteString(line)
			if err != nil || line == "\n" && event.Len() > 1 {
				read <- event.String()
				return
			}
			if line == "\n" {
				event.Reset()
			}
		}
	}()
	return await(c.t, "an event", read)
}

func (c *sseCaller) post(body string, header ...string) reply {
	c.t.Helper()
	return ask(c.t, http.MethodPost, c.endpoint, body, header...)
}

// running begins a call and returns how its POST was answered.
func (c *sseCaller) call(server *fakeSSEServer) {
	c.t.Helper()
	if got := c.post(callBody); got.status != http.StatusAccepted {
		c.t.Fatalf("the call: status %d: %s", got.status, got.body)
	}
	await(c.t, "the call", server.posts)
}
