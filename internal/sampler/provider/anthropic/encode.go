package anthropic

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider"
)

// encode writes the body, and into it the fields of extra that it does not have
// and that the API takes beside what it has. The error is a *provider.Error.
func (q *question) encode(extra json.RawMessage) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(q.body); err != nil {
		return nil, &provider.Error{Kind: provider.KindRejected, Detail: "the request cannot be written", Cause: err}
	}
	out := bytes.TrimRight(buf.Bytes(), "\n")
	if len(extra) == 0 {
		return out, nil
	}
	var has, more map[string]json.RawMessage
	if err := json.Unmarshal(extra, &more); err != nil {
		return nil, &provider.Error{Kind: provider.KindRejected, Detail: "the policy's extraBody is not a JSON object"}
	}
	if err := json.Unmarshal(out, &has); err != nil {
		return nil, &provider.Error{Kind: provider.KindRejected, Detail: "the request cannot be written", Cause: err}
	}
	thinks := isThinking(more["thinking"]) && q.mayThink(more["thinking"])
	names := make([]string, 0, len(more))
	for name := range more {
		// Some servers read keys without case.
		known := strings.ToLower(name)
		if _, ok := has[known]; !ok && !decided[known] && q.takes(known, more[name], thinks) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		key, err := json.Marshal(name)
		if err != nil {
			return nil, &provider.Error{Kind: provider.KindRejected, Detail: "the policy's extraBody cannot be written", Cause: err}
		}
		out = append(out[:len(out)-1], ',')
		out = append(append(append(out, key...), ':'), more[name]...)
		out = append(out, '}')
	}
	return out, nil
}

// decided are fields that come from the request alone, also where it has none of
// them.
var decided = map[string]bool{
	"model": true, "max_tokens": true, "messages": true, "system": true, "temperature": true,
	"stop_sequences": true, "tools": true, "tool_choice": true, "stream": true,
}

// takes reports whether the API takes a field beside what was decided, which
// goes before it.
func (q *question) takes(name string, value json.RawMessage, thinks bool) bool {
	switch name {
	case "top_p":
		var p float64
		tooLow := json.Unmarshal(value, &p) == nil && p < leastTopP
		return q.body.Temperature == nil && !(thinks && tooLow)
	case "top_k":
		return !thinks
	case "thinking":
		return q.mayThink(value)
	default:
		return true
	}
}

// leastTopP is what the API takes beside extended thinking.
const leastTopP = 0.95

func isThinking(config json.RawMessage) bool {
	var thinking struct {
		Type string `json:"type"`
	}
	return json.Unmarshal(config, &thinking) == nil && thinking.Type != "" && thinking.Type != "disabled"
}

// mayThink holds the API's rules for extended thinking: no other temperature, no
// forced tool, no assistant message to continue. With a budget it must also fit
// into the tokens, and a tool's result needs the thoughts before the call,
// which MCP cannot carry.
func (q *question) mayThink(config json.RawMessage) bool {
	var thinking struct {
		Type   string  `json:"type"`
		Budget float64 `json:"budget_tokens"`
	}
	if json.Unmarshal(config, &thinking) != nil || thinking.Type == "disabled" {
		return true
	}
	last := q.body.Messages[len(q.body.Messages)-1]
	switch {
	case q.body.Temperature != nil && *q.body.Temperature != 1:
		return false
	case q.body.ToolChoice != nil && q.body.ToolChoice.Type == "any":
		return false
	case last.Role == "assistant":
		return false
	case thinking.Type == "enabled":
		return thinking.Budget < float64(q.body.MaxTokens) && last.Content[0].Type != "tool_result"
	default:
		return true
	}
}
