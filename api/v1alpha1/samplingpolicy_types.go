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
// +kubebuilder:printcolumn:name="Mode",type=string,priority=1,JSONPath=`.spec.mode`
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
// +kubebuilder:validation:XValidation:rule="!has(self.models.fallbacks) || self.models.fallbacks.all(f, self.models.allowed.exists(m, m.name == f))",message="every spec.models.fallbacks must be the name of one of spec.models.allowed: add the model there, or correct the name"
// +kubebuilder:validation:XValidation:rule="has(self.targetRefs) || has(self.targetSelector)",message="say which MCPServers the policy is for: spec.targetRefs names them, spec.targetSelector selects them by their labels ({} selects all of the namespace)"
type SamplingPolicySpec struct {
	// targetRefs names MCPServers of this namespace that the policy is for. A
	// policy that names a server wins over those that select it, then the oldest,
	// then the first by name. 1 to 64 items.
	// +optional
	// +listType=map
	// +listMapKey=kind
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	TargetRefs []TargetRef `json:"targetRefs,omitempty"`

	// targetSelector selects MCPServers of this namespace by their labels, beside
	// those that targetRefs names. {} selects all of them. Omitted selects none.
	// +optional
	TargetSelector *LabelSelector `json:"targetSelector,omitempty"`

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

	// capabilities is what is declared to the server, and what its requests may
	// use.
	// +optional
	// +kubebuilder:default={}
	Capabilities Capabilities `json:"capabilities,omitzero"`

	// parameters bound and change what servers ask for. Omitted passes on what
	// they ask.
	// +optional
	Parameters *Parameters `json:"parameters,omitempty"`

	// redaction replaces text on its way to providers and back, rule after rule.
	// Omitted changes nothing. At most 32 items.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=32
	Redaction []RedactionRule `json:"redaction,omitempty"`

	// limits bound what each of the servers may use. What is above is refused
	// with an error that names the limit.
	// +optional
	// +kubebuilder:default={}
	Limits SamplingLimits `json:"limits,omitzero"`

	// audit says what is recorded of each request.
	// +optional
	// +kubebuilder:default={}
	Audit Audit `json:"audit,omitzero"`
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
	// +kubebuilder:validation:Pattern=`^[a-z]([-a-z0-9]*[a-z0-9])?$`
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

// SamplingPolicyStatus is what the operator saw last.
type SamplingPolicyStatus struct {
	// observedGeneration is the metadata.generation that this status is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// targets counts the servers that this policy governs.
	// +optional
	Targets TargetCounts `json:"targets"`

	// problems are the targets that this policy does not govern, or whose
	// samplers have not loaded it, the first 16 by name.
	// +optional
	// +listType=map
	// +listMapKey=target
	// +kubebuilder:validation:MaxItems=16
	Problems []TargetProblem `json:"problems,omitempty"`

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

	// conflicted is the number of servers that it names or selects and another
	// policy governs.
	// +optional
	Conflicted int32 `json:"conflicted"`
}

// TargetProblem says what is wrong with one target.
type TargetProblem struct {
	// target is the name of the MCPServer.
	// +required
	Target string `json:"target"`

	// reason is Conflicted (another policy of the same rank wins), Overridden
	// (another policy names what this one only selects), TargetNotFound, or that of
	// the server's condition SamplingReady.
	// +required
	Reason string `json:"reason"`

	// policy is the name of the SamplingPolicy that governs the target, where it is
	// another one.
	// +optional
	Policy string `json:"policy,omitempty"`

	// message says what to do about it.
	// +optional
	Message string `json:"message,omitempty"`
}
