package resident_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	gosdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/proxy"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/resident"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/statusz"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

// stateless answers initialize with an error, and leaves the rest to next.
func stateless(next http.Handler, status int, failure string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		m, err := wire.ParseMessage(body)
		if err == nil && m.Method == wire.MethodInitialize {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			_, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":`+string(m.ID)+`,"error":`+failure+`}`)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		next.ServeHTTP(w, r)
	})
}

// sseServer is a server of the HTTP+SSE transport with one tool.
func sseServer() http.Handler {
	s := gosdk.NewServer(&gosdk.Implementation{Name: "old", Version: "1.2.3"}, nil)
	s.AddTool(&gosdk.Tool{Name: "a", InputSchema: map[string]any{"type": "object"}}, nil)
	return gosdk.NewSSEHandler(func(*http.Request) *gosdk.Server { return s }, nil)
}

// sampler puts a proxy before a server, and returns the URL for callers.
func sampler(t *testing.T, server http.Handler) (endpoint string, breakOff func()) {
	t.Helper()
	upstream := httptest.NewServer(server)
	target, err := url.Parse(upstream.URL + "/mcp")
	if err != nil {
		t.Fatal(err)
	}
	h, err := proxy.New(proxy.Options{Upstream: target, Sampling: noSampling{}, SSE: true, EndpointTimeout: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	front := httptest.NewServer(h)
	t.Cleanup(func() {
		h.Close()
		front.CloseClientConnections()
		front.Close()
		upstream.CloseClientConnections()
		upstream.Close()
	})
	return front.URL + "/mcp", upstream.CloseClientConnections
}

func overSSE(o *resident.Options) { o.Transport = resident.SSE }

func TestRunFindsOverSSE(t *testing.T) {
	one := int32(1)
	for name, tc := range map[string]struct {
		handler http.Handler
		want    statusz.Server
	}{
		"an MCP server": {sseServer(), statusz.Server{
			State: statusz.ServerVerified, Name: "old", Version: "1.2.3", ProtocolVersion: "2025-11-25", Era: statusz.EraLegacy, Tools: &one,
		}},
		"a server that wants credentials": {status(http.StatusUnauthorized), statusz.Server{
			State: statusz.ServerUnauthorized, Detail: "the server answers HTTP 401 to callers without credentials",
		}},
		"a server of the newer transport": {mcpServer("new", 1), statusz.Server{
			State: statusz.ServerNotMCP, Detail: "what it sends is no stream of the HTTP+SSE transport",
		}},
		"a stream without an endpoint": {http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, "data: {}\n\n")
		}), statusz.Server{
			State: statusz.ServerNotMCP, Detail: "what it sends is no stream of the HTTP+SSE transport",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			endpoint, _ := sampler(t, tc.handler)
			got := next(t, run(t, endpoint, overSSE))
			if diff := cmp.Diff(tc.want, got, cmpopts.IgnoreFields(statusz.Server{}, "At")); diff != "" {
				t.Errorf("finding (-want +got):\n%s", diff)
			}
		})
	}
}

func TestHoldOverSSEStartsAgainWhenTheStreamBreaksOff(t *testing.T) {
	endpoint, breakOff := sampler(t, sseServer())
	found := run(t, endpoint, func(o *resident.Options) {
		overSSE(o)
		o.Hold, o.Interval = true, time.Hour // so that only the break makes it look again
	})
	if s := next(t, found); s.State != statusz.ServerVerified {
		t.Fatalf("state %q: %s", s.State, s.Detail)
	}
	breakOff()
	if s := until(t, found, statusz.ServerVerified); s.Name != "old" {
		t.Errorf("found %q", s.Name)
	}
}
