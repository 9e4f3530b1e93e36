// Package engine answers sampling requests: it asks the policy what to do, calls
// the model, and says what became of it. One Engine serves one configuration;
// a change makes a new one, and requests that run keep the old.
//
// Nothing of what a provider says when it fails reaches the server, and no key
// and no message content reaches the log.
package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"

	jsonpatch "github.com/evanphx/json-patch/v5"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/audit"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/config"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/limits"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/policy"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/statusz"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/telemetry"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/tracing"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

// Options configure an Engine. Only Server is required.
type Options struct {
	// Server names the MCP server in the log.
	Server config.Server
	// Policy is validated and has its defaults; nil means that nothing is
	// answered.
	Policy *config.Policy
	// ConfigHash names the configuration in the audit record.
	ConfigHash string
	// Limiter holds the policy's limits, for this engine and those after it; nil
	// holds none.
	Limiter *limits.Limiter
	// Audit takes one record a request; nil drops them.
	Audit *audit.Log
	// Logger is for what is not about one request; nil drops it.
	Logger *slog.Logger
	// Telemetry counts; nil counts nothing.
	Telemetry *telemetry.Telemetry
	// Tracer makes spans; nil makes none.
	Tracer *tracing.Tracer
	// Previous is the engine of the configuration before. What it knows of
	// providers that stay the same is kept, so that a change elsewhere in the
	// policy does not make them look unknown for a moment.
	Previous *Engine

	// newClient makes the client of a provider; tests put a fake there.
	newClient func(config.Provider, func() (string, error)) (provider.Provider, error)
}

// Engine answers the sampling requests of one configuration. Its methods may be
// called concurrently.
type Engine struct {
	server     config.Server
	configHash string
	policy     *policy.Policy
	limiter    *limits.Limiter
	audit      *audit.Log
	log        *slog.Logger
	telemetry  *telemetry.Telemetry
	tracer     *tracing.Tracer
	targets    []*target // in the policy's order
	// next is the engine of the configuration that came after this one.
	next atomic.Pointer[Engine]
}

// New makes an engine. It calls nobody.
func New(o Options) (*Engine, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	p, err := withExtraBodies(o.Policy)
	if err != nil {
		return nil, err
	}
	compiled, err := policy.Compile(p)
	if err != nil {
		return nil, err
	}
	e := &Engine{
		server: o.Server, configHash: o.ConfigHash, policy: compiled,
		limiter: o.Limiter, audit: o.Audit, log: o.Logger, telemetry: o.Telemetry, tracer: o.Tracer,
	}
	if o.Policy == nil {
		return e, nil
	}
	if o.newClient == nil {
		o.newClient = newClient
	}
	for _, c := range p.Providers {
		before := o.Previous.target(c.Name)
		if before != nil && reflect.DeepEqual(before.config, c) {
			// With its connections, and what is known of it.
			before.health.reconsider()
			e.targets = append(e.targets, before)
			continue
		}
		t := &target{config: c, key: credential{config: c.Credential}, breaker: newBreaker(c.Name, o.Logger)}
		client, err := o.newClient(c, t.keySource())
		if err != nil {
			return nil, fmt.Errorf("provider %s: %w", c.Name, err)
		}
		t.client = client
		if before != nil && sameProvider(before.config, c) {
			t.health.inherit(&before.health)
			t.breaker = before.breaker
		}
		_, _ = t.checkKey() // a missing key is a finding, not a failure
		e.targets = append(e.targets, t)
	}
	return e, nil
}

// withExtraBodies returns a policy whose models have the extra body of all models
// below their own.
func withExtraBodies(p *config.Policy) (*config.Policy, error) {
	if p == nil || len(p.Parameters.ExtraBody) == 0 {
		return p, nil
	}
	out := *p
	out.Models.Allowed = slices.Clone(p.Models.Allowed)
	for i := range out.Models.Allowed {
		m := &out.Models.Allowed[i]
		if len(m.ExtraBody) == 0 {
			m.ExtraBody = p.Parameters.ExtraBody
			continue
		}
		merged, err := jsonpatch.MergePatch(p.Parameters.ExtraBody, m.ExtraBody)
		if err != nil {
			return nil, fmt.Errorf("merge the extraBody of model %s: %w", m.Name, err)
		}
		m.ExtraBody = merged
	}
	return &out, nil
}

// SupersededBy tells an engine which one came after it: what it still answers
// goes only to models that are still allowed.
func (e *Engine) SupersededBy(next *Engine) { e.next.Store(next) }

// newest is the last engine in the row that began with e.
func (e *Engine) newest() *Engine {
	for {
		next := e.next.Load()
		if next == nil {
			return e
		}
		e = next
	}
}

// target finds a provider by its name. A nil engine has none.
func (e *Engine) target(name string) *target {
	if e == nil {
		return nil
	}
	for _, t := range e.targets {
		if t.config.Name == name {
			return t
		}
	}
	return nil
}

// sameProvider reports whether what is known of one provider is true of the
// other. How often is tried and how long is waited does not count.
func sameProvider(a, b config.Provider) bool {
	a.Timeout, a.Retries = b.Timeout, b.Retries
	return reflect.DeepEqual(a, b)
}

// Declare says what the server is told when a caller that declared caller
// initializes.
func (e *Engine) Declare(caller wire.SamplingCapability) wire.SamplingCapability {
	return policy.Declare(e.policy, caller)
}

// Takes reports whether Answer serves this request; if not, it is the caller's.
func (e *Engine) Takes(s policy.Session, params json.RawMessage) bool {
	// Only in mode Fallback does it depend on the request.
	needsTools := e.policy != nil && e.policy.Mode == config.ModeFallback && s.Caller.Declared && wire.NeedsTools(params)
	return policy.Takes(e.policy, s, needsTools)
}

// Status reports on each provider, in the policy's order.
func (e *Engine) Status() []statusz.Provider {
	if len(e.targets) == 0 {
		return nil
	}
	list := make([]statusz.Provider, len(e.targets))
	for i, t := range e.targets {
		list[i] = t.status()
	}
	return list
}

// Run keeps Status fresh until ctx ends.
func (e *Engine) Run(ctx context.Context) {
	var g sync.WaitGroup
	for _, t := range e.targets {
		g.Go(func() { t.watch(ctx) })
	}
	g.Wait()
	newest := e.newest()
	for _, t := range e.targets {
		if newest != e && slices.Contains(newest.targets, t) {
			continue // it is in use there
		}
		if c, ok := t.client.(interface{ CloseIdleConnections() }); ok {
			c.CloseIdleConnections()
		}
	}
}

// asProviderError is for errors of adapters that break their promise, too.
func asProviderError(err error) *provider.Error {
	var known *provider.Error
	if errors.As(err, &known) {
		return known
	}
	if errors.Is(err, errTimeout) {
		return &provider.Error{Kind: provider.KindTimeout, Detail: "no answer within the policy's timeout"}
	}
	return &provider.Error{Kind: provider.KindFailed, Detail: "it failed", Cause: err}
}
