package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/config"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/limits"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/policy"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/telemetry"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

// Reasons for metrics and the audit record beside those of the policy and the
// kinds of failure of a provider.
const (
	reasonInvalidParams      = "InvalidParams"
	reasonUnsupportedContent = "UnsupportedContent"
	reasonInternal           = "Internal"
	reasonLimitExceeded      = "LimitExceeded"
	reasonLimitUnavailable   = "LimitStoreUnavailable"
	reasonTimeout            = "TimeoutExceeded"
	reasonCanceled           = "Canceled"
	reasonPolicyChanged      = "PolicyChanged"
	reasonHandlerRefused     = "HandlerRefused"
)

// errorText is what a server is told about a failure: enough to tell a user what
// to do, nothing of what the provider said.
var errorText = map[provider.Kind]string{
	provider.KindMissingKey:   "the model provider is not configured",
	provider.KindUnauthorized: "the model provider is not configured correctly",
	provider.KindRateLimited:  "the model provider has too many requests now",
	provider.KindUnreachable:  "the model provider cannot be reached",
	provider.KindTimeout:      "the model provider did not answer in time",
	provider.KindCanceled:     "the sampling request was canceled",
	provider.KindRejected:     "the model provider did not accept the request",
	provider.KindFailed:       "the model provider failed",
	provider.KindInvalid:      "the model provider gave an answer that cannot be used",
	provider.KindMalformed:    "the model made a tool call whose arguments are not a JSON object",
	provider.KindUnavailable:  "the model provider failed several times: try again in a moment",
}

// errTimeout is why a request ends that took longer than the policy's limit.
var errTimeout = errors.New("the policy's timeout is over")

// Answer serves one sampling request of the session that the log calls
// sessionID: a result or an error, never both and never neither. When ctx ends,
// the model call does too. report writes the audit record and the metrics: it is
// to be called once, when nobody waits for the answer any more.
func (e *Engine) Answer(ctx context.Context, sessionID string, s policy.Session, params json.RawMessage) (result json.RawMessage, failure *wire.Error, report func()) {
	o := &outcome{start: time.Now(), session: sessionID, raw: params}
	e.telemetry.Begin()
	defer e.telemetry.End()
	ctx, span := e.tracer.Sample(ctx)
	o.place = span.Context()
	// Until there is an answer; it stays so where a panic comes in its place.
	o.decision, o.reason = telemetry.Failed, reasonInternal
	defer func() { span.EndSampling(e.described(o)) }()
	result, failure = e.answer(ctx, s, o)
	o.took = time.Since(o.start)
	o.failed = failure
	if failure == nil {
		o.result = result
	}
	return result, failure, func() { e.report(o) }
}

func (e *Engine) answer(ctx context.Context, s policy.Session, o *outcome) (json.RawMessage, *wire.Error) {
	if e.policy == nil {
		_, refusal := policy.Decide(nil, s, nil)
		return nil, o.refuse(refusal)
	}
	params, invalid := wire.DecodeSamplingParams(o.raw)
	if invalid != nil {
		o.decision, o.reason = telemetry.Invalid, reasonInvalidParams
		return nil, invalid
	}
	o.asked = params
	s.RequestBytes = len(o.raw)
	decision, refusal := policy.Decide(e.policy, s, params)
	if refusal != nil {
		return nil, o.refuse(refusal)
	}
	o.policy = decision
	if limit := time.Duration(e.policy.Limits.Timeout); limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, limit, errTimeout)
		defer cancel()
	}
	done, failure := e.acquire(ctx, decision, o)
	if failure != nil {
		return nil, failure
	}
	// Counted however this ends, also by a panic.
	defer func() { done(o.used()) }()

	response, err := e.ask(ctx, decision, e.from(o.session), o)
	if errors.Is(err, errTimeout) {
		return nil, o.late(e.policy.Limits.Timeout)
	}
	if err != nil {
		return nil, o.fail(err)
	}
	o.response = response
	if o.redactions, refusal = e.policy.RedactResult(&response.Result); refusal != nil {
		return nil, o.refuse(refusal)
	}
	result, err := response.Result.MarshalJSON()
	if err != nil {
		o.decision, o.reason = telemetry.Failed, reasonInternal
		return nil, &wire.Error{Code: wire.CodeInternal, Message: errorText[provider.KindInvalid]}
	}
	o.decision, o.reason = telemetry.Answered, string(decision.Reason)
	return result, nil
}

// acquire waits for the request's turn, and returns how to say that it is over and
// how many tokens it used.
func (e *Engine) acquire(ctx context.Context, d *policy.Decision, o *outcome) (done func(used int64), _ *wire.Error) {
	if e.limiter == nil {
		return func(int64) {}, nil
	}
	size := policy.Estimate(&d.Params)
	begin := time.Now()
	e.telemetry.Queue()
	lease, err := e.limiter.Acquire(ctx, limits.Ask{Session: o.session, Likely: size.Likely, Most: size.Most})
	e.telemetry.Dequeue()
	o.queued = time.Since(begin)
	if err == nil && ctx.Err() != nil { // its turn came as its time ended
		lease.Done(0)
		err = ctx.Err()
	}
	if err == nil {
		return lease.Done, nil
	}
	var (
		exceeded    *limits.Exceeded
		unavailable *limits.Unavailable
	)
	switch {
	case errors.As(err, &exceeded):
		return nil, o.reject(reasonLimitExceeded, limitText(exceeded))
	case errors.As(err, &unavailable):
		return nil, o.reject(reasonLimitUnavailable, "the sampling policy's limits cannot be checked now: try again later")
	case errors.Is(context.Cause(ctx), errTimeout):
		return nil, o.late(e.policy.Limits.Timeout)
	default:
		o.decision, o.reason = telemetry.Canceled, reasonCanceled
		return nil, &wire.Error{Code: wire.CodeInternal, Message: errorText[provider.KindCanceled]}
	}
}

func limitText(x *limits.Exceeded) string {
	if x.Needs > 0 {
		// Decide refuses that: the limit was lowered since.
		return policy.TooSmall(string(x.Limit), x.Max, x.Needs)
	}
	text := fmt.Sprintf("the sampling policy's limit %s (%d) is used up", x.Limit, x.Max)
	if x.RetryAfter <= 0 {
		return text + ": try again later"
	}
	wait := time.Duration(math.Ceil(x.RetryAfter.Seconds())) * time.Second
	if wait >= 2*time.Minute {
		return fmt.Sprintf("%s: try again in %s", text, strings.TrimSuffix(wait.Round(time.Minute).String(), "0s"))
	}
	return fmt.Sprintf("%s: try again in %d s", text, int64(wait.Seconds()))
}

func (e *Engine) from(session string) provider.Context {
	return provider.Context{Server: e.server.Name, Namespace: e.server.Namespace, Session: session, Policy: e.policy.Name}
}

// outcome is what the audit record and the metrics say about one request.
type outcome struct {
	start    time.Time
	session  string
	raw      json.RawMessage
	asked    *wire.SamplingParams // nil if they could not be read
	decision telemetry.Decision
	reason   string
	policy   *policy.Decision // nil if it was not decided
	model    *config.Model    // the one that was asked last; nil if none was
	attempts []attempt
	response *provider.Response // nil if no model answered
	result   json.RawMessage
	failed   *wire.Error
	// redactions are those of the answer.
	redactions []policy.Redaction
	took       time.Duration
	queued     time.Duration
	// place is the request's span.
	place trace.SpanContext
}

// attempt is one call of a model.
type attempt struct {
	target *target
	model  *config.Model
	took   time.Duration
	err    error
}

func (o *outcome) attempt(t *target, m *config.Model, took time.Duration, err error) {
	o.attempts = append(o.attempts, attempt{t, m, took, err})
}

// used is how many tokens the request cost, as limits.Lease.Done wants it.
func (o *outcome) used() int64 {
	if o.response != nil {
		if n := o.response.Usage.InputTokens + o.response.Usage.OutputTokens; n > 0 {
			return n
		}
		return -1 // not counted by the provider
	}
	for _, a := range o.attempts {
		if errors.Is(a.err, errTimeout) {
			return -1
		}
		var known *provider.Error
		if !errors.As(a.err, &known) {
			continue
		}
		switch known.Kind {
		case provider.KindTimeout, provider.KindCanceled, provider.KindInvalid, provider.KindMalformed:
			return -1 // the model may have worked all the same
		default:
		}
	}
	return 0
}

// reasonOf writes a kind of failure as reasons are written: "RateLimited".
func reasonOf(kind provider.Kind) string {
	var b strings.Builder
	for word := range strings.SplitSeq(string(kind), "_") {
		b.WriteString(strings.ToUpper(word[:1]) + word[1:])
	}
	return b.String()
}

func (o *outcome) refuse(r *policy.Refusal) *wire.Error {
	o.decision, o.reason = telemetry.Refused, string(r.Reason)
	return &wire.Error{Code: r.Code, Message: r.Message}
}

func (o *outcome) reject(reason, text string) *wire.Error {
	o.decision, o.reason = telemetry.Refused, reason
	return &wire.Error{Code: wire.CodeRejected, Message: text}
}

func (o *outcome) late(limit config.Duration) *wire.Error {
	return o.reject(reasonTimeout, fmt.Sprintf("the sampling policy's limit timeout (%s) was over before there was an answer", limit))
}

func (o *outcome) fail(err error) *wire.Error {
	if errors.Is(err, errWithdrawn) {
		return o.reject(reasonPolicyChanged, "the sampling policy changed and no longer allows the model: ask again")
	}
	var unsupported *provider.UnsupportedError
	if errors.As(err, &unsupported) {
		o.decision, o.reason = telemetry.Invalid, reasonUnsupportedContent
		return &wire.Error{Code: wire.CodeInvalidParams, Message: unsupported.What}
	}
	failure := asProviderError(err)
	if failure.Kind == provider.KindRefused {
		return o.reject(reasonHandlerRefused, "the sampling policy's handler refused the request")
	}
	o.decision, o.reason = telemetry.Failed, reasonOf(failure.Kind)
	if failure.Kind == provider.KindCanceled {
		o.decision = telemetry.Canceled
	}
	text, ok := errorText[failure.Kind]
	if !ok {
		text = errorText[provider.KindFailed]
	}
	return &wire.Error{Code: wire.CodeInternal, Message: text}
}
