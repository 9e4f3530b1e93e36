package v1alpha1

import (
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
)

// Models says which models may be called.
type Models struct {
	// default is the name of the allowed model that answers when neither a hint
	// nor a priority of the server chooses one.
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

	// fallbacks are names of allowed models that are asked, in this order, when
	// the chosen one is busy, fails or is out of reach. Omitted asks no other. At
	// most 16 items.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	Fallbacks []string `json:"fallbacks,omitempty"`

	// onUnknownHint is what happens to a request whose hints match no model.
	// UseDefault goes on as without hints, Reject refuses the request. Omitted
	// means UseDefault.
	// +optional
	// +kubebuilder:default=UseDefault
	OnUnknownHint OnUnknownHint `json:"onUnknownHint,omitempty"`
}

// OnUnknownHint says what happens to a request whose hints match no model.
//
// +kubebuilder:validation:Enum=UseDefault;Reject
type OnUnknownHint string

const (
	// OnUnknownHintUseDefault goes on as without hints.
	OnUnknownHintUseDefault OnUnknownHint = "UseDefault"
	// OnUnknownHintReject refuses the request.
	OnUnknownHintReject OnUnknownHint = "Reject"
)

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

	// scores say how good the model is at what servers give priorities to.
	// Omitted never chooses this model by priorities.
	// +optional
	Scores *Scores `json:"scores,omitempty"`

	// prices are what the model's tokens cost, for the audit record and the
	// metrics. Omitted records no cost.
	// +optional
	Prices *Prices `json:"prices,omitempty"`

	// extraBody is a JSON object that is merged into what the provider is sent for
	// this model, over that of spec.parameters. What the policy or the request
	// says elsewhere cannot stand in it (such as model, messages, tools,
	// max_tokens, temperature, stream). At most 16384 bytes. Omitted adds nothing.
	// +optional
	// +kubebuilder:validation:Type=object
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:pruning:PreserveUnknownFields
	ExtraBody *apiextensionsv1.JSON `json:"extraBody,omitempty"`
}

// Scores are from 0, the worst, to 1, the best: a cheap model has a high score
// for cost. A server's priorities choose the model with the highest sum of
// costPriority × cost, speedPriority × speed and intelligencePriority ×
// intelligence.
type Scores struct {
	// cost is high for a cheap model, 0 to 1. Omitted means 0.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1
	Cost float64 `json:"cost,omitempty"`

	// speed is high for a fast model, 0 to 1. Omitted means 0.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1
	Speed float64 `json:"speed,omitempty"`

	// intelligence is high for a capable model, 0 to 1. Omitted means 0.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1
	Intelligence float64 `json:"intelligence,omitempty"`
}

// Prices are per million tokens.
type Prices struct {
	// input is the price of a million tokens of questions, 0 to 1000000.
	// +required
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000000
	Input float64 `json:"input"`

	// output is the price of a million tokens of answers, 0 to 1000000.
	// +required
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000000
	Output float64 `json:"output"`

	// currency is the code of the currency (ISO 4217). Omitted means USD.
	// +optional
	// +kubebuilder:default=USD
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Z]{3}$')",message="currency must be a code of three capital letters, such as USD or EUR"
	// +kubebuilder:validation:MaxLength=3
	Currency string `json:"currency,omitempty"`
}
