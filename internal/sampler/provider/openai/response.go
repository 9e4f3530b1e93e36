package openai

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"math"
	"strings"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider/toolname"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

// newResponse translates an answer. asked is the model to name where the answer
// names none. What cannot be passed on faithfully is an error: an answer that
// was guessed is worse than none.
func newResponse(answer []byte, asked string, names *toolname.Map) (*provider.Response, error) {
	var c completion
	if err := decode(answer, &c); err != nil {
		return nil, err
	}
	first := &c.Choices[0]
	if first.Message == nil {
		return nil, unusable("its answer has no choices")
	}
	message := first.Message
	text, err := answerText(message.Content)
	if err != nil {
		return nil, err
	}
	calls, err := provider.Items(message.ToolCalls)
	if err != nil {
		return nil, err
	}
	blocks := make([]wire.Content, 0, 2+len(calls))
	if text != "" {
		blocks = append(blocks, wire.Content{Type: wire.ContentText, Text: text})
	}
	if message.Refusal != "" {
		blocks = append(blocks, wire.Content{Type: wire.ContentText, Text: message.Refusal})
	}
	if blocks, err = appendToolUses(blocks, calls, names); err != nil {
		return nil, err
	}
	if len(blocks) == 0 {
		// A model may say nothing; a result without content is not valid.
		blocks = append(blocks, wire.Content{Type: wire.ContentText})
	}
	stop := stopReason(first.FinishReason, len(calls) > 0)
	if message.Refusal != "" && stop == wire.StopEndTurn {
		stop = wire.StopRefusal
	}
	return &provider.Response{
		Result: wire.SamplingResult{Role: wire.RoleAssistant, Content: blocks, Model: provider.ModelName(c.Model, asked), StopReason: stop},
		Usage:  provider.Usage{InputTokens: count(c.Usage.PromptTokens), OutputTokens: count(c.Usage.CompletionTokens)},
	}, nil
}

// decode keeps the decoder's words to itself: they may quote the answer.
func decode(raw []byte, into any) error {
	if json.Unmarshal(raw, into) != nil {
		return unusable("its answer is no chat completion")
	}
	return nil
}

// count takes no number from a server that could make a sum overflow.
func count(n float64) int64 { return int64(min(max(0, n), math.MaxInt32)) }

// answerText reads content: a string, nothing, or, with some servers, a list of
// parts, of which those count that are text.
func answerText(content json.RawMessage) (string, error) {
	if len(content) == 0 {
		return "", nil
	}
	if content[0] != '[' {
		var text string // null leaves it empty
		err := decode(content, &text)
		return text, err
	}
	parts, err := provider.Items(content)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, raw := range parts {
		var part struct {
			Type string `json:"type"`
			Text string `json:"text"`
		}
		if json.Unmarshal(raw, &part) == nil && part.Type == partText {
			b.WriteString(part.Text)
		}
	}
	return b.String(), nil
}

// stopReason maps finish_reason. Compatible servers, and OpenAI itself when a
// tool is required, finish tool calls with "stop". An unknown reason is not
// passed off as a normal end: there is none then, as the specification allows.
func stopReason(finish string, usesTools bool) string {
	switch {
	case finish == "length":
		return wire.StopMaxTokens
	case finish == "content_filter":
		return wire.StopContentFilter
	case usesTools || finish == "tool_calls":
		return wire.StopToolUse
	case finish == "stop":
		return wire.StopEndTurn
	default:
		return ""
	}
}

// appendToolUses gives calls their tools' own names, and an id to those that
// have none of their own: some servers leave it out, and a result could not be
// told from another.
func appendToolUses(blocks []wire.Content, calls []json.RawMessage, names *toolname.Map) ([]wire.Content, error) {
	seen := map[string]bool{}
	for _, raw := range calls {
		var call answerToolCall
		if err := decode(raw, &call); err != nil {
			return nil, err
		}
		input, err := arguments(call.Function.Arguments)
		if err != nil {
			return nil, err
		}
		if call.Function.Name == "" {
			return nil, malformed("a tool call has no name")
		}
		id := call.ID
		if id == "" || seen[id] {
			id = "call_" + rand.Text()
		}
		seen[id] = true
		// A name that the model made up is for the server to refuse.
		name, _ := names.Back(call.Function.Name)
		blocks = append(blocks, wire.Content{Type: wire.ContentToolUse, ID: id, Name: name, Input: input})
	}
	return blocks, nil
}

// arguments refuses what is no JSON object, also what a limit on tokens cut
// off: the server would run the tool with something nobody said.
func arguments(raw json.RawMessage) (json.RawMessage, error) {
	input := bytes.TrimSpace(raw)
	if len(input) > 0 && input[0] == '"' {
		var text string
		if err := decode(input, &text); err != nil {
			return nil, err
		}
		input = bytes.TrimSpace([]byte(text))
	}
	if len(input) == 0 || input[0] != '{' || !json.Valid(input) {
		return nil, malformed("the arguments of a tool call are not a JSON object")
	}
	return input, nil
}

func malformed(detail string) *provider.Error {
	return &provider.Error{Kind: provider.KindMalformed, Detail: detail}
}

func unusable(detail string) *provider.Error {
	return &provider.Error{Kind: provider.KindInvalid, Detail: detail}
}
