package otlp

import (
	"context"
	"encoding/json"

	"go.opentelemetry.io/otel/attribute"
	otellog "go.opentelemetry.io/otel/log"
	"go.opentelemetry.io/otel/trace"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/audit"
)

// EventName is that of an audit record.
const EventName = "mcp_sampling.request"

// Audit returns what exports audit records beside their log; nil where logs are
// not exported.
func (e *Exporters) Audit() func(*audit.Record) {
	if e == nil || e.audit == nil {
		return nil
	}
	return func(r *audit.Record) {
		record := newLogRecord(r)
		e.audit.Emit(inTrace(r), record)
	}
}

// newLogRecord is a record as OTLP has it: what one looks for is an attribute, and
// the body is the line that the log has.
func newLogRecord(r *audit.Record) otellog.Record {
	var out otellog.Record
	out.SetEventName(EventName)
	out.SetTimestamp(r.Time)
	severity, text := severityOf(r.Decision)
	out.SetSeverity(severity)
	out.SetSeverityText(text)
	if line, err := json.Marshal(r); err == nil {
		out.SetBody(attribute.StringValue(string(line)))
	}
	set := func(key, value string) {
		if value != "" {
			out.AddAttributes(attribute.String(key, value))
		}
	}
	set("mcp.method.name", "sampling/createMessage")
	set("mcp.session.id", r.Session)
	set("gen_ai.operation.name", "chat")
	set("gen_ai.response.model", r.Answered)
	set("mcp_sampling.server", r.Server)
	set("mcp_sampling.namespace", r.Namespace)
	set("mcp_sampling.policy", r.Policy)
	set("mcp_sampling.decision", r.Decision)
	set("mcp_sampling.reason", r.Reason)
	set("mcp_sampling.provider", r.Provider)
	if n := len(r.Attempts); n > 0 {
		set("gen_ai.request.model", r.Attempts[n-1].Model)
		set("error.type", r.Attempts[n-1].Error)
	}
	if r.InputTokens+r.OutputTokens > 0 {
		out.AddAttributes(attribute.Int64("gen_ai.usage.input_tokens", r.InputTokens), attribute.Int64("gen_ai.usage.output_tokens", r.OutputTokens))
	}
	if r.StopReason != "" {
		out.AddAttributes(attribute.StringSlice("gen_ai.response.finish_reasons", []string{r.StopReason}))
	}
	if r.Cost != nil {
		out.AddAttributes(attribute.Float64("mcp_sampling.cost", r.Cost.Amount), attribute.String("mcp_sampling.currency", r.Cost.Currency))
	}
	return out
}

func severityOf(decision string) (otellog.Severity, string) {
	switch decision {
	case "failed":
		return otellog.SeverityError, "ERROR"
	case "refused", "invalid":
		return otellog.SeverityWarn, "WARN"
	}
	return otellog.SeverityInfo, "INFO"
}

// inTrace is the context of the trace that a record is in.
func inTrace(r *audit.Record) context.Context {
	ctx := context.Background()
	traceID, err := trace.TraceIDFromHex(r.TraceID)
	if err != nil {
		return ctx
	}
	spanID, err := trace.SpanIDFromHex(r.SpanID)
	if err != nil {
		return ctx
	}
	var flags trace.TraceFlags
	if r.Sampled {
		flags = trace.FlagsSampled
	}
	return trace.ContextWithSpanContext(ctx, trace.NewSpanContext(trace.SpanContextConfig{TraceID: traceID, SpanID: spanID, TraceFlags: flags}))
}
