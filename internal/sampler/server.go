// Package sampler puts one sampler together: the proxy that callers talk to,
// the engine that answers sampling requests, the sampler's own session with the
// server, and the admin port. It owns starting, taking new configurations into
// use, and draining.
package sampler

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/loopback"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/otlp"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/procs"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/reload"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/statusz"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/telemetry"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/trim"
)

const (
	// readHeaderTimeout and idleTimeout keep callers that do nothing from
	// holding connections.
	readHeaderTimeout = 10 * time.Second
	idleTimeout       = 2 * time.Minute
	// maxHeaderBytes bounds a request's header: each session keeps one.
	maxHeaderBytes = 64 << 10
	// maxConcurrentStreams bounds the requests of one connection of HTTP/2, which
	// can be that of a gateway with all its callers.
	maxConcurrentStreams = 1000
	// A caller of HTTP/2 that says nothing is asked after pingAfter whether it is
	// there; for one of HTTP/1 the kernel asks.
	pingAfter, pingTimeout = 15 * time.Second, 15 * time.Second
	// DefaultSettleTime is enough for the nodes of a cluster to hear that a sampler
	// is no longer ready. A load balancer outside of it may need longer.
	DefaultSettleTime = 5 * time.Second
	// exportTime is how long the last traces, metrics and audit records may take.
	exportTime = 3 * time.Second
	// settledAfter is when the start is over, and with it what it needed memory
	// for, which nobody would give back as long as nobody calls.
	settledAfter = 2 * time.Second
)

// Options configure a Server. ConfigPath, Listen, AdminListen and DrainTimeout are
// required.
type Options struct {
	// ConfigPath is the effective configuration's file.
	ConfigPath string
	// Listen is the address for callers, AdminListen that for health and status,
	// MetricsListen that for metrics; empty means that none are served.
	Listen, AdminListen, MetricsListen string
	// Advertise is the ip:port at which other replicas of this sampler reach
	// Listen. It is needed where the configuration has sessions.replicas.
	Advertise string
	// DrainTimeout is how long running calls may take to end.
	DrainTimeout time.Duration
	// SettleTime is how much of that a sampler that is to end goes on taking new
	// connections although it is no longer ready, until nobody sends it any; at
	// most a quarter. 0 means DefaultSettleTime.
	SettleTime time.Duration
	// Version is the sampler's own.
	Version string
	// Procs is told of each request; nil leaves the number of processors alone.
	Procs *procs.Governor
	// Export is where traces, metrics and audit records go too; nil is nowhere. The
	// sampler ends it.
	Export *otlp.Exporters
	// Audit takes the audit records, a line each; nil drops them.
	Audit io.Writer
	Log   *slog.Logger
}

// Server is a sampler.
type Server struct {
	Options
	file      *reload.File
	live      *live
	mcp       net.Listener
	admin     net.Listener
	metrics   net.Listener
	draining  atomic.Bool
	finding   atomic.Pointer[statusz.Server]
	again     chan struct{} // holds a token when the server is to be looked at again
	telemetry *telemetry.Telemetry
}

// New reads the configuration and opens the ports. What is wrong with any of them
// is an error that says so; nothing runs until Run.
func New(o Options) (*Server, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Procs == nil {
		o.Procs = new(procs.Governor)
	}
	s := &Server{Options: o, telemetry: telemetry.New(), again: make(chan struct{}, 1)}
	if o.Export != nil && o.Export.Meter != nil {
		if err := s.telemetry.Export(o.Export.Meter); err != nil {
			return nil, err
		}
	}
	s.live = newLive(&o, s.telemetry)
	s.telemetry.Sessions(s.live.sessions)
	s.file = reload.New(o.ConfigPath, o.Log, s.live.use)
	if err := s.file.Load(); err != nil {
		s.live.close()
		return nil, err
	}
	if err := s.listen(); err != nil {
		s.live.close()
		return nil, err
	}
	return s, nil
}

// listen opens all ports or none.
func (s *Server) listen() error {
	var opened []net.Listener
	for _, port := range []struct {
		listener *net.Listener
		address  string
		what     string
	}{
		{&s.mcp, s.Listen, "callers"},
		{&s.admin, s.AdminListen, "health and status"},
		{&s.metrics, s.MetricsListen, "metrics"},
	} {
		if port.listener == &s.metrics && port.address == "" {
			continue
		}
		l, err := net.Listen("tcp", port.address)
		if err != nil {
			for _, l := range opened {
				_ = l.Close()
			}
			return fmt.Errorf("listen for %s: %w", port.what, err)
		}
		*port.listener = l
		opened = append(opened, l)
	}
	return nil
}

// Addr is where callers connect.
func (s *Server) Addr() net.Addr { return s.mcp.Addr() }

// AdminAddr is where health and status are served.
func (s *Server) AdminAddr() net.Addr { return s.admin.Addr() }

// MetricsAddr is where metrics are served; nil where they are not.
func (s *Server) MetricsAddr() net.Addr {
	if s.metrics == nil {
		return nil
	}
	return s.metrics.Addr()
}

// Run serves until ctx ends, then lets running calls end within DrainTimeout.
func (s *Server) Run(ctx context.Context) error {
	callers := &http.Server{
		Handler:           s.closing(loopback.Only(s.mcp, s.live)),
		Protocols:         protocols(),
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: maxConcurrentStreams, SendPingTimeout: pingAfter, PingTimeout: pingTimeout},
		MaxHeaderBytes:    maxHeaderBytes,
		ReadHeaderTimeout: readHeaderTimeout,
		IdleTimeout:       idleTimeout,
		ErrorLog:          slog.NewLogLogger(s.Log.Handler(), slog.LevelDebug),
	}
	admin := s.besideCallers(s.admin, s.adminHandler())
	// What runs beside the callers goes on while they drain: the file is
	// followed and /statusz answers until the last call is over.
	beside, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	failed, fail := context.WithCancelCause(ctx)
	defer fail(nil)

	var g errgroup.Group
	serve := func(srv *http.Server, l net.Listener) func() error {
		return func() error {
			if err := srv.Serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) {
				fail(err)
				return fmt.Errorf("serve %s: %w", l.Addr(), err)
			}
			return nil
		}
	}
	g.Go(serve(callers, s.mcp))
	g.Go(serve(admin, s.admin))
	scraped, endScrapes := "off", func() {}
	if s.metrics != nil {
		scraped = s.metrics.Addr().String()
		metrics := s.besideCallers(s.metrics, s.metricsHandler())
		endScrapes = func() { _ = metrics.Close() }
		g.Go(serve(metrics, s.metrics))
	}
	g.Go(func() error {
		err := s.file.Run(beside)
		if err != nil {
			fail(err)
		}
		return err
	})
	g.Go(func() error { s.runResident(failed); return nil })
	free := time.AfterFunc(settledAfter, s.settle)
	defer free.Stop()
	s.Log.Info("the sampler serves", "listen", s.mcp.Addr().String(), "admin", s.admin.Addr().String(), "metrics", scraped,
		"server", s.live.current().cfg.Server.Name, "configHash", s.live.current().hash)

	<-failed.Done()
	s.drain(callers, ctx.Err() != nil)
	stop()
	s.live.close()
	s.endExport()
	_ = admin.Close()
	endScrapes()
	return g.Wait()
}

// besideCallers is the server of a port that callers do not reach.
func (s *Server) besideCallers(l net.Listener, h http.Handler) *http.Server {
	return &http.Server{
		Handler:           loopback.Only(l, h),
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readHeaderTimeout,
		WriteTimeout:      readHeaderTimeout,
		IdleTimeout:       idleTimeout,
		ErrorLog:          slog.NewLogLogger(s.Log.Handler(), slog.LevelDebug),
	}
}

// endExport sends what is left. The samplers' own end does not wait for it long.
func (s *Server) endExport() {
	ctx, cancel := context.WithTimeout(context.Background(), exportTime)
	defer cancel()
	if err := s.Export.Shutdown(ctx); err != nil {
		s.Log.Warn("what was left to export is lost", "error", err)
	}
}

// protocols are those of callers: gateways speak HTTP/2 without TLS to what is
// behind them.
func protocols() *http.Protocols {
	var p http.Protocols
	p.SetHTTP1(true)
	p.SetUnencryptedHTTP2(true)
	return &p
}

// settle gives back what the start needed.
func (s *Server) settle() {
	if err := trim.Start(); err != nil {
		s.Log.Debug("the memory of the start is kept", "error", err)
	}
}

// closing has callers leave their connections while the sampler drains, each
// after a response. One that is idle stays open, as a request may be under way
// on it.
func (s *Server) closing(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.Procs.Work()
		if s.draining.Load() {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}

// drain lets the calls that run come to their end, and serves those that still
// come. asked is false after a failure, when there is nothing to wait for.
func (s *Server) drain(callers *http.Server, asked bool) {
	s.draining.Store(true)
	if !asked {
		_ = callers.Close()
		return
	}
	s.Log.Info("draining", "timeout", s.DrainTimeout)
	ctx, cancel := context.WithTimeout(context.Background(), s.DrainTimeout)
	defer cancel()
	s.live.drain()
	select { // new calls still come until every router knows that this one ends
	case <-ctx.Done():
	case <-time.After(min(cmp.Or(s.SettleTime, DefaultSettleTime), s.DrainTimeout/4)):
	}
	// No connection comes any more; only then can the last call be known.
	closed := make(chan error, 1)
	go func() { closed <- callers.Shutdown(ctx) }()
	if err := s.live.shutdown(ctx); err != nil {
		s.Log.Warn("calls were cut off at the end of the drain time", "error", err)
	}
	if err := <-closed; err != nil {
		_ = callers.Close()
	}
}
