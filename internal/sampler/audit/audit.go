// Package audit writes one record for each sampling request: who asked, what was
// decided and why, which model answered, what it took. A record is one line of
// JSON; it holds no key ever, and what was said only where the policy wants that.
package audit

import (
	"encoding/json"
	"time"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/policy"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider"
)

// Type is the value of every record's type, which tells it from log lines.
const Type = "audit"

// Record is what is known of one request. Durations are seconds.
type Record struct {
	Time time.Time `json:"time"`
	Type string    `json:"type"`
	// Server and Namespace are the MCPServer; Session is a short digest.
	Server    string `json:"server"`
	Namespace string `json:"namespace,omitempty"`
	Session   string `json:"session,omitempty"`
	// Policy is the SamplingPolicy's name, ConfigHash what status and /statusz
	// show for the configuration that it was part of.
	Policy     string `json:"policy,omitempty"`
	ConfigHash string `json:"configHash,omitempty"`
	// Decision and Reason are as in the metrics.
	Decision string `json:"decision"`
	Reason   string `json:"reason"`
	// Error is what the server was told in place of an answer.
	Error *Error `json:"error,omitempty"`
	// Hints are the names by which the server asked for a model.
	Hints []string `json:"hints,omitempty"`
	// Model is the policy's name of the model that was asked last, Answered the
	// name that its provider gave.
	Model    string `json:"model,omitempty"`
	Answered string `json:"answered,omitempty"`
	Provider string `json:"provider,omitempty"`
	// Tokens are absent where no provider counted.
	InputTokens  int64 `json:"inputTokens,omitempty"`
	OutputTokens int64 `json:"outputTokens,omitempty"`
	Cost         *Cost `json:"cost,omitempty"`
	// Duration is that of the whole: Queue waiting for a turn, Models waiting for
	// providers, Own the rest, pauses between attempts included.
	Duration float64 `json:"duration"`
	Queue    float64 `json:"queue"`
	Models   float64 `json:"models"`
	Own      float64 `json:"own"`
	// Attempts are all that were made, in order; Retries how many of them were
	// not the first at their model.
	Attempts   []Attempt          `json:"attempts,omitempty"`
	Retries    int                `json:"retries,omitempty"`
	StopReason string             `json:"stopReason,omitempty"`
	Changes    []policy.Change    `json:"changes,omitempty"`
	Redactions []policy.Redaction `json:"redactions,omitempty"`
	Lost       []provider.Loss    `json:"lost,omitempty"`
	// ContentHash is sha256: and the digest of the parameters as they came.
	ContentHash string `json:"contentHash,omitempty"`
	// TraceID and SpanID are those of the request's span, where traces are exported.
	TraceID string `json:"traceId,omitempty"`
	SpanID  string `json:"spanId,omitempty"`
	// Sampled is whether the span is exported.
	Sampled bool `json:"-"`
	// Content is there at level Content only.
	Content *Content `json:"content,omitempty"`
}

// Error is a JSON-RPC error.
type Error struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

// Cost is what an answer costs by the policy's prices.
type Cost struct {
	Amount   float64 `json:"amount"`
	Currency string  `json:"currency"`
}

// Attempt is one call of a model that did not answer, or the one that did.
type Attempt struct {
	Provider string  `json:"provider"`
	Model    string  `json:"model"`
	Duration float64 `json:"duration"`
	// Error is the kind of failure; empty if the model answered.
	Error  string `json:"error,omitempty"`
	Status int    `json:"status,omitempty"`
	Detail string `json:"detail,omitempty"`
	// Cause holds addresses and the codes by which providers name their errors,
	// never their words.
	Cause string `json:"cause,omitempty"`
}

// Content is what was said, as it went to the model and to the server: after
// redaction.
type Content struct {
	Request json.RawMessage `json:"request,omitempty"`
	Result  json.RawMessage `json:"result,omitempty"`
}
