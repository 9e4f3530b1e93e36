package peer

import (
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync/atomic"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/testing/fakellm"
)

// ReverseProxy returns a bare proxy to target, with the settings of the
// sampler's own transport.
//
// Full duplex is for its good: else net/http closes a request's body as soon as
// the response begins, and where the server was quick, while the body is still
// being sent on, that breaks the stream. About two in a hundred did.
func ReverseProxy(target *url.URL) http.Handler {
	proxy := &httputil.ReverseProxy{
		Transport: &http.Transport{
			MaxIdleConns: 512, MaxIdleConnsPerHost: 256, DisableCompression: true,
			ReadBufferSize: 4 << 10, WriteBufferSize: 4 << 10,
		},
		FlushInterval: -1,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host = target.Scheme, target.Host
		},
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex() // always there in HTTP/1.1
		proxy.ServeHTTP(w, r)
	})
}

// model is a fake model server for any number of requests: the fake keeps all of
// them, so it is replaced by a new one from time to time.
type model struct {
	current atomic.Pointer[fakellm.Server]
	count   atomic.Int64
}

// Model returns a model server that echoes without delay.
func Model() http.Handler {
	m := &model{}
	m.current.Store(fakellm.New())
	return m
}

const modelRequests = 1000

func (m *model) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if m.count.Add(1)%modelRequests == 0 {
		m.current.Store(fakellm.New())
	}
	m.current.Load().ServeHTTP(w, r)
}
