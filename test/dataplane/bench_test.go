package dataplane

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/proxy"
)

// BenchmarkEchoCall measures a tool call that does not sample, in one run, in
// sessions and without (modern): the server alone, behind a bare httputil.ReverseProxy with the same transport
// settings, and behind the proxy. The server answers as a stream or as JSON.
//
//	go test ./test/dataplane -run '^$' -bench EchoCall -count 6
func BenchmarkEchoCall(b *testing.B) {
	for _, kind := range []string{"json", "stream", "modern-json", "modern-stream"} {
		era, isModern := strings.CutPrefix(kind, "modern-")
		for _, sessions := range []int{1, 16} {
			for _, by := range []string{"direct", "ReverseProxy", "proxy"} {
				b.Run(fmt.Sprintf("%s/sessions=%d/%s", kind, sessions, by), func(b *testing.B) {
					endpoint := serve(b, echoServer(era == "stream"))
					switch by {
					case "ReverseProxy":
						endpoint = bareProxy(b, endpoint)
					case "proxy":
						endpoint, _ = front(b, endpoint, &fakeSampling{}, func(o *proxy.Options) { o.Logger = nil })
					}
					benchmarkCalls(b, endpoint, sessions, isModern)
				})
			}
		}
	}
}

// echoServer costs as little as it can, so that what is measured is between.
func echoServer(stream bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.Method != http.MethodPost {
			w.WriteHeader(http.StatusMethodNotAllowed)
			return
		}
		w.Header().Set("Mcp-Session-Id", "bench-"+r.Header.Get("X-Session"))
		echo := `{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"` + strings.Repeat("x", len(body)) + `"}]}}`
		if !stream {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, echo)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "event: message\ndata: "+echo+"\n\n")
	})
}

func bareProxy(b *testing.B, endpoint string) string {
	target, err := url.Parse(endpoint)
	if err != nil {
		b.Fatal(err)
	}
	transport := &http.Transport{MaxIdleConnsPerHost: 256, DisableCompression: true}
	b.Cleanup(transport.CloseIdleConnections)
	bare := httptest.NewServer(&httputil.ReverseProxy{
		Transport:     transport,
		FlushInterval: -1,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host = target.Scheme, target.Host
		},
	})
	b.Cleanup(bare.Close)
	return bare.URL + target.Path
}

func benchmarkCalls(b *testing.B, endpoint string, sessions int, isModern bool) {
	meta := ""
	if isModern {
		meta = `,"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"bench","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}}`
	}
	body := `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{"text":"` + strings.Repeat("x", 1000) + `"}` + meta + `}}`
	callers := make([]*rawCaller, sessions)
	for i := range callers {
		callers[i] = newRawCaller(b, endpoint)
		callers[i].header["X-Session"] = fmt.Sprint(i)
		if isModern {
			for name, value := range map[string]string{"Mcp-Protocol-Version": "2026-07-28", "Mcp-Method": "tools/call", "Mcp-Name": "echo"} {
				callers[i].header[name] = value
			}
			continue
		}
		callers[i].initialize()
	}
	b.ReportAllocs()
	b.ResetTimer()
	var group sync.WaitGroup
	for i, caller := range callers {
		calls := b.N / sessions
		if i < b.N%sessions {
			calls++
		}
		group.Go(func() {
			for range calls {
				if !echo(b, caller, body) {
					return
				}
			}
		})
	}
	group.Wait()
}

// echo is call without what a test needs and a benchmark pays for.
func echo(b *testing.B, c *rawCaller, body string) bool {
	r, err := http.NewRequest(http.MethodPost, c.url, strings.NewReader(body))
	if err != nil {
		b.Error(err)
		return false
	}
	r.Header.Set("Accept", "application/json, text/event-stream")
	r.Header.Set("Content-Type", "application/json")
	if c.session != "" {
		r.Header.Set("Mcp-Session-Id", c.session)
	}
	for name, value := range c.header {
		r.Header.Set(name, value)
	}
	resp, err := c.client.Do(r)
	if err != nil {
		b.Error(err)
		return false
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != http.StatusOK {
		b.Errorf("status %d, error %v", resp.StatusCode, err)
		return false
	}
	return true
}
