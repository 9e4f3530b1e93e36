package sampler

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"reflect"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/audit"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/config"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/engine"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/limits"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/policy"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/proxy"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/roots"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/seal"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/statusz"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/telemetry"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/tracing"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

// snapshot is one configuration in use. A request keeps the one it began with.
type snapshot struct {
	cfg    *config.Effective
	hash   string
	engine *engine.Engine
	// stop ends what the engine does beside answering.
	stop context.CancelFunc
}

// live is the configuration in use and what was made from it. A new policy is a
// new engine behind the same proxy, so that no session notices; only a new
// upstream is a new proxy, and another way to share sessions.
type live struct {
	log          *slog.Logger
	telemetry    *telemetry.Telemetry
	tracer       *tracing.Tracer
	audit        *audit.Log
	endAudit     func()
	drainTimeout time.Duration
	// advertise is where other replicas reach this sampler.
	advertise string
	// ctx ends when the sampler is closed.
	ctx  context.Context
	stop context.CancelFunc

	snap    atomic.Pointer[snapshot]
	handler atomic.Pointer[proxy.Handler]

	mu       sync.Mutex // serialises use, drain and close
	draining bool
	closed   bool
	beside   sync.WaitGroup
	// limiter outlives policies: what was used stays used.
	limiter *limits.Limiter
	// sealer is made with the key in keyFile.
	sealer  *seal.Sealer
	keyFile string

	waiting chan struct{} // closed at the next change
}

func newLive(o *Options, t *telemetry.Telemetry) *live {
	l := &live{log: o.Log, telemetry: t, drainTimeout: o.DrainTimeout, advertise: o.Advertise}
	if o.Export != nil {
		l.tracer = tracing.New(o.Export.Traces)
	}
	if o.Audit != nil {
		l.audit = audit.New(o.Audit, o.Log)
		l.audit.Also(o.Export.Audit())
	}
	l.ctx, l.stop = context.WithCancel(context.Background())
	if l.audit != nil {
		// It ends last: what ends at the end has records too.
		ctx, stop := context.WithCancel(context.Background())
		var writing sync.WaitGroup
		writing.Go(func() { l.audit.Run(ctx) })
		l.endAudit = func() {
			stop()
			writing.Wait()
		}
	}
	return l
}

func (l *live) current() *snapshot { return l.snap.Load() }

// policyName is that of the policy in use; empty where there is none.
func (l *live) policyName() string {
	if snap := l.current(); snap != nil && snap.cfg.Policy != nil {
		return snap.cfg.Policy.Name
	}
	return ""
}

// changed returns a channel that is closed when the next configuration is taken
// into use. Ask for it before current.
func (l *live) changed() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.waiting == nil {
		l.waiting = make(chan struct{})
	}
	return l.waiting
}

// use takes a configuration into use.
func (l *live) use(c *config.Effective) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return errors.New("the sampler ends")
	}
	before := l.snap.Load()
	hash := c.Hash()
	if before != nil && before.hash == hash {
		return nil
	}
	if verifies(c) {
		if err := roots.Install(); err != nil {
			return err
		}
	}
	limiter, err := l.limiterOf(c)
	if err != nil {
		return err
	}
	options := engine.Options{
		Server: c.Server, Policy: c.Policy, ConfigHash: hash,
		Limiter: limiter, Audit: l.audit, Logger: l.log, Telemetry: l.telemetry, Tracer: l.tracer,
	}
	if before != nil {
		if err := mounted(c); err != nil {
			return err
		}
		options.Previous = before.engine
	}
	eng, err := engine.New(options)
	if err != nil {
		return fmt.Errorf("use the policy: %w", err)
	}
	handler := l.handler.Load()
	if before == nil || !reflect.DeepEqual(before.cfg.Upstream, c.Upstream) || before.cfg.Sessions != c.Sessions {
		if handler, err = l.newHandler(c); err != nil {
			return err
		}
		if l.draining {
			handler.Drain()
		}
	} else {
		handler.Configure(settings(c))
	}
	for _, p := range eng.Status() {
		if p.Credential == statusz.CredentialMissing {
			l.log.Warn("the key of a provider is missing", "provider", p.Name, "key", p.CredentialRef, "detail", p.Detail)
		}
	}
	if err := limiter.Configure(limitsOf(c)); err != nil {
		return fmt.Errorf("use the policy's limits: %w", err)
	}
	ctx, stop := context.WithCancel(l.ctx)
	l.beside.Go(func() { eng.Run(ctx) })
	if before != nil {
		before.engine.SupersededBy(eng)
	}
	l.snap.Store(&snapshot{cfg: c, hash: hash, engine: eng, stop: stop})
	if before != nil {
		before.stop()
		l.log.Info("a new configuration is in use", "configHash", hash, "before", before.hash)
	}
	if old := l.handler.Swap(handler); old != nil && old != handler {
		// Sessions with the server that was here before end; its calls may end well.
		l.beside.Go(func() {
			drain, cancel := context.WithTimeout(l.ctx, l.drainTimeout)
			defer cancel()
			if err := old.Shutdown(drain); err != nil {
				l.log.Warn("calls of the server that was here before were cut off", "error", err)
			}
		})
	}
	if l.waiting != nil {
		close(l.waiting)
		l.waiting = nil
	}
	return nil
}

// limiterOf returns the limiter of all policies, made for the first of them; l.mu
// is held.
func (l *live) limiterOf(c *config.Effective) (*limits.Limiter, error) {
	if l.limiter != nil {
		return l.limiter, nil
	}
	limiter, err := limits.New(limits.Options{Server: c.Server, Limits: limitsOf(c), Logger: l.log})
	if err != nil {
		return nil, fmt.Errorf("use the policy's limits: %w", err)
	}
	l.limiter = limiter
	l.beside.Go(func() { limiter.Run(l.ctx) })
	return limiter, nil
}

func limitsOf(c *config.Effective) config.SamplingLimits {
	if c.Policy == nil {
		return config.SamplingLimits{}
	}
	return c.Policy.Limits
}

func settings(c *config.Effective) proxy.Settings {
	return proxy.Settings{
		AllowedOrigins:       c.AllowedOrigins,
		MaxBodyBytes:         c.Limits.RequestBytes,
		MaxHeldBytes:         heldBytes(),
		MaxEventBytes:        int(c.Limits.EventBytes),
		MaxSessions:          c.Limits.Sessions,
		MaxStreams:           c.Limits.Streams,
		MaxAnswersPerSession: c.Limits.SamplingPerSession,
	}
}

// heldBytes is what the bodies of all requests may hold: a quarter of the memory
// that Go is told of, or 0, which is the default, where there is no limit.
func heldBytes() int64 {
	limit := debug.SetMemoryLimit(-1)
	if limit == math.MaxInt64 {
		return 0
	}
	return limit / 4
}

// drain has sessions leave for other replicas as soon as they can.
func (l *live) drain() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.draining = true
	l.handler.Load().Drain()
}

// sessions is how many sessions are held.
func (l *live) sessions() int {
	if handler := l.handler.Load(); handler != nil {
		return handler.Sessions()
	}
	return 0
}

// shutdown lets running calls end.
func (l *live) shutdown(ctx context.Context) error {
	if handler := l.handler.Load(); handler != nil {
		return handler.Shutdown(ctx)
	}
	return nil
}

// close ends everything and waits for it.
func (l *live) close() {
	l.mu.Lock()
	l.closed = true
	handler := l.handler.Load()
	l.mu.Unlock()
	l.stop()
	if handler != nil {
		handler.Close()
	}
	l.beside.Wait()
	if l.endAudit != nil {
		l.endAudit()
	}
}

// ServeHTTP implements http.Handler for callers.
func (l *live) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l.handler.Load().ServeHTTP(w, r)
}

// Declare implements proxy.Sampling.
func (l *live) Declare(caller wire.SamplingCapability) wire.SamplingCapability {
	return l.current().engine.Declare(caller)
}

// Takes implements proxy.Sampling.
func (l *live) Takes(s proxy.Session, params json.RawMessage) bool {
	return l.current().engine.Takes(policySession(s), params)
}

// Answer implements proxy.Sampling.
func (l *live) Answer(ctx context.Context, s proxy.Session, params json.RawMessage) (json.RawMessage, *wire.Error, func()) {
	return l.current().engine.Answer(ctx, s.ID, policySession(s), params)
}

func policySession(s proxy.Session) policy.Session {
	return policy.Session{Caller: s.Caller, Declared: s.Declared, CallerUnknown: s.CallerUnknown, InCall: s.InCall}
}
