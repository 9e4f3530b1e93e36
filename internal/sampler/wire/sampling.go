package wire

import "encoding/json"

// MethodSampling is the request by which a server asks for a completion
// (specification: client/sampling).
const MethodSampling = "sampling/createMessage"

// Error codes that a sampling request is answered with.
const (
	// CodeRejected means refused by policy or by a limit. The specification
	// gives it for "User rejected sampling request".
	CodeRejected = -1
	// CodeInvalidParams means malformed, undeclared or unsupported content.
	CodeInvalidParams = -32602
	// CodeInternal means that a provider failed.
	CodeInternal = -32603
)

// SamplingCapability is a client's `sampling` capability.
type SamplingCapability struct {
	// Declared is false where the capability is absent.
	Declared bool
	// Tools is true where `sampling.tools` is there.
	Tools bool
}

// SamplingParams are the parameters of one sampling request in any version
// from 2024-11-05 on. Schemas, arguments and metadata keep their bytes.
//
// What the specification lets a client ignore and what nothing here reads
// (task, annotations) is left out.
type SamplingParams struct {
	Messages         []SamplingMessage `json:"messages"`
	ModelPreferences *ModelPreferences `json:"modelPreferences,omitempty"`
	SystemPrompt     *string           `json:"systemPrompt,omitempty"`
	// IncludeContext is one of the constants below, or empty where the server says
	// nothing.
	IncludeContext string `json:"includeContext,omitempty"`
	// Temperature is nil where the server named none; zero is a value.
	Temperature *float64 `json:"temperature,omitempty"`
	// MaxTokens is 0 where it is missing, which no version of the protocol allows
	// but a policy may have a default for.
	MaxTokens     int64           `json:"maxTokens,omitempty"`
	StopSequences []string        `json:"stopSequences,omitempty"`
	Metadata      json.RawMessage `json:"metadata,omitempty"`
	Tools         []Tool          `json:"tools,omitempty"`
	ToolChoice    *ToolChoice     `json:"toolChoice,omitempty"`
}

// ModelPreferences are the server's wishes, in the specification's order of
// weight: hints first.
type ModelPreferences struct {
	Hints []ModelHint `json:"hints,omitempty"`
	// The priorities are nil where the server has none. The specification says 0
	// to 1, which is not checked here.
	CostPriority         *float64 `json:"costPriority,omitempty"`
	SpeedPriority        *float64 `json:"speedPriority,omitempty"`
	IntelligencePriority *float64 `json:"intelligencePriority,omitempty"`
}

// Values of includeContext.
const (
	ContextNone       = "none"
	ContextThisServer = "thisServer"
	ContextAllServers = "allServers"
)

// ModelHint is a substring of a model's name.
type ModelHint struct {
	Name string `json:"name,omitempty"`
}

// Tool is a tool that the server would run; the client only shows it to the
// model.
type Tool struct {
	Name        string          `json:"name"`
	Description string          `json:"description,omitempty"`
	InputSchema json.RawMessage `json:"inputSchema"`
}

// ToolChoice says whether the model may, must or must not call tools.
type ToolChoice struct {
	// Mode is "auto", "required" or "none"; empty means auto.
	Mode string `json:"mode,omitempty"`
}

// Roles of a message.
const (
	RoleUser      = "user"
	RoleAssistant = "assistant"
)

// SamplingMessage is one message of the conversation. Content is always a list
// here, also where the wire has a bare object.
type SamplingMessage struct {
	Role    string
	Content []Content
}

// Modes of a tool choice.
const (
	ToolChoiceAuto     = "auto"
	ToolChoiceRequired = "required"
	ToolChoiceNone     = "none"
)

// Types of content blocks. The last two are found in tool results only.
const (
	ContentText         = "text"
	ContentImage        = "image"
	ContentAudio        = "audio"
	ContentToolUse      = "tool_use"
	ContentToolResult   = "tool_result"
	ContentResourceLink = "resource_link"
	ContentResource     = "resource"
)

// Content is one block. Type says which of the fields count.
type Content struct {
	Type string
	// Text is that of a text block.
	Text string
	// Data is the base64 text of an image or audio block, as it came.
	Data string
	// MIMEType is that of an image, audio or resource link block.
	MIMEType string
	// ID, Name and Input are those of a tool_use block; Name and URI those of a
	// resource link.
	ID    string
	Name  string
	URI   string
	Input json.RawMessage
	// ToolUseID, Content, StructuredContent and IsError are those of a
	// tool_result block.
	ToolUseID         string
	Content           []Content
	StructuredContent json.RawMessage
	IsError           bool
	// Resource is that of an embedded resource.
	Resource *Resource
}

// Resource is what an embedded resource holds: a text, or base64 data.
type Resource struct {
	URI      string `json:"uri"`
	MIMEType string `json:"mimeType,omitempty"`
	Text     string `json:"text,omitempty"`
	Blob     string `json:"blob,omitempty"`
}

// Stop reasons that the specification knows; it is an open string.
const (
	StopEndTurn      = "endTurn"
	StopStopSequence = "stopSequence"
	StopMaxTokens    = "maxTokens"
	StopToolUse      = "toolUse"
)

// Stop reasons of our own, for what none of the known ones says honestly.
const (
	// StopContentFilter means that the provider withheld the rest of the answer.
	StopContentFilter = "contentFilter"
	// StopRefusal means that the model refused; the text says what it said.
	StopRefusal = "refusal"
)

// SamplingResult answers a sampling request. On the wire a single block is a
// bare object, because older peers accept nothing else.
type SamplingResult struct {
	Role       string
	Content    []Content
	Model      string
	StopReason string
}
