package v1alpha1

// Capabilities is what is declared to the server, and what its requests may use.
type Capabilities struct {
	// tools says whether the server may send tools with its sampling requests,
	// for the model to call. Omitted means Enabled.
	// +optional
	// +kubebuilder:default=Enabled
	Tools ToolsCapability `json:"tools,omitempty"`

	// toolNames says which tools may be shown to models. A request that offers
	// another one is refused. Omitted allows all.
	// +optional
	// +kubebuilder:default={}
	ToolNames ToolNames `json:"toolNames,omitzero"`

	// toolChoice lists the modes of tool choice that requests may use. A request
	// with tools that names none means auto. Omitted allows all. 1 to 3 items.
	// +optional
	// +listType=set
	// +kubebuilder:default={auto,required,none}
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=3
	ToolChoice []ToolChoice `json:"toolChoice,omitempty"`

	// maxTools is the highest number of tools of one request, 1 to 1024. Omitted
	// means 128.
	// +optional
	// +kubebuilder:default=128
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1024
	MaxTools int32 `json:"maxTools,omitempty"`

	// images says whether requests may hold images, also in results of tools, and
	// PDF documents. Videos need images and audio. Omitted means Allow.
	// +optional
	// +kubebuilder:default=Allow
	Images Permission `json:"images,omitempty"`

	// audio says whether requests may hold audio, also in results of tools.
	// Videos need images and audio. Omitted means Deny.
	// +optional
	// +kubebuilder:default=Deny
	Audio Permission `json:"audio,omitempty"`

	// includeContext is what happens to a request that wants the context of
	// servers, which nobody here has: Ignore answers without it, Reject refuses.
	// Omitted means Ignore.
	// +optional
	// +kubebuilder:default=Ignore
	IncludeContext IncludeContext `json:"includeContext,omitempty"`
}

// ToolNames are globs over the names of tools: * stands for any text, ? for one
// character. A tool is allowed that allow matches and deny does not.
type ToolNames struct {
	// allow lists what may be shown. Omitted means "*". At most 64 items of at
	// most 253 characters.
	// +optional
	// +listType=set
	// +kubebuilder:default={"*"}
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	Allow []string `json:"allow,omitempty"`

	// deny lists what may not be shown, also where allow matches. Omitted denies
	// nothing. At most 64 items of at most 253 characters.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	Deny []string `json:"deny,omitempty"`
}

// ToolChoice is a mode of tool choice, in the words of the protocol.
//
// +kubebuilder:validation:Enum=auto;required;none
type ToolChoice string

const (
	// ToolChoiceAuto leaves it to the model whether it calls tools.
	ToolChoiceAuto ToolChoice = "auto"
	// ToolChoiceRequired makes it call one.
	ToolChoiceRequired ToolChoice = "required"
	// ToolChoiceNone keeps it from calling any.
	ToolChoiceNone ToolChoice = "none"
)

// Permission allows or denies.
//
// +kubebuilder:validation:Enum=Allow;Deny
type Permission string

const (
	// PermissionAllow allows.
	PermissionAllow Permission = "Allow"
	// PermissionDeny denies.
	PermissionDeny Permission = "Deny"
)

// IncludeContext says what happens to a request for context.
//
// +kubebuilder:validation:Enum=Ignore;Reject
type IncludeContext string

const (
	// IncludeContextIgnore answers without it.
	IncludeContextIgnore IncludeContext = "Ignore"
	// IncludeContextReject refuses the request.
	IncludeContextReject IncludeContext = "Reject"
)

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
