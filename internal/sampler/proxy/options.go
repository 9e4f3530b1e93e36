package proxy

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/seal"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/sse"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/telemetry"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/tracing"
)

// Settings are what can be changed while a Handler serves. Zero of a limit means
// its default.
type Settings struct {
	// AllowedOrigins are the values of the Origin header that are served; "*" is
	// any. Requests without one always are.
	AllowedOrigins []string
	// MaxBodyBytes bounds the body of a caller's request; 16 MiB.
	MaxBodyBytes int64
	// MaxHeldBytes bounds what the bodies of all requests hold together, with the
	// results that are read whole. Above it requests are refused with 503. 128 MiB,
	// and never less than two bodies.
	MaxHeldBytes int64
	// MaxEventBytes bounds one server-sent event, and a result that has to be
	// looked at; 16 MiB.
	MaxEventBytes int
	// MaxSessions bounds the sessions held. One that is idle for long makes room; if
	// all are in use, initialize is refused with 503. 10000.
	MaxSessions int
	// MaxStreams bounds the requests and streams of callers that are open at the
	// same time; 20000.
	MaxStreams int
	// MaxAnswersPerSession bounds the sampling requests of one session that are
	// answered at the same time; 64.
	MaxAnswersPerSession int
}

func (s *Settings) complete() {
	orDefault(&s.MaxBodyBytes, 16<<20)
	orDefault(&s.MaxHeldBytes, 128<<20)
	s.MaxHeldBytes = max(s.MaxHeldBytes, 2*s.MaxBodyBytes)
	orDefault(&s.MaxEventBytes, sse.DefaultMaxEventBytes)
	orDefault(&s.MaxSessions, 10_000)
	orDefault(&s.MaxStreams, 20_000)
	orDefault(&s.MaxAnswersPerSession, 64)
}

// Options are what a Handler is made from. Only Upstream and Sampling must be
// set; zero of any other field means its default.
type Options struct {
	// Upstream is the MCP endpoint of the server. Callers use the same path.
	Upstream *url.URL
	// ServerName is how callers are told of the server in errors. Default: the
	// host of Upstream.
	ServerName string
	// SSE is true for a server of the HTTP+SSE transport of 2024-11-05, whose
	// Upstream is the address of its stream.
	SSE bool
	// SteerToSessions makes callers of the stateless era fall back to sessions
	// where the server is to have sampling.
	SteerToSessions bool
	// External is true for a server whose addresses are a load balancer's: no
	// session is pinned to one of them.
	External bool
	// UpstreamHeader returns headers that each request to the server carries in
	// place of the caller's of the same name; nil where there are none.
	UpstreamHeader func() (http.Header, error)
	// RootCAs returns what an https server is verified with; it is asked for each
	// connection. Default: the system's.
	RootCAs  func() *x509.CertPool
	Sampling Sampling
	// Sealer makes and opens the names of sessions. Default: one with a key that
	// nobody else has.
	Sealer *seal.Sealer
	// Replicas is the host:port at which all samplers of this server are found,
	// Self the host:port of this one among them. Empty means that there is no
	// other one.
	Replicas, Self string
	// Before is the handler that this one replaces, where there was one: it lets go
	// of a session before that goes on here.
	Before *Handler
	// Logger gets no message content, token or session id. Default: none.
	Logger *slog.Logger
	// Settings are those to begin with; Configure replaces them.
	Settings Settings

	// MaxAnswers bounds the sampling requests of all sessions that are answered
	// at the same time; 512. No session takes more of them than it leaves free.
	MaxAnswers int
	// MaxAnswerBytes bounds what the parameters of these requests hold together;
	// 64 MiB.
	MaxAnswerBytes int64
	// Refused is told each sampling request that met one of these limits. It must
	// not block. Default: nobody is told.
	Refused func(Refusal)
	// Telemetry counts operations, Tracer makes spans of them. Default: nobody does.
	Telemetry *telemetry.Telemetry
	Tracer    *tracing.Tracer
	// MaxBufferBytes bounds what is kept per session of the server's GET stream
	// for a caller that has not opened its own or is slow to read it; 256 KiB.
	MaxBufferBytes int
	// IdleTimeout is how long a session is kept that nobody uses; 30 min.
	IdleTimeout time.Duration
	// StreamWait is how long a call waits for the header of the session's GET
	// stream; 500 ms.
	StreamWait time.Duration
	// EndpointTimeout is how long a server of the HTTP+SSE transport may take to
	// name its endpoint on a stream that it has begun; 10 s.
	EndpointTimeout time.Duration
	// DialTimeout bounds connecting to the server, and how long one of several
	// servers may take to say whether it knows a session; 5 s.
	DialTimeout time.Duration
	// AnswerTimeout bounds delivering the answer to a sampling request, not
	// making it; 30 s.
	AnswerTimeout time.Duration
	// ReadTimeout bounds each 64 KiB of a request's body; 30 s.
	ReadTimeout time.Duration
	// WriteTimeout bounds one write to a caller that does not read; 1 min.
	WriteTimeout time.Duration
	// KeepAlive is how long a caller's event stream is silent before it gets a
	// comment, which load balancers between take for life; 25 s.
	KeepAlive time.Duration

	// Transport carries requests to the server. Default: one made for it.
	Transport http.RoundTripper
	// streams is the same for GET.
	streams http.RoundTripper
	// LookupNetIP resolves the server's host. Default: the system's resolver.
	LookupNetIP func(ctx context.Context, network, host string) ([]netip.Addr, error)
}

func (o *Options) complete() error {
	switch {
	case o.Upstream == nil:
		return errors.New("proxy: Upstream is missing: set the URL of the server's MCP endpoint")
	case o.Upstream.Scheme != "http" && o.Upstream.Scheme != "https":
		return fmt.Errorf("proxy: Upstream has scheme %q: use http or https", o.Upstream.Scheme)
	case o.Upstream.Hostname() == "":
		return errors.New("proxy: Upstream has no host")
	case o.Sampling == nil:
		return errors.New("proxy: Sampling is missing")
	}
	upstream := *o.Upstream
	upstream.User = nil
	upstream.Fragment = ""
	if upstream.Path == "" {
		upstream.Path = "/"
	}
	o.Upstream = &upstream
	if o.ServerName == "" {
		o.ServerName = upstream.Hostname()
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Sealer == nil {
		o.Sealer = seal.NewRandomSealer()
	}
	orDefault(&o.MaxAnswers, 512)
	orDefault(&o.MaxAnswerBytes, 64<<20)
	orDefault(&o.MaxBufferBytes, 256<<10)
	orDefault(&o.IdleTimeout, 30*time.Minute)
	orDefault(&o.StreamWait, 500*time.Millisecond)
	orDefault(&o.EndpointTimeout, 10*time.Second)
	orDefault(&o.DialTimeout, 5*time.Second)
	orDefault(&o.AnswerTimeout, 30*time.Second)
	orDefault(&o.ReadTimeout, 30*time.Second)
	orDefault(&o.WriteTimeout, time.Minute)
	orDefault(&o.KeepAlive, 25*time.Second)
	if o.LookupNetIP == nil {
		o.LookupNetIP = net.DefaultResolver.LookupNetIP
	}
	if o.Transport == nil {
		o.Transport = newTransport(o)
	}
	o.streams = forStreams(o.Transport)
	return nil
}

func orDefault[T int | int64 | time.Duration](value *T, otherwise T) {
	if *value <= 0 {
		*value = otherwise
	}
}
