package telemetry

import (
	"context"
	"strings"

	"github.com/VictoriaMetrics/metrics"
)

// series is one metric with one set of labels, in all places where it is counted.
type series struct {
	counter   *metrics.FloatCounter
	histogram *metrics.PrometheusHistogram
	// exported takes the number too; nil where nothing is exported.
	exported func(context.Context, float64)
}

func (s *series) add(value float64) {
	s.counter.Add(value)
	if s.exported != nil {
		s.exported(context.Background(), value)
	}
}

func (s *series) record(value float64) {
	s.histogram.Update(value)
	if s.exported != nil {
		s.exported(context.Background(), value)
	}
}

// find returns the series of an instrument with labels, which are pairs of an
// attribute and a value.
func (t *Telemetry) find(i *instrument, labels ...string) *series {
	name := seriesName(i, labels)
	t.mu.RLock()
	s := t.series[name]
	t.mu.RUnlock()
	if s != nil {
		return s
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if s = t.series[name]; s != nil {
		return s
	}
	s = &series{}
	if i.kind == counter {
		s.counter = t.set.NewFloatCounter(name)
	} else {
		s.histogram = t.set.NewPrometheusHistogramExt(name, i.bounds)
	}
	s.exported = t.meter.series(i, labels)
	t.series[name] = s
	return s
}

// escape writes a label's value as Prometheus reads it.
var escape = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

// seriesName names one series as Prometheus does.
func seriesName(i *instrument, labels []string) string {
	var b strings.Builder
	b.WriteString(i.prometheus())
	separator := byte('{')
	for n := 0; n < len(labels); n += 2 {
		b.WriteByte(separator)
		b.WriteString(prometheusName(labels[n]))
		b.WriteByte('=')
		b.WriteByte('"')
		_, _ = escape.WriteString(&b, labels[n+1]) // a builder takes everything
		b.WriteByte('"')
		separator = ','
	}
	if separator == ',' {
		b.WriteByte('}')
	}
	return b.String()
}
