package anthropic

import (
	"bytes"
	"encoding/json"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

// answer is what of a message is read.
type answer struct {
	Type  string `json:"type"`
	Model string `json:"model"`
	// Content is a list of answerBlock.
	Content    json.RawMessage `json:"content"`
	StopReason string          `json:"stop_reason"`
	// StopSequence is what ended the answer. Some compatible servers say so here
	// alone, beside a reason of end_turn.
	StopSequence string `json:"stop_sequence"`
	Usage        struct {
		InputTokens              int64 `json:"input_tokens"`
		CacheCreationInputTokens int64 `json:"cache_creation_input_tokens"`
		CacheReadInputTokens     int64 `json:"cache_read_input_tokens"`
		OutputTokens             int64 `json:"output_tokens"`
	} `json:"usage"`
}

type answerBlock struct {
	Type  string          `json:"type"`
	Text  string          `json:"text"`
	ID    string          `json:"id"`
	Name  string          `json:"name"`
	Input json.RawMessage `json:"input"`
}

// newResponse translates an answer. What cannot be passed on faithfully is an
// error: an answer that was guessed is worse than none. The error is a
// *provider.Error.
func newResponse(raw []byte, asked *question) (*provider.Response, error) {
	var a answer
	if err := json.Unmarshal(raw, &a); err != nil || (a.Type != "message" && a.Type != "") || len(a.Content) == 0 || a.Content[0] != '[' {
		// The decoder's words can quote the answer.
		return nil, noMessage()
	}
	blocks, uses, err := a.blocks(asked)
	if err != nil {
		return nil, err
	}
	return &provider.Response{
		Result: wire.SamplingResult{
			Role: wire.RoleAssistant, Content: blocks, Model: provider.ModelName(a.Model, asked.body.Model),
			StopReason: a.stopReason(uses),
		},
		Usage: provider.Usage{
			InputTokens: tokens(a.Usage.InputTokens) + tokens(a.Usage.CacheCreationInputTokens) +
				tokens(a.Usage.CacheReadInputTokens),
			OutputTokens: tokens(a.Usage.OutputTokens),
		},
		Lost: asked.lost,
	}, nil
}

// tokens bounds what a provider counts, so that sums stay numbers.
func tokens(n int64) int64 { return min(max(0, n), 1<<40) }

// blocks keeps text and tool calls. Thoughts are the model's own, and MCP has no
// content for them.
func (a *answer) blocks(asked *question) (blocks []wire.Content, uses bool, err error) {
	items, err := provider.Items(a.Content)
	if err != nil {
		return nil, false, err
	}
	for i, item := range items {
		var b answerBlock
		if err := json.Unmarshal(item, &b); err != nil {
			return nil, false, noMessage()
		}
		switch b.Type {
		case "text":
			if b.Text != "" {
				blocks = append(blocks, wire.Content{Type: wire.ContentText, Text: b.Text})
			}
		case "tool_use":
			if i == len(items)-1 && a.StopReason == "max_tokens" {
				// It was cut off: what there is of its input is not what the model
				// wanted to say.
				continue
			}
			use, err := b.toolUse(asked)
			if err != nil {
				return nil, false, err
			}
			blocks = append(blocks, *use)
			uses = true
		}
	}
	if blocks == nil {
		// A model may say nothing; a result without content is not valid.
		blocks = []wire.Content{{Type: wire.ContentText}}
	}
	return blocks, uses, nil
}

func (b *answerBlock) toolUse(asked *question) (*wire.Content, error) {
	if b.Name == "" || b.ID == "" {
		return nil, malformed("a tool call has no name or id")
	}
	input := bytes.TrimSpace(b.Input)
	if len(input) == 0 || input[0] != '{' {
		return nil, malformed("the input of a tool call is not a JSON object")
	}
	// A name that nobody offered is passed on: the server refuses it better.
	name, _ := asked.names.Back(b.Name)
	return &wire.Content{Type: wire.ContentToolUse, ID: b.ID, Name: name, Input: input}, nil
}

// stopReason maps stop_reason. An unknown reason is not passed off as a normal
// end: there is none then, as the specification allows.
func (a *answer) stopReason(usesTools bool) string {
	switch a.StopReason {
	case "max_tokens", "model_context_window_exceeded":
		return wire.StopMaxTokens
	case "stop_sequence":
		return wire.StopStopSequence
	case "refusal":
		return wire.StopRefusal
	case "tool_use":
		return wire.StopToolUse
	case "end_turn":
		if usesTools {
			return wire.StopToolUse
		}
		if a.StopSequence != "" {
			return wire.StopStopSequence
		}
		return wire.StopEndTurn
	default:
		return ""
	}
}

func noMessage() *provider.Error {
	return &provider.Error{Kind: provider.KindInvalid, Detail: "its answer is no message of the Messages API"}
}

func malformed(detail string) *provider.Error {
	return &provider.Error{Kind: provider.KindMalformed, Detail: detail}
}
