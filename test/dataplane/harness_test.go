package dataplane

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/proxy"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

func TestMain(m *testing.M) {
	// Google's client starts it when it is linked in, and nothing ends it.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("go.opencensus.io/stats/view.(*worker).start"))
}

// patience is how long a test waits for what must happen.
const patience = 20 * time.Second

// fakeSampling answers without a model. By default it declares sampling with
// tools, takes everything, and says who asked.
type fakeSampling struct {
	// fallback leaves sampling to callers that declared it.
	fallback bool
	// off declares nothing and takes nothing.
	off    bool
	answer func(ctx context.Context, s proxy.Session, params json.RawMessage) (json.RawMessage, *wire.Error)

	mu       sync.Mutex
	sessions []proxy.Session
	params   []json.RawMessage
}

func (f *fakeSampling) Declare(caller wire.SamplingCapability) wire.SamplingCapability {
	if f.off || f.fallback && caller.Declared {
		return caller
	}
	return wire.SamplingCapability{Declared: true, Tools: true}
}

func (f *fakeSampling) Takes(s proxy.Session, _ json.RawMessage) bool {
	return !f.off && (!f.fallback || !s.Caller.Declared)
}

func (f *fakeSampling) Answer(ctx context.Context, s proxy.Session, params json.RawMessage) (json.RawMessage, *wire.Error, func()) {
	f.mu.Lock()
	f.sessions = append(f.sessions, s)
	f.params = append(f.params, params)
	f.mu.Unlock()
	if f.answer != nil {
		result, failure := f.answer(ctx, s, params)
		return result, failure, nil
	}
	return result("sampled: " + promptOf(params)), nil, nil
}

// asked returns how often Answer was called.
func (f *fakeSampling) asked() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.sessions)
}

func (f *fakeSampling) lastSession() proxy.Session {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.sessions[len(f.sessions)-1]
}

func result(text string) json.RawMessage {
	body, err := json.Marshal(map[string]any{
		"role": "assistant", "model": "fake", "stopReason": "endTurn",
		"content": map[string]any{"type": "text", "text": text},
	})
	if err != nil {
		panic(err)
	}
	return body
}

func promptOf(params json.RawMessage) string {
	var p struct {
		Messages []struct {
			Content json.RawMessage `json:"content"`
		} `json:"messages"`
	}
	var content struct {
		Text string `json:"text"`
	}
	if err := json.Unmarshal(params, &p); err != nil || len(p.Messages) == 0 {
		return ""
	}
	_ = json.Unmarshal(p.Messages[0].Content, &content)
	return content.Text
}

// front puts a proxy before the server at upstream, and returns the URL for
// callers.
func front(t testing.TB, upstream string, sampling proxy.Sampling, modify ...func(*proxy.Options)) (string, *proxy.Handler) {
	t.Helper()
	target, err := url.Parse(upstream)
	if err != nil {
		t.Fatal(err)
	}
	options := proxy.Options{Upstream: target, Sampling: sampling}
	if tt, ok := t.(*testing.T); ok {
		options.Logger = slog.New(slog.NewTextHandler(testWriter{tt}, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	for _, m := range modify {
		m(&options)
	}
	handler, err := proxy.New(options)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(handler)
	t.Cleanup(func() {
		server.CloseClientConnections()
		handler.Close()
		server.Close()
	})
	return server.URL + target.Path, handler
}

// serve runs a server and returns the URL of its endpoint /mcp.
func serve(t testing.TB, handler http.Handler) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return server.URL + "/mcp"
}

// httpClient returns a client whose connections end with the test.
func httpClient(t testing.TB) *http.Client {
	t.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// eventually waits until done reports true.
func eventually(t testing.TB, what string, done func() bool) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-deadline.C:
			t.Fatalf("timed out: %s", what)
		case <-tick.C:
		}
	}
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

type rawJSON = json.RawMessage
