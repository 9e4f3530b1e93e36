package wire

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
)

// rawParams is SamplingParams as it comes.
type rawParams struct {
	Messages         []rawMessage      `json:"messages"`
	ModelPreferences *ModelPreferences `json:"modelPreferences"`
	SystemPrompt     *string           `json:"systemPrompt"`
	IncludeContext   string            `json:"includeContext"`
	Temperature      *float64          `json:"temperature"`
	MaxTokens        json.RawMessage   `json:"maxTokens"`
	StopSequences    []string          `json:"stopSequences"`
	Metadata         json.RawMessage   `json:"metadata"`
	Tools            []rawTool         `json:"tools"`
	ToolChoice       *rawToolChoice    `json:"toolChoice"`
}

type rawMessage struct {
	Role    string          `json:"role"`
	Content json.RawMessage `json:"content"`
}

type rawTool struct {
	Name        *string         `json:"name"`
	Description string          `json:"description"`
	InputSchema json.RawMessage `json:"inputSchema"`
}

type rawToolChoice struct {
	Mode string `json:"mode"`
}

// DecodeSamplingParams reads and checks the parameters of a sampling request.
// An error has code -32602 and names the place
// ("messages[2].content[0].toolUseId").
func DecodeSamplingParams(data json.RawMessage) (*SamplingParams, *Error) {
	if !startsObject(data) {
		return nil, invalid("params", "must be an object")
	}
	var raw rawParams
	if err := json.Unmarshal(data, &raw); err != nil {
		return nil, locateParam(data, err)
	}
	p := &SamplingParams{
		ModelPreferences: raw.ModelPreferences,
		SystemPrompt:     raw.SystemPrompt,
		IncludeContext:   raw.IncludeContext,
		Temperature:      raw.Temperature,
		StopSequences:    raw.StopSequences,
	}
	switch p.IncludeContext {
	case "", ContextNone, ContextThisServer, ContextAllServers:
	default:
		return nil, invalid("includeContext", "must be none, thisServer or allServers")
	}
	if !absent(raw.Metadata) {
		if !startsObject(raw.Metadata) {
			return nil, invalid("metadata", "must be an object")
		}
		p.Metadata = raw.Metadata
	}
	var err *Error
	if p.MaxTokens, err = decodeMaxTokens(raw.MaxTokens); err != nil {
		return nil, err
	}
	if p.Tools, err = decodeTools(raw.Tools); err != nil {
		return nil, err
	}
	if p.ToolChoice, err = raw.ToolChoice.choice(len(p.Tools) > 0); err != nil {
		return nil, err
	}
	if len(raw.Messages) == 0 {
		return nil, invalid("messages", "is missing or empty")
	}
	p.Messages = make([]SamplingMessage, len(raw.Messages))
	for i := range raw.Messages {
		if p.Messages[i], err = raw.Messages[i].message(itemAt("messages", i)); err != nil {
			return nil, err
		}
	}
	if err := checkToolMessages(p.Messages); err != nil {
		return nil, err
	}
	return p, nil
}

// locateParam names the place of a wrong type, with the index in a list.
func locateParam(data json.RawMessage, err error) *Error {
	var lists struct {
		Messages json.RawMessage `json:"messages"`
		Tools    json.RawMessage `json:"tools"`
	}
	var located *Error
	if json.Unmarshal(data, &lists) == nil {
		if located = locate[rawMessage]("messages", lists.Messages); located == nil {
			located = locate[rawTool]("tools", lists.Tools)
		}
	}
	if located != nil {
		return located
	}
	return wrongJSON("", err)
}

// decodeMaxTokens takes every spelling of a whole number: some languages have
// no other numbers than 100.0.
func decodeMaxTokens(raw json.RawMessage) (int64, *Error) {
	const at = "maxTokens"
	if absent(raw) {
		return 0, nil
	}
	text := string(bytes.TrimSpace(raw))
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		f, ferr := strconv.ParseFloat(text, 64)
		if ferr != nil || f != math.Trunc(f) || math.Abs(f) >= 1<<53 {
			return 0, invalid(at, "must be a whole number")
		}
		n = int64(f)
	}
	if n < 1 {
		return 0, invalid(at, "must be 1 or more")
	}
	return n, nil
}

// itemAt names a place in a list, cheaply: each block of a request has one.
func itemAt(list string, i int) string { return list + "[" + strconv.Itoa(i) + "]" }

// choice checks a tool choice. It returns nil where there is none.
func (r *rawToolChoice) choice(tools bool) (*ToolChoice, *Error) {
	const at = "toolChoice.mode"
	if r == nil {
		return nil, nil
	}
	switch r.Mode {
	case "", ToolChoiceAuto, ToolChoiceNone:
	case ToolChoiceRequired:
		if !tools {
			return nil, invalid(at, "is required, but there are no tools")
		}
	default:
		return nil, invalid(at, "must be auto, required or none")
	}
	return &ToolChoice{Mode: r.Mode}, nil
}

func decodeTools(raws []rawTool) ([]Tool, *Error) {
	if len(raws) == 0 {
		return nil, nil
	}
	tools := make([]Tool, len(raws))
	for i, raw := range raws {
		at := itemAt("tools", i)
		name, err := nonEmpty(at+".name", raw.Name)
		if err != nil {
			return nil, err
		}
		if !startsObject(raw.InputSchema) {
			return nil, invalid(at+".inputSchema", "must be an object")
		}
		tools[i] = Tool{Name: name, Description: raw.Description, InputSchema: raw.InputSchema}
	}
	return tools, nil
}

func (r *rawMessage) message(at string) (SamplingMessage, *Error) {
	if r.Role != RoleUser && r.Role != RoleAssistant {
		return SamplingMessage{}, invalid(at+".role", "must be user or assistant")
	}
	content, err := decodeContent(at+".content", r.Content, false)
	if err != nil {
		return SamplingMessage{}, err
	}
	return SamplingMessage{Role: r.Role, Content: content}, nil
}

// checkToolMessages holds the specification's rules for tool use: results stand
// alone in a user message, and each assistant message with tool uses is
// followed by the results of exactly those.
func checkToolMessages(messages []SamplingMessage) *Error {
	pending, seen := map[string]bool{}, map[string]bool{} // tool uses of the message before, those answered
	for i, m := range messages {
		if err := checkBlocks(i, m, pending, seen); err != nil {
			return err
		}
		if len(seen) < len(pending) {
			return invalid(itemAt("messages", i), "must answer every tool_use of the message before with a tool_result, and hold nothing else")
		}
		clear(pending)
		for j, c := range m.Content {
			if c.Type != ContentToolUse {
				continue
			}
			if pending[c.ID] {
				return invalid(blockAt(i, j)+".id", "is there twice")
			}
			pending[c.ID] = true
		}
	}
	if len(pending) > 0 {
		return invalid(itemAt("messages", len(messages)-1), "holds a tool_use, but no message with its tool_result follows")
	}
	return nil
}

// checkBlocks checks one message and puts the tool uses that it answers into
// seen.
func checkBlocks(i int, m SamplingMessage, pending, seen map[string]bool) *Error {
	clear(seen)
	for j, c := range m.Content {
		switch {
		case c.Type == ContentToolUse && m.Role != RoleAssistant:
			return invalid(blockAt(i, j), "tool_use belongs in an assistant message")
		case c.Type != ContentToolResult:
			if len(seen) > 0 {
				return invalid(blockAt(i, j), "a message with tool_result must hold nothing else")
			}
		case m.Role != RoleUser:
			return invalid(blockAt(i, j), "tool_result belongs in a user message")
		case len(seen) != j:
			return invalid(blockAt(i, j), "a message with tool_result must hold nothing else")
		case !pending[c.ToolUseID]:
			return invalid(blockAt(i, j)+".toolUseId", "names no tool_use of the message before")
		case seen[c.ToolUseID]:
			return invalid(blockAt(i, j)+".toolUseId", "is answered twice")
		default:
			seen[c.ToolUseID] = true
		}
	}
	return nil
}

func blockAt(message, block int) string {
	return itemAt(itemAt("messages", message)+".content", block)
}

// NeedsTools reports whether a sampling request can be served only by a client
// that knows tools: it offers some, or its messages speak of them. It reads the
// least that tells, and false where the parameters cannot be read.
func NeedsTools(data json.RawMessage) bool {
	var peek struct {
		Tools      []json.RawMessage `json:"tools"`
		ToolChoice json.RawMessage   `json:"toolChoice"`
		Messages   []struct {
			Content json.RawMessage `json:"content"`
		} `json:"messages"`
	}
	if json.Unmarshal(data, &peek) != nil {
		return false
	}
	if len(peek.Tools) > 0 || !absent(peek.ToolChoice) {
		return true
	}
	type block struct {
		Type string `json:"type"`
	}
	for _, m := range peek.Messages {
		var blocks []block
		if json.Unmarshal(m.Content, &blocks) != nil {
			blocks = make([]block, 1)
			if json.Unmarshal(m.Content, &blocks[0]) != nil {
				continue
			}
		}
		for _, b := range blocks {
			if b.Type == ContentToolUse || b.Type == ContentToolResult {
				return true
			}
		}
	}
	return false
}

// MarshalJSON writes a single block as a bare object.
func (m SamplingMessage) MarshalJSON() ([]byte, error) {
	content, err := marshalContent(m.Content)
	if err != nil {
		return nil, err
	}
	return marshal(rawMessage{Role: m.Role, Content: content})
}

// UnmarshalJSON reads content as an object or a list.
func (m *SamplingMessage) UnmarshalJSON(data []byte) error {
	var raw rawMessage
	if err := json.Unmarshal(data, &raw); err != nil {
		return wrongJSON("message", err)
	}
	v, err := raw.message("message")
	if err != nil {
		return err
	}
	*m = v
	return nil
}

type rawResult struct {
	Role       string          `json:"role"`
	Content    json.RawMessage `json:"content"`
	Model      string          `json:"model"`
	StopReason string          `json:"stopReason,omitempty"`
}

// MarshalJSON writes a single block as a bare object.
func (r SamplingResult) MarshalJSON() ([]byte, error) {
	content, err := marshalContent(r.Content)
	if err != nil {
		return nil, err
	}
	return marshal(rawResult{Role: r.Role, Content: content, Model: r.Model, StopReason: r.StopReason})
}

// UnmarshalJSON reads content as an object or a list.
func (r *SamplingResult) UnmarshalJSON(data []byte) error {
	var raw rawResult
	if err := json.Unmarshal(data, &raw); err != nil {
		return wrongJSON("result", err)
	}
	m, err := (&rawMessage{Role: raw.Role, Content: raw.Content}).message("result")
	if err != nil {
		return err
	}
	*r = SamplingResult{Role: m.Role, Content: m.Content, Model: raw.Model, StopReason: raw.StopReason}
	return nil
}
