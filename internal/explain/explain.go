// Package explain says what a policy makes of a sampling request, and why. It
// asks the very functions that samplers ask, so it cannot say anything else than
// what they do.
package explain

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/config"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/policy"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

// Question is what is to be explained.
type Question struct {
	// Policy has its defaults.
	Policy *config.Policy
	// Params are those of the request, as Params returns them; nil where there is
	// no request.
	Params json.RawMessage
	// Caller is what the caller declares.
	Caller wire.SamplingCapability
	// ServerTools is whether the server was told that it may send tools; nil means
	// what the policy tells it.
	ServerTools *bool
	// InCall is how many requests the call has made, this one included.
	InCall int
}

// Outcome is what becomes of a request, or of the policy where there is none.
type Outcome string

// Outcomes.
const (
	// Answered: a model is asked.
	Answered Outcome = "Answered"
	// Refused: the server gets an error.
	Refused Outcome = "Refused"
	// LeftToCaller: the request goes on to the caller, which can sample.
	LeftToCaller Outcome = "LeftToCaller"
	// Valid: there is no request, and the policy can be used.
	Valid Outcome = "Valid"
)

// Report is the explanation.
type Report struct {
	Policy  string  `json:"policy"`
	Outcome Outcome `json:"outcome"`
	// Reason is the short fact of the logs and metrics.
	Reason string `json:"reason,omitempty"`
	// Why says it in words.
	Why string `json:"why"`
	// Error is what the server gets.
	Error *Error `json:"error,omitempty"`
	// Models are asked in this order, each if those before it failed.
	Models []Model `json:"models,omitempty"`
	// Changes are what the policy makes of the request's parameters.
	Changes []Change `json:"changes,omitempty"`
	// Redactions are what its rules replace in the request.
	Redactions []policy.Redaction `json:"redactions,omitempty"`
	// AnswerRules are the rules that answers are searched by.
	AnswerRules []string `json:"answerRules,omitempty"`
	// Sent is what the model gets.
	Sent *wire.SamplingParams `json:"sent,omitempty"`
	// Limits hold for the request, but what they count is not known here.
	Limits []Limit `json:"limits,omitempty"`
}

// Error is a JSON-RPC error.
type Error struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

// Model is a model that is asked.
type Model struct {
	Name string `json:"name"`
	// Model is what the provider calls it.
	Model    string              `json:"model"`
	Provider string              `json:"provider"`
	Type     config.ProviderType `json:"type"`
	// Attempts and Timeout bound how often and how long it is asked.
	Attempts int             `json:"attempts"`
	Timeout  config.Duration `json:"timeout"`
}

// Change is one parameter before and after; nil where there is none.
type Change struct {
	Field policy.Change `json:"field"`
	From  any           `json:"from"`
	To    any           `json:"to"`
}

// Params takes the parameters out of a request: a JSON-RPC message of method
// sampling/createMessage, an entry of inputRequests, or parameters alone. White
// space is dropped, so that the length is that on the wire.
func Params(request []byte) (json.RawMessage, error) {
	var message struct {
		JSONRPC json.RawMessage `json:"jsonrpc"`
		Method  *string         `json:"method"`
		Params  json.RawMessage `json:"params"`
	}
	if err := json.Unmarshal(request, &message); err != nil {
		return nil, fmt.Errorf("it is no JSON object: %w", err)
	}
	params := json.RawMessage(request)
	switch {
	case message.Method != nil && *message.Method != wire.MethodSampling:
		return nil, fmt.Errorf("its method is %q: only %s is decided by a policy", *message.Method, wire.MethodSampling)
	case message.Method != nil && message.Params == nil:
		return nil, errors.New("it has no params")
	case message.Method == nil && message.JSONRPC != nil:
		return nil, errors.New("it is an answer: write the request")
	case message.Method != nil:
		params = message.Params
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, params); err != nil {
		return nil, fmt.Errorf("read its params: %w", err)
	}
	return compact.Bytes(), nil
}

// Explain answers a question. An error means that the policy cannot be used.
func Explain(q Question) (*Report, error) {
	p, err := policy.Compile(q.Policy)
	if err != nil {
		return nil, err
	}
	if q.Params == nil {
		return &Report{Policy: p.Name, Outcome: Valid, Why: "schema, rules and samplers accept it"}, nil
	}
	s := policy.Session{
		Caller:       q.Caller,
		Declared:     policy.Declare(p, q.Caller),
		InCall:       q.InCall,
		RequestBytes: len(q.Params),
	}
	if q.ServerTools != nil {
		s.Declared.Tools = *q.ServerTools
	}
	r := &Report{Policy: p.Name}
	if !policy.Takes(p, s, wire.NeedsTools(q.Params)) {
		r.Outcome = LeftToCaller
		r.Why = "the policy's mode is Fallback, and the caller can answer the request itself"
		return r, nil
	}
	params, malformed := wire.DecodeSamplingParams(q.Params)
	if malformed == nil {
		r.decided(p, s, params)
	} else {
		r.refuse(reasonInvalidParams, malformed.Code, malformed.Message)
	}
	return r, nil
}

// decided fills in what the policy decides.
func (r *Report) decided(p *policy.Policy, s policy.Session, params *wire.SamplingParams) {
	d, refusal := policy.Decide(p, s, params)
	if refusal != nil {
		r.refuse(string(refusal.Reason), refusal.Code, refusal.Message)
		return
	}
	r.Outcome, r.Reason, r.Why = Answered, string(d.Reason), why(p, s, params, d)
	for i := range d.Candidates {
		r.Models = append(r.Models, model(p, &d.Candidates[i]))
	}
	for _, c := range d.Changes {
		r.Changes = append(r.Changes, change(c, params, &d.Params))
	}
	r.Redactions, r.Sent, r.Limits = d.Redactions, &d.Params, limits(&p.Limits)
	r.Sent.ModelPreferences = nil // they have chosen, and no provider is told of them
	for _, rule := range p.Redaction {
		if rule.Direction != config.DirectionRequest {
			r.AnswerRules = append(r.AnswerRules, rule.Name)
		}
	}
}

// reasonInvalidParams is the reason of requests that cannot be read.
const reasonInvalidParams = "InvalidParams"

func (r *Report) refuse(reason string, code int, message string) {
	r.Outcome, r.Reason, r.Error = Refused, reason, &Error{Code: code, Message: message}
	if code == wire.CodeInvalidParams {
		r.Why = "the protocol does not allow the request"
	} else {
		r.Why = "the policy does not allow the request"
	}
}

func model(p *policy.Policy, m *config.Model) Model {
	out := Model{Name: m.Name, Model: m.Model, Provider: m.Provider}
	for i := range p.Providers {
		if from := &p.Providers[i]; from.Name == m.Provider {
			out.Type, out.Attempts, out.Timeout = from.Type, from.Retries+1, from.Timeout
		}
	}
	return out
}

func change(c policy.Change, before, after *wire.SamplingParams) Change {
	out := Change{Field: c}
	switch c {
	case policy.ChangeMaxTokens:
		if before.MaxTokens > 0 {
			out.From = before.MaxTokens
		}
		out.To = after.MaxTokens
	case policy.ChangeTemperature:
		out.From, out.To = *before.Temperature, *after.Temperature
	case policy.ChangeSystemPrompt:
		if before.SystemPrompt != nil {
			out.From = *before.SystemPrompt
		}
		if *after.SystemPrompt != "" {
			out.To = *after.SystemPrompt
		}
	case policy.ChangeMetadata:
		out.From = before.Metadata
	case policy.ChangeContext:
		out.From = before.IncludeContext
	}
	return out
}
