package engine

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math"
	"regexp"
	"time"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/audit"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/config"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/policy"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/statusz"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/telemetry"
)

// maxHints is how many of a server's hints a record keeps.
const maxHints = 16

// modelName is what a hint looks like. Whatever else a server writes there is
// content, and stands in the record as noModelName.
var modelName = regexp.MustCompile(`^[A-Za-z0-9._:/@+-]{1,64}$`)

const noModelName = "(no name of a model)"

// report writes the metrics and the audit record of one request.
func (e *Engine) report(o *outcome) {
	e.measure(o)
	if e.audit == nil || e.auditLevel() == config.AuditNone {
		if o.decision == telemetry.Failed {
			e.log.Warn("a sampling request failed", e.failure(o)...)
		}
		return
	}
	if err := e.audit.Write(e.record(o)); err != nil {
		e.log.Error("an audit record is lost", "error", err)
	}
}

// failure is what the log says of a request that no record is kept of.
func (e *Engine) failure(o *outcome) []any {
	out := []any{"session", o.session, "reason", o.reason}
	if n := len(o.attempts); n > 0 {
		last := o.attempts[n-1].record()
		out = append(out, "provider", last.Provider, "model", last.Model, "detail", last.Detail, "cause", last.Cause)
	}
	return out
}

// auditLevel is what is recorded, also of requests that no policy is there for.
func (e *Engine) auditLevel() config.AuditLevel {
	if e.policy == nil {
		return config.AuditMetadata
	}
	return e.policy.Audit.Level
}

func (e *Engine) measure(o *outcome) {
	policyName := e.policyName()
	e.telemetry.Request(policyName, o.decision, o.reason)
	models := o.models()
	e.telemetry.Took(policyName, telemetry.Phases{Queue: o.queued, Model: models, Own: max(0, o.took-o.queued-models)})
	var before *config.Model
	for i := range o.attempts {
		a := &o.attempts[i]
		if before == a.model {
			e.telemetry.Retry(policyName, family(a.target.config), a.model.Model)
		} else if before != nil {
			e.telemetry.Fallback(policyName, before.Model, a.model.Model)
		}
		before = a.model
		if !a.sent() {
			continue
		}
		op := telemetry.Operation{Policy: policyName, Provider: family(a.target.config), Model: a.model.Model, Duration: a.took}
		if a.err != nil {
			op.ErrorType = string(asProviderError(a.err).Kind)
		} else if o.response != nil {
			op.InputTokens, op.OutputTokens = o.response.Usage.InputTokens, o.response.Usage.OutputTokens
		}
		e.telemetry.Operation(op)
	}
	if c := cost(o); c != nil {
		e.telemetry.Cost(policyName, o.model.Model, c.Currency, c.Amount)
	}
	for _, r := range o.allRedactions() {
		e.telemetry.Redacted(policyName, r.Rule, r.Count)
	}
}

// policyName is empty where there is no policy.
func (e *Engine) policyName() string {
	if e.policy == nil {
		return ""
	}
	return e.policy.Name
}

// models is how long providers were waited for.
func (o *outcome) models() (took time.Duration) {
	for i := range o.attempts {
		took += o.attempts[i].took
	}
	return took
}

// sent reports whether the provider was asked at all.
func (a *attempt) sent() bool {
	var unsupported *provider.UnsupportedError
	if errors.As(a.err, &unsupported) {
		return false
	}
	var known *provider.Error
	if errors.As(a.err, &known) {
		return known.Kind != provider.KindUnavailable && known.Kind != provider.KindMissingKey
	}
	return true
}

func (e *Engine) record(o *outcome) *audit.Record {
	sum := sha256.Sum256(o.raw)
	r := &audit.Record{
		Time:        o.start.UTC(),
		Server:      e.server.Name,
		Namespace:   e.server.Namespace,
		Session:     o.session,
		Policy:      e.policyName(),
		ConfigHash:  e.configHash,
		Decision:    string(o.decision),
		Reason:      o.reason,
		Duration:    o.took.Seconds(),
		Queue:       o.queued.Seconds(),
		Redactions:  o.allRedactions(),
		ContentHash: "sha256:" + hex.EncodeToString(sum[:]),
	}
	if o.place.IsValid() {
		r.TraceID, r.SpanID, r.Sampled = o.place.TraceID().String(), o.place.SpanID().String(), o.place.IsSampled()
	}
	if o.failed != nil {
		r.Error = &audit.Error{Code: o.failed.Code, Message: o.failed.Message}
	}
	if o.asked != nil && o.asked.ModelPreferences != nil {
		for i, hint := range o.asked.ModelPreferences.Hints {
			if i == maxHints {
				break
			}
			if !modelName.MatchString(hint.Name) {
				hint.Name = noModelName
			}
			r.Hints = append(r.Hints, hint.Name)
		}
	}
	if o.policy != nil {
		r.Changes = o.policy.Changes
	}
	if o.model != nil {
		r.Model, r.Provider = o.model.Name, o.model.Provider
	}
	models := o.models()
	for i := range o.attempts {
		r.Attempts = append(r.Attempts, o.attempts[i].record())
		if i > 0 && o.attempts[i-1].model == o.attempts[i].model {
			r.Retries++
		}
	}
	r.Models = models.Seconds()
	r.Own = max(0, o.took-o.queued-models).Seconds()
	if o.response != nil {
		r.Answered = statusz.Clean(o.response.Result.Model)
		r.StopReason = o.response.Result.StopReason
		r.InputTokens, r.OutputTokens = o.response.Usage.InputTokens, o.response.Usage.OutputTokens
		r.Lost = o.response.Lost
		r.Cost = cost(o)
	}
	if e.auditLevel() == config.AuditContent {
		r.Content = o.content()
	}
	return r
}

func (a *attempt) record() audit.Attempt {
	out := audit.Attempt{Provider: a.model.Provider, Model: a.model.Model, Duration: a.took.Seconds()}
	if a.err == nil {
		return out
	}
	var unsupported *provider.UnsupportedError
	if errors.As(a.err, &unsupported) {
		out.Error, out.Detail = reasonUnsupportedContent, unsupported.What
		return out
	}
	known := asProviderError(a.err)
	out.Error, out.Status, out.Detail = string(known.Kind), known.Status, known.Detail
	if known.Cause != nil {
		out.Cause = statusz.Clean(known.Cause.Error())
	}
	return out
}

// content is what was said, as far as the policy let it out.
func (o *outcome) content() *audit.Content {
	c := &audit.Content{Result: o.result}
	if o.policy != nil {
		if sent, err := json.Marshal(o.policy.Params); err == nil {
			c.Request = sent
		}
	}
	if c.Request == nil && c.Result == nil {
		return nil
	}
	return c
}

// cost is what the answer costs; nil where that is not known.
func cost(o *outcome) *audit.Cost {
	if o.response == nil || o.model == nil || o.model.Prices == nil {
		return nil
	}
	const per = 1e6
	p, u := o.model.Prices, o.response.Usage
	return &audit.Cost{
		Amount:   math.Round((float64(u.InputTokens)*p.Input+float64(u.OutputTokens)*p.Output)*1e6) / (per * 1e6),
		Currency: p.Currency,
	}
}

// allRedactions are those of request and answer, each rule once.
func (o *outcome) allRedactions() []policy.Redaction {
	if o.policy == nil || len(o.policy.Redactions) == 0 {
		return o.redactions
	}
	all := append([]policy.Redaction(nil), o.policy.Redactions...)
	for _, r := range o.redactions {
		found := false
		for i := range all {
			if all[i].Rule == r.Rule {
				all[i].Count += r.Count
				found = true
			}
		}
		if !found {
			all = append(all, r)
		}
	}
	return all
}

// family is the convention's name of who runs a model (gen_ai.provider.name).
func family(c config.Provider) string {
	switch c.Type {
	case config.ProviderOpenAI:
		if c.OpenAI != nil && c.OpenAI.Azure != nil {
			return "azure.ai.openai"
		}
		return "openai"
	case config.ProviderAnthropic:
		return "anthropic"
	case config.ProviderGoogleGenAI:
		return "gcp.gemini"
	case config.ProviderWebhook:
		return "webhook"
	default:
		return "_OTHER"
	}
}
