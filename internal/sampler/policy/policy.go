// Package policy decides about sampling: what is declared to the server, who
// answers a request, and what is sent to which model. Everything here is a pure
// function of a policy, a session and a request: no clock, no I/O, no state, so
// that the same questions can be asked by tests and tools.
package policy

import (
	"fmt"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/config"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

// Policy is a configured policy in the form in which it decides. A nil one has
// nothing attached.
type Policy struct {
	*config.Policy
}

// Compile prepares a policy. The error is about what validation refuses, too.
func Compile(c *config.Policy) (*Policy, error) {
	if c == nil {
		return nil, nil
	}
	return &Policy{Policy: c}, nil
}

// Session is what a decision may know of the session a request came in.
type Session struct {
	// Caller is what the caller declared, Declared what the server was told.
	Caller, Declared wire.SamplingCapability
	// CallerUnknown means that nobody knows what the caller declared.
	CallerUnknown bool
	// InCall is how many sampling requests the caller's call has asked for, this
	// one included; 0 where it belongs to no call.
	InCall int
}

// Reason is a short fact for logs and metrics. The set is closed.
type Reason string

// Why a model was chosen.
const (
	ModelHinted  Reason = "HintMatched"
	ModelDefault Reason = "DefaultModel"
)

// Why a request is refused.
const (
	// NoPolicy: the caller cannot sample, and no policy says who does.
	NoPolicy Reason = "NoPolicy"
	// ToolsNotDeclared: the server sends tools although it was told that it
	// must not.
	ToolsNotDeclared Reason = "ToolsNotDeclared"
	// ToolsDisabled: tools were declared, and the policy disabled them since.
	ToolsDisabled Reason = "ToolsDisabled"
	// MaxTokensExceeded: more tokens are asked for than the policy allows.
	MaxTokensExceeded Reason = "MaxTokensExceeded"
	// ModelNotAllowed: the policy contradicts itself; validation prevents it.
	ModelNotAllowed Reason = "ModelNotAllowed"
)

// Refusal is why a request is not answered. Message goes to the server, so it
// speaks of the policy's limits and nothing else of it.
type Refusal struct {
	Code    int
	Reason  Reason
	Message string
}

func refuse(reason Reason, format string, args ...any) *Refusal {
	return &Refusal{Code: wire.CodeRejected, Reason: reason, Message: fmt.Sprintf(format, args...)}
}

// Decision is what to send and to whom.
type Decision struct {
	// Candidates are allowed models of the policy: the first is to be asked, each
	// other one when those before it failed in a way that may pass.
	Candidates []config.Model
	// Reason says why the first one is the first.
	Reason Reason
	// Params is what to send: what the server asked for, as the policy changes it.
	// MaxTokens is 1 or more; Metadata is nil unless it is passed on.
	Params wire.SamplingParams
	// Changes says what the policy changed, each once.
	Changes []Change
	// Redactions counts what was replaced in Params.
	Redactions []Redaction
}

// Change is something that the policy made of a request. The set is closed.
type Change string

// Changes.
const (
	ChangeMaxTokens    Change = "maxTokens"
	ChangeTemperature  Change = "temperature"
	ChangeSystemPrompt Change = "systemPrompt"
	ChangeMetadata     Change = "metadata"
	ChangeContext      Change = "includeContext"
)

// Redaction is how often a rule replaced something.
type Redaction struct {
	Rule  string `json:"rule"`
	Count int    `json:"count"`
}

// RedactResult replaces in a model's answer what the policy wants replaced.
func (p *Policy) RedactResult(*wire.SamplingResult) []Redaction { return nil }

// Declare says what the server is told when a caller that declared caller
// initializes. Without a policy that is what the caller said; in mode Fallback
// it is what either can do, because each request goes to the one who can.
func Declare(p *Policy, caller wire.SamplingCapability) wire.SamplingCapability {
	if p == nil {
		return caller
	}
	tools := p.Capabilities.Tools == config.ToolsEnabled
	if p.Mode == config.ModeFallback && caller.Declared {
		tools = tools || caller.Tools
	}
	return wire.SamplingCapability{Declared: true, Tools: tools}
}

// Takes reports whether a request is answered here; if not, it goes to the
// caller. needsTools is wire.NeedsTools of the request.
//
// A request that was never announced is taken as well, and without a policy one
// that the caller knows nothing of is taken to be refused: many servers send
// sampling to anybody and wait for ever, and an error that says what is missing
// is better than that.
func Takes(p *Policy, s Session, needsTools bool) bool {
	switch {
	case p == nil:
		return !s.Caller.Declared && !s.CallerUnknown
	case p.Mode == config.ModeFallback && s.Caller.Declared:
		return needsTools && !s.Caller.Tools
	default:
		return true
	}
}

// Decide says which model gets the request and with which parameters, or why it
// is refused. It never names a model that is not allowed.
//
// includeContext and the priorities do not count: the first is
// deprecated and not declared, the second say nothing that an allow-list of
// models could be ordered by.
func Decide(p *Policy, s Session, params *wire.SamplingParams) (*Decision, *Refusal) {
	if p == nil {
		return nil, refuse(NoPolicy, "no sampling policy is attached to this server")
	}
	if len(params.Tools) > 0 || params.ToolChoice != nil {
		if !s.Declared.Tools {
			r := refuse(ToolsNotDeclared, "tools and toolChoice need the client capability sampling.tools, which was not declared")
			r.Code = wire.CodeInvalidParams
			return nil, r
		}
		if p.Capabilities.Tools != config.ToolsEnabled {
			return nil, refuse(ToolsDisabled, "the sampling policy does not allow tools")
		}
	}
	maxTokens, refusal := limitTokens(p.Parameters.MaxTokens, params.MaxTokens)
	if refusal != nil {
		return nil, refusal
	}
	model, reason := chooseModel(&p.Models, params.ModelPreferences)
	if model == nil {
		return nil, refuse(ModelNotAllowed, "the sampling policy allows no model for this request")
	}
	out := *params
	out.MaxTokens = maxTokens
	out.Temperature = limitTemperature(p.Parameters.Temperature, params.Temperature)
	prompt := systemPrompt(p.Parameters.SystemPrompt, params.SystemPrompt)
	out.SystemPrompt = &prompt
	out.Metadata = nil
	return &Decision{Candidates: []config.Model{*model}, Reason: reason, Params: out}, nil
}

func limitTokens(limit *config.MaxTokensLimit, asked int64) (int64, *Refusal) {
	if limit == nil || asked <= limit.Max {
		return asked, nil
	}
	if limit.OnExceed == config.ExceedReject {
		return 0, refuse(MaxTokensExceeded, "maxTokens is %d, the sampling policy allows at most %d", asked, limit.Max)
	}
	return limit.Max, nil
}

// limitTemperature keeps nil: the provider's own default is no request.
func limitTemperature(r *config.TemperatureRange, asked *float64) *float64 {
	if asked == nil {
		return nil
	}
	t := *asked
	if r != nil {
		t = max(r.Min, min(r.Max, t))
	}
	return &t
}

// promptSeparator stands between the policy's text and the server's.
const promptSeparator = "\n\n"

func systemPrompt(action *config.SystemPromptAction, asked *string) string {
	prompt := ""
	if asked != nil {
		prompt = *asked
	}
	if action == nil {
		return prompt
	}
	switch action.Action {
	case config.PromptPrepend:
		return join(action.Text, prompt)
	case config.PromptAppend:
		return join(prompt, action.Text)
	case config.PromptReplace:
		return action.Text
	case config.PromptDrop:
		return ""
	default: // Keep
		return prompt
	}
}

func join(first, second string) string {
	if first == "" || second == "" {
		return first + second
	}
	return first + promptSeparator + second
}
