package proxy

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

// memoryServer answers in memory what a server would answer, so that a benchmark
// measures the handler and no network.
type memoryServer struct {
	// answered gets the answers to sampling requests.
	answered chan struct{}
}

const (
	benchResult  = `{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"@"}]}}`
	benchSampled = `{"jsonrpc":"2.0","id":9,"method":"sampling/createMessage","params":{"messages":[{"role":"user","content":{"type":"text","text":"@"}}],"maxTokens":100}}`
	benchRound   = `{"jsonrpc":"2.0","id":1,"result":{"resultType":"input_required","inputRequests":{"a":{"method":"sampling/createMessage","params":` +
		`{"messages":[{"role":"user","content":{"type":"text","text":"@"}}],"maxTokens":100}}},"requestState":"s"}}`
)

var benchText = strings.NewReplacer("@", strings.Repeat("x", 1000))

func (s *memoryServer) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		body, _ = io.ReadAll(r.Body)
	}
	reply := func(status int, kind string, from io.Reader) (*http.Response, error) {
		header := http.Header{"Content-Type": {kind}, "Mcp-Session-Id": {"bench"}}
		return &http.Response{
			StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: header,
			Body: io.NopCloser(from), ContentLength: -1, Request: r,
		}, nil
	}
	stream := func(messages ...string) io.Reader {
		return strings.NewReader(benchText.Replace("event: message\ndata: " + strings.Join(messages, "\n\nevent: message\ndata: ") + "\n\n"))
	}
	switch {
	case r.Method != http.MethodPost:
		return reply(http.StatusMethodNotAllowed, "text/plain", strings.NewReader(""))
	case bytes.Contains(body, []byte(`"initialize"`)):
		return reply(http.StatusOK, "application/json", strings.NewReader(`{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-06-18"}}`))
	case bytes.Contains(body, []byte(`"id":9,"result"`)):
		s.answered <- struct{}{}
		return reply(http.StatusAccepted, "text/plain", strings.NewReader(""))
	case bytes.Contains(body, []byte(`"inputResponses"`)), bytes.Contains(body, []byte(`"echo"`)):
		return reply(http.StatusOK, "text/event-stream", stream(benchResult))
	case bytes.Contains(body, []byte(`"echo_json"`)):
		return reply(http.StatusOK, "application/json", strings.NewReader(benchText.Replace(benchResult)))
	case r.Header.Get(wire.HeaderVersion) == "2026-07-28":
		return reply(http.StatusOK, "text/event-stream", stream(benchRound))
	default:
		return reply(http.StatusOK, "text/event-stream", io.MultiReader(stream(benchSampled), &afterAnswer{server: s, then: stream(benchResult)}))
	}
}

// afterAnswer reads when the answer to a sampling request has come.
type afterAnswer struct {
	server *memoryServer
	then   io.Reader
	came   bool
}

func (a *afterAnswer) Read(p []byte) (int, error) {
	if !a.came {
		<-a.server.answered
		a.came = true
	}
	return a.then.Read(p)
}

// BenchmarkHandler measures a call in memory: what the handler itself costs, and
// beside it a bare httputil.ReverseProxy.
//
//	go test ./internal/sampler/proxy -run '^$' -bench Handler -benchmem
func BenchmarkHandler(b *testing.B) {
	upstream := &url.URL{Scheme: "http", Host: "127.0.0.1:1", Path: "/mcp"}
	server := &memoryServer{answered: make(chan struct{}, 1)}
	h, err := New(Options{Upstream: upstream, Sampling: &fakeSampling{}, Transport: server})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(h.Close)
	bare := &httputil.ReverseProxy{Transport: server, FlushInterval: -1, Rewrite: func(r *httputil.ProxyRequest) {
		r.Out.URL.Scheme, r.Out.URL.Host = upstream.Scheme, upstream.Host
	}}
	name := benchCall(b, h, initializeBody, nil).Header().Get(wire.HeaderSession)
	legacy := http.Header{wire.HeaderSession: {name}, wire.HeaderVersion: {"2025-06-18"}}
	modern := http.Header{wire.HeaderVersion: {"2026-07-28"}, "Mcp-Method": {"tools/call"}}
	for _, tc := range []struct {
		name    string
		handler http.Handler
		header  http.Header
		tool    string
	}{
		{"ReverseProxy/echo", bare, legacy, "echo"},
		{"sampler/echo", h, legacy, "echo"},
		{"sampler/echo as JSON", h, legacy, "echo_json"},
		{"sampler/ask", h, legacy, "ask"},
		{"sampler/stateless echo", h, modern, "echo"},
		{"sampler/stateless ask", h, modern, "ask"},
	} {
		b.Run(tc.name, func(b *testing.B) {
			meta := ""
			if tc.header.Get(wire.HeaderVersion) == "2026-07-28" {
				meta = `,"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}`
			}
			header := tc.header.Clone()
			header.Set("Mcp-Name", tc.tool)
			body := benchText.Replace(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"` + tc.tool + `","arguments":{"text":"@"}` + meta + `}}`)
			b.ReportAllocs()
			for b.Loop() {
				got := benchCall(b, tc.handler, body, header)
				if !strings.Contains(got.Body.String(), "xxx") || strings.Contains(got.Body.String(), "input_required") {
					b.Fatalf("status %d: %s", got.Code, got.Body)
				}
			}
		})
	}
}

func benchCall(b *testing.B, h http.Handler, body string, header http.Header) *httptest.ResponseRecorder {
	b.Helper()
	r := httptest.NewRequest(http.MethodPost, "http://sampler/mcp", strings.NewReader(body))
	for name, values := range header {
		r.Header[name] = values
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json, text/event-stream")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		b.Fatalf("status %d: %s", w.Code, w.Body)
	}
	return w
}
