package fakeanthropic

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// Check says what the live API would refuse of a request's body: first by the
// official client's types, then by the rules that its documentation states or
// that it is known to enforce. nil means nothing.
func Check(body []byte) []string {
	if problems := checkTypes(body); problems != nil {
		return problems
	}
	var r request
	if err := json.Unmarshal(body, &r); err != nil {
		return []string{"the body cannot be read: " + err.Error()}
	}
	r.checkParameters()
	r.checkMessages()
	r.checkTools()
	r.checkModel()
	return r.problems
}

type request struct {
	Model         string    `json:"model"`
	MaxTokens     int64     `json:"max_tokens"`
	System        []block   `json:"system"`
	Messages      []message `json:"messages"`
	Temperature   *float64  `json:"temperature"`
	TopP          *float64  `json:"top_p"`
	StopSequences []string  `json:"stop_sequences"`
	Stream        bool      `json:"stream"`
	Tools         []struct {
		Name        string                     `json:"name"`
		InputSchema map[string]json.RawMessage `json:"input_schema"`
	} `json:"tools"`
	ToolChoice *struct {
		Type string `json:"type"`
	} `json:"tool_choice"`
	Metadata struct {
		UserID string `json:"user_id"`
	} `json:"metadata"`
	Thinking struct {
		Type         string `json:"type"`
		BudgetTokens int64  `json:"budget_tokens"`
	} `json:"thinking"`

	problems []string
}

type message struct {
	Role    string  `json:"role"`
	Content []block `json:"content"`
}

type block struct {
	Type   string `json:"type"`
	Text   string `json:"text"`
	Source struct {
		Type      string `json:"type"`
		MediaType string `json:"media_type"`
		Data      string `json:"data"`
	} `json:"source"`
	ID        string          `json:"id"`
	Name      string          `json:"name"`
	Input     json.RawMessage `json:"input"`
	ToolUseID string          `json:"tool_use_id"`
	Content   []block         `json:"content"`
	IsError   bool            `json:"is_error"`
}

func (r *request) problem(format string, args ...any) {
	r.problems = append(r.problems, fmt.Sprintf(format, args...))
}

func (r *request) checkParameters() {
	if r.Model == "" {
		r.problem("model: is empty")
	}
	if r.MaxTokens < 1 {
		r.problem("max_tokens: must be 1 or more")
	}
	if r.Stream {
		r.problem("stream: nobody reads a stream")
	}
	if t := r.Temperature; t != nil && (*t < 0 || *t > 1) {
		r.problem("temperature: range: 0..1")
	}
	if r.Temperature != nil && r.TopP != nil {
		r.problem("temperature and top_p cannot both be specified")
	}
	for _, stop := range r.StopSequences {
		if blank(stop) {
			r.problem("stop_sequences: each stop sequence must contain non-whitespace")
		}
	}
	for _, b := range r.System {
		r.checkText("system", b)
	}
	if utf8.RuneCountInString(r.Metadata.UserID) > 256 {
		r.problem("metadata.user_id: String should have at most 256 characters")
	}
}

var (
	identifier  = regexp.MustCompile(`^[a-zA-Z0-9_-]+$`)
	toolName    = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,128}$`)
	propertyKey = regexp.MustCompile(`^[a-zA-Z0-9_.-]{1,64}$`)
)

func (r *request) checkMessages() {
	if len(r.Messages) == 0 {
		r.problem("messages: at least one message is required")
		return
	}
	seen := map[string]bool{}
	var pending []string // tool uses of the message before
	for i, m := range r.Messages {
		at := fmt.Sprintf("messages.%d", i)
		if m.Role != "user" && m.Role != "assistant" {
			r.problem("%s: unexpected role %q", at, m.Role)
		}
		if i > 0 && r.Messages[i-1].Role == m.Role {
			r.problem("%s: roles must alternate", at)
		}
		if len(m.Content) == 0 {
			r.problem("%s: all messages must have non-empty content", at)
			continue
		}
		r.checkResults(at, m, pending)
		pending = nil
		for j, b := range m.Content {
			r.checkBlock(fmt.Sprintf("%s.content.%d", at, j), m.Role, b)
			if b.Type != "tool_use" {
				continue
			}
			if seen[b.ID] {
				r.problem("%s.content.%d: `tool_use` ids must be unique", at, j)
			}
			seen[b.ID] = true
			pending = append(pending, b.ID)
		}
	}
	if len(pending) > 0 {
		r.problem("messages: `tool_use` ids were found without `tool_result` blocks immediately after")
	}
	last := r.Messages[len(r.Messages)-1]
	if last.Role == "assistant" && len(last.Content) > 0 {
		if end := last.Content[len(last.Content)-1].Text; end != strings.TrimRight(end, " \t\r\n") {
			r.problem("messages: final assistant content cannot end with trailing whitespace")
		}
	}
}

// checkResults: all results of the calls before, at the beginning.
func (r *request) checkResults(at string, m message, pending []string) {
	var results []string
	for j, b := range m.Content {
		if b.Type != "tool_result" {
			continue
		}
		if len(results) != j {
			r.problem("%s: tool_result blocks must come first", at)
		}
		if slices.Contains(results, b.ToolUseID) {
			r.problem("%s: each tool_use must have a single result", at)
		}
		if m.Role != "user" || !slices.Contains(pending, b.ToolUseID) {
			r.problem("%s: unexpected `tool_use_id` found in `tool_result` blocks", at)
		}
		results = append(results, b.ToolUseID)
	}
	if len(results) != len(pending) {
		r.problem("%s: `tool_use` ids were found without `tool_result` blocks immediately after", at)
	}
}

func (r *request) checkBlock(at, role string, b block) {
	switch b.Type {
	case "text":
		r.checkText(at, b)
	case "image", "document":
		if role != "user" {
			r.problem("%s: %s blocks are only permitted in user messages", at, b.Type)
		}
		r.checkMedia(at, b)
	case "tool_use":
		if role != "assistant" {
			r.problem("%s: `tool_use` blocks can only be in `assistant` messages", at)
		}
		if !identifier.MatchString(b.ID) {
			r.problem("%s.id: String should match pattern", at)
		}
		if !toolName.MatchString(b.Name) {
			r.problem("%s.name: String should match pattern", at)
		}
		if !strings.HasPrefix(string(b.Input), "{") {
			r.problem("%s.input: Input should be a valid dictionary", at)
		}
	case "tool_result":
		if b.IsError && len(b.Content) == 0 {
			r.problem("%s: content cannot be empty if `is_error` is true", at)
		}
		for k, c := range b.Content {
			if b.IsError && c.Type != "text" {
				r.problem("%s: all content must be type \"text\" if `is_error` is true", at)
			}
			if c.Type == "tool_use" || c.Type == "tool_result" {
				r.problem("%s: %s cannot be here", at, c.Type)
			}
			r.checkBlock(fmt.Sprintf("%s.content.%d", at, k), "user", c)
		}
	default:
		r.problem("%s: no adapter sends %q", at, b.Type)
	}
}

func (r *request) checkText(at string, b block) {
	if b.Type == "text" && blank(b.Text) {
		r.problem("%s: text content blocks must contain non-whitespace text", at)
	}
}

func (r *request) checkMedia(at string, b block) {
	types := []string{"image/jpeg", "image/png", "image/gif", "image/webp"}
	if b.Type == "document" {
		types = []string{"application/pdf"}
	}
	if b.Source.Type != "base64" || !slices.Contains(types, b.Source.MediaType) {
		r.problem("%s.source: unexpected %s of %s", at, b.Source.Type, b.Source.MediaType)
	}
	_, err := base64.StdEncoding.DecodeString(b.Source.Data)
	if err != nil || b.Source.Data == "" || strings.ContainsAny(b.Source.Data, "\r\n") {
		r.problem("%s.source: invalid base64 data", at)
	}
}

func (r *request) checkTools() {
	if r.ToolChoice != nil && len(r.Tools) == 0 {
		r.problem("tool_choice: may only be specified while providing tools")
	}
	names := map[string]bool{}
	for i, t := range r.Tools {
		at := fmt.Sprintf("tools.%d.custom", i)
		if names[t.Name] {
			r.problem("tools: Tool names must be unique")
		}
		names[t.Name] = true
		if !toolName.MatchString(t.Name) {
			r.problem("%s.name: String should match pattern", at)
		}
		if string(t.InputSchema["type"]) != `"object"` {
			r.problem("%s.input_schema.type: Input should be 'object'", at)
		}
		for _, keyword := range []string{"oneOf", "allOf", "anyOf"} {
			if _, there := t.InputSchema[keyword]; there && r.vendor() {
				r.problem("%s.input_schema: does not support oneOf, allOf, or anyOf at the top level", at)
			}
		}
		var properties map[string]json.RawMessage
		_ = json.Unmarshal(t.InputSchema["properties"], &properties) // absent ones have no keys
		for key := range properties {
			if !propertyKey.MatchString(key) && r.vendor() {
				r.problem("%s.input_schema.properties: Property keys should match pattern", at)
			}
		}
	}
}

func (r *request) vendor() bool { return strings.HasPrefix(r.Model, "claude-") }

// What models refuse, by name, from the migration guides of each.
var (
	noTemperature = []string{
		"claude-opus-4-7", "claude-opus-4-8", "claude-opus-5", "claude-opus-5-5", "claude-sonnet-5", "claude-sonnet-5-5",
		"claude-haiku-5-5", "claude-fable-5", "claude-fable-5-1", "claude-mythos-5", "claude-mythos-5-1",
	}
	noPrefill    = append([]string{"claude-opus-4-6", "claude-sonnet-4-6", "claude-mythos-preview"}, noTemperature...)
	noForcedTool = []string{"claude-opus-5-5", "claude-sonnet-5-5", "claude-fable-5-1", "claude-mythos-5-1"}
)

func (r *request) checkModel() {
	if r.Temperature != nil && *r.Temperature != 1 && slices.Contains(noTemperature, r.Model) {
		r.problem("`temperature` is deprecated for this model")
	}
	prefills := len(r.Messages) > 0 && r.Messages[len(r.Messages)-1].Role == "assistant"
	if prefills && slices.Contains(noPrefill, r.Model) {
		r.problem("This model does not support assistant message prefill")
	}
	forces := r.ToolChoice != nil && r.ToolChoice.Type == "any"
	if forces && slices.Contains(noForcedTool, r.Model) {
		r.problem("tool_choice: this model does not support forced tool use")
	}
	if r.Thinking.Type == "" || r.Thinking.Type == "disabled" {
		return
	}
	if forces {
		r.problem("Thinking may not be enabled when tool_choice forces tool use")
	}
	if r.Temperature != nil && *r.Temperature != 1 {
		r.problem("`temperature` may only be set to 1 when thinking is enabled or in adaptive mode")
	}
	if prefills {
		r.problem("thinking: the last message cannot be prefilled")
	}
	if r.Thinking.Type != "enabled" {
		return
	}
	if r.Thinking.BudgetTokens >= r.MaxTokens {
		r.problem("`max_tokens` must be greater than `thinking.budget_tokens`")
	}
	if len(r.Messages) > 0 && len(r.Messages[len(r.Messages)-1].Content) > 0 && r.Messages[len(r.Messages)-1].Content[0].Type == "tool_result" {
		r.problem("Expected `thinking`, but found `tool_use`: the final assistant message must start with a thinking block")
	}
}

func blank(text string) bool { return strings.TrimSpace(text) == "" }
