package proxy

import (
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"context"
)

// handlerFor is a proxy before a server at this URL.
func handlerFor(t *testing.T, target string, modify ...func(*Options)) *Handler {
	t.Helper()
	u, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Upstream: u, Sampling: &fakeSampling{}, ServerName: "the-server"}
	for _, m := range modify {
		m(&o)
	}
	h, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	return h
}

// serveOne has h serve one request.
func serveOne(t *testing.T, h *Handler, method, path, body string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestTheServersCertificateIsVerified(t *testing.T) {
	server := httptest.NewUnstartedServer(&fakeServer{})
	server.EnableHTTP2 = true
	server.Config.ErrorLog = nil
	server.StartTLS()
	defer server.Close()
	good := x509.NewCertPool()
	good.AddCert(server.Certificate())
	named := strings.Replace(server.URL, "127.0.0.1", "example.com", 1) // as its certificate has it
	foreign := strings.Replace(server.URL, "127.0.0.1", "other.example", 1)
	here := func(o *Options) {
		o.LookupNetIP = func(context.Context, string, string) ([]netip.Addr, error) {
			return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
		}
	}
	for name, tc := range map[string]struct {
		url        string
		pool       *x509.CertPool
		external   bool
		wantStatus int
	}{
		"by an address it is for":         {url: server.URL, pool: good, wantStatus: 200},
		"elsewhere, by an address":        {url: server.URL, pool: good, external: true, wantStatus: 200},
		"by its name":                     {url: named, pool: good, wantStatus: 200},
		"by a name that it is not for":    {url: foreign, pool: good, wantStatus: 502},
		"with a bundle that lacks it":     {url: named, pool: x509.NewCertPool(), wantStatus: 502},
		"with the certificates of others": {url: named, wantStatus: 502},
	} {
		t.Run(name, func(t *testing.T) {
			h := handlerFor(t, tc.url+"/mcp", here, func(o *Options) {
				o.External = tc.external
				if tc.pool != nil {
					o.RootCAs = func() *x509.CertPool { return tc.pool }
				}
			})
			got := serveOne(t, h, http.MethodPost, "/mcp", initializeBody)
			if got.Code != tc.wantStatus {
				t.Errorf("status %d, want %d: %s", got.Code, tc.wantStatus, got.Body)
			}
			if got.Code == http.StatusBadGateway && !strings.Contains(got.Body.String(), "certificate of the MCP server the-server is not trusted") {
				t.Errorf("the caller is told %s", got.Body)
			}
		})
	}
}

func TestACABundleCountsAnewForEachConnection(t *testing.T) {
	server := httptest.NewTLSServer(&fakeServer{})
	defer server.Close()
	var pool atomic.Pointer[x509.CertPool]
	pool.Store(x509.NewCertPool())
	h := handlerFor(t, server.URL+"/mcp", func(o *Options) { o.RootCAs = pool.Load })
	before := serveOne(t, h, http.MethodPost, "/mcp", initializeBody).Code
	good := x509.NewCertPool()
	good.AddCert(server.Certificate())
	pool.Store(good)
	if after := serveOne(t, h, http.MethodPost, "/mcp", initializeBody).Code; before != http.StatusBadGateway || after != http.StatusOK {
		t.Errorf("status %d, and %d with the right bundle; want 502 and 200", before, after)
	}
}

func TestHeadersForTheServer(t *testing.T) {
	got := make(chan http.Header, 10)
	server := &fakeServer{}
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got <- r.Header.Clone()
		server.ServeHTTP(w, r)
	}))
	defer upstream.Close()
	var failure atomic.Bool
	h := handlerFor(t, upstream.URL+"/mcp", func(o *Options) {
		o.UpstreamHeader = func() (http.Header, error) {
			if failure.Load() {
				return nil, errors.New("Secret remote, key token: the value's file does not exist")
			}
			return http.Header{"Authorization": {"Bearer of-the-server"}, "X-Tenant": {"t"}}, nil
		}
	})
	for name, tc := range map[string]struct{ method, path, body string }{
		"a message":     {http.MethodPost, "/mcp", callBody},
		"a stream":      {http.MethodGet, "/mcp", ""},
		"other methods": {http.MethodOptions, "/mcp", ""},
		"its metadata":  {http.MethodGet, "/.well-known/oauth-protected-resource", ""},
	} {
		t.Run(name, func(t *testing.T) {
			serveOne(t, h, tc.method, tc.path, tc.body, "Authorization", "Bearer of-the-caller", "X-Own", "kept")
			header := await(t, "the server gets it", got)
			if a, tenant, own := header.Values("Authorization"), header.Get("X-Tenant"), header.Get("X-Own"); len(a) != 1 || a[0] != "Bearer of-the-server" || tenant != "t" || own != "kept" {
				t.Errorf("Authorization %q, X-Tenant %q, X-Own %q", a, tenant, own)
			}
		})
	}
	failure.Store(true)
	reply := serveOne(t, h, http.MethodPost, "/mcp", callBody)
	if reply.Code != http.StatusBadGateway || !strings.Contains(reply.Body.String(), "a header that the server wants has no value here") ||
		strings.Contains(reply.Body.String(), "Secret") {
		t.Errorf("status %d, %s; want 502 that tells no caller where the value should be", reply.Code, reply.Body)
	}
	if len(got) > 0 {
		t.Error("the server got a request without its header")
	}
}

func TestAServerElsewhereIsNotPinned(t *testing.T) {
	h := handlerFor(t, "https://mcp.example.com/mcp", func(o *Options) {
		o.External = true
		o.LookupNetIP = func(context.Context, string, string) ([]netip.Addr, error) {
			t.Error("its addresses were looked up")
			return nil, errors.New("no")
		}
	})
	got, err := h.addresses(t.Context())
	if err != nil || len(got) != 1 || got[0] != "" {
		t.Errorf("addresses %q, error %v; want any", got, err)
	}
}

func TestAnExternalServersProxyIsThatOfTheEnvironment(t *testing.T) {
	for external, want := range map[bool]bool{true: true, false: false} {
		o := Options{Upstream: &url.URL{Scheme: "https", Host: "mcp.example.com"}, External: external}
		if got := newTransport(&o).Proxy != nil; got != want {
			t.Errorf("external %v: asks an HTTP proxy: %v, want %v", external, got, want)
		}
	}
}

// dialed returns a connection as requests to the server have it.
func dialed(t *testing.T) *net.TCPConn {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	conn, err := newTransport(&Options{Upstream: &url.URL{Scheme: "http", Host: l.Addr().String()}}).DialContext(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn.(*net.TCPConn)
}

// A caller that reads nothing holds up the server, and costs no memory here.
func TestASlowReaderHoldsUpTheServer(t *testing.T) {
	const most = 64 << 20
	var sent atomic.Int64
	ended := make(chan struct{})
	event := []byte(`data: {"jsonrpc":"2.0","method":"notifications/message","params":"` + strings.Repeat("x", 64<<10) + "\"}\n\n")
	server := &fakeServer{call: func(w http.ResponseWriter, r *http.Request) {
		defer close(ended)
		w.Header().Set("Content-Type", "text/event-stream")
		for r.Context().Err() == nil && sent.Load() < 2*most {
			n, err := w.Write(event)
			sent.Add(int64(n))
			if err != nil {
				return
			}
		}
	}}
	endpoint, _ := newFront(t, server, func(o *Options) { o.WriteTimeout = patience / 20 })
	resp := open(t.Context(), t, http.MethodPost, endpoint, callBody)
	defer resp.Body.Close()
	await(t, "the caller that does not read is given up", ended)
	if got := sent.Load(); got >= most {
		t.Errorf("%d bytes were taken from the server for a caller that read none", got)
	}
	if _, err := io.Copy(io.Discard, resp.Body); err == nil {
		t.Error("the caller was told that the response is whole")
	}
}
