// Package resident is the sampler's own session with the MCP server: a caller
// like any other one, which proves that the server answers, reads what it says
// of itself and counts its tools. Held open, it is also the session in which a
// server can ask for sampling outside of any call.
//
// It connects to the sampler's own endpoint and not to the server, so that it
// sees what callers see and its sampling requests are answered where everybody
// else's are.
//
// It looks in the era of sessions first, and as a stateless client at a server
// that does not know that era. There is nothing to hold open then: such a server
// is looked at in intervals in any case.
package resident

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/client/transport"
	"github.com/mark3labs/mcp-go/mcp"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/statusz"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

const (
	// lookTimeout bounds one handshake with its tool list.
	lookTimeout = 15 * time.Second
	// toolPages bounds the pages that are counted of a server that never stops
	// listing.
	toolPages = 100
)

// Transport is how the endpoint is spoken with.
type Transport int

const (
	// StreamableHTTP is that of 2025-03-26 and later.
	StreamableHTTP Transport = iota
	// SSE is the HTTP+SSE transport of 2024-11-05.
	SSE
)

// Options configure a Session.
type Options struct {
	// URL is the endpoint to connect to, Transport how it is spoken with.
	URL       string
	Transport Transport
	// Hold keeps the session open between looks.
	Hold bool
	// Interval is the time between two looks that succeed. Zero means 60s.
	Interval time.Duration
	// RetryMin and RetryMax bound the growing time between looks after one
	// failed. Zero means 500ms and 5s.
	RetryMin, RetryMax time.Duration
	// NoRoom and NoEndpoint are the Proxy-Status headers by which the endpoint
	// says, for itself and not for the server, that it has no room for another
	// session, and that the server's stream is not one of the HTTP+SSE transport.
	NoRoom, NoEndpoint string
	// Unreachable says why the endpoint does not reach the server, by its
	// Proxy-Status header.
	Unreachable map[string]string
	// NoProcess is the Proxy-Status header by which a bridge says, for itself and
	// not for the server, that it runs no further process.
	NoProcess string
	// Sessions says that only the era of sessions is wanted.
	Sessions bool
	// Again has a token whenever the server is to be looked at again at once.
	Again <-chan struct{}
	// Version is the sampler's own, for the handshake.
	Version string
	// Report is called with each finding, never concurrently.
	Report func(statusz.Server)
	Log    *slog.Logger
}

// Run looks at the server until ctx ends.
func Run(ctx context.Context, o Options) {
	if o.Interval == 0 {
		o.Interval = time.Minute
	}
	if o.RetryMin == 0 {
		o.RetryMin = 500 * time.Millisecond
	}
	if o.RetryMax == 0 {
		o.RetryMax = 5 * time.Second
	}
	retry := &backoff.ExponentialBackOff{
		InitialInterval: o.RetryMin, MaxInterval: o.RetryMax, Multiplier: 2, RandomizationFactor: 0.2,
	}
	retry.Reset()
	var last statusz.ServerState
	for ctx.Err() == nil {
		err := o.session(ctx, func(found statusz.Server) {
			retry.Reset()
			if found.State != last {
				o.Log.Info("the MCP server answers", "server", found.Name, "protocolVersion", found.ProtocolVersion)
			}
			last = found.State
			o.Report(found)
		})
		if ctx.Err() != nil {
			return
		}
		wait := o.Interval
		switch {
		case errors.Is(err, errBrokenOff):
			wait = retry.NextBackOff() // what is wrong the next look tells
		case err != nil:
			finding := o.findingOf(err)
			if finding.State != last {
				o.Log.Warn("no MCP server was found", "state", finding.State, "detail", finding.Detail)
			}
			last = finding.State
			o.Report(finding)
			wait = retry.NextBackOff()
		}
		select {
		case <-ctx.Done():
		case <-o.Again:
		case <-time.After(wait):
		}
	}
}

// session connects, reports what it found, and in Hold mode stays until the
// session breaks.
func (o Options) session(ctx context.Context, found func(statusz.Server)) error {
	l, err := o.connect(client.WithLegacyProtocolOnly())
	if err != nil {
		return err
	}
	defer l.close()
	info, err := l.look(ctx)
	if err != nil {
		err = l.seen.failed(err)
		if info, ok := o.lookStateless(ctx, err); ok {
			found(info)
			return nil
		}
		return err
	}
	found(info)
	if !o.Hold {
		return nil
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-l.lost:
			return errBrokenOff
		case <-o.Again:
		case <-time.After(o.Interval):
		}
		again, err := l.relook(ctx, info)
		if err != nil {
			return l.seen.failed(err)
		}
		found(again)
	}
}

// lookStateless looks at a server that has not served a session because of err,
// if that can be because it knows the stateless era only.
func (o Options) lookStateless(ctx context.Context, err error) (statusz.Server, bool) {
	if o.Transport != StreamableHTTP || ctx.Err() != nil || o.findingOf(err).State != statusz.ServerNotMCP {
		return statusz.Server{}, false
	}
	l, err := o.connect()
	if err != nil {
		return statusz.Server{}, false
	}
	defer l.close()
	info, err := l.look(ctx)
	return info, err == nil
}

// errBrokenOff means that a session that was held open has ended.
var errBrokenOff = errors.New("the session has broken off")

// looker is one connection to the endpoint.
type looker struct {
	options Options
	client  *client.Client
	seen    *outcome
	// lost holds a token when the session has broken off; nothing comes from it
	// where that is noticed only when something is asked.
	lost chan struct{}
	// end ends what was opened.
	end context.CancelFunc
}

func (o Options) connect(options ...client.ClientOption) (*looker, error) {
	l := &looker{
		options: o,
		seen:    &outcome{next: &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 2}},
		lost:    make(chan struct{}, 1),
		end:     func() {},
	}
	over, err := l.transport()
	if err != nil {
		return nil, fmt.Errorf("make a client for %s: %w", o.URL, err)
	}
	l.client = client.NewClient(over, options...)
	return l, nil
}

func (l *looker) transport() (transport.Interface, error) {
	quiet := slog.New(slog.DiscardHandler)
	over := &http.Client{Transport: l.seen}
	if l.options.Transport == StreamableHTTP {
		return transport.NewStreamableHTTP(l.options.URL, transport.WithHTTPBasicClient(over), transport.WithHTTPLogger(quiet))
	}
	stream, err := transport.NewSSE(l.options.URL, transport.WithHTTPClient(over), transport.WithSSELogger(quiet))
	if err != nil {
		return nil, err
	}
	stream.SetConnectionLostHandler(func(error) {
		select {
		case l.lost <- struct{}{}:
		default:
		}
	})
	return stream, nil
}

func (l *looker) close() {
	_ = l.client.Close()
	l.end()
	l.seen.next.CloseIdleConnections()
}

// look does the handshake and counts the tools.
func (l *looker) look(ctx context.Context) (statusz.Server, error) {
	l.seen.begin()
	if err := l.start(ctx); err != nil {
		return statusz.Server{}, fmt.Errorf("start: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	var req mcp.InitializeRequest
	req.Params.ClientInfo = mcp.Implementation{Name: "mcp-sampler", Version: l.options.Version}
	res, err := l.client.Initialize(ctx, req)
	if err != nil {
		return statusz.Server{}, fmt.Errorf("initialize: %w", err)
	}
	info := statusz.Server{
		Name:            statusz.Clean(res.ServerInfo.Name),
		Version:         statusz.Clean(res.ServerInfo.Version),
		ProtocolVersion: statusz.Clean(res.ProtocolVersion),
		Era:             statusz.EraLegacy,
	}
	if wire.IsModernVersion(res.ProtocolVersion) {
		info.Era = statusz.EraModern
	}
	return l.relook(ctx, info)
}

// start opens what the transport needs. A stream lives as long as ctx, so that
// only opening it is bounded.
func (l *looker) start(ctx context.Context) error {
	opening, end := context.WithCancel(ctx)
	l.end = end
	late := time.AfterFunc(lookTimeout, end)
	err := l.client.Start(opening)
	if !late.Stop() && ctx.Err() == nil {
		return context.DeadlineExceeded
	}
	return err
}

// relook counts the tools of a session that is open.
func (l *looker) relook(ctx context.Context, info statusz.Server) (statusz.Server, error) {
	l.seen.begin()
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	info.State, info.At = statusz.ServerVerified, time.Now()
	if l.client.GetServerCapabilities().Tools == nil {
		if err := l.client.Ping(ctx); err != nil {
			return info, fmt.Errorf("ping: %w", err)
		}
		return info, nil
	}
	var count int32
	var req mcp.ListToolsRequest
	for range toolPages {
		page, err := l.client.ListToolsByPage(ctx, req)
		if err != nil {
			return info, fmt.Errorf("list tools: %w", err)
		}
		count += int32(min(len(page.Tools), 1<<20)) //nolint:gosec // bounded on both factors
		if page.NextCursor == "" {
			break
		}
		req.Params.Cursor = page.NextCursor
	}
	info.Tools = &count
	return info, nil
}

// lookError is a look that failed, with the newest HTTP status of the endpoint.
type lookError struct {
	cause       error
	status      int
	proxyStatus string
	otherEra    bool
}

func (e *lookError) Error() string { return e.cause.Error() }
func (e *lookError) Unwrap() error { return e.cause }

// findingOf turns a failure into a finding whose text quotes nobody: the
// server's words are untrusted.
func (o Options) findingOf(err error) statusz.Server {
	f := statusz.Server{State: statusz.ServerNotMCP, At: time.Now()}
	status, proxyStatus := 0, ""
	_, otherEra := errors.AsType[mcp.UnsupportedProtocolVersionError](err)
	if e, ok := errors.AsType[*lookError](err); ok {
		status, proxyStatus, otherEra = e.status, e.proxyStatus, otherEra || e.otherEra
	}
	switch {
	case o.Sessions && otherEra:
		f.State = statusz.ServerWrongEra
		f.Detail = "it knows the stateless era of the protocol only"
	case proxyStatus != "" && proxyStatus == o.NoRoom:
		f.State = statusz.ServerUnknown // it says nothing about the server
		f.Detail = "the sampler has no room for another session"
	case proxyStatus != "" && proxyStatus == o.NoProcess:
		f.State = statusz.ServerUnknown // as above: its other processes may be well
		f.Detail = "the server runs as many processes as it may"
	case proxyStatus != "" && o.Unreachable[proxyStatus] != "":
		f.State = statusz.ServerUnreachable
		f.Detail = o.Unreachable[proxyStatus]
	case proxyStatus != "" && proxyStatus == o.NoEndpoint:
		f.Detail = "what it sends is no stream of the HTTP+SSE transport"
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		f.State = statusz.ServerUnauthorized
		f.Detail = fmt.Sprintf("the server answers HTTP %d to callers without credentials", status)
	case status == http.StatusBadGateway || status == http.StatusServiceUnavailable || status == http.StatusGatewayTimeout:
		f.State = statusz.ServerUnreachable
		f.Detail = "no connection to the server"
	case errors.Is(err, context.DeadlineExceeded):
		f.State = statusz.ServerUnreachable
		f.Detail = fmt.Sprintf("no answer within %s", lookTimeout)
	case status == 0:
		f.State = statusz.ServerUnreachable
		f.Detail = "no connection to the sampler's own endpoint"
	case status >= http.StatusBadRequest:
		f.Detail = fmt.Sprintf("the endpoint answers HTTP %d to the MCP handshake", status)
	default:
		f.Detail = "the answer to the MCP handshake or to tools/list is none"
	}
	return f
}
