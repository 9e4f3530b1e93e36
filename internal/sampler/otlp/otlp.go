// Package otlp exports traces, metrics and audit records by OTLP over HTTP, as far
// as OpenTelemetry's own environment variables ask for it. Where they do not,
// nothing is made and nothing runs.
//
// Exporters keep a bounded queue each, never hold up who hands something in, and
// drop what there is no room for. That something is lost is logged once a minute.
package otlp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploghttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	otellog "go.opentelemetry.io/otel/log"
	"go.opentelemetry.io/otel/metric"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/exemplar"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

const (
	// scope names where everything comes from.
	scope = "github.com/mcp-sampling/mcp-sampling-operator/internal/sampler"
	// serviceName is used where the environment gives none.
	serviceName = "mcp-sampler"
	// complainEvery is how often it is logged that something is not exported.
	complainEvery = time.Minute
	// maxSeries bounds what one instrument holds in memory. Labels are bounded
	// before.
	maxSeries = 2000
)

// Exporters are those that the environment asks for; nil fields are not.
type Exporters struct {
	Traces trace.TracerProvider
	Meter  metric.Meter
	audit  otellog.Logger

	ends []func(context.Context) error
}

// FromEnvironment makes the exporters; nil where none are asked for. getenv is
// os.Getenv: the SDK reads the rest of its variables from there by itself.
func FromEnvironment(ctx context.Context, getenv func(string) string, version string, log *slog.Logger) (*Exporters, error) {
	wanted, err := readSettings(getenv)
	if err != nil || wanted == (settings{}) {
		return nil, err
	}
	about, err := resource.New(ctx,
		resource.WithAttributes(attribute.String("service.name", serviceName), attribute.String("service.version", version)),
		resource.WithTelemetrySDK(), resource.WithFromEnv())
	if err != nil && !errors.Is(err, resource.ErrPartialResource) {
		return nil, fmt.Errorf("read OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	// The SDK has one place for what goes wrong in it, for the whole process.
	otel.SetLogger(logr.Discard())
	otel.SetErrorHandler(newComplaints(log))
	e := &Exporters{}
	for _, begin := range []struct {
		wanted bool
		what   string
		begin  func(context.Context, *resource.Resource) error
	}{
		{wanted.traces, "traces", e.beginTraces},
		{wanted.metrics, "metrics", e.beginMetrics},
		{wanted.logs, "logs", e.beginLogs},
	} {
		if !begin.wanted {
			continue
		}
		if err := begin.begin(ctx, about); err != nil {
			_ = e.Shutdown(ctx)
			return nil, fmt.Errorf("export %s by OTLP: %w", begin.what, err)
		}
	}
	return e, nil
}

func (e *Exporters) beginTraces(ctx context.Context, about *resource.Resource) error {
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return err
	}
	provider := sdktrace.NewTracerProvider(sdktrace.WithResource(about), sdktrace.WithBatcher(exporter))
	e.Traces = provider
	e.ends = append(e.ends, provider.Shutdown)
	return nil
}

func (e *Exporters) beginMetrics(ctx context.Context, about *resource.Resource) error {
	exporter, err := otlpmetrichttp.New(ctx)
	if err != nil {
		return err
	}
	provider := sdkmetric.NewMeterProvider(sdkmetric.WithResource(about),
		sdkmetric.WithReader(sdkmetric.NewPeriodicReader(exporter)),
		sdkmetric.WithExemplarFilter(exemplar.AlwaysOffFilter), sdkmetric.WithCardinalityLimit(maxSeries))
	e.Meter = provider.Meter(scope)
	e.ends = append(e.ends, provider.Shutdown)
	return nil
}

func (e *Exporters) beginLogs(ctx context.Context, about *resource.Resource) error {
	exporter, err := otlploghttp.New(ctx)
	if err != nil {
		return err
	}
	provider := sdklog.NewLoggerProvider(sdklog.WithResource(about), sdklog.WithProcessor(sdklog.NewBatchProcessor(exporter)))
	e.audit = provider.Logger(scope)
	e.ends = append(e.ends, provider.Shutdown)
	return nil
}

// Shutdown sends what is left, as far as there is time.
func (e *Exporters) Shutdown(ctx context.Context) error {
	if e == nil {
		return nil
	}
	failures := make([]error, len(e.ends))
	var all sync.WaitGroup
	for i, end := range e.ends {
		all.Go(func() { failures[i] = end(ctx) })
	}
	all.Wait()
	if err := errors.Join(failures...); err != nil {
		return fmt.Errorf("send the last traces, metrics and logs: %s", cut(err.Error()))
	}
	return nil
}

// settings are which signals the environment asks for.
type settings struct{ traces, metrics, logs bool }

func readSettings(getenv func(string) string) (settings, error) {
	var s settings
	if strings.EqualFold(getenv("OTEL_SDK_DISABLED"), "true") {
		return s, nil
	}
	for _, signal := range []struct {
		name string
		on   *bool
	}{{"TRACES", &s.traces}, {"METRICS", &s.metrics}, {"LOGS", &s.logs}} {
		switch exporter := getenv("OTEL_" + signal.name + "_EXPORTER"); exporter {
		case "none":
			continue
		case "", "otlp":
		default:
			return s, fmt.Errorf("OTEL_%s_EXPORTER=%q: write otlp or none", signal.name, exporter)
		}
		if getenv("OTEL_EXPORTER_OTLP_ENDPOINT") == "" && getenv("OTEL_EXPORTER_OTLP_"+signal.name+"_ENDPOINT") == "" {
			continue
		}
		for _, name := range []string{"OTEL_EXPORTER_OTLP_" + signal.name + "_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"} {
			if protocol := getenv(name); protocol != "" {
				if protocol != "http/protobuf" {
					return s, fmt.Errorf("%s=%q: write http/protobuf, the only one here", name, protocol)
				}
				break
			}
		}
		*signal.on = true
	}
	return s, nil
}

// complaints logs what goes wrong in the SDK, once in complainEvery.
type complaints struct {
	log *slog.Logger

	mu    sync.Mutex
	last  time.Time
	count int
}

func newComplaints(log *slog.Logger) *complaints { return &complaints{log: log} }

// Handle implements otel.ErrorHandler.
func (c *complaints) Handle(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.count++
	now := time.Now()
	if !c.last.IsZero() && now.Sub(c.last) < complainEvery {
		return
	}
	c.log.Warn("traces, metrics or audit records are not exported", "error", cut(err.Error()), "count", c.count)
	c.last, c.count = now, 0
}

// cut shortens what can be a collector's words.
func cut(text string) string {
	const most = 256
	return strings.ToValidUTF8(text[:min(len(text), most)], "")
}
