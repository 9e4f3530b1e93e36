package v1alpha1

import (
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
)

// Parameters bound and change what servers ask for.
type Parameters struct {
	// maxTokens bounds the tokens of one answer. Omitted passes on what the
	// server asks.
	// +optional
	MaxTokens *MaxTokens `json:"maxTokens,omitempty"`

	// temperature is the range that a requested temperature is brought into.
	// Omitted passes on what the server asks.
	// +optional
	Temperature *Temperature `json:"temperature,omitempty"`

	// systemPrompt says what becomes of the server's system prompt. Omitted
	// keeps it.
	// +optional
	SystemPrompt *SystemPrompt `json:"systemPrompt,omitempty"`

	// stopSequences bounds the texts at which a model is to stop. Omitted passes
	// on what the server asks.
	// +optional
	StopSequences *StopSequences `json:"stopSequences,omitempty"`

	// metadata is what becomes of the metadata of requests: Pass gives it to
	// providers that have a field for it, Drop keeps it from them. Omitted means
	// Drop.
	// +optional
	// +kubebuilder:default=Drop
	Metadata MetadataAction `json:"metadata,omitempty"`

	// extraBody is a JSON object that is merged into what providers are sent. What
	// the policy or the request says elsewhere cannot stand in it (such as model,
	// messages, tools, max_tokens, temperature, stream). At most 16384 bytes.
	// Omitted adds nothing.
	// +optional
	// +kubebuilder:validation:Type=object
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:pruning:PreserveUnknownFields
	ExtraBody *apiextensionsv1.JSON `json:"extraBody,omitempty"`
}

// StopSequences bounds the texts at which a model is to stop.
type StopSequences struct {
	// max is the highest number of them in one request, 0 to 64. A request with
	// more is refused.
	// +required
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=64
	Max int32 `json:"max"`
}

// MetadataAction says what becomes of a request's metadata.
//
// +kubebuilder:validation:Enum=Drop;Pass
type MetadataAction string

const (
	// MetadataActionDrop keeps it from providers.
	MetadataActionDrop MetadataAction = "Drop"
	// MetadataActionPass gives it to providers that have a field for it.
	MetadataActionPass MetadataAction = "Pass"
)

// OnExceed says what happens to a request that asks for too much.
//
// +kubebuilder:validation:Enum=Clamp;Reject
type OnExceed string

const (
	// OnExceedClamp lowers the value to the limit.
	OnExceedClamp OnExceed = "Clamp"
	// OnExceedReject refuses the request.
	OnExceedReject OnExceed = "Reject"
)

// MaxTokens bounds the tokens of one answer.
//
// +kubebuilder:validation:XValidation:rule="has(self.max) || has(self.default)",message="maxTokens needs max, default or both: write one of them, or remove maxTokens"
// +kubebuilder:validation:XValidation:rule="!has(self.max) || !has(self.default) || self.default <= self.max",message="maxTokens.default must not be above maxTokens.max"
type MaxTokens struct {
	// max is the highest number of tokens of one answer, 1 to 10000000. Omitted
	// sets no bound.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10000000
	Max int64 `json:"max,omitempty"`

	// onExceed is what happens to a request for more than max. Clamp lowers it to
	// max, Reject refuses the request. Omitted means Clamp.
	// +optional
	// +kubebuilder:default=Clamp
	OnExceed OnExceed `json:"onExceed,omitempty"`

	// default is the number of tokens for requests that name none, which the
	// protocol does not allow, 1 to 10000000. Omitted refuses them.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10000000
	Default int64 `json:"default,omitempty"`
}

// Temperature is a range within 0 and 2. A request that names no temperature
// gets the model's own.
//
// +kubebuilder:validation:XValidation:rule="!has(self.min) || !has(self.max) || self.min <= self.max",message="temperature.min must not be above temperature.max"
type Temperature struct {
	// min is the lowest temperature, 0 to 2. Omitted means 0.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=2
	Min *float64 `json:"min,omitempty"`

	// max is the highest temperature, 0 to 2. Omitted means 2.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=2
	Max *float64 `json:"max,omitempty"`
}

// PromptAction says what becomes of the server's system prompt.
//
// +kubebuilder:validation:Enum=Keep;Prepend;Append;Replace;Drop
type PromptAction string

const (
	// PromptActionKeep leaves it as it is.
	PromptActionKeep PromptAction = "Keep"
	// PromptActionPrepend puts text before it.
	PromptActionPrepend PromptAction = "Prepend"
	// PromptActionAppend puts text after it.
	PromptActionAppend PromptAction = "Append"
	// PromptActionReplace puts text in its place.
	PromptActionReplace PromptAction = "Replace"
	// PromptActionDrop removes it.
	PromptActionDrop PromptAction = "Drop"
)

// SystemPrompt says what becomes of the server's system prompt.
//
// +kubebuilder:validation:XValidation:rule="self.action in ['Keep', 'Drop'] || (has(self.text) && self.text.size() > 0)",message="action Prepend, Append and Replace need a text: write it in systemPrompt.text"
// +kubebuilder:validation:XValidation:rule="!(self.action in ['Keep', 'Drop']) || !has(self.text)",message="action Keep and Drop take no text: remove systemPrompt.text, or choose Prepend, Append or Replace"
type SystemPrompt struct {
	// action is what becomes of the server's system prompt. Keep leaves it,
	// Prepend and Append put text before or after it, Replace puts text in its
	// place, Drop removes it. Prepend, Append and Replace give requests without
	// a system prompt one.
	// +required
	Action PromptAction `json:"action"`

	// text is the policy's own prompt. At most 16384 characters.
	// +optional
	// +kubebuilder:validation:MaxLength=16384
	Text string `json:"text,omitempty"`
}

// RedactionRule replaces text before it goes to a provider or to the server.
type RedactionRule struct {
	// name is what the audit record calls the rule by. At most 63 characters.
	// +required
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Name string `json:"name"`

	// pattern is a regular expression (RE2: no look-around, no back references)
	// for what is replaced. At most 1024 characters.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Pattern string `json:"pattern"`

	// replacement stands in its place; ${1} is what the pattern's first group
	// matched, $$ is a dollar. Omitted means "[redacted]". At most 1024
	// characters.
	// +optional
	// +kubebuilder:default="[redacted]"
	// +kubebuilder:validation:MaxLength=1024
	Replacement *string `json:"replacement,omitempty"`

	// direction is which texts the rule is for: those that go to providers
	// (Request), those that come back (Response), or Both. Omitted means Both.
	// +optional
	// +kubebuilder:default=Both
	Direction Direction `json:"direction,omitempty"`
}

// Direction is which way text goes.
//
// +kubebuilder:validation:Enum=Request;Response;Both
type Direction string

const (
	// DirectionRequest is to providers.
	DirectionRequest Direction = "Request"
	// DirectionResponse is back to servers.
	DirectionResponse Direction = "Response"
	// DirectionBoth is both.
	DirectionBoth Direction = "Both"
)
