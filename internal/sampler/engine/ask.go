package engine

import (
	"context"
	"errors"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/config"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/policy"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider"
)

const (
	// firstPause and longestPause bound the pauses between attempts where the
	// provider does not say how long to wait.
	firstPause   = 400 * time.Millisecond
	longestPause = 8 * time.Second
	// patience is how long a provider may ask to wait while there is another
	// model to ask.
	patience = 2 * time.Second
)

// errWithdrawn means that the policy changed, and the model is no longer in it.
var errWithdrawn = errors.New("the policy no longer allows the model")

// ask asks the models of a decision in their order until one answers, or fails in
// a way that would be the same with the next. It notes every attempt.
func (e *Engine) ask(ctx context.Context, d *policy.Decision, from provider.Context, o *outcome) (*provider.Response, error) {
	var failure error
	for i := range d.Candidates {
		m := &d.Candidates[i]
		response, err := e.askModel(ctx, m, newRequest(m, d, from), i+1 < len(d.Candidates), o)
		if err == nil {
			o.model = m
			return response, nil
		}
		var unsupported *provider.UnsupportedError
		if failure != nil && errors.As(err, &unsupported) {
			continue // what the first one could have answered is still to be had later
		}
		o.model, failure = m, err
		var known *provider.Error
		if !errors.As(err, &known) || !known.Retryable() || ctx.Err() != nil {
			break
		}
	}
	return nil, failure
}

// askModel asks one model, again after failures that may pass, as often and as
// long as its provider's configuration says. more tells that there is another
// model to ask.
func (e *Engine) askModel(ctx context.Context, m *config.Model, req provider.Request, more bool, o *outcome) (*provider.Response, error) {
	t := e.target(m.Provider)
	if t == nil { // validation prevents it
		return nil, &provider.Error{Kind: provider.KindMissingKey, Detail: "the policy has no such provider"}
	}
	timeout := time.Duration(t.config.Timeout)
	asking, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	left := timeout
	if deadline, ok := asking.Deadline(); ok {
		left = time.Until(deadline)
	}
	var failure error // of the newest attempt
	response, _ := backoff.Retry(asking, func() (*provider.Response, error) {
		// The last moment to see that the policy has changed.
		if !e.newest().allows(t, m) {
			failure = errWithdrawn
			return nil, backoff.Permanent(failure)
		}
		begin := time.Now()
		var response *provider.Response
		trying, span := e.tracer.Try(asking, t.attempt(len(o.attempts)))
		response, failure = t.call(trying, req, time.Duration(e.policy.Limits.Timeout)/2)
		o.attempt(t, m, time.Since(begin), failure)
		span.EndAttempt(o.attempts[len(o.attempts)-1].status())
		if failure == nil {
			return response, nil
		}
		return nil, retryable(failure, more)
	},
		backoff.WithBackOff(pauses()),
		backoff.WithMaxTries(uint(t.config.Retries)+1),
		// A provider that asks to wait for longer than there is time gets no second
		// request, and its own answer is what is reported.
		backoff.WithMaxElapsedTime(max(left, time.Nanosecond)))
	switch cause := context.Cause(ctx); {
	case failure == nil:
		return response, nil
	case errors.Is(cause, context.Canceled): // maybe in a pause
		return nil, &provider.Error{Kind: provider.KindCanceled, Detail: "canceled", Cause: failure}
	default:
		return nil, failure
	}
}

func pauses() *backoff.ExponentialBackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval = firstPause, longestPause
	return b
}

// retryable tells the retry loop whether and when to go on.
func retryable(err error, more bool) error {
	var known *provider.Error
	if !errors.As(err, &known) || !known.Retryable() || known.Kind == provider.KindUnavailable {
		return backoff.Permanent(err)
	}
	switch wait := known.RetryAfter; {
	case wait == 0:
		return err
	case more && wait > patience:
		return backoff.Permanent(err)
	default:
		return &backoff.RetryAfterError{Duration: wait}
	}
}

// allows reports whether the policy still has the model, at the same provider.
func (e *Engine) allows(t *target, m *config.Model) bool {
	if e.policy == nil {
		return false
	}
	now := e.target(m.Provider)
	if now == nil || (now != t && !sameProvider(now.config, t.config)) {
		return false
	}
	for i := range e.policy.Models.Allowed {
		if a := &e.policy.Models.Allowed[i]; a.Provider == m.Provider && a.Model == m.Model {
			return true
		}
	}
	return false
}

func newRequest(m *config.Model, d *policy.Decision, from provider.Context) provider.Request {
	p := &d.Params
	req := provider.Request{
		Model:         m.Model,
		Messages:      p.Messages,
		Temperature:   p.Temperature,
		MaxTokens:     p.MaxTokens,
		StopSequences: p.StopSequences,
		Tools:         p.Tools,
		Metadata:      p.Metadata,
		ExtraBody:     m.ExtraBody,
		Context:       from,
	}
	if p.SystemPrompt != nil {
		req.SystemPrompt = *p.SystemPrompt
	}
	if p.ToolChoice != nil {
		req.ToolChoice = p.ToolChoice.Mode
	}
	return req
}
