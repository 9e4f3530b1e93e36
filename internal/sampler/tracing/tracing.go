// Package tracing makes the spans of a sampler, named and described as in
// OpenTelemetry's conventions for MCP and GenAI: one for what a caller asks for,
// one for what the server is asked for then, one for each sampling request and
// one for each attempt at a model. It decides whose child each of them is.
//
// No span holds content, a key or a header. Without a Tracer nothing is made, and
// the callers' own trace context goes on as it came.
package tracing

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

// maxName bounds what peers choose of a span.
const maxName = 128

// w3c is how context is carried.
var w3c propagation.TraceContext

// Tracer makes spans. A nil one makes none.
type Tracer struct{ tracer trace.Tracer }

// New returns a Tracer; nil for no provider.
func New(provider trace.TracerProvider) *Tracer {
	if provider == nil {
		return nil
	}
	return &Tracer{provider.Tracer("github.com/mcp-sampling/mcp-sampling-operator/internal/sampler")}
}

// Span is one span. A nil one takes everything and does nothing.
type Span struct {
	span   trace.Span
	method string
	target string
}

// Serve begins the span of what a caller asks for. Its parent is what the message
// says (SEP-414), and else what the request's header does.
func (t *Tracer) Serve(r *http.Request, m wire.Message, known string) (*http.Request, *Span) {
	if t == nil {
		return r, nil
	}
	about := wire.ReadAbout(m.Method, m.Params)
	options := []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindServer)}
	ctx := w3c.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
	if said := remote(about); said.IsValid() {
		if carried := trace.SpanContextFromContext(ctx); carried.IsValid() && !carried.Equal(said) {
			options = append(options, trace.WithLinks(trace.Link{SpanContext: carried}))
		}
		ctx = trace.ContextWithRemoteSpanContext(ctx, said)
	}
	s := &Span{method: known, target: cut(about.Target)}
	ctx, s.span = t.tracer.Start(ctx, s.name(), append(options, trace.WithAttributes(s.describe(m)...))...)
	return r.WithContext(ctx), s
}

// remote is the context that a message names.
func remote(a wire.About) trace.SpanContext {
	if a.TraceParent == "" {
		return trace.SpanContext{}
	}
	carrier := propagation.MapCarrier{"traceparent": a.TraceParent, "tracestate": a.TraceState}
	return trace.SpanContextFromContext(w3c.Extract(context.Background(), carrier))
}

// name is the method, with what the request is for.
func (s *Span) name() string {
	if s.target == "" {
		return s.method
	}
	return s.method + " " + s.target
}

func (s *Span) describe(m wire.Message) []attribute.KeyValue {
	attributes := []attribute.KeyValue{
		attribute.String(keyMethod, cut(m.Method)),
		attribute.String(keyTransport, "tcp"), attribute.String(keyNetworkProtocol, "http"),
	}
	if m.IsRequest() {
		attributes = append(attributes, attribute.String(keyRequestID, cut(strings.Trim(string(m.ID), `"`))))
	}
	switch {
	case s.target == "":
	case m.Method == wire.MethodCallTool:
		attributes = append(attributes, attribute.String(keyTool, s.target), attribute.String(keyOperation, "execute_tool"))
	default:
		attributes = append(attributes, attribute.String(keyPrompt, s.target))
	}
	return attributes
}

// Ask begins the span of what the server is asked for in the caller's name, and
// puts its context into the header.
func (t *Tracer) Ask(ctx context.Context, served *Span, m wire.Message, header http.Header) *Span {
	if t == nil || served == nil {
		return nil
	}
	s := &Span{method: served.method, target: served.target}
	ctx, s.span = t.tracer.Start(ctx, s.name(), trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(s.describe(m)...))
	Inject(ctx, header)
	return s
}

// Inject puts the context of ctx into a header, where there is one. What a caller
// said before is replaced.
func Inject(ctx context.Context, header http.Header) {
	if !trace.SpanContextFromContext(ctx).IsValid() {
		return
	}
	header.Del("Traceparent")
	header.Del("Tracestate")
	w3c.Inject(ctx, propagation.HeaderCarrier(header))
}

// Forget takes the context off a header for a request that is in no trace. A nil
// Tracer leaves everything as it is.
func (t *Tracer) Forget(header http.Header) {
	if t != nil {
		header.Del("Traceparent")
		header.Del("Tracestate")
	}
}

// InSession says in which session it is, by its digest, and which version was
// agreed.
func (s *Span) InSession(digest, version string) {
	if s == nil {
		return
	}
	if digest != "" {
		s.span.SetAttributes(attribute.String(keySession, digest))
	}
	if version != "" {
		s.span.SetAttributes(attribute.String(keyProtocol, cut(version)))
	}
}

// End ends the span; errorType is empty where nothing went wrong.
func (s *Span) End(errorType string) {
	if s == nil {
		return
	}
	fail(s.span, errorType)
	s.span.End()
}

func fail(span trace.Span, errorType string) {
	if errorType == "" {
		return
	}
	span.SetAttributes(attribute.String(keyErrorType, errorType))
	span.SetStatus(codes.Error, "")
}

// Context is where a span is in its trace. The zero one is nowhere.
func (s *Span) Context() trace.SpanContext {
	if s == nil {
		return trace.SpanContext{}
	}
	return s.span.SpanContext()
}

// Within returns the context of a sampling request. It belongs to the call on whose
// behalf the server asks; a place in the trace that the request itself names counts
// within that call's trace only, as a server's word is not to lead elsewhere, and
// where no call is known.
func (t *Tracer) Within(ctx context.Context, call trace.SpanContext, params json.RawMessage) context.Context {
	if t == nil {
		return ctx
	}
	said := remote(wire.ReadAbout(wire.MethodSampling, params))
	switch {
	case said.IsValid() && (!call.IsValid() || said.TraceID() == call.TraceID()):
		return trace.ContextWithRemoteSpanContext(ctx, said)
	case call.IsValid():
		return trace.ContextWithSpanContext(ctx, call)
	}
	return ctx
}

// Of returns where a context is in its trace.
func Of(ctx context.Context) trace.SpanContext { return trace.SpanContextFromContext(ctx) }

func cut(text string) string {
	return strings.ToValidUTF8(text[:min(len(text), maxName)], "")
}
