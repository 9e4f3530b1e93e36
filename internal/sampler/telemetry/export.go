package telemetry

import (
	"context"
	"fmt"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// meter hands numbers on to OpenTelemetry. A nil one does nothing.
type meter struct {
	counters   map[*instrument]metric.Float64Counter
	histograms map[*instrument]metric.Float64Histogram
}

// Export has everything counted by a meter of OpenTelemetry too. It is called
// before anything is counted.
func (t *Telemetry) Export(to metric.Meter) error {
	m := &meter{counters: map[*instrument]metric.Float64Counter{}, histograms: map[*instrument]metric.Float64Histogram{}}
	for _, i := range instruments {
		var err error
		switch i.kind {
		case counter:
			m.counters[i], err = to.Float64Counter(i.name, metric.WithUnit(i.unit), metric.WithDescription(i.help))
		case histogram:
			m.histograms[i], err = to.Float64Histogram(i.name, metric.WithUnit(i.unit), metric.WithDescription(i.help),
				metric.WithExplicitBucketBoundaries(i.bounds...))
		case gaugeKind: // below
		}
		if err != nil {
			return fmt.Errorf("make the instrument %s: %w", i.name, err)
		}
	}
	for _, g := range t.gauges() {
		_, err := to.Float64ObservableUpDownCounter(g.instrument.name,
			metric.WithUnit(g.instrument.unit), metric.WithDescription(g.instrument.help),
			metric.WithFloat64Callback(func(_ context.Context, o metric.Float64Observer) error {
				o.Observe(g.read())
				return nil
			}))
		if err != nil {
			return fmt.Errorf("make the instrument %s: %w", g.instrument.name, err)
		}
	}
	t.meter = m
	return nil
}

// series returns what takes the numbers of one series; nil where nobody does.
func (m *meter) series(i *instrument, labels []string) func(context.Context, float64) {
	if m == nil {
		return nil
	}
	attributes := make([]attribute.KeyValue, 0, len(labels)/2)
	for n := 0; n < len(labels); n += 2 {
		attributes = append(attributes, attribute.String(labels[n], labels[n+1]))
	}
	set := metric.WithAttributeSet(attribute.NewSet(attributes...))
	if i.kind == counter {
		return func(ctx context.Context, v float64) { m.counters[i].Add(ctx, v, set) }
	}
	return func(ctx context.Context, v float64) { m.histograms[i].Record(ctx, v, set) }
}
