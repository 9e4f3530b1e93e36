// Package outbound makes the HTTP clients by which providers are asked: with the
// headers and the certificates that a policy names, read again when they change,
// without redirects, and with a bound on what is read of an answer.
package outbound

import (
	"crypto/tls"
	"io"
	"maps"
	"net"
	"net/http"
	"time"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/config"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/tracing"
)

// Bounds of what is read of an answer, so that no provider can fill the sampler's
// memory, and of one that is no success, which only has to say why.
const (
	maxAnswer  = 16 << 20
	maxRefusal = 64 << 10
)

// Options configure a client.
type Options struct {
	// Headers are put into each request, over those of the same name.
	Headers []config.Header
	// CAFile holds the certificates (PEM) that a provider is verified with, in
	// place of the system's.
	CAFile string
}

// New makes a client for one provider. It sends nothing and reads no file yet.
//
// A header or a bundle of certificates that cannot be read is an error of type
// *provider.Error in the chain of what the client returns, and nothing is sent.
func New(o Options) *http.Client {
	return &http.Client{
		Transport: &transport{headers: newHeaders(o.Headers), wire: newConnections(o.CAFile)},
		// A redirect could carry messages and key to a host that nobody named.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// transport puts headers into requests and ends bodies that are too long
// with an error.
type transport struct {
	headers []header
	wire    *connections
}

// CloseIdleConnections is what http.Client.CloseIdleConnections calls.
func (t *transport) CloseIdleConnections() { t.wire.current().CloseIdleConnections() }

// RoundTrip implements http.RoundTripper. The request stays as it is.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := t.send(req)
	if err != nil {
		return nil, err
	}
	most := int64(maxAnswer)
	if resp.StatusCode >= http.StatusMultipleChoices {
		most = maxRefusal
	}
	resp.Body = &boundedBody{ReadCloser: resp.Body, left: most}
	return resp, nil
}

func (t *transport) send(req *http.Request) (*http.Response, error) {
	own, err := read(t.headers)
	if err != nil {
		return nil, refuse(req, err)
	}
	via, err := t.wire.newest(req.URL.Scheme == "https")
	if err != nil {
		return nil, refuse(req, err)
	}
	if traced := tracing.Of(req.Context()).IsValid(); traced || len(own) > 0 {
		header := maps.Clone(req.Header)
		if header == nil {
			header = make(http.Header, len(own))
		}
		if traced {
			tracing.Inject(req.Context(), header)
		}
		maps.Copy(header, own)
		req = req.WithContext(req.Context())
		req.Header = header
	}
	return via.RoundTrip(req)
}

// refuse closes the body, as a RoundTripper must whatever happens.
func refuse(req *http.Request, err error) error {
	if req.Body != nil {
		req.Body.Close()
	}
	return err
}

// newHTTPTransport makes a transport for many parallel requests: connections stay
// open between requests, and nothing but the request's own deadline limits how
// long a model may think.
func newHTTPTransport() *http.Transport {
	dialer := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            dialer.DialContext,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
		ForceAttemptHTTP2:      true,
		MaxIdleConns:           128,
		MaxIdleConnsPerHost:    64,
		IdleConnTimeout:        90 * time.Second,
		TLSHandshakeTimeout:    10 * time.Second,
		ExpectContinueTimeout:  time.Second,
		MaxResponseHeaderBytes: 256 << 10,
		// What is between us and a provider may drop a connection without a word.
		HTTP2: &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pongWithin},
	}
}

// An HTTP/2 connection that is silent for pingAfter is asked for a sign of life,
// and given up without one: the kernel alone would take many minutes.
const (
	pingAfter  = 15 * time.Second
	pongWithin = 5 * time.Second
)

type boundedBody struct {
	io.ReadCloser
	left int64
}

func (b *boundedBody) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, provider.ErrTooLong
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.ReadCloser.Read(p)
	b.left -= int64(n)
	return n, err
}
