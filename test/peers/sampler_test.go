package peers

import (
	"fmt"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/testing/fakellm"
)

// The transports of a server.
const (
	streamableHTTP = "Streamable HTTP"
	httpSSE        = "HTTP+SSE"
	stdio          = "stdio"
)

// The eras of the protocol.
const (
	legacy = "session"
	modern = "stateless"
)

const modernVersion = "2026-07-28"

// model runs a fake model server: it gives the replies in their order, and then
// says what it was asked.
func model(t testing.TB, replies ...fakellm.Reply) (*fakellm.Server, string) {
	t.Helper()
	fake := fakellm.New(replies...)
	server := httptest.NewServer(fake)
	t.Cleanup(func() { server.CloseClientConnections(); server.Close() })
	return fake, server.URL + "/v1"
}

// sampler runs the real program before a server, and returns the URL at which
// callers reach that server through it.
func sampler(t testing.TB, upstream, transport, mode, modelURL string) string {
	t.Helper()
	kind := ""
	if transport == httpSSE {
		kind = "transport: SSE"
	}
	return configured(t, upstream, fmt.Sprintf(`upstream:
  url: %s
  %s
policy:
  name: peers
  mode: %s
  providers:
  - {name: fake, type: OpenAI, baseURL: %q}
  models:
    default: fake
    allowed:
    - {name: fake, provider: fake, model: fake-1}
`, upstream, kind, mode, modelURL))
}

// samplerWithoutPolicy is one that samples for nobody.
func samplerWithoutPolicy(t testing.TB, upstream string) string {
	t.Helper()
	return configured(t, upstream, fmt.Sprintf("upstream:\n  url: %s\n", upstream))
}

// configured runs the real program with a configuration.
func configured(t testing.TB, upstream, text string) string {
	t.Helper()
	target, err := url.Parse(upstream)
	if err != nil {
		t.Fatal(err)
	}
	port := freePort(t)
	address := fmt.Sprintf("127.0.0.1:%d", port)
	// Web pages of its own address, as the conformance suites ask: the servers
	// allow that by themselves where they listen on this machine only.
	text = fmt.Sprintf(`apiVersion: sampler.mcp-sampling.dev/v1alpha1
server: {name: peer}
residentSession: {mode: "Off"}
allowedOrigins: [%q]
`, "http://"+address) + text
	file := filepath.Join(t.TempDir(), "sampler.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	startOn(t, port, nil, lab.sampler, "serve", "--config", file, "--listen", address,
		"--admin-listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0", "--drain-timeout", "1s", "--log-format", "text", "--log-level", "debug")
	return "http://" + address + target.Path
}

// always is sampler in the mode in which it answers everything.
func always(t testing.TB, upstream, modelURL string) string {
	t.Helper()
	return sampler(t, upstream, streamableHTTP, "Always", modelURL)
}

// bridge runs a stdio server behind the bridge, and returns the bridge's URL.
func bridge(t testing.TB, server ...string) string {
	t.Helper()
	port := freePort(t)
	address := fmt.Sprintf("127.0.0.1:%d", port)
	startOn(t, port, nil, lab.sampler, append([]string{"bridge", "--listen", address, "--"}, server...)...)
	return "http://" + address + "/mcp"
}
