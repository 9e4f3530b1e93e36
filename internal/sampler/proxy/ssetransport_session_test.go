package proxy

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/seal"
)

func TestSSESessionStaysOnItsServer(t *testing.T) {
	one, two := newFakeSSEServer(), newFakeSSEServer()
	pods := &streamPods{pods: map[string]http.Handler{"10.0.0.1:80": one, "10.0.0.2:80": two}}
	front, h := newFront(t, http.NotFoundHandler(), speakSSE, func(o *Options) { inStreamPods(t, o, pods) })
	caller := openSSE(t, front)
	s := h.sessions.all()[0]
	home, other := one, two
	if s.address == "10.0.0.2:80" {
		home, other = two, one
	}
	for range 8 {
		caller.call(home)
	}
	if len(other.posts) != 0 {
		t.Error("a message went to another server")
	}
	pods.remove(s.address)
	got := caller.post(callBody)
	if got.status != http.StatusNotFound {
		t.Errorf("with the server gone: status %d: %s", got.status, got.body)
	}
	for range 8 {
		if event := caller.next(); !strings.Contains(event, `"error"`) {
			t.Fatalf("a running call got %q", event)
		}
	}
	if rest := caller.next(); rest != "" {
		t.Errorf("then came %q", rest)
	}
}

func TestSSEMessageThatComesToAnotherReplica(t *testing.T) {
	server := newFakeSSEServer()
	upstream := httptest.NewServer(server)
	t.Cleanup(func() {
		upstream.CloseClientConnections()
		upstream.Close()
	})
	target, err := url.Parse(upstream.URL + "/mcp")
	if err != nil {
		t.Fatal(err)
	}
	sealer := seal.NewRandomSealer()
	port := "0"
	var handlers []*Handler
	var fronts []string
	for _, ip := range []string{"127.0.0.1", "127.0.0.2"} { // one port on several addresses, as pods have it
		listener, err := net.Listen("tcp", net.JoinHostPort(ip, port))
		if err != nil {
			t.Fatal(err)
		}
		_, port, _ = net.SplitHostPort(listener.Addr().String())
		h, err := New(Options{
			Upstream: target, Sampling: &fakeSampling{}, SSE: true, Sealer: sealer,
			Replicas: "peers.example:" + port, Self: listener.Addr().String(),
			LookupNetIP: func(context.Context, string, string) ([]netip.Addr, error) {
				return []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("127.0.0.2")}, nil
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		front := httptest.NewUnstartedServer(h)
		front.Listener.Close()
		front.Listener = listener
		front.Start()
		t.Cleanup(func() {
			front.CloseClientConnections()
			h.Close()
			front.Close()
		})
		handlers, fronts = append(handlers, h), append(fronts, front.URL+"/mcp")
	}

	caller := openSSE(t, fronts[0])
	elsewhere := *caller
	elsewhere.endpoint = strings.Replace(caller.endpoint, fronts[0], fronts[1], 1)
	elsewhere.call(server)
	server.send <- sampleEvent
	if got, want := await(t, "the answer", server.posts).body, `{"jsonrpc":"2.0","id":9,"result":{}}`; got != want {
		t.Errorf("the server got %q, want %q", got, want)
	}
	server.send <- "data: " + callResponse + "\n\n"
	if got, want := caller.next(), "data: "+callResponse+"\n\n"; got != want {
		t.Errorf("the caller got %q, want %q", got, want)
	}
	if got := []int{handlers[0].Sessions(), handlers[1].Sessions()}; got[0] != 1 || got[1] != 0 {
		t.Errorf("sessions %v, want one at the first replica only", got)
	}
	caller.leave()
	eventually(t, "the session ends", func() bool { return handlers[0].Sessions() == 0 })
	if got := elsewhere.post(callBody); got.status != http.StatusNotFound {
		t.Errorf("after the stream's end: status %d: %s", got.status, got.body)
	}
}

func TestSSEEndpoint(t *testing.T) {
	upstream, err := url.Parse("https://mcp.example:8443/v1/sse?key=k")
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct{ named, address, want string }{
		"an absolute path":        {"/messages/?session_id=1", "", "https://mcp.example:8443/messages/?session_id=1"},
		"a relative path":         {"messages", "", "https://mcp.example:8443/v1/messages"},
		"a query":                 {"?sid=1", "", "https://mcp.example:8443/v1/sse?sid=1"},
		"with spaces around":      {"  /m ", "", "https://mcp.example:8443/m"},
		"escapes stay":            {"/a%2Fb?c=%20d", "", "https://mcp.example:8443/a%2Fb?c=%20d"},
		"at a pinned address":     {"/m", "10.0.0.1:8443", "https://10.0.0.1:8443/m"},
		"another host":            {"http://169.254.169.254/latest?x=1", "", "https://mcp.example:8443/latest?x=1"},
		"another host, no scheme": {"//evil.example/m", "10.0.0.1:8443", "https://10.0.0.1:8443/m"},
		"credentials, fragment":   {"https://a:b@evil.example/m#f", "", "https://mcp.example:8443/m"},
		"a path above the root":   {"../../../m", "", "https://mcp.example:8443/m"},
		"nothing":                 {" ", "", ""},
		"no path":                 {"https://evil.example", "", ""},
		"no URL with a path":      {"mailto:x", "", ""},
		"control characters":      {"/m\x7f", "", ""},
		"no URL":                  {"http://[::1", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			h := &Handler{opts: Options{Upstream: upstream}}
			got, err := h.endpointOf(tc.address, []byte(tc.named))
			if err != nil {
				if tc.want != "" {
					t.Error(err)
				}
				return
			}
			if got.String() != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}

// FuzzSSEEndpoint: whatever a server names, messages go to its own host.
func FuzzSSEEndpoint(f *testing.F) {
	for _, seed := range []string{"/messages/?session_id=1", "m", "?x", "//evil/m", "http://a:b@evil:1/m#f", "mailto:x", "/\\evil/m", "/%2e%2e/m", "/m?a b", "/a b", "\x00", "http://[::1"} {
		f.Add(seed)
	}
	h := &Handler{opts: Options{Upstream: &url.URL{Scheme: "http", Host: "server:8000", Path: "/sse"}}}
	f.Fuzz(func(t *testing.T, named string) {
		for address, want := range map[string]string{"": "server:8000", "10.0.0.1:8000": "10.0.0.1:8000"} {
			endpoint, err := h.endpointOf(address, []byte(named))
			if err != nil {
				continue
			}
			// As it is written, not only as it was put together.
			again, err := url.Parse(endpoint.String())
			if err != nil || again.Scheme != "http" || again.Host != want || again.User != nil || !strings.HasPrefix(again.Path, "/") {
				t.Errorf("%q became %q (%v)", named, endpoint, err)
			}
			if line := endpoint.RequestURI(); strings.ContainsFunc(line, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
				t.Errorf("%q breaks the request line: %q", named, line)
			}
		}
	})
}

// streamPods is a transport to servers at addresses of their own, which stream.
// An address without a server refuses connections.
type streamPods struct {
	mu    sync.Mutex
	pods  map[string]http.Handler
	front map[string]string
}

func inStreamPods(t *testing.T, o *Options, pods *streamPods) {
	t.Helper()
	pods.front = map[string]string{}
	var found []netip.Addr
	for address, pod := range pods.pods {
		server := httptest.NewServer(pod)
		t.Cleanup(func() {
			server.CloseClientConnections()
			server.Close()
		})
		pods.front[address] = server.Listener.Addr().String()
		found = append(found, netip.MustParseAddrPort(address).Addr())
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		pods.mu.Lock()
		to := pods.front[address]
		pods.mu.Unlock()
		if to == "" {
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}
		}
		return (&net.Dialer{}).DialContext(ctx, network, to)
	}
	transport.DisableKeepAlives = true
	o.Transport = transport
	o.Upstream = &url.URL{Scheme: "http", Host: "pods.example", Path: "/mcp"}
	o.LookupNetIP = func(context.Context, string, string) ([]netip.Addr, error) { return found, nil }
}

// remove makes an address refuse connections; those that are open stay.
func (p *streamPods) remove(address string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.front, address)
}
