// Package telemetry counts what the sampler does. The names of the metrics
// about model calls are those of OpenTelemetry's conventions for generative AI;
// what those have no word for begins with mcp_sampling.
//
// Every label has few values: decisions and reasons come from closed sets,
// models from the policy. Nothing that a server, a caller or a provider can
// choose freely becomes a label.
package telemetry

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/otlptranslator"
	"go.opentelemetry.io/otel/attribute"
	otelprometheus "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/semconv/v1.41.0/genaiconv"
)

// Names and labels of the metrics that no convention covers.
const (
	// MetricRequests counts sampling requests by what became of them.
	MetricRequests = "mcp_sampling.requests"
	// LabelDecision is one of the Decisions, LabelReason why.
	LabelDecision = "mcp_sampling.decision"
	LabelReason   = "mcp_sampling.reason"
)

// Decision says what became of a sampling request.
type Decision string

// Decisions.
const (
	Answered Decision = "answered"
	// Refused by the policy, or by a limit of the sampler.
	Refused Decision = "refused"
	// Invalid: malformed, or with content that the provider cannot take.
	Invalid Decision = "invalid"
	// Failed: the provider did not give a usable answer.
	Failed Decision = "failed"
	// Canceled: nobody waits for the answer any more.
	Canceled Decision = "canceled"
)

// The conventions' own boundaries.
var (
	durationBounds = []float64{0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92}
	tokenBounds    = []float64{1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864}
)

// Telemetry holds the instruments. A nil one counts nothing.
type Telemetry struct {
	meters   *sdkmetric.MeterProvider
	requests metric.Int64Counter
	duration genaiconv.ClientOperationDuration
	tokens   genaiconv.ClientTokenUsage
}

// New makes the instruments, and the handler that serves them together with
// those of the Go runtime and the process in Prometheus' format.
func New() (*Telemetry, http.Handler, error) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	exporter, err := otelprometheus.New(
		otelprometheus.WithRegisterer(registry),
		otelprometheus.WithTranslationStrategy(otlptranslator.UnderscoreEscapingWithSuffixes),
		otelprometheus.WithoutScopeInfo(),
		otelprometheus.WithoutTargetInfo(),
	)
	if err != nil {
		return nil, nil, fmt.Errorf("make the metrics exporter: %w", err)
	}
	t := &Telemetry{meters: sdkmetric.NewMeterProvider(sdkmetric.WithReader(exporter))}
	meter := t.meters.Meter("github.com/mcp-sampling/mcp-sampling-operator")
	if t.requests, err = meter.Int64Counter(MetricRequests,
		metric.WithUnit("{request}"),
		metric.WithDescription("Sampling requests by what became of them."),
	); err != nil {
		return nil, nil, fmt.Errorf("make the counter of requests: %w", err)
	}
	if t.duration, err = genaiconv.NewClientOperationDuration(meter, metric.WithExplicitBucketBoundaries(durationBounds...)); err != nil {
		return nil, nil, fmt.Errorf("make the histogram of durations: %w", err)
	}
	if t.tokens, err = genaiconv.NewClientTokenUsage(meter, metric.WithExplicitBucketBoundaries(tokenBounds...)); err != nil {
		return nil, nil, fmt.Errorf("make the histogram of tokens: %w", err)
	}
	return t, promhttp.HandlerFor(registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4}), nil
}

// Request counts one sampling request. reason must come from a closed set.
func (t *Telemetry) Request(ctx context.Context, decision Decision, reason string) {
	if t == nil {
		return
	}
	t.requests.Add(ctx, 1, metric.WithAttributes(
		attribute.String(LabelDecision, string(decision)),
		attribute.String(LabelReason, reason),
	))
}

// Operation is one call of a model.
type Operation struct {
	// Provider is the convention's name of the family ("openai").
	Provider string
	// Model is what the provider calls it, from the policy.
	Model string
	// Duration is how long it took, retries included.
	Duration time.Duration
	// InputTokens and OutputTokens are zero where the provider did not say.
	InputTokens, OutputTokens int64
	// ErrorType says what went wrong, from a closed set; empty if nothing did.
	ErrorType string
}

// Operation records one call of a model.
func (t *Telemetry) Operation(ctx context.Context, op Operation) {
	if t == nil {
		return
	}
	name, chat := genaiconv.ProviderNameAttr(op.Provider), genaiconv.OperationNameChat
	model := t.duration.AttrRequestModel(op.Model)
	attrs := []attribute.KeyValue{model}
	if op.ErrorType != "" {
		attrs = append(attrs, t.duration.AttrErrorType(genaiconv.ErrorTypeAttr(op.ErrorType)))
	}
	t.duration.Record(ctx, op.Duration.Seconds(), chat, name, attrs...)
	if op.InputTokens > 0 {
		t.tokens.Record(ctx, op.InputTokens, chat, name, genaiconv.TokenTypeInput, model)
	}
	if op.OutputTokens > 0 {
		t.tokens.Record(ctx, op.OutputTokens, chat, name, genaiconv.TokenTypeOutput, model)
	}
}

// Shutdown ends the meters.
func (t *Telemetry) Shutdown(ctx context.Context) error {
	if t == nil {
		return nil
	}
	if err := t.meters.Shutdown(ctx); err != nil {
		return fmt.Errorf("end the meters: %w", err)
	}
	return nil
}
