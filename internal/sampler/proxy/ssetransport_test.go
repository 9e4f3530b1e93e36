package proxy

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/seal"
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
	if r.Header.Get(headerSession) != "" {
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
	c := &sseCaller{t: t, events: bufio.NewReader(resp.Body), leave: cancel}
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

func TestSSECallIsServedWithItsSampling(t *testing.T) {
	for name, tc := range map[string]func(*fakeSSEServer){
		"plain":                 func(*fakeSSEServer) {},
		"split at every byte":   func(s *fakeSSEServer) { s.byteByByte = true },
		"compressed":            func(s *fakeSSEServer) { s.compressed = true },
		"an endpoint with CRLF": func(s *fakeSSEServer) { s.first = strings.ReplaceAll(namedEndpoint, "\n", "\r\n") },
		"an endpoint of another host": func(s *fakeSSEServer) {
			s.first = "event: endpoint\ndata: http://169.254.169.254/messages/?sid=1\n\n"
		},
	} {
		t.Run(name, func(t *testing.T) {
			server := newFakeSSEServer()
			tc(server)
			held := make(chan struct{})
			server.hold = map[string]chan struct{}{callBody: held} // the POST is answered when the tool is done
			front, h := newFront(t, server, speakSSE)
			caller := openSSE(t, front, "Authorization", "Bearer stream")

			if got := caller.post(initializeBody, "Authorization", "Bearer post"); got.status != http.StatusAccepted {
				t.Fatalf("initialize: status %d: %s", got.status, got.body)
			}
			got := await(t, "initialize", server.posts)
			if got.path != "/messages/?sid=1" || got.authorization != "Bearer post" || !strings.Contains(got.body, `"sampling":{}`) {
				t.Errorf("the server got %+v", got)
			}
			initialized := `data: {"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2024-11-05"}}` + "\n\n"
			server.send <- initialized
			if got := caller.next(); got != initialized {
				t.Errorf("the caller got %q", got)
			}

			answered := make(chan reply, 1)
			go func() { answered <- caller.post(callBody, "Authorization", "Bearer call") }()
			await(t, "the call", server.posts)
			server.send <- sampleEvent
			want := ssePost{"/messages/?sid=1", "Bearer call", `{"jsonrpc":"2.0","id":9,"result":{}}`}
			if diff := cmp.Diff(want, await(t, "the answer", server.posts), cmp.AllowUnexported(ssePost{})); diff != "" {
				t.Errorf("the answer (-want +got):\n%s", diff)
			}
			server.send <- "data: " + callResponse + "\n\n"
			if got, want := caller.next(), "data: "+callResponse+"\n\n"; got != want {
				t.Errorf("the caller got %q, want %q", got, want)
			}
			close(held)
			if got := await(t, "the post's answer", answered); got.status != http.StatusAccepted {
				t.Errorf("the call: status %d: %s", got.status, got.body)
			}
			if got := h.sessions.all()[0].view().ProtocolVersion; got != "2024-11-05" {
				t.Errorf("version %q", got)
			}
			caller.leave()
			await(t, "the server's stream ends", server.gone)
			eventually(t, "the session ends", func() bool { return h.Sessions() == 0 })
			if got := caller.post(callBody); got.status != http.StatusNotFound {
				t.Errorf("after the stream's end: status %d: %s", got.status, got.body)
			}
		})
	}
}

func TestSSEStreamThatDoesNotBeginAsItMust(t *testing.T) {
	for name, tc := range map[string]struct {
		server     http.HandlerFunc
		settings   Settings
		wantStatus int
		want       string
	}{
		"no endpoint in time": {
			server: func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "text/event-stream")
				_ = http.NewResponseController(w).Flush()
				<-r.Context().Done()
			},
			wantStatus: http.StatusBadGateway, want: "did not begin its stream with an endpoint event",
		},
		"the end": {
			server: events(""), wantStatus: http.StatusBadGateway, want: "did not begin its stream with an endpoint event",
		},
		"a message": {
			server: events(sampleEvent + namedEndpoint), wantStatus: http.StatusBadGateway, want: "did not begin its stream with an endpoint event",
		},
		"an event that is too large": {
			server:   events("event: endpoint\ndata: /" + strings.Repeat("x", 4096) + "\n\n"),
			settings: Settings{MaxEventBytes: 1024}, wantStatus: http.StatusBadGateway, want: "did not begin its stream with an endpoint event",
		},
		"an endpoint too long for a name": {
			server:     events("event: endpoint\ndata: /" + strings.Repeat("x", 8192) + "\n\n"),
			wantStatus: http.StatusBadGateway, want: "did not begin its stream with an endpoint event",
		},
		"comments without end": {
			server:     events(strings.Repeat(": "+strings.Repeat("x", 1000)+"\n", 100) + namedEndpoint),
			wantStatus: http.StatusBadGateway, want: "did not begin its stream with an endpoint event",
		},
		"no URL": {
			server: events("event: endpoint\ndata: mailto:x\n\n"), wantStatus: http.StatusBadGateway, want: "did not begin its stream with an endpoint event",
		},
		"an encoding that cannot be read": {
			server: func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Encoding", "br")
				events(namedEndpoint)(w, r)
			},
			wantStatus: http.StatusBadGateway, want: "did not begin its stream with an endpoint event",
		},
		"the server's refusal": {
			server:     func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "who are you?", http.StatusUnauthorized) },
			wantStatus: http.StatusUnauthorized, want: "who are you?",
		},
		"another page": {
			server:     func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") },
			wantStatus: http.StatusOK, want: "<html>",
		},
	} {
		t.Run(name, func(t *testing.T) {
			front, h := newFront(t, tc.server, speakSSE, func(o *Options) {
				o.EndpointTimeout = 50 * time.Millisecond
				o.Settings = tc.settings
			})
			got := ask(t, http.MethodGet, front, "")
			if got.status != tc.wantStatus || !strings.Contains(got.body, tc.want) {
				t.Errorf("status %d: %s", got.status, got.body)
			}
			if got := h.Sessions(); got != 0 {
				t.Errorf("%d sessions", got)
			}
		})
	}
}

func TestSSEStreamKeepsWhatComesBeforeTheEndpoint(t *testing.T) {
	server := newFakeSSEServer()
	server.first = "\xEF\xBB\xBF: hi\nretry: 5\n\nid: 7\nretry: 9\nevent: endpoint\ndata: messages\n\n"
	front, _ := newFront(t, server, speakSSE)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	resp := open(ctx, t, http.MethodGet, front, "")
	defer resp.Body.Close()
	close(server.send)
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	want := "\xEF\xBB\xBF: hi\nretry: 5\n\nevent: endpoint\nid: 7\nretry: 9\ndata: /mcp?mcp-sampling-session=mcps1."
	if !strings.HasPrefix(string(got), want) {
		t.Errorf("got %q, want %q at the beginning", got, want)
	}
}

func TestSSEPostWithoutASession(t *testing.T) {
	server := newFakeSSEServer()
	front, h := newFront(t, server, speakSSE)
	caller := openSSE(t, front)
	foreign, err := New(Options{Upstream: h.opts.Upstream, Sampling: &fakeSampling{}, SSE: true})
	if err != nil {
		t.Fatal(err)
	}
	defer foreign.Close()
	s, err := foreign.beginSSE("", []byte("/messages"), nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		query      string
		wantStatus int
		want       string
	}{
		"of a client of the newer transport": {"", http.StatusMethodNotAllowed, "open its stream with GET"},
		"with two names":                     {"?mcp-sampling-session=a&mcp-sampling-session=b", http.StatusBadRequest, "several sessions"},
		"with a name that was made up":       {"?mcp-sampling-session=mcps1.AAAA", http.StatusNotFound, "no such session"},
		"with a name of another key":         {"?mcp-sampling-session=" + s.id, http.StatusNotFound, "no such session"},
		"with a name that was changed":       {strings.TrimPrefix(caller.endpoint, front) + "A", http.StatusNotFound, "no such session"},
	} {
		t.Run(name, func(t *testing.T) {
			got := ask(t, http.MethodPost, front+tc.query, initializeBody)
			if got.status != tc.wantStatus || !strings.Contains(got.body, tc.want) || !strings.Contains(got.body, `"id":0,`) {
				t.Errorf("status %d: %s", got.status, got.body)
			}
		})
	}
	if got := len(server.posts); got != 0 {
		t.Errorf("the server got %d messages", got)
	}
}

// running begins a call and returns how its POST was answered.
func (c *sseCaller) call(server *fakeSSEServer) {
	c.t.Helper()
	if got := c.post(callBody); got.status != http.StatusAccepted {
		c.t.Fatalf("the call: status %d: %s", got.status, got.body)
	}
	await(c.t, "the call", server.posts)
}

func TestSSEStreamThatEndsWithCallsRunning(t *testing.T) {
	for name, tc := range map[string]struct {
		end  func(*fakeSSEServer, *Handler)
		want string
	}{
		"the server ends it": {
			end:  func(s *fakeSSEServer, _ *Handler) { close(s.send) },
			want: "the MCP server the-server ended its stream before it answered",
		},
		"the server sends an event that is too large": {
			end:  func(s *fakeSSEServer, _ *Handler) { s.send <- "data: " + strings.Repeat("x", 2048) },
			want: "the MCP server sent a message larger than 1024 bytes",
		},
		"the handler is closed": {
			end:  func(_ *fakeSSEServer, h *Handler) { go h.Close() },
			want: "the sampler is shutting down",
		},
	} {
		t.Run(name, func(t *testing.T) {
			asked, ended := make(chan struct{}, 1), make(chan struct{}, 1)
			server := newFakeSSEServer()
			front, h := newFront(t, server, speakSSE, withSampling(&fakeSampling{answer: untilCancelled(asked, ended)}),
				func(o *Options) { o.Settings.MaxEventBytes = 1024 })
			caller := openSSE(t, front)
			caller.call(server)
			server.send <- sampleEvent
			await(t, "the sampling", asked)
			tc.end(server, h)
			var got struct {
				ID    json.RawMessage
				Error wire.Error
			}
			event := caller.next()
			if err := json.Unmarshal([]byte(strings.TrimPrefix(event, "event: message\ndata: ")), &got); err != nil {
				t.Fatalf("%v: %q", err, event)
			}
			if string(got.ID) != "1" || got.Error.Message != tc.want {
				t.Errorf("the call got %q", event)
			}
			await(t, "the sampling ends", ended)
			if rest := caller.next(); rest != "" {
				t.Errorf("then came %q", rest)
			}
			eventually(t, "the session ends", func() bool { return h.Sessions() == 0 })
			if h.posts != 0 {
				t.Errorf("%d calls are still counted", h.posts)
			}
		})
	}
}

func TestSSESamplingEndsWithItsCall(t *testing.T) {
	for name, end := range map[string]func(*sseCaller, *fakeSSEServer){
		"answered": func(_ *sseCaller, s *fakeSSEServer) { s.send <- "data: " + callResponse + "\n\n" },
		"cancelled by the caller": func(c *sseCaller, _ *fakeSSEServer) {
			c.post(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}`)
		},
		"cancelled by the server": func(_ *sseCaller, s *fakeSSEServer) {
			s.send <- `data: {"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":9}}` + "\n\n"
		},
		"the caller leaves": func(c *sseCaller, _ *fakeSSEServer) { c.leave() },
	} {
		t.Run(name, func(t *testing.T) {
			asked, ended := make(chan struct{}, 1), make(chan struct{}, 1)
			server := newFakeSSEServer()
			front, _ := newFront(t, server, speakSSE, withSampling(&fakeSampling{answer: untilCancelled(asked, ended)}))
			caller := openSSE(t, front)
			caller.call(server)
			server.send <- sampleEvent
			await(t, "the sampling", asked)
			end(caller, server)
			await(t, "the sampling ends", ended)
		})
	}
}

func TestSSEServerThatRefusesACall(t *testing.T) {
	server := newFakeSSEServer()
	server.status = http.StatusForbidden
	front, h := newFront(t, server, speakSSE)
	caller := openSSE(t, front)
	if got := caller.post(callBody); got.status != http.StatusForbidden || got.body != "no\n" {
		t.Errorf("status %d: %s", got.status, got.body)
	}
	if running := h.sessions.all()[0].sse.unanswered(); len(running) != 0 {
		t.Errorf("%d calls are waited for", len(running))
	}
}

func TestSSEAnswerThatIsForgedIsHeldBack(t *testing.T) {
	asked, ended := make(chan struct{}, 1), make(chan struct{}, 1)
	server := newFakeSSEServer()
	front, _ := newFront(t, server, speakSSE, withSampling(&fakeSampling{answer: untilCancelled(asked, ended)}))
	caller := openSSE(t, front)
	caller.call(server)
	server.send <- sampleEvent
	await(t, "the sampling", asked)
	if got := caller.post(`{"jsonrpc":"2.0","id":"9","result":{}}`); got.status != http.StatusAccepted {
		t.Errorf("status %d: %s", got.status, got.body)
	}
	if got := len(server.posts); got != 0 {
		t.Errorf("the server got %d messages", got)
	}
}

func TestSSECallsWithoutAnAnswerHaveALimit(t *testing.T) {
	server := newFakeSSEServer()
	front, h := newFront(t, server, speakSSE)
	caller := openSSE(t, front)
	s := h.sessions.all()[0]
	for range maxRunning {
		if _, err := h.beginSSECall(s, wire.Message{ID: json.RawMessage("1"), Method: "tools/call"}, nil); err != nil {
			t.Fatalf("a call below the limit: %v", err)
		}
	}
	got := caller.post(callBody)
	if got.status != http.StatusServiceUnavailable || !strings.Contains(got.body, "more than 1024 calls of this session") {
		t.Errorf("status %d: %s", got.status, got.body)
	}
	if got := len(server.posts); got != 0 {
		t.Errorf("the server got %d messages", got)
	}
}

func TestSSEServerThatNamesAnotherEndpoint(t *testing.T) {
	server := newFakeSSEServer()
	front, _ := newFront(t, server, speakSSE)
	caller := openSSE(t, front)
	server.send <- "event: endpoint\ndata: http://elsewhere/other?sid=2\n\n"
	server.send <- "data: " + callResponse + "\n\n"
	if got, want := caller.next(), "data: "+callResponse+"\n\n"; got != want {
		t.Errorf("the caller got %q, want %q", got, want)
	}
	ask(t, http.MethodPost, caller.endpoint+"&key=k", callBody)
	if got, want := await(t, "the call", server.posts).path, "/other?sid=2&key=k"; got != want {
		t.Errorf("the call went to %s, want %s", got, want)
	}
}

func TestSSEStreamsEndWhenTheHandlerDrains(t *testing.T) {
	server := newFakeSSEServer()
	front, h := newFront(t, server, speakSSE)
	idle, busy := openSSE(t, front), openSSE(t, front)
	busy.call(server)
	ended := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		ended <- h.Shutdown(ctx)
	}()
	if got := idle.next(); got != "" {
		t.Errorf("the idle stream got %q", got)
	}
	await(t, "the idle stream ends at the server", server.gone)
	server.send <- "data: " + callResponse + "\n\n"
	if got, want := busy.next(), "data: "+callResponse+"\n\n"; got != want {
		t.Errorf("the running call got %q, want %q", got, want)
	}
	if got := busy.next(); got != "" {
		t.Errorf("then came %q", got)
	}
	if err := await(t, "the shutdown", ended); err != nil {
		t.Error(err)
	}
}

func TestSSEStreamThatIsSilentIsKeptAlive(t *testing.T) {
	server := newFakeSSEServer()
	front, _ := newFront(t, server, speakSSE, func(o *Options) { o.KeepAlive = time.Millisecond })
	caller := openSSE(t, front)
	for range 3 {
		if got, err := caller.events.ReadString('\n'); err != nil || got != ": keepalive\n" {
			t.Fatalf("the caller got %q, error %v", got, err)
		}
	}
	server.send <- "data: " + callResponse + "\n\n"
	if got, want := caller.next(), "data: "+callResponse+"\n\n"; strings.ReplaceAll(got, ": keepalive\n", "") != want {
		t.Errorf("the caller got %q, want %q", got, want)
	}
}

func TestSSESessionLeavesWithItsLastCall(t *testing.T) {
	var ended []error
	s := &sseSession{end: func(cause error) { ended = append(ended, cause) }, running: map[*call]func(){}}
	one, two := &call{key: "1"}, &call{key: "2"}
	begin := func(c *call) {
		t.Helper()
		if err := s.begin(c, func() {}); err != nil {
			t.Fatal(err)
		}
	}
	begin(one)
	s.leave()
	begin(two) // on a stream that is there anyway
	s.finish(one)
	if len(ended) != 0 {
		t.Fatal("the stream ended with a call running")
	}
	s.finish(two)
	s.finish(two)
	if len(ended) != 1 || !errors.Is(ended[0], errLeaving) {
		t.Errorf("ended with %v, want %v once", ended, errLeaving)
	}
	if err := s.begin(one, func() {}); !errors.Is(err, errLeaving) {
		t.Errorf("a call after the end: %v, want %v", err, errLeaving)
	}
}

func TestSSESessionsHaveALimit(t *testing.T) {
	front, _ := newFront(t, newFakeSSEServer(), speakSSE, func(o *Options) { o.Settings.MaxSessions = 1 })
	openSSE(t, front)
	got := ask(t, http.MethodGet, front, "")
	if got.status != http.StatusServiceUnavailable || got.header.Get("Proxy-Status") != NoRoom {
		t.Errorf("status %d: %s", got.status, got.body)
	}
}

func TestSSEStatelessEraIsSteeredAway(t *testing.T) {
	const discover = `{"jsonrpc":"2.0","id":5,"method":"server/discover","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}`
	server := newFakeSSEServer()
	front, _ := newFront(t, server, speakSSE)
	caller := openSSE(t, front)
	if got := caller.post(discover); got.status != http.StatusAccepted {
		t.Fatalf("status %d: %s", got.status, got.body)
	}
	if got := caller.next(); !strings.Contains(got, `"id":5,"error":{"code":-32022`) || !strings.Contains(got, `"requested":"2026-07-28"`) {
		t.Errorf("the caller got %q", got)
	}
	if got := len(server.posts); got != 0 {
		t.Errorf("the server got %d messages", got)
	}
	without := newFakeSSEServer()
	front, _ = newFront(t, without, speakSSE, withSampling(&fakeSampling{off: true}))
	openSSE(t, front).post(discover)
	if got := await(t, "the request", without.posts).body; got != discover {
		t.Errorf("without a policy the server got %q", got)
	}
}

func TestSSESessionStaysOnItsServer(t *testing.T) {
	one, two := newFakeSSEServer(), newFakeSSEServer()
	pods := &streamPods{pods: map[string]http.Handler{"10.0.0.1:80": one, "10.0.0.2:80": two}}
	front, h := newFront(t, http.NotFoundHandler(), speakSSE, func(o *Options) { inStreamPods(t, o, pods) })
	caller := openSSE(t, front)
	s := h.sessions.all()[0]
	home, other := one, two
	if s.address == "10.0.0.2:80" {
		home, other = two, one
	}
	for range 8 {
		caller.call(home)
	}
	if len(other.posts) != 0 {
		t.Error("a message went to another server")
	}
	pods.remove(s.address)
	got := caller.post(callBody)
	if got.status != http.StatusNotFound {
		t.Errorf("with the server gone: status %d: %s", got.status, got.body)
	}
	for range 8 {
		if event := caller.next(); !strings.Contains(event, `"error"`) {
			t.Fatalf("a running call got %q", event)
		}
	}
	if rest := caller.next(); rest != "" {
		t.Errorf("then came %q", rest)
	}
}

func TestSSEMessageThatComesToAnotherReplica(t *testing.T) {
	server := newFakeSSEServer()
	upstream := httptest.NewServer(server)
	t.Cleanup(func() {
		upstream.CloseClientConnections()
		upstream.Close()
	})
	target, err := url.Parse(upstream.URL + "/mcp")
	if err != nil {
		t.Fatal(err)
	}
	sealer := seal.NewRandomSealer()
	port := "0"
	var handlers []*Handler
	var fronts []string
	for _, ip := range []string{"127.0.0.1", "127.0.0.2"} { // one port on several addresses, as pods have it
		listener, err := net.Listen("tcp", net.JoinHostPort(ip, port))
		if err != nil {
			t.Fatal(err)
		}
		_, port, _ = net.SplitHostPort(listener.Addr().String())
		h, err := New(Options{
			Upstream: target, Sampling: &fakeSampling{}, SSE: true, Sealer: sealer,
			Replicas: "peers.example:" + port, Self: listener.Addr().String(),
			LookupNetIP: func(context.Context, string, string) ([]netip.Addr, error) {
				return []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("127.0.0.2")}, nil
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		front := httptest.NewUnstartedServer(h)
		front.Listener.Close()
		front.Listener = listener
		front.Start()
		t.Cleanup(func() {
			front.CloseClientConnections()
			h.Close()
			front.Close()
		})
		handlers, fronts = append(handlers, h), append(fronts, front.URL+"/mcp")
	}

	caller := openSSE(t, fronts[0])
	elsewhere := *caller
	elsewhere.endpoint = strings.Replace(caller.endpoint, fronts[0], fronts[1], 1)
	elsewhere.call(server)
	server.send <- sampleEvent
	if got, want := await(t, "the answer", server.posts).body, `{"jsonrpc":"2.0","id":9,"result":{}}`; got != want {
		t.Errorf("the server got %q, want %q", got, want)
	}
	server.send <- "data: " + callResponse + "\n\n"
	if got, want := caller.next(), "data: "+callResponse+"\n\n"; got != want {
		t.Errorf("the caller got %q, want %q", got, want)
	}
	if got := []int{handlers[0].Sessions(), handlers[1].Sessions()}; got[0] != 1 || got[1] != 0 {
		t.Errorf("sessions %v, want one at the first replica only", got)
	}
	caller.leave()
	eventually(t, "the session ends", func() bool { return handlers[0].Sessions() == 0 })
	if got := elsewhere.post(callBody); got.status != http.StatusNotFound {
		t.Errorf("after the stream's end: status %d: %s", got.status, got.body)
	}
}

func TestSSEEndpoint(t *testing.T) {
	upstream, err := url.Parse("https://mcp.example:8443/v1/sse?key=k")
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct{ named, address, want string }{
		"an absolute path":        {"/messages/?session_id=1", "", "https://mcp.example:8443/messages/?session_id=1"},
		"a relative path":         {"messages", "", "https://mcp.example:8443/v1/messages"},
		"a query":                 {"?sid=1", "", "https://mcp.example:8443/v1/sse?sid=1"},
		"with spaces around":      {"  /m ", "", "https://mcp.example:8443/m"},
		"escapes stay":            {"/a%2Fb?c=%20d", "", "https://mcp.example:8443/a%2Fb?c=%20d"},
		"at a pinned address":     {"/m", "10.0.0.1:8443", "https://10.0.0.1:8443/m"},
		"another host":            {"http://169.254.169.254/latest?x=1", "", "https://mcp.example:8443/latest?x=1"},
		"another host, no scheme": {"//evil.example/m", "10.0.0.1:8443", "https://10.0.0.1:8443/m"},
		"credentials, fragment":   {"https://a:b@evil.example/m#f", "", "https://mcp.example:8443/m"},
		"a path above the root":   {"../../../m", "", "https://mcp.example:8443/m"},
		"nothing":                 {" ", "", ""},
		"no path":                 {"https://evil.example", "", ""},
		"no URL with a path":      {"mailto:x", "", ""},
		"control characters":      {"/m\x7f", "", ""},
		"no URL":                  {"http://[::1", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			h := &Handler{opts: Options{Upstream: upstream}}
			got, err := h.endpointOf(tc.address, []byte(tc.named))
			if err != nil {
				if tc.want != "" {
					t.Error(err)
				}
				return
			}
			if got.String() != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}

// FuzzSSEEndpoint: whatever a server names, messages go to its own host.
func FuzzSSEEndpoint(f *testing.F) {
	for _, seed := range []string{"/messages/?session_id=1", "m", "?x", "//evil/m", "http://a:b@evil:1/m#f", "mailto:x", "/\\evil/m", "/%2e%2e/m", "/m?a b", "/a b", "\x00", "http://[::1"} {
		f.Add(seed)
	}
	h := &Handler{opts: Options{Upstream: &url.URL{Scheme: "http", Host: "server:8000", Path: "/sse"}}}
	f.Fuzz(func(t *testing.T, named string) {
		for address, want := range map[string]string{"": "server:8000", "10.0.0.1:8000": "10.0.0.1:8000"} {
			endpoint, err := h.endpointOf(address, []byte(named))
			if err != nil {
				continue
			}
			// As it is written, not only as it was put together.
			again, err := url.Parse(endpoint.String())
			if err != nil || again.Scheme != "http" || again.Host != want || again.User != nil || !strings.HasPrefix(again.Path, "/") {
				t.Errorf("%q became %q (%v)", named, endpoint, err)
			}
			if line := endpoint.RequestURI(); strings.ContainsFunc(line, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
				t.Errorf("%q breaks the request line: %q", named, line)
			}
		}
	})
}

// streamPods is a transport to servers at addresses of their own, which stream.
// An address without a server refuses connections.
type streamPods struct {
	mu    sync.Mutex
	pods  map[string]http.Handler
	front map[string]string
}

func inStreamPods(t *testing.T, o *Options, pods *streamPods) {
	t.Helper()
	pods.front = map[string]string{}
	var found []netip.Addr
	for address, pod := range pods.pods {
		server := httptest.NewServer(pod)
		t.Cleanup(func() {
			server.CloseClientConnections()
			server.Close()
		})
		pods.front[address] = server.Listener.Addr().String()
		found = append(found, netip.MustParseAddrPort(address).Addr())
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		pods.mu.Lock()
		to := pods.front[address]
		pods.mu.Unlock()
		if to == "" {
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}
		}
		return (&net.Dialer{}).DialContext(ctx, network, to)
	}
	transport.DisableKeepAlives = true
	o.Transport = transport
	o.Upstream = &url.URL{Scheme: "http", Host: "pods.example", Path: "/mcp"}
	o.LookupNetIP = func(context.Context, string, string) ([]netip.Addr, error) { return found, nil }
}

// remove makes an address refuse connections; those that are open stay.
func (p *streamPods) remove(address string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.front, address)
}
