package proxy

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/seal"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 20 * time.Second

const (
	initializeBody = `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{}}}`
	callBody       = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x"}}`
	sampleEvent    = `data: {"jsonrpc":"2.0","id":9,"method":"sampling/createMessage","params":{"messages":[]}}` + "\n\n"
	callResponse   = `{"jsonrpc":"2.0","id":1,"result":{}}`
)

// fakeSampling declares sampling and answers everything with answer.
type fakeSampling struct {
	off    bool
	answer func(context.Context) (json.RawMessage, *wire.Error)
	// seen, where set, is told what is known of each request.
	seen func(Session)
	// done is what is to be run once the answer is on its way; may be nil.
	done func()
}

func (f *fakeSampling) Declare(caller wire.SamplingCapability) wire.SamplingCapability {
	if f.off {
		return caller
	}
	return wire.SamplingCapability{Declared: true}
}

func (f *fakeSampling) Takes(Session, json.RawMessage) bool { return !f.off }

func (f *fakeSampling) Answer(ctx context.Context, s Session, _ json.RawMessage) (json.RawMessage, *wire.Error, func()) {
	if f.seen != nil {
		f.seen(s)
	}
	if f.answer == nil {
		return json.RawMessage(`{}`), nil, f.done
	}
	result, failure := f.answer(ctx)
	return result, failure, f.done
}

// untilCancelled answers when the context ends, and says so.
func untilCancelled(asked, ended chan<- struct{}) func(context.Context) (json.RawMessage, *wire.Error) {
	return func(ctx context.Context) (json.RawMessage, *wire.Error) {
		asked <- struct{}{}
		<-ctx.Done()
		ended <- struct{}{}
		return nil, &wire.Error{Code: wire.CodeInternal, Message: "cancelled"}
	}
}

// fakeServer answers initialize, accepts what needs no answer, has no GET
// stream, and leaves calls to call.
type fakeServer struct {
	call http.HandlerFunc
	get  http.HandlerFunc
	// known, where set, tells the session ids that are good.
	known func(id string) bool

	mu      sync.Mutex
	bodies  []string
	answers chan string
}

func (s *fakeServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	s.mu.Lock()
	s.bodies = append(s.bodies, string(body))
	s.mu.Unlock()
	m, _ := wire.ParseMessage(body)
	if m.Method != wire.MethodInitialize && s.known != nil && !s.known(r.Header.Get(wire.HeaderSession)) {
		http.Error(w, "no such session", http.StatusNotFound)
		return
	}
	switch {
	case r.Method == http.MethodGet && s.get != nil:
		s.get(w, r)
	case r.Method == http.MethodGet:
		w.WriteHeader(http.StatusMethodNotAllowed)
	case m.Method == wire.MethodInitialize:
		w.Header().Set(wire.HeaderSession, "s-"+strings.Trim(string(m.ID), `"`))
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":`+string(m.ID)+`,"result":{"protocolVersion":"2025-06-18"}}`)
	case m.IsResponse():
		w.WriteHeader(http.StatusAccepted)
		if s.answers != nil {
			s.answers <- string(body)
		}
	case m.IsRequest() && s.call != nil:
		s.call(w, r)
	case m.IsRequest():
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, callResponse)
	default:
		w.WriteHeader(http.StatusAccepted)
	}
}

// got returns how often the server got this body.
func (s *fakeServer) got(body string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, b := range s.bodies {
		if b == body {
			n++
		}
	}
	return n
}

// events returns a handler that sends these bytes as an event stream.
func events(stream string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, stream)
	}
}

// newFront puts a proxy before server. The URL is that of its endpoint.
func newFront(t *testing.T, server http.Handler, modify ...func(*Options)) (endpoint string, h *Handler) {
	t.Helper()
	upstream := httptest.NewServer(server)
	t.Cleanup(func() {
		upstream.CloseClientConnections()
		upstream.Close()
	})
	target, err := url.Parse(upstream.URL + "/mcp")
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Upstream: target, Sampling: &fakeSampling{}, ServerName: "the-server"}
	for _, m := range modify {
		m(&o)
	}
	h, err = New(o)
	if err != nil {
		t.Fatal(err)
	}
	front := httptest.NewServer(h)
	t.Cleanup(func() {
		front.CloseClientConnections()
		h.Close()
		front.Close()
		if n := h.bodyBytes.held.Load(); n != 0 {
			t.Errorf("%d bytes of bodies are still held", n)
		}
	})
	return front.URL + "/mcp", h
}

func withSampling(s Sampling) func(*Options) { return func(o *Options) { o.Sampling = s } }

type reply struct {
	status int
	header http.Header
	body   string
	// err is how reading the body ended.
	err error
}

// ask makes one request; header holds names and values in turn.
func ask(t *testing.T, method, target, body string, header ...string) reply {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	resp := open(ctx, t, method, target, body, header...)
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	return reply{resp.StatusCode, resp.Header, string(got), err}
}

// open makes one request, over a connection of its own.
func open(ctx context.Context, t *testing.T, method, target, body string, header ...string) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, method, target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json, text/event-stream")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	transport := &http.Transport{DisableCompression: true, DisableKeepAlives: true}
	resp, err := transport.RoundTrip(r)
	if err != nil {
		t.Fatalf("%s %s: %v", method, target, err)
	}
	return resp
}

// begin opens a session and returns its id.
func begin(t *testing.T, endpoint string) string {
	t.Helper()
	got := ask(t, http.MethodPost, endpoint, initializeBody)
	if got.status != http.StatusOK {
		t.Fatalf("initialize: status %d, %s", got.status, got.body)
	}
	return got.header.Get(wire.HeaderSession)
}

// nameOf returns the name of a session that another replica or an earlier sampler
// with the key of h has begun.
func nameOf(t *testing.T, h *Handler, session seal.Session) string {
	t.Helper()
	name, err := h.opts.Sealer.SealName(session)
	if err != nil {
		t.Fatal(err)
	}
	return name
}

func await[T any](t *testing.T, what string, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(patience):
		t.Fatalf("timed out: %s", what)
		panic("unreachable")
	}
}

func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-deadline:
			t.Fatalf("timed out: %s", what)
		case <-tick.C:
		}
	}
}

// fakePods is a transport to servers at addresses of their own. An address
// without a server refuses connections.
type fakePods struct {
	mu   sync.Mutex
	pods map[string]http.Handler
	// failures is how many requests still break off after they were sent.
	failures int
	hosts    map[string]bool
}

func (p *fakePods) RoundTrip(r *http.Request) (*http.Response, error) {
	p.mu.Lock()
	pod := p.pods[r.URL.Host]
	if p.hosts == nil {
		p.hosts = map[string]bool{}
	}
	p.hosts[r.Host] = true
	fails := p.failures > 0 && r.Method == http.MethodPost
	if fails {
		p.failures--
	}
	p.mu.Unlock()
	if pod == nil {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}
	}
	if fails {
		return nil, errors.New("connection reset by peer")
	}
	w := httptest.NewRecorder()
	if r.Body == nil {
		r.Body = http.NoBody
	}
	pod.ServeHTTP(w, r)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return w.Result(), nil
}

// names returns what the pods were called in requests.
func (p *fakePods) names() map[string]bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.hosts)
}

func (p *fakePods) set(host string, pod http.Handler) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pods[host] = pod
}
