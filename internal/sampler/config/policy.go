package config

import "encoding/json"

// Mode says who answers when the caller itself declares sampling.
type Mode string

const (
	// ModeAlways answers every sampling request from the policy's models.
	ModeAlways Mode = "Always"
	// ModeFallback leaves it to the caller if the caller can answer it.
	ModeFallback Mode = "Fallback"
)

// Policy is a SamplingPolicy with every default filled in and every reference
// turned into a file.
type Policy struct {
	// Name is the SamplingPolicy's name, for logs, metrics and reports.
	Name         string          `json:"name"`
	Mode         Mode            `json:"mode"`
	Providers    []Provider      `json:"providers"`
	Models       Models          `json:"models"`
	Capabilities Capabilities    `json:"capabilities"`
	Parameters   Parameters      `json:"parameters"`
	Redaction    []RedactionRule `json:"redaction,omitempty"`
	Limits       SamplingLimits  `json:"limits,omitzero"`
	Audit        Audit           `json:"audit,omitzero"`
}

// Models says which models may be called.
type Models struct {
	// Default is the name of the allowed model that answers when neither a hint
	// nor a priority chooses one.
	Default string `json:"default"`
	// Allowed lists every model that may ever be called.
	Allowed []Model `json:"allowed"`
	// Fallbacks are names of allowed models that are asked in this order when
	// the chosen one fails in a way that may pass.
	Fallbacks []string `json:"fallbacks,omitempty"`
	// OnUnknownHint is what happens to a request with hints none of which
	// matches.
	OnUnknownHint OnUnknownHint `json:"onUnknownHint,omitempty"`
}

// OnUnknownHint says what happens to a request with hints none of which matches.
type OnUnknownHint string

const (
	// UnknownHintUseDefault goes on as without hints.
	UnknownHintUseDefault OnUnknownHint = "UseDefault"
	// UnknownHintReject refuses the request.
	UnknownHintReject OnUnknownHint = "Reject"
)

// Model is one allowed model.
type Model struct {
	// Name is what the policy calls it, unique among the allowed models.
	Name string `json:"name"`
	// Provider is the name of one of the providers.
	Provider string `json:"provider"`
	// Model is what the provider calls it.
	Model string `json:"model"`
	// Hints are further substrings by which a server may ask for it.
	Hints []string `json:"hints,omitempty"`
	// Scores say how good the model is at what servers give priorities to. A
	// model without them is never chosen by priorities.
	Scores *Scores `json:"scores,omitempty"`
	// Prices are what its tokens cost, for the audit record and the metrics.
	Prices *Prices `json:"prices,omitempty"`
	// ExtraBody is merged into what the provider is sent, over Parameters'.
	ExtraBody json.RawMessage `json:"extraBody,omitempty"`
}

// Scores are 0 (worst) to 1 (best): a cheap model has a high Cost score.
type Scores struct {
	Cost         float64 `json:"cost,omitempty"`
	Speed        float64 `json:"speed,omitempty"`
	Intelligence float64 `json:"intelligence,omitempty"`
}

// Prices are per million tokens.
type Prices struct {
	Input  float64 `json:"input,omitempty"`
	Output float64 `json:"output,omitempty"`
	// Currency is an ISO 4217 code; USD where it is left out.
	Currency string `json:"currency,omitempty"`
}

// Capabilities says what is declared to the server, and what requests may use.
type Capabilities struct {
	Tools ToolsCapability `json:"tools"`
	// ToolNames says which tools may be shown to models.
	ToolNames ToolNames `json:"toolNames,omitzero"`
	// ToolChoice lists the modes that requests may use ("auto", "required",
	// "none"). A request that says nothing means auto.
	ToolChoice []string `json:"toolChoice,omitempty"`
	// MaxTools bounds the tools of one request.
	MaxTools int `json:"maxTools,omitempty"`
	// Images and Audio count for every place that content can stand in.
	Images Permission `json:"images,omitempty"`
	Audio  Permission `json:"audio,omitempty"`
	// IncludeContext is what happens to a request that wants the context of
	// other servers or of this one, which nothing here has.
	IncludeContext IncludeContext `json:"includeContext,omitempty"`
}

// ToolsCapability says whether sampling requests may carry tools.
type ToolsCapability string

const (
	// ToolsEnabled declares sampling.tools.
	ToolsEnabled ToolsCapability = "Enabled"
	// ToolsDisabled declares sampling without tools.
	ToolsDisabled ToolsCapability = "Disabled"
)

// ToolNames are globs over names of tools, in which * stands for any text and ?
// for one character. A tool is allowed that Allow matches and Deny does not.
type ToolNames struct {
	// Allow is everything where it is empty.
	Allow []string `json:"allow,omitempty"`
	Deny  []string `json:"deny,omitempty"`
}

// Permission allows or denies.
type Permission string

// Permissions.
const (
	Allow Permission = "Allow"
	Deny  Permission = "Deny"
)

// IncludeContext says what happens to a request for context.
type IncludeContext string

const (
	// IncludeContextIgnore answers without it.
	IncludeContextIgnore IncludeContext = "Ignore"
	// IncludeContextReject refuses the request.
	IncludeContextReject IncludeContext = "Reject"
)

// Parameters bound and change what servers ask for.
type Parameters struct {
	MaxTokens     *MaxTokensLimit      `json:"maxTokens,omitempty"`
	Temperature   *TemperatureRange    `json:"temperature,omitempty"`
	SystemPrompt  *SystemPromptAction  `json:"systemPrompt,omitempty"`
	StopSequences *StopSequencesLimits `json:"stopSequences,omitempty"`
	// Metadata is what becomes of the request's metadata.
	Metadata MetadataAction `json:"metadata,omitempty"`
	// ExtraBody is a JSON object that is merged into what providers are sent. It
	// never replaces what the policy decides.
	ExtraBody json.RawMessage `json:"extraBody,omitempty"`
}

// OnExceed says what happens to a request that asks for too much.
type OnExceed string

const (
	// ExceedClamp lowers the value to the limit.
	ExceedClamp OnExceed = "Clamp"
	// ExceedReject refuses the request.
	ExceedReject OnExceed = "Reject"
)

// MaxTokensLimit bounds the tokens of one answer.
type MaxTokensLimit struct {
	// Max is no bound where it is 0.
	Max      int64    `json:"max,omitempty"`
	OnExceed OnExceed `json:"onExceed"`
	// Default is for requests that do not say, which no version of the protocol
	// allows; 0 refuses them.
	Default int64 `json:"default,omitempty"`
}

// TemperatureRange is what a requested temperature is clamped to. A request
// that names none gets the provider's own.
type TemperatureRange struct {
	Min float64 `json:"min"`
	Max float64 `json:"max"`
}

// PromptAction says what becomes of the server's system prompt.
type PromptAction string

const (
	// PromptKeep leaves it as it is.
	PromptKeep PromptAction = "Keep"
	// PromptPrepend puts the policy's text before it.
	PromptPrepend PromptAction = "Prepend"
	// PromptAppend puts the policy's text after it.
	PromptAppend PromptAction = "Append"
	// PromptReplace puts the policy's text in its place, also where the server
	// sent none.
	PromptReplace PromptAction = "Replace"
	// PromptDrop removes it.
	PromptDrop PromptAction = "Drop"
)

// SystemPromptAction is applied to every request.
type SystemPromptAction struct {
	Action PromptAction `json:"action"`
	Text   string       `json:"text,omitempty"`
}

// StopSequencesLimits bounds stop sequences. A request with more is refused.
type StopSequencesLimits struct {
	Max int `json:"max"`
}

// MetadataAction says what becomes of a request's metadata.
type MetadataAction string

const (
	// MetadataDrop keeps it from providers.
	MetadataDrop MetadataAction = "Drop"
	// MetadataPass gives it to providers that have a field for it.
	MetadataPass MetadataAction = "Pass"
)

// RedactionRule replaces text before it goes to a provider or to the server.
type RedactionRule struct {
	// Name is for the audit record.
	Name string `json:"name"`
	// Pattern is a regular expression (RE2).
	Pattern string `json:"pattern"`
	// Replacement may name groups of the pattern ($1, ${name}). Empty drops what
	// matches; a file that says nothing means DefaultReplacement.
	Replacement string `json:"replacement"`
	// Direction is Both where it is left out.
	Direction Direction `json:"direction,omitempty"`
}

// Direction is which way text goes.
type Direction string

// Directions.
const (
	DirectionRequest  Direction = "Request"
	DirectionResponse Direction = "Response"
	DirectionBoth     Direction = "Both"
)

// SamplingLimits bound what one server may use. 0 is no limit.
type SamplingLimits struct {
	// Concurrent requests at the same time.
	Concurrent int `json:"concurrent,omitempty"`
	// RequestsPerMinute and TokensPerMinute hold in any 60 seconds, TokensPerDay
	// in any 24 hours. Tokens are those of questions and answers.
	RequestsPerMinute int64 `json:"requestsPerMinute,omitempty"`
	TokensPerMinute   int64 `json:"tokensPerMinute,omitempty"`
	TokensPerDay      int64 `json:"tokensPerDay,omitempty"`
	// PerSession are the same for each session.
	PerSession SessionLimits `json:"perSession,omitzero"`
	// RequestsPerCall bounds the requests within one call of a tool.
	RequestsPerCall int `json:"requestsPerCall,omitempty"`
	// RequestBytes bounds the parameters of one request, as they came.
	RequestBytes int64 `json:"requestBytes,omitempty"`
	// Timeout bounds a request with all waiting, retries and fallbacks.
	Timeout Duration `json:"timeout,omitempty"`
	// QueueTimeout is how long a request may wait for its turn before it is
	// refused. Sessions that wait get turns alike. nil is the default; 0 refuses
	// at once.
	QueueTimeout *Duration `json:"queueTimeout,omitempty"`
	// Shares is how many samplers divide the limits on the server among each
	// other where they have no Store; 1 where it is left out.
	Shares int `json:"shares,omitempty"`
	// Store is where samplers count together.
	Store *Store `json:"store,omitempty"`
}

// SessionLimits are limits on one session. In the stateless era that is one call.
type SessionLimits struct {
	Concurrent        int   `json:"concurrent,omitempty"`
	RequestsPerMinute int64 `json:"requestsPerMinute,omitempty"`
	TokensPerMinute   int64 `json:"tokensPerMinute,omitempty"`
	TokensPerDay      int64 `json:"tokensPerDay,omitempty"`
}

// Store is a Redis, Valkey or whatever speaks their protocol.
type Store struct {
	// Address is host:port.
	Address string `json:"address"`
	// Username and Credential log in; without Credential nobody does.
	Username   string      `json:"username,omitempty"`
	Credential *Credential `json:"credential,omitempty"`
	// TLS encrypts; CAFile holds the certificates (PEM) that it is verified with
	// in place of the system's.
	TLS    bool   `json:"tls,omitempty"`
	CAFile string `json:"caFile,omitempty"`
	// OnUnavailable is what happens while it does not answer.
	OnUnavailable OnUnavailable `json:"onUnavailable,omitempty"`
}

// OnUnavailable says what happens while the store does not answer.
type OnUnavailable string

const (
	// FailOpen goes on with this sampler's share of the limits.
	FailOpen OnUnavailable = "FailOpen"
	// FailClosed refuses all requests.
	FailClosed OnUnavailable = "FailClosed"
)

// Audit says what is recorded of each request.
type Audit struct {
	Level AuditLevel `json:"level,omitempty"`
}

// AuditLevel is how much is recorded.
type AuditLevel string

const (
	// AuditNone records nothing.
	AuditNone AuditLevel = "None"
	// AuditMetadata records all but content.
	AuditMetadata AuditLevel = "Metadata"
	// AuditContent records what was asked and answered, too.
	AuditContent AuditLevel = "Content"
)
