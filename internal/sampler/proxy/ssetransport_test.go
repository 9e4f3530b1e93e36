package proxy

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"go.opentelemetry.io/otel/trace"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

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
			view := h.sessions.all()[0].view()
			if view.ProtocolVersion != "2024-11-05" {
				t.Errorf("version %q", view.ProtocolVersion)
			}
			if caller.auditName == "" || caller.auditName != view.ID {
				t.Errorf("the caller is told that audit records know the session by %q, want %q", caller.auditName, view.ID)
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
		if _, err := h.beginSSECall(s, wire.Message{ID: json.RawMessage("1"), Method: "tools/call"}, nil, trace.SpanContext{}); err != nil {
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
