package resident_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
	"go.uber.org/goleak"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/proxy"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/resident"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/statusz"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func mcpServer(name string, tools int) http.Handler {
	s := server.NewMCPServer(name, "1.2.3")
	for i := range tools {
		s.AddTool(mcp.NewTool(string(rune('a'+i))), func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			return mcp.NewToolResultText("ok"), nil
		})
	}
	return server.NewStreamableHTTPServer(s)
}

// run looks at url until stop is called and hands out the findings.
func run(t *testing.T, url string, change func(*resident.Options)) <-chan statusz.Server {
	t.Helper()
	found := make(chan statusz.Server, 64)
	o := resident.Options{
		URL: url, NoRoom: proxy.NoRoom, Unreachable: map[string]string{proxy.NoPods: "the server has no running pods", proxy.BadCertificate: "its certificate is not trusted"}, NoEndpoint: proxy.NoEndpoint, Version: "test", Interval: 10 * time.Millisecond, RetryMin: 5 * time.Millisecond, RetryMax: 20 * time.Millisecond,
		Log: slog.New(slog.DiscardHandler),
		Report: func(s statusz.Server) {
			select {
			case found <- s:
			default:
			}
		},
	}
	if change != nil {
		change(&o)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); resident.Run(ctx, o) }()
	t.Cleanup(func() { cancel(); <-done })
	return found
}

func next(t *testing.T, found <-chan statusz.Server) statusz.Server {
	t.Helper()
	select {
	case s := <-found:
		return s
	case <-time.After(20 * time.Second):
		t.Fatal("nothing was found")
		return statusz.Server{}
	}
}

func until(t *testing.T, found <-chan statusz.Server, state statusz.ServerState) statusz.Server {
	t.Helper()
	for {
		if s := next(t, found); s.State == state {
			return s
		}
	}
}

func listen(t *testing.T, h http.Handler) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	return s.URL + "/mcp"
}

func status(code int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "secret words of the server", code)
	})
}

// fullSampler is a proxy whose only session is in use.
func fullSampler(t *testing.T) http.Handler {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.Method {
		case http.MethodGet: // the stream that keeps the session in use
			w.Header().Set("Content-Type", "text/event-stream")
			w.WriteHeader(http.StatusOK)
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		case http.MethodPost:
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Mcp-Session-Id", "only")
			_, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":1,"result":{"protocolVersion":"2025-06-18","capabilities":{}}}`)
		}
	}))
	upstream, err := url.Parse(s.URL + "/mcp")
	if err != nil {
		t.Fatal(err)
	}
	h, err := proxy.New(proxy.Options{Upstream: upstream, Sampling: noSampling{}, Settings: proxy.Settings{MaxSessions: 1}})
	if err != nil {
		t.Fatal(err)
	}
	front := httptest.NewServer(h)
	t.Cleanup(func() {
		h.Close()
		front.CloseClientConnections()
		front.Close()
		s.CloseClientConnections()
		s.Close()
	})
	session := ""
	send := func(method, body string) {
		r, err := http.NewRequestWithContext(t.Context(), method, front.URL+"/mcp", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Accept", "application/json, text/event-stream")
		if method == http.MethodGet {
			r.Header.Set("Mcp-Session-Id", session)
		}
		res, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = res.Body.Close() })
		if res.StatusCode != http.StatusOK {
			t.Fatalf("%s: status %d", method, res.StatusCode)
		}
		session = res.Header.Get("Mcp-Session-Id")
	}
	send(http.MethodPost, `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{}}}`)
	send(http.MethodGet, "")
	return h
}

// noSampling leaves sampling to callers.
type noSampling struct{}

func (noSampling) Declare(caller wire.SamplingCapability) wire.SamplingCapability { return caller }

func (noSampling) Takes(proxy.Session, json.RawMessage) bool { return false }

func (noSampling) Answer(context.Context, proxy.Session, json.RawMessage) (json.RawMessage, *wire.Error, func()) {
	return nil, &wire.Error{Code: wire.CodeInternal, Message: "not asked"}, nil
}

func TestRunFinds(t *testing.T) {
	three := int32(3)
	for name, tc := range map[string]struct {
		handler http.Handler
		want    statusz.Server
	}{
		"an MCP server with tools": {mcpServer("weather\x1b[31m", 3), statusz.Server{
			State: statusz.ServerVerified, Name: "weather[31m", Version: "1.2.3", ProtocolVersion: "2025-11-25", Era: statusz.EraLegacy, Tools: &three,
		}},
		"an MCP server without tools": {mcpServer("empty", 0), statusz.Server{
			State: statusz.ServerVerified, Name: "empty", Version: "1.2.3", ProtocolVersion: "2025-11-25", Era: statusz.EraLegacy,
		}},
		"a server that wants credentials": {status(http.StatusUnauthorized), statusz.Server{
			State: statusz.ServerUnauthorized, Detail: "the server answers HTTP 401 to callers without credentials",
		}},
		"another path": {status(http.StatusNotFound), statusz.Server{
			State: statusz.ServerNotMCP, Detail: "the endpoint answers HTTP 404 to the MCP handshake",
		}},
		"the proxy's word that the server is not there": {status(http.StatusBadGateway), statusz.Server{
			State: statusz.ServerUnreachable, Detail: "no connection to the server",
		}},
		"a server that is not there, by its own word": {status(http.StatusServiceUnavailable), statusz.Server{
			State: statusz.ServerUnreachable, Detail: "no connection to the server",
		}},
		"a sampler that holds as many sessions as it may": {fullSampler(t), statusz.Server{
			State: statusz.ServerUnknown, Detail: "the sampler has no room for another session",
		}},
		"a server without pods": {http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Proxy-Status", proxy.NoPods)
			w.WriteHeader(http.StatusServiceUnavailable)
		}), statusz.Server{
			State: statusz.ServerUnreachable, Detail: "the server has no running pods",
		}},
		"a server whose certificate is not trusted": {http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Proxy-Status", proxy.BadCertificate)
			w.WriteHeader(http.StatusBadGateway)
		}), statusz.Server{
			State: statusz.ServerUnreachable, Detail: "its certificate is not trusted",
		}},
		"a server that refuses the era of sessions": {stateless(mcpServer("new", 3), http.StatusBadRequest, `{"code":-32022,"message":"no","data":{"supported":["2026-07-28"]}}`), statusz.Server{
			State: statusz.ServerVerified, Name: "new", Version: "1.2.3", ProtocolVersion: "2026-07-28", Era: statusz.EraModern, Tools: &three,
		}},
		"a server that knows no initialize": {stateless(mcpServer("new", 0), http.StatusOK, `{"code":-32601,"message":"no such method"}`), statusz.Server{
			State: statusz.ServerVerified, Name: "new", Version: "1.2.3", ProtocolVersion: "2026-07-28", Era: statusz.EraModern,
		}},
		"something that is no MCP server": {status(http.StatusOK), statusz.Server{
			State: statusz.ServerNotMCP, Detail: "the answer to the MCP handshake or to tools/list is none",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			got := next(t, run(t, listen(t, tc.handler), nil))
			if got.At.IsZero() {
				t.Error("the finding has no time")
			}
			if diff := cmp.Diff(tc.want, got, cmpopts.IgnoreFields(statusz.Server{}, "At")); diff != "" {
				t.Errorf("finding (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAServerThatComesLateIsFound(t *testing.T) {
	var up atomic.Bool
	late := mcpServer("late", 1)
	found := run(t, listen(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !up.Load() {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		late.ServeHTTP(w, r)
	})), nil)
	if s := next(t, found); s.State != statusz.ServerUnreachable {
		t.Errorf("state %q before the server is up", s.State)
	}
	up.Store(true)
	if s := until(t, found, statusz.ServerVerified); s.Name != "late" {
		t.Errorf("found %q", s.Name)
	}
}

// methods counts what a server is asked.
type methods struct {
	http.Handler
	initialized, deleted atomic.Int64
}

func (m *methods) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodDelete {
		m.deleted.Add(1)
	} else if r.Header.Get("Mcp-Session-Id") == "" {
		m.initialized.Add(1)
	}
	m.Handler.ServeHTTP(w, r)
}

func TestProbeClosesItsSessionAndHoldKeepsIt(t *testing.T) {
	for name, tc := range map[string]struct {
		hold bool
		want func(initialized, deleted int64) bool
	}{
		"probe": {false, func(i, d int64) bool { return i >= 3 && d >= 2 }},
		"hold":  {true, func(i, d int64) bool { return i == 1 && d == 0 }},
	} {
		t.Run(name, func(t *testing.T) {
			m := &methods{Handler: mcpServer("s", 1)}
			found := run(t, listen(t, m), func(o *resident.Options) { o.Hold = tc.hold })
			for range 4 {
				if s := next(t, found); s.State != statusz.ServerVerified {
					t.Fatalf("state %q: %s", s.State, s.Detail)
				}
			}
			if i, d := m.initialized.Load(), m.deleted.Load(); !tc.want(i, d) {
				t.Errorf("%d handshakes, %d sessions closed", i, d)
			}
		})
	}
}

func TestHoldStartsAgainWhenTheSessionIsGone(t *testing.T) {
	var restarted atomic.Bool
	first, second := mcpServer("first", 1), mcpServer("second", 2)
	var ofSecond sync.Map
	found := run(t, listen(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := r.Header.Get("Mcp-Session-Id")
		if !restarted.Load() {
			first.ServeHTTP(w, r)
			return
		}
		if _, known := ofSecond.Load(id); id != "" && !known {
			w.WriteHeader(http.StatusNotFound) // as the specification asks of a server that lost its sessions
			return
		}
		second.ServeHTTP(w, r)
		ofSecond.Store(w.Header().Get("Mcp-Session-Id"), true)
	})), func(o *resident.Options) { o.Hold = true })
	if s := next(t, found); s.Name != "first" {
		t.Fatalf("found %q", s.Name)
	}
	restarted.Store(true)
	deadline := time.Now().Add(20 * time.Second)
	for time.Now().Before(deadline) {
		if s := next(t, found); s.Name == "second" && *s.Tools == 2 {
			return
		}
	}
	t.Fatal("the restarted server was not found")
}

func TestAHugeAnswerIsNotHeld(t *testing.T) {
	found := run(t, listen(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		chunk := []byte(strings.Repeat("x", 1<<20))
		for range 64 {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	})), nil)
	if s := next(t, found); s.State != statusz.ServerNotMCP {
		t.Errorf("state %q", s.State)
	}
}
