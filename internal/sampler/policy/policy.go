// Package policy decides about sampling: what is declared to the server, who
// answers a request, and what is sent to which model. Everything here is a pure
// function of a policy, a session and a request: no clock, no I/O, no state, so
// that the same questions can be asked by tests and tools.
package policy

import (
	"fmt"
	"slices"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/config"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

// Policy is a configured policy in the form in which it decides. A nil one has
// nothing attached. It may be used concurrently, and what it was compiled from
// must not change.
type Policy struct {
	*config.Policy
	models []model // those of Models.Allowed, in their order
	// chosen and fallbacks are indexes into models.
	chosen    int
	fallbacks []int
	tools     toolNames
	// outgoing and incoming redact what goes to a provider and to the server.
	outgoing, incoming []rule
}

// Compile prepares a policy, which has its defaults. The error is about what
// validation refuses, too.
func Compile(c *config.Policy) (*Policy, error) {
	if c == nil {
		return nil, nil
	}
	p := &Policy{Policy: c, chosen: -1, tools: compileToolNames(c.Capabilities.ToolNames)}
	index := func(name string) int {
		return slices.IndexFunc(c.Models.Allowed, func(m config.Model) bool { return m.Name == name })
	}
	for _, m := range c.Models.Allowed {
		p.models = append(p.models, compileModel(m))
	}
	if p.chosen = index(c.Models.Default); p.chosen < 0 {
		return nil, fmt.Errorf("models.default: %q is not in models.allowed", c.Models.Default)
	}
	for i, name := range c.Models.Fallbacks {
		at := index(name)
		if at < 0 {
			return nil, fmt.Errorf("models.fallbacks[%d]: %q is not in models.allowed", i, name)
		}
		p.fallbacks = append(p.fallbacks, at)
	}
	if err := p.compileRedaction(); err != nil {
		return nil, err
	}
	return p, nil
}

// Session is what a decision may know of the session a request came in, and of
// how the request came.
type Session struct {
	// Caller is what the caller declared, Declared what the server was told.
	Caller, Declared wire.SamplingCapability
	// CallerUnknown means that nobody knows what the caller declared.
	CallerUnknown bool
	// InCall is how many sampling requests the caller's call has asked for, this
	// one included; 0 where it belongs to no call.
	InCall int
	// RequestBytes is how long the request's parameters were on the wire.
	RequestBytes int
}

// Reason is a short fact for logs and metrics. The set is closed.
type Reason string

// Why a model was chosen.
const (
	// ModelHinted: it is the one that a hint means.
	ModelHinted Reason = "HintMatched"
	// ModelScored: of the models with scores, it is the best by the server's
	// priorities.
	ModelScored Reason = "BestByPriorities"
	// ModelDefault: nothing else chose one.
	ModelDefault Reason = "DefaultModel"
)

// Why a request is refused.
const (
	// NoPolicy: the caller cannot sample, and no policy says who does.
	NoPolicy Reason = "NoPolicy"
	// ToolsNotDeclared: the server sends tools although it was told that it
	// must not.
	ToolsNotDeclared Reason = "ToolsNotDeclared"
	// ContextNotDeclared: the server wants context although it was told that
	// there is none, and the policy does not overlook that.
	ContextNotDeclared Reason = "ContextNotDeclared"
	// MaxTokensMissing: the server does not say how many tokens, and the policy
	// has no default.
	MaxTokensMissing Reason = "MaxTokensMissing"
	// ToolsDisabled: tools were declared, and the policy disabled them since.
	ToolsDisabled Reason = "ToolsDisabled"
	// ToolNotAllowed: one of the tools has a name that the policy does not allow.
	ToolNotAllowed Reason = "ToolNotAllowed"
	// ToolChoiceNotAllowed: the policy does not allow that tool choice.
	ToolChoiceNotAllowed Reason = "ToolChoiceNotAllowed"
	// TooManyTools: more tools are offered than the policy allows.
	TooManyTools Reason = "TooManyTools"
	// ImagesDenied and AudioDenied: the policy denies that kind of content.
	ImagesDenied Reason = "ImagesDenied"
	AudioDenied  Reason = "AudioDenied"
	// MaxTokensExceeded: more tokens are asked for than the policy allows.
	MaxTokensExceeded Reason = "MaxTokensExceeded"
	// TooManyStopSequences: there are more than the policy allows.
	TooManyStopSequences Reason = "TooManyStopSequences"
	// UnknownHint: no hint matches, and the policy wants one that does.
	UnknownHint Reason = "UnknownHint"
	// TooManyInCall: one call asks for more than the policy allows.
	TooManyInCall Reason = "RequestsPerCallExceeded"
	// LimitTooSmall: the request alone is likely to use more tokens than one of
	// the limits on them.
	LimitTooSmall Reason = "TokenLimitTooSmall"
	// RequestTooLarge: the request has more bytes than the policy allows.
	RequestTooLarge Reason = "RequestBytesExceeded"
	// RedactionTooLarge: the policy's redaction would make a text too long, or
	// replace too often.
	RedactionTooLarge Reason = "RedactionTooLarge"
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

// invalid refuses what the protocol forbids.
func invalid(reason Reason, format string, args ...any) *Refusal {
	return &Refusal{Code: wire.CodeInvalidParams, Reason: reason, Message: fmt.Sprintf(format, args...)}
}

// Decision is what to send and to whom.
type Decision struct {
	// Candidates are allowed models of the policy: the first is to be asked, each
	// other one when those before it failed in a way that may pass.
	Candidates []config.Model
	// Reason says why the first one is the first.
	Reason Reason
	// Params is what to send: what the server asked for, as the policy changes it.
	// MaxTokens is 1 or more; Metadata is nil unless it is passed on. What did not
	// change is shared with the request.
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

// Decide says which models get the request and with which parameters, or why it
// is refused. It never names a model that is not allowed, and never changes
// params. What the protocol forbids is said before what the policy does.
func Decide(p *Policy, s Session, params *wire.SamplingParams) (*Decision, *Refusal) {
	if p == nil {
		return nil, refuse(NoPolicy, "no sampling policy is attached to this server")
	}
	refusal := p.checkDeclared(s, params)
	if refusal == nil {
		refusal = p.checkAmounts(s, params)
	}
	if refusal == nil {
		refusal = p.checkTools(params)
	}
	if refusal == nil {
		refusal = p.checkMedia(params.Messages)
	}
	if refusal != nil {
		return nil, refusal
	}
	maxTokens, refusal := limitTokens(p.Parameters.MaxTokens, params.MaxTokens)
	if refusal != nil {
		return nil, refusal
	}
	first, reason, refusal := p.chooseModel(params.ModelPreferences)
	if refusal != nil {
		return nil, refusal
	}
	d := &Decision{Candidates: p.candidates(first), Reason: reason, Params: *params}
	d.Params.MaxTokens = maxTokens
	if refusal := p.redactRequest(d); refusal != nil {
		return nil, refusal
	}
	p.bound(d, params)
	if refusal := p.checkTokens(d); refusal != nil {
		return nil, refusal
	}
	return d, nil
}
