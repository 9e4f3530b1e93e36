package proxy

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"maps"
	"net"
	"net/http"
	"time"
)

const (
	// maxServerHeader bounds the header of a server's response.
	maxServerHeader = 256 << 10
	// unacknowledgedTime and probes tell within half a minute that a server is gone
	// which did not say so. No silence of a server that is there counts: its kernel
	// acknowledges.
	unacknowledgedTime = 25 * time.Second
	// Idle connections are closed here before servers do it: a request that is sent
	// at that moment is lost, and nobody can tell whether it was read. Node and
	// Uvicorn close after 5 s, gateways of servers elsewhere after a minute.
	idleTime         = 4 * time.Second
	idleTimeExternal = 30 * time.Second
)

var probes = net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3}

// newTransport returns the transport to the server. A neighbour is asked
// directly, one elsewhere through the HTTP proxy that the environment names. No
// redirect is followed.
func newTransport(o *Options) *http.Transport {
	dialer := &net.Dialer{Timeout: o.DialTimeout, KeepAliveConfig: probes, Control: boundUnacknowledged}
	t := &http.Transport{
		DialContext:         dialer.DialContext,
		TLSClientConfig:     newTLSConfig(o),
		TLSHandshakeTimeout: o.DialTimeout,
		ForceAttemptHTTP2:   true,
		// Over HTTP/2 the kernel's view is not enough: a balancer between may hold
		// the connection of a server that is gone.
		HTTP2: &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 10 * time.Second},
		// The default of two makes every third request dial anew under load.
		MaxIdleConns:        512,
		MaxIdleConnsPerHost: 256,
		IdleConnTimeout:     idleTime,
		// Bytes pass as they are.
		DisableCompression:     true,
		ReadBufferSize:         4 << 10,
		WriteBufferSize:        4 << 10,
		MaxResponseHeaderBytes: maxServerHeader,
	}
	if o.External {
		t.Proxy = http.ProxyFromEnvironment
		t.IdleConnTimeout = idleTimeExternal
	}
	return t
}

func newTLSConfig(o *Options) *tls.Config {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	host := o.Upstream.Hostname()
	if !o.External { // else requests go to the name itself, or to an HTTP proxy of another
		config.ServerName = host
	}
	if o.RootCAs == nil {
		return config
	}
	// A tls.Config's pool cannot change while it is used. So the connection is
	// verified as crypto/tls would do it, with the pool of the moment.
	config.InsecureSkipVerify = true
	config.VerifyConnection = func(state tls.ConnectionState) error {
		return verify(state, cmp.Or(state.ServerName, host), o.RootCAs())
	}
	return config
}

func verify(state tls.ConnectionState, host string, roots *x509.CertPool) error {
	if len(state.PeerCertificates) == 0 {
		return errors.New("the server has shown no certificate")
	}
	options := x509.VerifyOptions{DNSName: host, Roots: roots, Intermediates: x509.NewCertPool()}
	for _, c := range state.PeerCertificates[1:] {
		options.Intermediates.AddCert(c)
	}
	if _, err := state.PeerCertificates[0].Verify(options); err != nil {
		return &tls.CertificateVerificationError{UnverifiedCertificates: state.PeerCertificates, Err: err}
	}
	return nil
}

// forStreams returns a transport like t for streams on which nothing comes most
// of the time, and of which there is one for each session: it holds little for
// each.
func forStreams(t http.RoundTripper) http.RoundTripper {
	common, ok := t.(*http.Transport)
	if !ok {
		return t
	}
	streams := common.Clone()
	streams.ReadBufferSize, streams.WriteBufferSize = 512, 512
	streams.MaxIdleConnsPerHost = 0 // a stream's connection is seldom used again
	return streams
}

// upstream carries requests to the server, with the headers that it is to get in
// place of the caller's.
type upstream struct{ opts *Options }

// headerError is a request that was not sent, as a header for the server is not
// to be had. Its text names no value.
type headerError struct{ cause error }

func (e *headerError) Error() string { return "a header for the server: " + e.cause.Error() }
func (e *headerError) Unwrap() error { return e.cause }

// RoundTrip implements http.RoundTripper. The request's header stays as it is:
// it is the caller's, and others read it.
func (u upstream) RoundTrip(r *http.Request) (*http.Response, error) {
	if u.opts.UpstreamHeader != nil {
		own, err := u.opts.UpstreamHeader()
		if err != nil {
			return nil, &headerError{cause: err}
		}
		header := maps.Clone(r.Header)
		maps.Copy(header, own)
		r = r.WithContext(r.Context())
		r.Header = header
	}
	if r.Method == http.MethodGet {
		return u.opts.streams.RoundTrip(r)
	}
	return u.opts.Transport.RoundTrip(r)
}
