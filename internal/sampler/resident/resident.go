// Package resident is the sampler's own session with the MCP server: a caller
// like any other one, which proves that the server answers, reads what it says
// of itself and counts its tools. Held open, it is also the session in which a
// server can ask for sampling outside of any call.
//
// It connects to the sampler's own endpoint and not to the server, so that it
// sees what callers see and its sampling requests are answered where everybody
// else's are.
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
)

const (
	// lookTimeout bounds one handshake with its tool list.
	lookTimeout = 15 * time.Second
	// toolPages bounds the pages that are counted of a server that never stops
	// listing.
	toolPages = 100
)

// Options configure a Session.
type Options struct {
	// URL is the endpoint to connect to.
	URL string
	// Hold keeps the session open between looks.
	Hold bool
	// Interval is the time between two looks that succeed. Zero means 60s.
	Interval time.Duration
	// RetryMin and RetryMax bound the growing time between looks after one
	// failed. Zero means 500ms and 5s.
	RetryMin, RetryMax time.Duration
	// NoRoom and NoPods are the Proxy-Status headers by which the endpoint says, for
	// itself and not for the server, that it has no room for another session, and
	// that the server's host has no address.
	NoRoom, NoPods string
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
		if err != nil {
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
		case <-time.After(wait):
		}
	}
}

// session connects, reports what it found, and in Hold mode stays until the
// session breaks.
func (o Options) session(ctx context.Context, found func(statusz.Server)) error {
	seen := &outcome{next: &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 2}}
	defer seen.next.CloseIdleConnections()
	over, err := transport.NewStreamableHTTP(o.URL,
		transport.WithHTTPBasicClient(&http.Client{Transport: seen}),
		transport.WithHTTPLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		return fmt.Errorf("make a client for %s: %w", o.URL, err)
	}
	c := client.NewClient(over, client.WithLegacyProtocolOnly())
	defer func() { _ = c.Close() }()

	info, err := o.look(ctx, c)
	if err != nil {
		return seen.failed(err)
	}
	found(info)
	if !o.Hold {
		return nil
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(o.Interval):
		}
		again, err := o.relook(ctx, c, info)
		if err != nil {
			return seen.failed(err)
		}
		found(again)
	}
}

func (o Options) look(ctx context.Context, c *client.Client) (statusz.Server, error) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	if err := c.Start(ctx); err != nil {
		return statusz.Server{}, fmt.Errorf("start: %w", err)
	}
	var req mcp.InitializeRequest
	req.Params.ClientInfo = mcp.Implementation{Name: "mcp-sampler", Version: o.Version}
	res, err := c.Initialize(ctx, req)
	if err != nil {
		return statusz.Server{}, fmt.Errorf("initialize: %w", err)
	}
	return o.relook(ctx, c, statusz.Server{
		Name:            statusz.Clean(res.ServerInfo.Name),
		Version:         statusz.Clean(res.ServerInfo.Version),
		ProtocolVersion: statusz.Clean(res.ProtocolVersion),
	})
}

// relook counts the tools of a session that is open.
func (o Options) relook(ctx context.Context, c *client.Client, info statusz.Server) (statusz.Server, error) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	info.State, info.At = statusz.ServerVerified, time.Now()
	if c.GetServerCapabilities().Tools == nil {
		if err := c.Ping(ctx); err != nil {
			return info, fmt.Errorf("ping: %w", err)
		}
		return info, nil
	}
	var count int32
	var req mcp.ListToolsRequest
	for range toolPages {
		page, err := c.ListToolsByPage(ctx, req)
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
}

func (e *lookError) Error() string { return e.cause.Error() }
func (e *lookError) Unwrap() error { return e.cause }

// findingOf turns a failure into a finding whose text quotes nobody: the
// server's words are untrusted.
func (o Options) findingOf(err error) statusz.Server {
	f := statusz.Server{State: statusz.ServerNotMCP, At: time.Now()}
	status, proxyStatus := 0, ""
	if e, ok := errors.AsType[*lookError](err); ok {
		status, proxyStatus = e.status, e.proxyStatus
	}
	switch {
	case proxyStatus != "" && proxyStatus == o.NoRoom:
		f.State = statusz.ServerUnknown // it says nothing about the server
		f.Detail = "the sampler has no room for another session"
	case proxyStatus != "" && proxyStatus == o.NoPods:
		f.State = statusz.ServerUnreachable
		f.Detail = "the server has no running pods"
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
