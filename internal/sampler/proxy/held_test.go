package proxy

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"go.opentelemetry.io/otel/trace"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

// fakeSlow is a transport to a server that answers once it is released.
type fakeSlow struct {
	asked, release chan struct{}
}

func (f *fakeSlow) RoundTrip(r *http.Request) (*http.Response, error) {
	m := wire.Message{ID: []byte("1")}
	if r.Body != nil {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		if m, err = wire.ParseMessage(body); err != nil {
			return nil, err
		}
	}
	f.asked <- struct{}{}
	<-f.release
	answer := fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":{}}`, m.ID)
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}},
		Body: io.NopCloser(strings.NewReader(answer)), Request: r,
	}, nil
}

func TestTheBodiesOfAllRequestsAreBoundedTogether(t *testing.T) {
	const largest, most = 64 << 10, 300 << 10
	refused := fmt.Sprintf("the sampler holds up to %d bytes of requests at the same time, and they are in use: try again later", most)
	for name, tc := range map[string]struct {
		path, method, version string
		// wantServed is how many fit.
		wantServed int
	}{
		"calls":                      {path: "/mcp", method: "tools/call", wantServed: 5},
		"calls of the stateless era": {path: "/mcp", method: "tools/call", version: "2026-07-28", wantServed: 5},
		"those that begin a session": {path: "/mcp", method: wire.MethodInitialize, wantServed: 2},
		"what is no message":         {path: "/.well-known/x", wantServed: 5},
	} {
		t.Run(name, func(t *testing.T) {
			server := &fakeSlow{asked: make(chan struct{}), release: make(chan struct{})}
			h, err := New(Options{
				Upstream: &url.URL{Scheme: "http", Host: "127.0.0.1", Path: "/mcp"}, Sampling: &fakeSampling{}, Transport: server,
				Settings: Settings{MaxBodyBytes: largest, MaxHeldBytes: most},
			})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(h.Close)
			send := func(size int) *httptest.ResponseRecorder {
				body := fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":%q,"params":{"x":"`, tc.method)
				body += strings.Repeat("x", size-len(body)-3) + `"}}`
				r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, tc.path, strings.NewReader(body))
				if tc.version != "" {
					r.Header.Set(wire.HeaderVersion, tc.version)
				}
				w := httptest.NewRecorder()
				h.ServeHTTP(w, r)
				return w
			}
			var served sync.WaitGroup
			defer func() {
				close(server.release)
				served.Wait()
			}()
			slow := func(n, size int) {
				for range n {
					served.Go(func() {
						if w := send(size); w.Code != http.StatusOK {
							t.Errorf("a call that fits got %d: %s", w.Code, w.Body)
						}
					})
					await(t, "a call at the server", server.asked)
				}
			}
			// Twice: what was held is there again.
			for range 2 {
				slow(tc.wantServed-1, 60<<10)
				if tc.wantServed > 2 {
					slow(1, 50<<10)
				} else {
					slow(1, 60<<10)
				}
				if held := h.bodyBytes.held.Load(); held > most {
					t.Errorf("%d bytes are held, more than %d", held, most)
				}
				w := send(largest)
				if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" || w.Header().Get("Proxy-Status") != NoRoom {
					t.Errorf("one too many got %d and %v", w.Code, w.Header())
				}
				want := string(wire.AppendError(nil, nil, &wire.Error{Code: codeUnavailable, Message: refused}))
				if diff := cmp.Diff(want, w.Body.String()); diff != "" {
					t.Errorf("refusal (-want +got):\n%s", diff)
				}
				slow(1, 200) // there is still room for this
				close(server.release)
				served.Wait()
				server.release = make(chan struct{})
				if held := h.bodyBytes.held.Load(); held != 0 {
					t.Errorf("%d bytes are held by nobody", held)
				}
			}
		})
	}
}

func TestAResultThatCannotBeHeldPasses(t *testing.T) {
	large := `{"jsonrpc":"2.0","id":5,"result":{"resultType":"complete","x":"` + strings.Repeat("x", 200<<10) + `"}}`
	for name, settings := range map[string]Settings{
		"held":     {},
		"not held": {MaxBodyBytes: 10_000, MaxHeldBytes: 1},
	} {
		t.Run(name, func(t *testing.T) {
			server := &fakeRounds{answers: []string{large}}
			endpoint, _ := newFront(t, server, func(o *Options) { o.Settings = settings })
			got := askModern(t, endpoint, modernCall("5", plainMeta, ""))
			if got.status != http.StatusOK || got.body != large {
				t.Errorf("got %d and %d bytes, want the server's %d", got.status, len(got.body), len(large))
			}
		})
	}
}

func TestAMessageIsCountedBeforeItsBodyComes(t *testing.T) {
	for name, modify := range map[string]func(*Options){
		"over Streamable HTTP": func(*Options) {},
		"over HTTP+SSE":        speakSSE,
	} {
		t.Run(name, func(t *testing.T) {
			endpoint, h := newFront(t, &fakeServer{}, modify)
			half(t, endpoint, http.MethodPost, "/mcp", 100)
			eventually(t, "it is counted", func() bool {
				h.mu.Lock()
				defer h.mu.Unlock()
				return h.posts == 1
			})
		})
	}
}

func TestWhatAnSSECallLeavesIsHeldUntilItsAnswer(t *testing.T) {
	front, h := newFront(t, newFakeSSEServer(), speakSSE, func(o *Options) { o.Settings = Settings{MaxBodyBytes: 1000, MaxHeldBytes: 2000} })
	openSSE(t, front)
	s := h.sessions.all()[0]
	large := wire.Message{ID: []byte(strings.Repeat("1", 500)), Method: "tools/call"}
	header := http.Header{"X-Pad": {strings.Repeat("x", 500)}}
	c, err := h.beginSSECall(s, large, header, trace.SpanContext{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.beginSSECall(s, large, header, trace.SpanContext{}); !errors.Is(err, errNoMemory) {
		t.Errorf("a call that does not fit: %v", err)
	}
	s.sse.finish(c)
	if _, err := h.beginSSECall(s, large, header, trace.SpanContext{}); err != nil {
		t.Errorf("a call after the answer to another one: %v", err)
	}
}
