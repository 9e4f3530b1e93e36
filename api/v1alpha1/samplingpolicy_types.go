package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// SamplingPolicy says who answers the sampling requests of the MCPServers that
// it targets: from which models, at which providers, and within which bounds.
// A server without a policy gets no sampling.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=smp,categories=mcp
// +kubebuilder:printcolumn:name="Accepted",type=string,JSONPath=`.status.conditions[?(@.type=="Accepted")].status`
// +kubebuilder:printcolumn:name="Programmed",type=string,JSONPath=`.status.conditions[?(@.type=="Programmed")].status`
// +kubebuilder:printcolumn:name="Model",type=string,JSONPath=`.spec.models.default`
// +kubebuilder:printcolumn:name="Mode",type=string,JSONPath=`.spec.mode`
// +kubebuilder:printcolumn:name="Attached",type=integer,JSONPath=`.status.targets.attached`
// +kubebuilder:printcolumn:name="Reason",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Programmed")].reason`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Programmed")].message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type SamplingPolicy struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard object's metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// spec is what is wanted.
	// +required
	Spec SamplingPolicySpec `json:"spec"`
	// status is what is there.
	// +optional
	Status SamplingPolicyStatus `json:"status,omitzero"`
}

// SamplingPolicyList is a list of SamplingPolicies.
//
// +kubebuilder:object:root=true
type SamplingPolicyList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []SamplingPolicy `json:"items"`
}

// SamplingPolicySpec is the policy.
//
// +kubebuilder:validation:XValidation:rule="self.models.allowed.exists(m, m.name == self.models.default)",message="spec.models.default must be the name of one of spec.models.allowed: add it there, or choose a default that is listed"
// +kubebuilder:validation:XValidation:rule="self.models.allowed.all(m, self.providers.exists(p, p.name == m.provider))",message="every spec.models.allowed[].provider must be the name of one of spec.providers: add the provider, or correct the name"
type SamplingPolicySpec struct {
	// targetRefs names the MCPServers of this namespace that the policy is for.
	// Where several policies name the same server the oldest wins, then the
	// first by name; status says so. 1 to 64 items.
	// +required
	// +listType=map
	// +listMapKey=kind
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	TargetRefs []TargetRef `json:"targetRefs"`

	// mode says who answers when the caller itself declares sampling. Always
	// answers here; Fallback leaves it to the caller if the caller can answer
	// the request. A caller that cannot sample is served in both. Omitted means
	// Always.
	// +optional
	// +kubebuilder:default=Always
	Mode Mode `json:"mode,omitempty"`

	// providers are those who run the models. 1 to 16 items.
	// +required
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Providers []Provider `json:"providers"`

	// models are the models that may be called.
	// +required
	Models Models `json:"models"`

	// capabilities is what is declared to the server.
	// +optional
	// +kubebuilder:default={}
	Capabilities Capabilities `json:"capabilities,omitzero"`

	// parameters bound and change what servers ask for. Omitted passes on what
	// they ask.
	// +optional
	Parameters *Parameters `json:"parameters,omitempty"`
}

// TargetRef names an MCPServer of the same namespace.
type TargetRef struct {
	// group is the API group of the target. Omitted means mcp-sampling.dev.
	// +optional
	// +kubebuilder:default=mcp-sampling.dev
	// +kubebuilder:validation:Enum=mcp-sampling.dev
	Group string `json:"group,omitempty"`

	// kind is the kind of the target. Omitted means MCPServer.
	// +optional
	// +kubebuilder:default=MCPServer
	// +kubebuilder:validation:Enum=MCPServer
	Kind string `json:"kind,omitempty"`

	// name is the name of the MCPServer. At most 63 characters.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name"`
}

// Mode says who answers when the caller itself declares sampling.
//
// +kubebuilder:validation:Enum=Always;Fallback
type Mode string

const (
	// ModeAlways answers every sampling request from the policy's models.
	ModeAlways Mode = "Always"
	// ModeFallback leaves it to the caller if the caller can answer it.
	ModeFallback Mode = "Fallback"
)

// ProviderType is the family of API that a provider speaks.
//
// +kubebuilder:validation:Enum=OpenAI
type ProviderType string

// ProviderOpenAI is OpenAI's chat completions API, and everything that is
// compatible with it.
const ProviderOpenAI ProviderType = "OpenAI"

// Provider is somebody who runs models.
//
// +kubebuilder:validation:XValidation:rule="!has(self.openAI) || self.type == 'OpenAI'",message="openAI is only for providers of type OpenAI: set type to OpenAI, or remove openAI"
type Provider struct {
	// name is what models call this provider by. At most 63 characters.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Name string `json:"name"`

	// type is the family of API. OpenAI also serves everything compatible with
	// it, such as Ollama, vLLM, llama.cpp and LiteLLM.
	// +required
	Type ProviderType `json:"type"`

	// baseURL is where the API's own paths begin ("https://host/v1", without
	// "/chat/completions"). Omitted means the vendor's own. http or https,
	// without credentials, query or fragment. At most 1024 characters.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="isURL(self) && url(self).getScheme() in ['http', 'https'] && url(self).getHostname() != ''",message="baseURL must be an absolute URL that begins with http:// or https://, such as https://api.example.com/v1"
	// +kubebuilder:validation:XValidation:rule="!isURL(self) || url(self).getPort() == '' || (url(self).getPort().size() <= 5 && int(url(self).getPort()) >= 1 && int(url(self).getPort()) <= 65535)",message="baseURL must have a port from 1 to 65535, or none"
	// +kubebuilder:validation:XValidation:rule="!self.contains('@') && !self.contains('?') && !self.contains('#')",message="baseURL must not hold credentials, a query or a fragment: put the key into a Secret and name it in credential.secretKeyRef"
	// +kubebuilder:validation:XValidation:rule="!self.endsWith('/chat/completions') && !self.endsWith('/chat/completions/')",message="baseURL must end before /chat/completions, which is added to it for each request: remove that part"
	BaseURL string `json:"baseURL,omitempty"`

	// credential is where the API key is found. Omitted sends none.
	// +optional
	Credential *Credential `json:"credential,omitempty"`

	// timeout bounds one sampling request at this provider, retries included,
	// 1s to 1h. Omitted means 60s.
	// +optional
	// +kubebuilder:default="60s"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s') && duration(self) <= duration('1h')",message="timeout must be a duration such as 30s or 1m30s, from 1s to 1h"
	Timeout *metav1.Duration `json:"timeout,omitempty"`

	// retries is how many more times a request is tried after the provider was
	// busy, failed or was out of reach, 0 to 10. Omitted means 2.
	// +optional
	// +kubebuilder:default=2
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=10
	Retries *int32 `json:"retries,omitempty"`

	// openAI holds what only the OpenAI family knows.
	// +optional
	OpenAI *OpenAI `json:"openAI,omitempty"`
}

// Credential says where a key is found.
type Credential struct {
	// secretKeyRef is a key of a Secret in this namespace. The operator mounts
	// it into the sampler's pods and never reads it.
	// +required
	SecretKeyRef SecretKeyRef `json:"secretKeyRef"`
}

// SecretKeyRef names a key of a Secret in the same namespace.
type SecretKeyRef struct {
	// name is the name of the Secret. At most 253 characters.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$`
	Name string `json:"name"`

	// key is the key inside the Secret. At most 253 characters.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[-._a-zA-Z0-9]+$`
	// +kubebuilder:validation:XValidation:rule="self != '.' && !self.startsWith('..')",message="key must not be '.' or begin with '..'"
	Key string `json:"key"`
}

// MaxTokensField is the name that a server gives the limit on tokens.
//
// +kubebuilder:validation:Enum=max_completion_tokens;max_tokens
type MaxTokensField string

const (
	// MaxTokensFieldMaxCompletionTokens is OpenAI's own name.
	MaxTokensFieldMaxCompletionTokens MaxTokensField = "max_completion_tokens"
	// MaxTokensFieldMaxTokens is the older name, the only one that some
	// compatible servers know.
	MaxTokensFieldMaxTokens MaxTokensField = "max_tokens"
)

// OpenAI holds what only the OpenAI family knows.
type OpenAI struct {
	// maxTokensField is the name of the field for the limit on tokens. Use
	// max_tokens for compatible servers that do not know the newer name. Omitted
	// means max_completion_tokens.
	// +optional
	// +kubebuilder:default=max_completion_tokens
	MaxTokensField MaxTokensField `json:"maxTokensField,omitempty"`
}

// Models says which models may be called.
type Models struct {
	// default is the name of the allowed model that answers when no hint of the
	// server matches.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Default string `json:"default"`

	// allowed lists every model that may be called; no other one ever is. 1 to
	// 64 items.
	// +required
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	Allowed []Model `json:"allowed"`
}

// Model is a model that may be called.
type Model struct {
	// name is what the policy calls the model; servers may ask for it by a part
	// of it. At most 253 characters.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`

	// provider is the name of one of spec.providers.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Provider string `json:"provider"`

	// model is what the provider calls the model. Omitted means name.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Model string `json:"model,omitempty"`

	// hints are further names by which a server may ask for this model: a
	// server's hint chooses it if the hint is a part of one of them. At most 32
	// items of at most 253 characters.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	Hints []string `json:"hints,omitempty"`
}

// Capabilities is what is declared to the server.
type Capabilities struct {
	// tools says whether the server may send tools with its sampling requests,
	// for the model to call. Omitted means Enabled.
	// +optional
	// +kubebuilder:default=Enabled
	Tools ToolsCapability `json:"tools,omitempty"`
}

// ToolsCapability says whether sampling requests may carry tools.
//
// +kubebuilder:validation:Enum=Enabled;Disabled
type ToolsCapability string

const (
	// ToolsEnabled declares sampling.tools.
	ToolsEnabled ToolsCapability = "Enabled"
	// ToolsDisabled declares sampling without tools.
	ToolsDisabled ToolsCapability = "Disabled"
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
}

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
type MaxTokens struct {
	// max is the highest number of tokens of one answer, 1 to 10000000.
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10000000
	Max int64 `json:"max"`

	// onExceed is what happens to a request for more. Clamp lowers it to max,
	// Reject refuses the request. Omitted means Clamp.
	// +optional
	// +kubebuilder:default=Clamp
	OnExceed OnExceed `json:"onExceed,omitempty"`
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

// SamplingPolicyStatus is what the operator saw last.
type SamplingPolicyStatus struct {
	// observedGeneration is the metadata.generation that this status is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// targets counts the servers that this policy governs.
	// +optional
	Targets TargetCounts `json:"targets"`

	// conflicts lists the targets that another policy governs, at most 16.
	// +optional
	// +listType=map
	// +listMapKey=target
	// +kubebuilder:validation:MaxItems=16
	Conflicts []Conflict `json:"conflicts,omitempty"`

	// conditions are Accepted and Programmed.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// TargetCounts counts servers.
type TargetCounts struct {
	// attached is the number of servers that this policy governs.
	// +optional
	Attached int32 `json:"attached"`

	// programmed is the number of those whose samplers have all loaded it.
	// +optional
	Programmed int32 `json:"programmed"`
}

// Conflict names a target that another policy governs.
type Conflict struct {
	// target is the name of the MCPServer.
	// +required
	Target string `json:"target"`

	// policy is the name of the SamplingPolicy that governs it.
	// +required
	Policy string `json:"policy"`
}
