// Package provider is the small interface behind which every family of model
// API stands, and the errors that all of them share. Adapters translate and do
// nothing else: which model, which limits and who may ask is decided before
// they are called.
package provider

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

// Request is a decided sampling request: what to send, not what was asked.
type Request struct {
	// Model is the provider's own name for the model.
	Model         string
	Messages      []wire.SamplingMessage
	SystemPrompt  string
	Temperature   *float64
	MaxTokens     int64
	StopSequences []string
	Tools         []wire.Tool
	// ToolChoice is empty where the server did not choose.
	ToolChoice string
	// Metadata is a JSON object; nil where the policy does not pass it on.
	Metadata json.RawMessage
	// ExtraBody is a JSON object of the policy that is merged into the body,
	// below what the fields above say; nil where there is none.
	ExtraBody json.RawMessage
	// Context is for handlers that are not a model's API.
	Context Context
}

// Context says where a request comes from.
type Context struct {
	// Server and Namespace are those of the MCPServer.
	Server, Namespace string
	// Session is a short digest of the session's id.
	Session string
	// Policy is the SamplingPolicy's name.
	Policy string
}

// Response is what the model answered.
type Response struct {
	Result wire.SamplingResult
	Usage  Usage
	// Lost says what of the request the family's API could not carry, each once.
	Lost []Loss
}

// Usage is what the provider counted; zero where it does not say.
type Usage struct {
	InputTokens, OutputTokens int64
}

// Loss is something that a request said and that its provider was not told. What
// changes the question is no loss but an UnsupportedError.
type Loss string

// Losses.
const (
	// LossMetadata: there is no field for some or all of it.
	LossMetadata Loss = "metadata"
	// LossStructuredContent of a tool's result, beside its text.
	LossStructuredContent Loss = "structuredContent"
	// LossToolError: that a tool failed is said in words only.
	LossToolError Loss = "toolError"
	// LossToolResultMedia: images or audio of a tool's result are shown beside it.
	LossToolResultMedia Loss = "toolResultMedia"
)

// Options are what the adapter of every family is made with.
type Options struct {
	// BaseURL ends before the API's own paths; empty means the vendor's own.
	BaseURL string
	// Key returns the key of this moment; it is asked once a request. nil means
	// that none is sent. An error of type *Error is passed on as it is.
	Key func() (string, error)
	// HTTP carries the requests: it bounds answers, follows no redirects, and
	// knows headers and certificates. See package outbound.
	HTTP *http.Client
}

// Provider calls models of one provider.
type Provider interface {
	// CreateMessage asks for one completion, once: who calls it tries again. An
	// error is of type *Error or *UnsupportedError.
	CreateMessage(ctx context.Context, req Request) (*Response, error)
	// Probe asks the cheapest question that needs the key (the list of models).
	// nil means that the provider answered it, or that it has no such endpoint
	// but did not refuse the key.
	Probe(ctx context.Context) error
}

// Kind says what went wrong at a provider.
type Kind string

// Kinds of failure.
const (
	KindMissingKey   Kind = "missing_key"
	KindUnauthorized Kind = "unauthorized"
	KindRateLimited  Kind = "rate_limited"
	KindUnreachable  Kind = "unreachable"
	KindTimeout      Kind = "timeout"
	KindCanceled     Kind = "canceled"
	KindRejected     Kind = "rejected" // any other 4xx: the provider did not like the request
	KindFailed       Kind = "failed"   // 5xx
	// KindRefused: a handler of the user's own says no to this request.
	KindRefused Kind = "refused"
	// KindUnavailable: it failed so often lately that it was not asked.
	KindUnavailable Kind = "unavailable"
	KindInvalid     Kind = "invalid" // an answer that cannot be used, or a redirect
	// KindMalformed is a slip of the model, not of who runs it: a tool call that
	// cannot be passed on.
	KindMalformed Kind = "malformed"
)

// Error is a failure at a provider. Its text is safe: it holds neither the
// provider's words nor the key.
type Error struct {
	Kind   Kind
	Status int // HTTP status, 0 where there was none
	// Detail is a short, safe text for users ("HTTP 401", "connection refused").
	Detail string
	// RetryAfter is how long the provider asks to wait before the next request; 0
	// where it does not say.
	RetryAfter time.Duration
	// Cause, for the operators' log only, may hold addresses and the short codes
	// by which the provider names its errors, never its words.
	Cause error
}

// Retryable reports whether the same request may succeed a moment later, or at
// another provider.
func (e *Error) Retryable() bool {
	switch e.Kind {
	case KindRateLimited, KindUnreachable, KindTimeout, KindFailed, KindUnavailable:
		return true
	default:
		return false
	}
}

// Unwrap makes errors.Is work on the cause.
func (e *Error) Unwrap() error { return e.Cause }

func (e *Error) Error() string {
	if e.Status != 0 {
		return fmt.Sprintf("model provider: %s (HTTP %d)", e.Kind, e.Status)
	}
	return fmt.Sprintf("model provider: %s", e.Kind)
}

// UnsupportedError means that the family's API cannot express the request. Its
// text goes to the server, so it names what and says nothing else.
type UnsupportedError struct{ What string }

func (e *UnsupportedError) Error() string { return e.What }
