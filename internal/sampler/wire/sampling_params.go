package wire

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
)

// rawParams is SamplingParams as it comes.
type rawParams struct {
	Messages         json.RawMessage
	ModelPreferences *rawPreferences
	SystemPrompt     *string
	IncludeContext   string
	Temperature      *float64
	MaxTokens        json.RawMessage
	StopSequences    json.RawMessage
	Metadata         json.RawMessage
	Tools            json.RawMessage
	ToolChoice       *rawToolChoice
}

func (r *rawParams) decode(data json.RawMessage) *Error {
	return decodeFields("", data,
		field{"messages", &r.Messages}, field{"modelPreferences", &r.ModelPreferences},
		field{"systemPrompt", &r.SystemPrompt}, field{"includeContext", &r.IncludeContext},
		field{"temperature", &r.Temperature}, field{"maxTokens", &r.MaxTokens},
		field{"stopSequences", &r.StopSequences}, field{"metadata", &r.Metadata},
		field{"tools", &r.Tools}, field{"toolChoice", &r.ToolChoice})
}

type rawPreferences struct {
	Hints                json.RawMessage `json:"hints"`
	CostPriority         *float64        `json:"costPriority"`
	SpeedPriority        *float64        `json:"speedPriority"`
	IntelligencePriority *float64        `json:"intelligencePriority"`
}

// rawMessage is a message as it comes, writtenMessage as it goes.
type (
	rawMessage struct {
		Role    string          `json:"role"`
		Content json.RawMessage `json:"content"`
	}
	writtenMessage struct {
		Role    string `json:"role"`
		Content any    `json:"content"`
	}
)

type rawTool struct {
	Name        *string
	Description string
	InputSchema json.RawMessage
}

func (r *rawTool) decode(at string, data json.RawMessage) *Error {
	return decodeFields(at, data,
		field{"name", &r.Name}, field{"description", &r.Description}, field{"inputSchema", &r.InputSchema})
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
	if !json.Valid(data) {
		return nil, invalid("params", "is not valid JSON")
	}
	var raw rawParams
	if err := raw.decode(data); err != nil {
		return nil, err
	}
	p := &SamplingParams{SystemPrompt: raw.SystemPrompt, IncludeContext: raw.IncludeContext, Temperature: raw.Temperature}
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
	if p.ModelPreferences, err = raw.ModelPreferences.preferences(); err != nil {
		return nil, err
	}
	if p.StopSequences, err = decodeItems[string]("stopSequences", raw.StopSequences, maxStops); err != nil {
		return nil, err
	}
	if p.MaxTokens, err = decodeMaxTokens(raw.MaxTokens); err != nil {
		return nil, err
	}
	if p.Tools, err = decodeTools(raw.Tools); err != nil {
		return nil, err
	}
	if p.ToolChoice, err = raw.ToolChoice.choice(len(p.Tools) > 0); err != nil {
		return nil, err
	}
	if p.Messages, err = decodeMessages(raw.Messages); err != nil {
		return nil, err
	}
	if err := checkToolMessages(p.Messages); err != nil {
		return nil, err
	}
	return p, nil
}

func decodeMessages(list json.RawMessage) ([]SamplingMessage, *Error) {
	const at = "messages"
	var messages []SamplingMessage
	left := maxBlocks
	err := eachItem(at, list, maxMessages, func(i int, item json.RawMessage) *Error {
		at := itemAt(at, i)
		var raw rawMessage
		if err := decodeFields(at, item, field{"role", &raw.Role}, field{"content", &raw.Content}); err != nil {
			return err
		}
		m, err := raw.message(at, &left)
		messages = append(messages, m)
		return err
	})
	if err != nil {
		return nil, err
	}
	if len(messages) == 0 {
		return nil, invalid(at, "is missing or empty")
	}
	return messages, nil
}

func (r *rawPreferences) preferences() (*ModelPreferences, *Error) {
	if r == nil {
		return nil, nil
	}
	hints, err := decodeItems[ModelHint]("modelPreferences.hints", r.Hints, maxHints)
	if err != nil {
		return nil, err
	}
	for i := range hints {
		if len(hints[i].Name) > maxName {
			return nil, tooLong(itemAt("modelPreferences.hints", i)+".name", maxName)
		}
	}
	return &ModelPreferences{
		Hints: hints, CostPriority: r.CostPriority, SpeedPriority: r.SpeedPriority, IntelligencePriority: r.IntelligencePriority,
	}, nil
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
	if n > maxMaxTokens {
		return 0, invalid(at, "must be at most "+strconv.Itoa(maxMaxTokens))
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

func decodeTools(list json.RawMessage) ([]Tool, *Error) {
	var raws []rawTool
	err := eachItem("tools", list, maxTools, func(i int, item json.RawMessage) *Error {
		raws = append(raws, rawTool{})
		return raws[i].decode(itemAt("tools", i), item)
	})
	if err != nil || len(raws) == 0 {
		return nil, err
	}
	tools := make([]Tool, len(raws))
	seen := make(map[string]bool, len(raws))
	for i, raw := range raws {
		at := itemAt("tools", i)
		name, err := bounded(at+".name", raw.Name, maxName)
		if err != nil {
			return nil, err
		}
		if seen[name] {
			return nil, invalid(at+".name", "is there twice")
		}
		seen[name] = true
		if !startsObject(raw.InputSchema) {
			return nil, invalid(at+".inputSchema", "must be an object")
		}
		tools[i] = Tool{Name: name, Description: raw.Description, InputSchema: raw.InputSchema}
	}
	return tools, nil
}

// message checks a message. left is how many blocks there may be yet.
func (r *rawMessage) message(at string, left *int) (SamplingMessage, *Error) {
	if r.Role != RoleUser && r.Role != RoleAssistant {
		return SamplingMessage{}, invalid(at+".role", "must be user or assistant")
	}
	content, err := decodeContent(at+".content", r.Content, false, left)
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
		Tools      json.RawMessage `json:"tools"`
		ToolChoice json.RawMessage `json:"toolChoice"`
		Messages   json.RawMessage `json:"messages"`
	}
	if json.Unmarshal(data, &peek) != nil {
		return false
	}
	if !absent(peek.ToolChoice) {
		return true
	}
	needs, left := false, maxBlocks
	enough := &Error{}
	found := func(int, json.RawMessage) *Error {
		needs = true
		return enough
	}
	block := func(_ int, item json.RawMessage) *Error {
		var b struct {
			Type string `json:"type"`
		}
		if left--; left < 0 {
			return enough
		}
		if json.Unmarshal(item, &b) == nil && (b.Type == ContentToolUse || b.Type == ContentToolResult) {
			return found(0, nil)
		}
		return nil
	}
	if eachItem("", peek.Tools, maxTools, found) != nil {
		return needs
	}
	_ = eachItem("", peek.Messages, maxMessages, func(_ int, item json.RawMessage) *Error {
		var m struct {
			Content json.RawMessage `json:"content"`
		}
		switch {
		case json.Unmarshal(item, &m) != nil:
			return enough
		case startsObject(m.Content):
			return block(0, m.Content)
		case eachItem("", m.Content, maxBlocks, block) == enough:
			return enough
		default:
			return nil
		}
	})
	return needs
}

// MarshalJSON writes a single block as a bare object.
func (m SamplingMessage) MarshalJSON() ([]byte, error) {
	content, err := contentForm(m.Content)
	if err != nil {
		return nil, err
	}
	return marshal(writtenMessage{m.Role, content})
}

// UnmarshalJSON reads content as an object or a list.
func (m *SamplingMessage) UnmarshalJSON(data []byte) error {
	var raw rawMessage
	if err := json.Unmarshal(data, &raw); err != nil {
		return wrongJSON("message", err)
	}
	left := maxBlocks
	v, err := raw.message("message", &left)
	if err != nil {
		return err
	}
	*m = v
	return nil
}

// rawResult is a result as it comes, writtenResult as it goes.
type (
	rawResult struct {
		Role       string          `json:"role"`
		Content    json.RawMessage `json:"content"`
		Model      string          `json:"model"`
		StopReason string          `json:"stopReason"`
	}
	writtenResult struct {
		Role       string `json:"role"`
		Content    any    `json:"content"`
		Model      string `json:"model"`
		StopReason string `json:"stopReason,omitempty"`
	}
)

// MarshalJSON writes a single block as a bare object.
func (r SamplingResult) MarshalJSON() ([]byte, error) {
	content, err := contentForm(r.Content)
	if err != nil {
		return nil, err
	}
	return marshal(writtenResult{r.Role, content, r.Model, r.StopReason})
}

// UnmarshalJSON reads content as an object or a list.
func (r *SamplingResult) UnmarshalJSON(data []byte) error {
	var raw rawResult
	if err := json.Unmarshal(data, &raw); err != nil {
		return wrongJSON("result", err)
	}
	left := maxBlocks
	m, err := (&rawMessage{Role: raw.Role, Content: raw.Content}).message("result", &left)
	if err != nil {
		return err
	}
	*r = SamplingResult{Role: m.Role, Content: m.Content, Model: raw.Model, StopReason: raw.StopReason}
	return nil
}
