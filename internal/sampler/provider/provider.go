// Package provider is the small interface behind which every family of model
// API stands, and the errors that all of them share. Adapters translate and do
// nothing else: which model, which limits and who may ask is decided before
// they are called.
package provider

import (
	"context"
	"fmt"

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
}

// Response is what the model answered.
type Response struct {
	Result wire.SamplingResult
	Usage  Usage
}

// Usage is what the provider counted; zero where it does not say.
type Usage struct {
	InputTokens, OutputTokens int64
}

// Provider calls models of one provider.
type Provider interface {
	// CreateMessage asks for one completion. An error is of type *Error or
	// *UnsupportedError.
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
	KindInvalid      Kind = "invalid"  // an answer that cannot be used, or a redirect
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
	// Cause, for the operators' log only, may hold addresses and the short codes
	// by which the provider names its errors, never its words.
	Cause error
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
