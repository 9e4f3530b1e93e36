// Package telemetry counts what the sampler does. The names of the metrics
// about model calls are those of OpenTelemetry's conventions for generative AI,
// as Prometheus writes them; what those have no word for begins with
// mcp_sampling.
//
// Every label has few values: decisions and reasons come from closed sets,
// models from the policy. Nothing that a server, a caller or a provider can
// choose freely becomes a label.
//
// Every sampler is there for one server, so what it needs when nobody calls
// counts many times. OpenTelemetry's SDK with its exporter for Prometheus would
// be a sixth of that, for three instruments that are scraped.
package telemetry

import (
	"net/http"
	"strings"
	"time"

	"github.com/VictoriaMetrics/metrics"
)

// Names of the metrics.
const (
	// MetricRequests counts sampling requests by what became of them.
	MetricRequests = "mcp_sampling_requests_total"
	// MetricDuration is gen_ai.client.operation.duration, in seconds.
	MetricDuration = "gen_ai_client_operation_duration_seconds"
	// MetricTokens is gen_ai.client.token.usage.
	MetricTokens = "gen_ai_client_token_usage"
	// MetricQueue is how long requests waited for their turn, in seconds.
	MetricQueue = "mcp_sampling_queue_duration_seconds"
	// MetricRetries counts calls of a model that were not the first for their
	// request, MetricFallbacks how often another model was asked then.
	MetricRetries   = "mcp_sampling_retries_total"
	MetricFallbacks = "mcp_sampling_fallbacks_total"
	// MetricCost adds up what answers cost by the policy's prices.
	MetricCost = "mcp_sampling_cost_total"
	// MetricRedactions counts replacements by rule.
	MetricRedactions = "mcp_sampling_redactions_total"
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

// Telemetry holds the metrics of one sampler. A nil one counts nothing.
type Telemetry struct{ set *metrics.Set }

// New returns a Telemetry without anything counted yet.
func New() *Telemetry {
	metrics.ExposeMetadata(true) // the types of the metrics
	return &Telemetry{set: metrics.NewSet()}
}

// ServeHTTP writes the metrics, with those of the Go runtime and the process, in
// Prometheus' format.
func (t *Telemetry) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	t.set.WritePrometheus(w)
	metrics.WriteProcessMetrics(w)
}

// Request counts one sampling request. reason must come from a closed set.
func (t *Telemetry) Request(decision Decision, reason string) {
	if t == nil {
		return
	}
	t.set.GetOrCreateCounter(series(MetricRequests,
		"mcp_sampling_decision", string(decision), "mcp_sampling_reason", reason)).Inc()
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
func (t *Telemetry) Operation(op Operation) {
	if t == nil {
		return
	}
	what := []string{"gen_ai_operation_name", "chat", "gen_ai_provider_name", op.Provider, "gen_ai_request_model", op.Model}
	duration := what
	if op.ErrorType != "" {
		duration = append([]string{"error_type", op.ErrorType}, what...)
	}
	t.set.GetOrCreatePrometheusHistogramExt(series(MetricDuration, duration...), durationBounds).Update(op.Duration.Seconds())
	for kind, count := range map[string]int64{"input": op.InputTokens, "output": op.OutputTokens} {
		if count > 0 {
			name := series(MetricTokens, append(what[:len(what):len(what)], "gen_ai_token_type", kind)...)
			t.set.GetOrCreatePrometheusHistogramExt(name, tokenBounds).Update(float64(count))
		}
	}
}

// Queued records how long a request waited for its turn.
func (t *Telemetry) Queued(d time.Duration) {
	if t == nil {
		return
	}
	t.set.GetOrCreatePrometheusHistogramExt(MetricQueue, durationBounds).Update(d.Seconds())
}

// Retry counts one more call of a model for the same request.
func (t *Telemetry) Retry(providerName, model string) {
	if t == nil {
		return
	}
	t.set.GetOrCreateCounter(series(MetricRetries, "gen_ai_provider_name", providerName, "gen_ai_request_model", model)).Inc()
}

// Fallback counts that a model was asked after another one had failed.
func (t *Telemetry) Fallback(from, to string) {
	if t == nil {
		return
	}
	t.set.GetOrCreateCounter(series(MetricFallbacks, "gen_ai_request_model", from, "mcp_sampling_fallback_model", to)).Inc()
}

// Cost adds what an answer costs.
func (t *Telemetry) Cost(model, currency string, amount float64) {
	if t == nil {
		return
	}
	t.set.GetOrCreateFloatCounter(series(MetricCost, "gen_ai_request_model", model, "mcp_sampling_currency", currency)).Add(amount)
}

// Redacted counts what a rule of the policy replaced.
func (t *Telemetry) Redacted(rule string, count int) {
	if t == nil {
		return
	}
	t.set.GetOrCreateCounter(series(MetricRedactions, "mcp_sampling_rule", rule)).Add(count)
}

// escape writes a label's value as Prometheus reads it.
var escape = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

// series names one series: the metric with labels, which are pairs of a name and
// a value.
func series(metric string, labels ...string) string {
	var b strings.Builder
	b.WriteString(metric)
	separator := byte('{')
	for i := 0; i < len(labels); i += 2 {
		b.WriteByte(separator)
		b.WriteString(labels[i])
		b.WriteByte('=')
		b.WriteByte('"')
		b.WriteString(escape.Replace(labels[i+1]))
		b.WriteByte('"')
		separator = ','
	}
	b.WriteByte('}')
	return b.String()
}
