package tracing

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.41.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

func TestTheAttributesAreThoseOfTheConventions(t *testing.T) {
	for got, want := range map[string]attribute.Key{
		keyMethod: semconv.McpMethodNameKey, keySession: semconv.McpSessionIDKey, keyProtocol: semconv.McpProtocolVersionKey,
		keyRequestID: semconv.JSONRPCRequestIDKey, keyTransport: semconv.NetworkTransportKey, keyNetworkProtocol: semconv.NetworkProtocolNameKey,
		keyErrorType: semconv.ErrorTypeKey, keyTool: semconv.GenAIToolNameKey, keyPrompt: semconv.GenAIPromptNameKey,
		keyOperation: semconv.GenAIOperationNameKey, keyProvider: semconv.GenAIProviderNameKey, keyRequestModel: semconv.GenAIRequestModelKey,
		keyMaxTokens: semconv.GenAIRequestMaxTokensKey, keyTemperature: semconv.GenAIRequestTemperatureKey,
		keyResponseModel: semconv.GenAIResponseModelKey, keyFinishReasons: semconv.GenAIResponseFinishReasonsKey,
		keyInputTokens: semconv.GenAIUsageInputTokensKey, keyOutputTokens: semconv.GenAIUsageOutputTokensKey,
		keyHTTPMethod: semconv.HTTPRequestMethodKey, keyHTTPStatus: semconv.HTTPResponseStatusCodeKey, keyResend: semconv.HTTPRequestResendCountKey,
		keyServerAddress: semconv.ServerAddressKey, keyServerPort: semconv.ServerPortKey,
	} {
		if got != string(want) {
			t.Errorf("an attribute is %s, the convention's %s", got, want)
		}
	}
}

const (
	traceOfCall  = "4bf92f3577b34da6a3ce929d0e0e4736"
	anotherTrace = "0af7651916cd43dd8448eb211c80319c"
	spanOfCall   = "00f067aa0ba902b7"
	spanOfServer = "b7ad6b7169203331"
)

func TestASamplingRequestBelongsToItsCall(t *testing.T) {
	tracer := New(sdktrace.NewTracerProvider())
	call := remote(wire.About{TraceParent: "00-" + traceOfCall + "-" + spanOfCall + "-01"})
	naming := func(traceID string) json.RawMessage {
		return json.RawMessage(`{"maxTokens":1,"_meta":{"traceparent":"00-` + traceID + `-` + spanOfServer + `-01"}}`)
	}
	for name, tc := range map[string]struct {
		call      trace.SpanContext
		params    json.RawMessage
		wantTrace string
		wantSpan  string
	}{
		"whose call is known":                           {call, json.RawMessage(`{}`), traceOfCall, spanOfCall},
		"and names a place in its trace":                {call, naming(traceOfCall), traceOfCall, spanOfServer},
		"and names a place in another trace":            {call, naming(anotherTrace), traceOfCall, spanOfCall},
		"of which nobody knows, and names a place":      {trace.SpanContext{}, naming(anotherTrace), anotherTrace, spanOfServer},
		"of which nobody knows anything":                {trace.SpanContext{}, nil, "00000000000000000000000000000000", "0000000000000000"},
		"and names a place that is none":                {call, json.RawMessage(`{"_meta":{"traceparent":"x"}}`), traceOfCall, spanOfCall},
		"and has a _meta that is no object, nor params": {call, json.RawMessage(`{"_meta":[]`), traceOfCall, spanOfCall},
	} {
		t.Run(name, func(t *testing.T) {
			got := Of(tracer.Within(context.Background(), tc.call, tc.params))
			if got.TraceID().String() != tc.wantTrace || got.SpanID().String() != tc.wantSpan {
				t.Errorf("it is in %s %s, want %s %s", got.TraceID(), got.SpanID(), tc.wantTrace, tc.wantSpan)
			}
		})
	}
}

func TestWithoutATracerNothingIsMade(t *testing.T) {
	var tracer *Tracer
	r := httptest.NewRequest(http.MethodPost, "/mcp", nil)
	header := http.Header{"Traceparent": {"00-" + traceOfCall + "-" + spanOfCall + "-01"}}
	m := wire.Message{Method: "tools/call", Params: json.RawMessage(`{"name":"x"}`)}
	ctx := t.Context()
	got := testing.AllocsPerRun(100, func() {
		_, span := tracer.Serve(r, m, m.Method)
		span.InSession("x", "y")
		asked := tracer.Ask(ctx, span, m, header)
		asked.End("")
		_, sampled := tracer.Sample(tracer.Within(ctx, span.Context(), m.Params))
		sampled.EndSampling(Sampling{Policy: "p"})
		_, tried := tracer.Try(ctx, Attempt{})
		tried.EndAttempt(200, "")
		tracer.Forget(header)
		Inject(ctx, header)
		span.End("")
	})
	if got > 0 {
		t.Errorf("%v allocations", got)
	}
	if len(header) != 1 {
		t.Error("the caller's header changed")
	}
}
