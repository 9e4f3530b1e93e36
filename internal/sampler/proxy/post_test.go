package proxy

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

// defaultAnswers is the default of Settings.MaxAnswersPerSession.
const defaultAnswers = 64

func TestWhatIsAnsweredWithoutTheServer(t *testing.T) {
	server := &fakeServer{}
	endpoint, h := newFront(t, server, func(o *Options) { o.Settings.MaxBodyBytes = 100 })
	base := strings.TrimSuffix(endpoint, "/mcp")
	for name, tc := range map[string]struct {
		method, target, body string
		header               []string
		wantStatus           int
		wantBody             string
	}{
		"another path":              {http.MethodPost, base + "/other", callBody, nil, 404, "404 page not found\n"},
		"the endpoint with a slash": {http.MethodPost, endpoint + "/", callBody, nil, 404, "404 page not found\n"},
		"a way out of well-known":   {http.MethodGet, base + "/.well-known/../mcp", "", nil, 404, "404 page not found\n"},
		"a body that is too large": {
			http.MethodPost, endpoint, strings.Repeat("x", 101), nil,
			413, `{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"the request body is larger than 100 bytes"}}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := ask(t, tc.method, tc.target, tc.body, tc.header...)
			if got.status != tc.wantStatus || got.body != tc.wantBody {
				t.Errorf("status %d and %q, want %d and %q", got.status, got.body, tc.wantStatus, tc.wantBody)
			}
		})
	}
	if len(server.bodies) > 0 {
		t.Errorf("the server got %q, want nothing", server.bodies)
	}
	if h.Sessions() != 0 {
		t.Errorf("%d sessions, want none", h.Sessions())
	}
}

func TestWhatIsNotMCPPasses(t *testing.T) {
	endpoint, _ := newFront(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s %q", r.Method, r.URL, r.Header.Get("X-Forwarded-For"))
	}))
	base := strings.TrimSuffix(endpoint, "/mcp")
	for name, tc := range map[string]struct{ method, target, want string }{
		"OAuth metadata":     {http.MethodGet, base + "/.well-known/oauth-protected-resource/mcp?a=b", `GET /.well-known/oauth-protected-resource/mcp?a=b ""`},
		"the browser's CORS": {http.MethodOptions, endpoint, `OPTIONS /mcp ""`},
	} {
		t.Run(name, func(t *testing.T) {
			if got := ask(t, tc.method, tc.target, "", "X-Forwarded-For", "1.2.3.4"); got.body != tc.want {
				t.Errorf("the server got %s, want %s", got.body, tc.want)
			}
		})
	}
}

func TestMessagesPassByteForByte(t *testing.T) {
	endpoint, _ := newFront(t, &fakeServer{call: func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Odd", "1")
		w.Header().Set("Keep-Alive", "no")
		w.WriteHeader(http.StatusTeapot)
		_, _ = io.WriteString(w, "  odd { \x00 answer ")
	}})
	got := ask(t, http.MethodPost, endpoint, callBody)
	want := reply{status: http.StatusTeapot, body: "  odd { \x00 answer "}
	if got.status != want.status || got.body != want.body || got.header.Get("X-Odd") != "1" || got.header.Get("Keep-Alive") != "" {
		t.Errorf("got %+v, want the server's answer", got)
	}
}

func TestServerThatIsNotThere(t *testing.T) {
	for name, tc := range map[string]struct {
		server     http.HandlerFunc
		gone       bool
		body       string
		wantStatus int
		wantBody   string
	}{
		"nobody listens": {
			gone: true, body: callBody, wantStatus: 502,
			wantBody: `{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"the MCP server the-server cannot be reached: check that it is running"}}`,
		},
		"nobody listens to initialize": {
			gone: true, body: initializeBody, wantStatus: 502,
			wantBody: `{"jsonrpc":"2.0","id":0,"error":{"code":-32000,"message":"the MCP server the-server cannot be reached: check that it is running"}}`,
		},
		"it hangs up": {
			server: func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
			body:   callBody, wantStatus: 502,
			wantBody: `{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"the MCP server the-server closed the connection without an answer"}}`,
		},
		"it is at another path": {
			server: func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Location", "/mcp/")
				w.WriteHeader(http.StatusTemporaryRedirect)
			},
			body: callBody, wantStatus: 502,
			wantBody: `{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"the MCP server the-server is not at this path: it redirects to \"/mcp/\", so configure that path"}}`,
		},
		"it is at another address, which is nothing for callers": {
			server: func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, "http://10.0.0.1:8000/mcp/", http.StatusTemporaryRedirect)
			},
			body: callBody, wantStatus: 502,
			wantBody: `{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"the MCP server the-server is not at the configured address: it redirects to another one, which the sampler's log shows"}}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			endpoint, _ := newFront(t, tc.server, func(o *Options) {
				if tc.gone {
					o.Transport = &fakePods{}
				}
			})
			got := ask(t, http.MethodPost, endpoint, tc.body)
			if got.status != tc.wantStatus || got.body != tc.wantBody {
				t.Errorf("status %d and %s, want %d and %s", got.status, got.body, tc.wantStatus, tc.wantBody)
			}
		})
	}
}

func TestStreamsThatAreOdd(t *testing.T) {
	for name, tc := range map[string]struct {
		call       http.HandlerFunc
		wantBody   string
		wantBroken bool
	}{
		"compressed though that was not asked for": {
			call: func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
				w.Header().Set("Content-Encoding", "gzip")
				z := gzip.NewWriter(w)
				_, _ = io.WriteString(z, sampleEvent+"data: "+callResponse+"\n\n")
				_ = z.Close()
			},
			wantBody: "data: " + callResponse + "\n\n",
		},
		"encoded in a way that cannot be read": {
			call: func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "text/event-stream")
				w.Header().Set("Content-Encoding", "zstd")
				_, _ = io.WriteString(w, "(compressed)")
			},
			wantBody: "(compressed)",
		},
		"an event that is too large": {
			call:     events("data: " + strings.Repeat("x", 10_000) + "\n\n"),
			wantBody: "event: message\ndata: " + `{"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"the MCP server sent a message larger than 1000 bytes"}}` + "\n\n",
		},
		"broken off": {
			call: func(w http.ResponseWriter, r *http.Request) {
				events("data: {}\n\ndata: half")(w, r)
				_ = http.NewResponseController(w).Flush()
				panic(http.ErrAbortHandler)
			},
			wantBody: "data: {}\n\n", wantBroken: true,
		},
		"a body broken off": {
			call: func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				_, _ = io.WriteString(w, `{"half":`)
				_ = http.NewResponseController(w).Flush()
				panic(http.ErrAbortHandler)
			},
			wantBody: `{"half":`, wantBroken: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			endpoint, _ := newFront(t, &fakeServer{call: tc.call}, func(o *Options) { o.Settings.MaxEventBytes = 1000 })
			got := ask(t, http.MethodPost, endpoint, callBody, wire.HeaderSession, begin(t, endpoint))
			if diff := cmp.Diff(tc.wantBody, got.body); diff != "" {
				t.Errorf("body (-want +got):\n%s", diff)
			}
			if (got.err != nil) != tc.wantBroken {
				t.Errorf("reading ended with %v, want broken: %t", got.err, tc.wantBroken)
			}
		})
	}
}

// streamUntil begins a stream with a sampling request and ends it with the
// response once the channel is closed.
func streamUntil(done <-chan struct{}) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		events(sampleEvent)(w, r)
		_ = http.NewResponseController(w).Flush()
		select {
		case <-done:
			_, _ = io.WriteString(w, "data: "+callResponse+"\n\n")
		case <-r.Context().Done():
		}
	}
}

func TestModelCallEnds(t *testing.T) {
	for name, end := range map[string]func(t *testing.T, endpoint, session string, leave func(), finish func()){
		"when the caller's connection ends": func(_ *testing.T, _, _ string, leave, _ func()) { leave() },
		"when the caller cancels its call": func(t *testing.T, endpoint, session string, _, _ func()) {
			ask(t, http.MethodPost, endpoint, `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}`, wire.HeaderSession, session)
		},
		"when the call has its response": func(_ *testing.T, _, _ string, _, finish func()) { finish() },
		"when the session is deleted": func(t *testing.T, endpoint, session string, _, _ func()) {
			ask(t, http.MethodDelete, endpoint, "", wire.HeaderSession, session)
		},
	} {
		t.Run(name, func(t *testing.T) {
			asked, ended, done := make(chan struct{}, 1), make(chan struct{}, 1), make(chan struct{})
			endpoint, _ := newFront(t, &fakeServer{call: streamUntil(done)},
				withSampling(&fakeSampling{answer: untilCancelled(asked, ended)}))
			session := begin(t, endpoint)
			ctx, leave := context.WithCancel(t.Context())
			defer leave()
			resp := open(ctx, t, http.MethodPost, endpoint, callBody, wire.HeaderSession, session)
			defer resp.Body.Close()
			await(t, "the model call begins", asked)
			end(t, endpoint, session, leave, func() { close(done) })
			await(t, "the model call ends", ended)
		})
	}
}

func TestModelCallOfABatchEndsWithTheCallersConnection(t *testing.T) {
	asked, ended := make(chan struct{}, 1), make(chan struct{}, 1)
	server := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if strings.HasPrefix(string(body), "[") {
			streamUntil(nil)(w, r)
			return
		}
		r.Body = io.NopCloser(strings.NewReader(string(body)))
		(&fakeServer{}).ServeHTTP(w, r)
	})
	endpoint, _ := newFront(t, server, withSampling(&fakeSampling{answer: untilCancelled(asked, ended)}))
	session := begin(t, endpoint)
	ctx, leave := context.WithCancel(t.Context())
	resp := open(ctx, t, http.MethodPost, endpoint, "["+callBody+"]", wire.HeaderSession, session)
	defer resp.Body.Close()
	await(t, "the model call begins", asked)
	leave()
	await(t, "the model call ends", ended)
}

func TestCallerThatDoesNotRead(t *testing.T) {
	left := make(chan struct{})
	server := &fakeServer{call: func(w http.ResponseWriter, r *http.Request) {
		defer close(left)
		piece := "data: " + strings.Repeat("x", 64<<10) + "\n\n"
		w.Header().Set("Content-Type", "text/event-stream")
		for r.Context().Err() == nil { // for ever, if it were read
			if _, err := io.WriteString(w, piece); err != nil {
				return
			}
		}
	}}
	endpoint, _ := newFront(t, server, func(o *Options) { o.WriteTimeout = 50 * time.Millisecond })
	resp := open(t.Context(), t, http.MethodPost, endpoint, callBody, wire.HeaderSession, begin(t, endpoint))
	defer resp.Body.Close()
	await(t, "the server is left alone", left)
}

func TestAnswers(t *testing.T) {
	for name, tc := range map[string]struct {
		answer func(context.Context) (json.RawMessage, *wire.Error)
		want   string
	}{
		"a result": {
			answer: func(context.Context) (json.RawMessage, *wire.Error) { return json.RawMessage(`{"x":1}`), nil },
			want:   `{"jsonrpc":"2.0","id":9,"result":{"x":1}}`,
		},
		"an error": {
			answer: func(context.Context) (json.RawMessage, *wire.Error) {
				return nil, &wire.Error{Code: wire.CodeRejected, Message: "no"}
			},
			want: `{"jsonrpc":"2.0","id":9,"error":{"code":-1,"message":"no"}}`,
		},
		"a panic": {
			answer: func(context.Context) (json.RawMessage, *wire.Error) { panic("secret") },
			want:   `{"jsonrpc":"2.0","id":9,"error":{"code":-32603,"message":"the sampler failed to answer"}}`,
		},
		"neither result nor error": {
			answer: func(context.Context) (json.RawMessage, *wire.Error) { return nil, nil },
			want:   `{"jsonrpc":"2.0","id":9,"error":{"code":-32603,"message":"the sampler failed to answer"}}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			done := make(chan struct{})
			server := &fakeServer{call: streamUntil(done), answers: make(chan string, 1)}
			endpoint, _ := newFront(t, server, withSampling(&fakeSampling{answer: tc.answer}))
			session := begin(t, endpoint)
			resp := open(t.Context(), t, http.MethodPost, endpoint, callBody, wire.HeaderSession, session)
			defer resp.Body.Close()
			if got := await(t, "the answer", server.answers); got != tc.want {
				t.Errorf("answer %s, want %s", got, tc.want)
			}
			close(done)
		})
	}
}

func TestAnswerIsTriedAgainWhereTheConnectionBreaks(t *testing.T) {
	server := &fakeServer{answers: make(chan string, 1)}
	pods := &fakePods{pods: map[string]http.Handler{}}
	_, h := newFront(t, server, func(o *Options) {
		o.Transport = pods
		pods.set(o.Upstream.Host, server)
	})
	pods.failures = 1
	s := h.newSession("s", "", wire.SamplingCapability{}, wire.SamplingCapability{})
	defer s.end()
	h.deliver(t.Context(), s, http.Header{}, slog.LevelWarn, json.RawMessage(`9`), json.RawMessage(`{}`), nil)
	if got, want := await(t, "the answer", server.answers), `{"jsonrpc":"2.0","id":9,"result":{}}`; got != want {
		t.Errorf("answer %s, want %s", got, want)
	}
}

func TestMoreSamplingThanOneSessionMay(t *testing.T) {
	asked, ended := make(chan struct{}, defaultAnswers), make(chan struct{}, defaultAnswers)
	var stream strings.Builder
	for i := range defaultAnswers + 1 {
		fmt.Fprintf(&stream, "data: {\"jsonrpc\":\"2.0\",\"id\":%d,\"method\":\"sampling/createMessage\",\"params\":{}}\n\n", i)
	}
	server := &fakeServer{answers: make(chan string, 2*defaultAnswers)}
	server.call = func(w http.ResponseWriter, r *http.Request) {
		events(stream.String())(w, r)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}
	endpoint, _ := newFront(t, server, withSampling(&fakeSampling{answer: untilCancelled(asked, ended)}))
	session := begin(t, endpoint)
	ctx, leave := context.WithCancel(t.Context())
	resp := open(ctx, t, http.MethodPost, endpoint, callBody, wire.HeaderSession, session)
	defer resp.Body.Close()
	want := `{"jsonrpc":"2.0","id":64,"error":{"code":-32603,"message":"more than 64 sampling requests of this session are being answered"}}`
	if got := await(t, "the refusal", server.answers); got != want {
		t.Errorf("answer %s, want %s", got, want)
	}
	leave()
	for range defaultAnswers {
		await(t, "a model call ends", ended)
	}
}
