package engine

import (
	"context"
	"encoding/json"
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/config"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/policy"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/tracing"
)

// fakePanicking is a provider whose client has a bug.
type fakePanicking struct{ provider.Provider }

func (fakePanicking) CreateMessage(context.Context, provider.Request) (*provider.Response, error) {
	panic("a bug")
}

// The span of the one request that one looks for must not be the one that is missing.
func TestASpanEndsAlsoWhereAnsweringPanics(t *testing.T) {
	spans := tracetest.NewSpanRecorder()
	e, err := New(Options{
		Policy: twoProviders(alone),
		Tracer: tracing.New(sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))),
		newClient: func(config.Provider, func() (string, error)) (provider.Provider, error) {
			return fakePanicking{}, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("nothing panicked")
			}
		}()
		e.Answer(t.Context(), "s", policy.Session{}, json.RawMessage(`{"maxTokens":1,"messages":[{"role":"user","content":{"type":"text","text":"x"}}]}`))
	}()
	for _, span := range spans.Ended() {
		for _, a := range span.Attributes() {
			if a.Key == "mcp_sampling.reason" && a.Value.AsString() == reasonInternal {
				return
			}
		}
	}
	t.Errorf("no span of %d says that answering failed", len(spans.Ended()))
}
