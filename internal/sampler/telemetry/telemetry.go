// Package telemetry counts what the sampler does. The names of the metrics about
// model calls and about MCP are those of OpenTelemetry's conventions; what those
// have no word for begins with mcp_sampling. What is scraped has the same names
// as Prometheus writes them, with _ for dots and the unit at the end.
//
// Every label has few values: decisions and reasons come from closed sets, models
// and names of policies from the configuration, and what peers say of themselves
// is held against the sets of this package. Nothing that a server, a caller or a
// provider can choose freely becomes a label.
//
// Every sampler is there for one server, so what it needs when nobody calls
// counts many times: what is scraped needs no SDK of OpenTelemetry. Where metrics
// are exported too, Export hands in a meter, and the same numbers go there.
package telemetry

import (
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"
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

// Telemetry holds the metrics of one sampler. A nil one counts nothing.
type Telemetry struct {
	set   *metrics.Set
	meter *meter // nil where nothing is exported

	mu     sync.RWMutex
	series map[string]*series
	// operations are the series of MCP's operations, which each message has: they
	// are found without making a name.
	operations map[operation]*series

	inFlight, queued atomic.Int64
	sessions         atomic.Pointer[func() int]
}

// New returns a Telemetry without anything counted yet.
func New() *Telemetry {
	metrics.ExposeMetadata(true) // the types of the metrics
	t := &Telemetry{set: metrics.NewSet(), series: map[string]*series{}, operations: map[operation]*series{}}
	for _, g := range t.gauges() {
		t.set.NewGauge(g.instrument.prometheus(), g.read)
	}
	return t
}

// Sessions has the number of open sessions asked for when it is wanted.
func (t *Telemetry) Sessions(count func() int) { t.sessions.Store(&count) }

// gauge is an instrument whose value is asked for.
type gauge struct {
	instrument *instrument
	read       func() float64
}

func (t *Telemetry) gauges() []gauge {
	return []gauge{
		{&sessionsOpen, func() float64 {
			if count := t.sessions.Load(); count != nil {
				return float64((*count)())
			}
			return 0
		}},
		{&requestsInFlight, func() float64 { return float64(t.inFlight.Load()) }},
		{&requestsQueued, func() float64 { return float64(t.queued.Load()) }},
	}
}

// ServeHTTP writes the metrics, with those of the Go runtime and the process, in
// Prometheus' format.
func (t *Telemetry) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	t.set.WritePrometheus(w)
	metrics.WriteProcessMetrics(w)
}

// Begin counts a sampling request that is being answered, End ends that.
func (t *Telemetry) Begin() {
	if t != nil {
		t.inFlight.Add(1)
	}
}

// End is called once for each Begin.
func (t *Telemetry) End() {
	if t != nil {
		t.inFlight.Add(-1)
	}
}

// Queue counts a sampling request that waits for its turn, Dequeue ends that.
func (t *Telemetry) Queue() {
	if t != nil {
		t.queued.Add(1)
	}
}

// Dequeue is called once for each Queue.
func (t *Telemetry) Dequeue() {
	if t != nil {
		t.queued.Add(-1)
	}
}

// Request counts one sampling request. reason must come from a closed set; policy
// is empty where there is none.
func (t *Telemetry) Request(policy string, decision Decision, reason string) {
	if t == nil {
		return
	}
	t.find(&requests, attrPolicy, policy, attrDecision, string(decision), attrReason, reason).add(1)
}

// Phases are how long a sampling request took: Queue waiting for its turn, Model
// waiting for providers, Own the rest.
type Phases struct{ Queue, Model, Own time.Duration }

// Took records how long one sampling request took.
func (t *Telemetry) Took(policy string, p Phases) {
	if t == nil {
		return
	}
	t.find(&requestDuration, attrPolicy, policy).record((p.Queue + p.Model + p.Own).Seconds())
	t.find(&queueDuration, attrPolicy, policy).record(p.Queue.Seconds())
	t.find(&modelDuration, attrPolicy, policy).record(p.Model.Seconds())
	t.find(&ownDuration, attrPolicy, policy).record(p.Own.Seconds())
}

// Operation is one call of a model.
type Operation struct {
	// Policy is the SamplingPolicy's name.
	Policy string
	// Provider is the convention's name of the family ("openai").
	Provider string
	// Model is what the provider calls it, from the policy.
	Model string
	// Duration is how long it took.
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
	what := []string{attrPolicy, op.Policy, attrOperation, "chat", attrProvider, op.Provider, attrModel, op.Model}
	duration := what
	if op.ErrorType != "" {
		duration = append([]string{attrErrorType, op.ErrorType}, what...)
	}
	t.find(&clientOperationDuration, duration...).record(op.Duration.Seconds())
	if op.InputTokens > 0 {
		t.find(&clientTokenUsage, append(what, attrTokenType, "input")...).record(float64(op.InputTokens))
	}
	if op.OutputTokens > 0 {
		t.find(&clientTokenUsage, append(what, attrTokenType, "output")...).record(float64(op.OutputTokens))
	}
}

// Retry counts one more call of a model for the same request.
func (t *Telemetry) Retry(policy, providerName, model string) {
	if t == nil {
		return
	}
	t.find(&retries, attrPolicy, policy, attrProvider, providerName, attrModel, model).add(1)
}

// Fallback counts that a model was asked after another one had failed.
func (t *Telemetry) Fallback(policy, from, to string) {
	if t == nil {
		return
	}
	t.find(&fallbacks, attrPolicy, policy, attrModel, from, attrFallback, to).add(1)
}

// Cost adds what an answer costs.
func (t *Telemetry) Cost(policy, model, currency string, amount float64) {
	if t == nil {
		return
	}
	t.find(&cost, attrPolicy, policy, attrModel, model, attrCurrency, currency).add(amount)
}

// Redacted counts what a rule of the policy replaced.
func (t *Telemetry) Redacted(policy, rule string, count int) {
	if t == nil {
		return
	}
	t.find(&redactions, attrPolicy, policy, attrRule, rule).add(float64(count))
}
