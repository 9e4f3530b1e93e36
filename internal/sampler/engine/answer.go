package engine

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/config"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/policy"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/telemetry"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

// Reasons for metrics and the log beside those of the policy and the kinds of
// failure of a provider.
const (
	reasonInvalidParams      = "InvalidParams"
	reasonUnsupportedContent = "UnsupportedContent"
	reasonInternal           = "Internal"
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
}

// outcome is what the log and the metrics say about one request.
type outcome struct {
	decision  telemetry.Decision
	reason    string
	model     *config.Model // nil if none was chosen
	usage     provider.Usage
	stop      string
	failure   *provider.Error
	callStart time.Time // zero if no model was called
	took      time.Duration
	callTook  time.Duration
}

// Answer serves one sampling request of the session that the log calls
// sessionID: a result or an error, never both and never neither. When ctx ends,
// the model call does too. report writes the log record and the metrics: it is to
// be called once, when nobody waits for the answer any more.
func (e *Engine) Answer(ctx context.Context, sessionID string, s policy.Session, params json.RawMessage) (result json.RawMessage, failure *wire.Error, report func()) {
	start := time.Now()
	var o outcome
	result, failure = e.answer(ctx, s, params, &o)
	end := time.Now()
	o.took = end.Sub(start)
	if !o.callStart.IsZero() {
		o.callTook = end.Sub(o.callStart)
	}
	return result, failure, func() { e.report(ctx, sessionID, &o) }
}

func (e *Engine) answer(ctx context.Context, s policy.Session, raw json.RawMessage, o *outcome) (json.RawMessage, *wire.Error) {
	if e.policy == nil {
		_, refusal := policy.Decide(nil, s, nil)
		return nil, o.refuse(refusal)
	}
	params, invalid := wire.DecodeSamplingParams(raw)
	if invalid != nil {
		o.decision, o.reason = telemetry.Invalid, reasonInvalidParams
		return nil, invalid
	}
	decision, refusal := policy.Decide(e.policy, s, params)
	if refusal != nil {
		return nil, o.refuse(refusal)
	}
	o.model = &decision.Candidates[0]
	target := e.target(o.model.Provider)
	if target == nil { // validation prevents it
		return nil, o.fail(&provider.Error{Kind: provider.KindMissingKey, Detail: "the policy has no such provider"})
	}
	o.callStart = time.Now()
	response, err := target.call(ctx, newRequest(o.model, &decision.Params))
	if err != nil {
		return nil, o.fail(err)
	}
	result, err := response.Result.MarshalJSON()
	if err != nil {
		o.decision, o.reason = telemetry.Failed, reasonInternal
		return nil, &wire.Error{Code: wire.CodeInternal, Message: errorText[provider.KindInvalid]}
	}
	o.decision, o.reason = telemetry.Answered, string(decision.Reason)
	o.usage, o.stop = response.Usage, response.Result.StopReason
	return result, nil
}

func newRequest(m *config.Model, params *wire.SamplingParams) provider.Request {
	req := provider.Request{
		Model:         m.Model,
		Messages:      params.Messages,
		SystemPrompt:  *params.SystemPrompt,
		Temperature:   params.Temperature,
		MaxTokens:     params.MaxTokens,
		StopSequences: params.StopSequences,
		Tools:         params.Tools,
	}
	if params.ToolChoice != nil {
		req.ToolChoice = params.ToolChoice.Mode
	}
	return req
}

// call asks the provider within its time and remembers how it went.
func (t *target) call(ctx context.Context, req provider.Request) (*provider.Response, error) {
	callCtx, cancel := context.WithTimeout(ctx, time.Duration(t.config.Timeout))
	defer cancel()
	response, err := t.client.CreateMessage(callCtx, req)
	if err != nil && ctx.Err() != nil {
		// Nobody waits any more. Whatever the adapter made of that is not the
		// provider's fault.
		return nil, &provider.Error{Kind: provider.KindCanceled, Detail: "canceled", Cause: err}
	}
	t.health.answered(err)
	return response, err
}

func (o *outcome) refuse(r *policy.Refusal) *wire.Error {
	o.decision, o.reason = telemetry.Refused, string(r.Reason)
	return &wire.Error{Code: r.Code, Message: r.Message}
}

func (o *outcome) fail(err error) *wire.Error {
	var unsupported *provider.UnsupportedError
	if errors.As(err, &unsupported) {
		o.decision, o.reason = telemetry.Invalid, reasonUnsupportedContent
		return &wire.Error{Code: wire.CodeInvalidParams, Message: unsupported.What}
	}
	o.failure = asProviderError(err)
	o.decision, o.reason = telemetry.Failed, string(o.failure.Kind)
	if o.failure.Kind == provider.KindCanceled {
		o.decision = telemetry.Canceled
	}
	text, ok := errorText[o.failure.Kind]
	if !ok {
		text = errorText[provider.KindFailed]
	}
	return &wire.Error{Code: wire.CodeInternal, Message: text}
}

// report writes one log record and the metrics. The context may have ended:
// they are written all the same.
func (e *Engine) report(ctx context.Context, sessionID string, o *outcome) {
	ctx = context.WithoutCancel(ctx)
	e.telemetry.Request(o.decision, o.reason)
	if !o.callStart.IsZero() && o.reason != reasonUnsupportedContent {
		op := telemetry.Operation{
			Provider:     e.family(o.model.Provider),
			Model:        o.model.Model,
			Duration:     o.callTook,
			InputTokens:  o.usage.InputTokens,
			OutputTokens: o.usage.OutputTokens,
		}
		if o.failure != nil {
			op.ErrorType = string(o.failure.Kind)
		}
		e.telemetry.Operation(op)
	}

	level := slog.LevelDebug
	switch o.decision {
	case telemetry.Failed:
		level = slog.LevelWarn
	case telemetry.Refused, telemetry.Invalid:
		level = slog.LevelInfo
	case telemetry.Answered, telemetry.Canceled:
	}
	if e.log.Enabled(ctx, level) {
		e.log.LogAttrs(ctx, level, "sampling request", e.attrs(sessionID, o)...)
	}
}

func (e *Engine) attrs(sessionID string, o *outcome) []slog.Attr {
	attrs := []slog.Attr{
		slog.String("server", e.server.Name),
		slog.String("session", sessionID),
		slog.String("decision", string(o.decision)),
		slog.String("reason", o.reason),
		slog.Duration("duration", o.took),
	}
	if o.model != nil {
		attrs = append(attrs, slog.String("provider", o.model.Provider), slog.String("model", o.model.Name))
	}
	if o.decision == telemetry.Answered {
		attrs = append(attrs, slog.String("stopReason", o.stop),
			slog.Int64("inputTokens", o.usage.InputTokens), slog.Int64("outputTokens", o.usage.OutputTokens))
	}
	if o.failure != nil {
		attrs = append(attrs, slog.String("detail", o.failure.Detail))
		if o.failure.Cause != nil {
			attrs = append(attrs, slog.Any("cause", o.failure.Cause))
		}
	}
	return attrs
}

// family is the metrics' name of a provider's type.
func (e *Engine) family(name string) string {
	t := e.target(name)
	if t == nil || t.config.Type == config.ProviderOpenAI {
		return "openai"
	}
	return strings.ToLower(string(t.config.Type))
}
