package tracing

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
)

// Attributes. A test holds those of the conventions against their package.
const (
	keyMethod          = "mcp.method.name"
	keySession         = "mcp.session.id"
	keyProtocol        = "mcp.protocol.version"
	keyRequestID       = "jsonrpc.request.id"
	keyTransport       = "network.transport"
	keyNetworkProtocol = "network.protocol.name"
	keyErrorType       = "error.type"
	keyTool            = "gen_ai.tool.name"
	keyPrompt          = "gen_ai.prompt.name"
	keyOperation       = "gen_ai.operation.name"
	keyProvider        = "gen_ai.provider.name"
	keyRequestModel    = "gen_ai.request.model"
	keyMaxTokens       = "gen_ai.request.max_tokens"
	keyTemperature     = "gen_ai.request.temperature"
	keyResponseModel   = "gen_ai.response.model"
	keyFinishReasons   = "gen_ai.response.finish_reasons"
	keyInputTokens     = "gen_ai.usage.input_tokens"
	keyOutputTokens    = "gen_ai.usage.output_tokens"
	keyHTTPMethod      = "http.request.method"
	keyHTTPStatus      = "http.response.status_code"
	keyResend          = "http.request.resend_count"
	keyServerAddress   = "server.address"
	keyServerPort      = "server.port"

	keyPolicy   = "mcp_sampling.policy"
	keyDecision = "mcp_sampling.decision"
	keyReason   = "mcp_sampling.reason"
	keyQueue    = "mcp_sampling.queue.duration"
)

// Sampling is what the span of one sampling request says.
type Sampling struct {
	Session, Policy, Decision, Reason string
	// Provider is the convention's name of the family, Model what the provider calls
	// the model; empty where none was asked.
	Provider, Model string
	// MaxTokens and Temperature are what was sent.
	MaxTokens   int64
	Temperature *float64
	// Answered is the name of the model that the provider gave.
	Answered                  string
	FinishReason              string
	InputTokens, OutputTokens int64
	Queue                     time.Duration
	// ErrorType is empty where the request was answered.
	ErrorType string
}

// Sample begins the span of one sampling request.
func (t *Tracer) Sample(ctx context.Context) (context.Context, *Span) {
	if t == nil {
		return ctx, nil
	}
	ctx, span := t.tracer.Start(ctx, "chat", trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(
		attribute.String(keyOperation, "chat"), attribute.String(keyMethod, "sampling/createMessage")))
	return ctx, &Span{span: span}
}

// EndSampling ends the span of a sampling request with what became of it.
func (s *Span) EndSampling(o Sampling) {
	if s == nil {
		return
	}
	defer s.End(o.ErrorType)
	if !s.span.IsRecording() {
		return
	}
	set := func(key, value string) {
		if value != "" {
			s.span.SetAttributes(attribute.String(key, cut(value)))
		}
	}
	set(keySession, o.Session)
	set(keyPolicy, o.Policy)
	set(keyDecision, o.Decision)
	set(keyReason, o.Reason)
	set(keyProvider, o.Provider)
	set(keyRequestModel, o.Model)
	set(keyResponseModel, o.Answered)
	s.span.SetAttributes(attribute.Float64(keyQueue, o.Queue.Seconds()))
	if o.Model != "" {
		s.span.SetName("chat " + cut(o.Model))
	}
	if o.MaxTokens > 0 {
		s.span.SetAttributes(attribute.Int64(keyMaxTokens, o.MaxTokens))
	}
	if o.Temperature != nil {
		s.span.SetAttributes(attribute.Float64(keyTemperature, *o.Temperature))
	}
	if o.FinishReason != "" {
		s.span.SetAttributes(attribute.StringSlice(keyFinishReasons, []string{cut(o.FinishReason)}))
	}
	if o.InputTokens+o.OutputTokens > 0 {
		s.span.SetAttributes(attribute.Int64(keyInputTokens, o.InputTokens), attribute.Int64(keyOutputTokens, o.OutputTokens))
	}
}

// Attempt is one request to a provider.
type Attempt struct {
	// Address and Port are the provider's; empty and 0 where it is the family's own.
	Address string
	Port    int
	// Number counts the attempts of one sampling request from 0.
	Number int
}

// Try begins the span of one request to a provider. Who sends it puts the context
// into its header by Inject.
func (t *Tracer) Try(ctx context.Context, a Attempt) (context.Context, *Span) {
	if t == nil {
		return ctx, nil
	}
	attributes := []attribute.KeyValue{attribute.String(keyHTTPMethod, "POST")}
	if a.Address != "" {
		attributes = append(attributes, attribute.String(keyServerAddress, a.Address), attribute.Int(keyServerPort, a.Port))
	}
	if a.Number > 0 {
		attributes = append(attributes, attribute.Int(keyResend, a.Number))
	}
	ctx, span := t.tracer.Start(ctx, "POST", trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(attributes...))
	return ctx, &Span{span: span}
}

// EndAttempt ends the span of a request to a provider; status is 0 where the
// provider's was not seen.
func (s *Span) EndAttempt(status int, errorType string) {
	if s == nil {
		return
	}
	if status > 0 {
		s.span.SetAttributes(attribute.Int(keyHTTPStatus, status))
	}
	s.End(errorType)
}
