package engine

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/statusz"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/telemetry"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/tracing"
)

// described is what the span of a request says of it.
func (e *Engine) described(o *outcome) tracing.Sampling {
	s := tracing.Sampling{
		Session: o.session, Policy: e.policyName(), Decision: string(o.decision), Reason: o.reason, Queue: o.queued,
	}
	if o.decision != telemetry.Answered {
		s.ErrorType = o.reason
	}
	if o.policy != nil {
		s.MaxTokens, s.Temperature = o.policy.Params.MaxTokens, o.policy.Params.Temperature
	}
	if n := len(o.attempts); n > 0 {
		last := &o.attempts[n-1]
		s.Provider, s.Model = family(last.target.config), last.model.Model
	}
	if o.response != nil {
		s.Answered, s.FinishReason = statusz.Clean(o.response.Result.Model), o.response.Result.StopReason
		s.InputTokens, s.OutputTokens = o.response.Usage.InputTokens, o.response.Usage.OutputTokens
	}
	return s
}

// attempt is what the span of an attempt says; number counts those before.
func (t *target) attempt(number int) tracing.Attempt {
	a := tracing.Attempt{Number: number}
	if base, err := url.Parse(t.config.BaseURL); err == nil && base.Hostname() != "" {
		a.Address, a.Port = base.Hostname(), 443
		if port, err := strconv.Atoi(base.Port()); err == nil {
			a.Port = port
		} else if base.Scheme == "http" {
			a.Port = 80
		}
	}
	return a
}

// status is how an attempt went: the status of HTTP, where it is known, and the
// kind of failure.
func (a *attempt) status() (status int, errorType string) {
	if a.err == nil {
		return http.StatusOK, ""
	}
	var unsupported *provider.UnsupportedError
	if errors.As(a.err, &unsupported) {
		return 0, reasonUnsupportedContent
	}
	failure := asProviderError(a.err)
	return failure.Status, string(failure.Kind)
}
