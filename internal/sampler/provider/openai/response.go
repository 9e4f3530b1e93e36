package openai

import (
	"bytes"
	"encoding/json"

	openai "github.com/openai/openai-go/v3"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

// newResponse translates an answer. asked is the model to name where the answer
// names none. What cannot be passed on faithfully is an error: an answer that
// was guessed is worse than none.
func newResponse(completion *openai.ChatCompletion, asked string) (*provider.Response, error) {
	if completion == nil || len(completion.Choices) == 0 {
		return nil, unusable("its answer has no choices")
	}
	choice := completion.Choices[0]
	message := choice.Message

	var blocks []wire.Content
	if message.Content != "" {
		blocks = append(blocks, wire.Content{Type: wire.ContentText, Text: message.Content})
	}
	if message.Refusal != "" {
		blocks = append(blocks, wire.Content{Type: wire.ContentText, Text: message.Refusal})
	}
	uses := 0
	for _, call := range message.ToolCalls {
		use, err := toolUse(call)
		if err != nil {
			return nil, err
		}
		blocks = append(blocks, *use)
		uses++
	}
	if len(blocks) == 0 {
		// A model may say nothing; a result without content is not valid.
		blocks = []wire.Content{{Type: wire.ContentText}}
	}
	stop := stopReason(choice.FinishReason, uses > 0)
	if message.Refusal != "" && stop == wire.StopEndTurn {
		stop = wire.StopRefusal
	}
	model := completion.Model
	if model == "" {
		model = asked
	}
	return &provider.Response{
		Result: wire.SamplingResult{Role: wire.RoleAssistant, Content: blocks, Model: model, StopReason: stop},
		Usage: provider.Usage{
			InputTokens:  max(0, completion.Usage.PromptTokens),
			OutputTokens: max(0, completion.Usage.CompletionTokens),
		},
	}, nil
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

// toolUse refuses arguments that are no JSON object, also those that a limit on
// tokens cut off: the server would run the tool with something nobody said.
func toolUse(call openai.ChatCompletionMessageToolCallUnion) (*wire.Content, error) {
	if call.Function.Name == "" || call.ID == "" {
		return nil, malformed("a tool call has no name or id")
	}
	input := bytes.TrimSpace([]byte(call.Function.Arguments))
	if len(input) == 0 || input[0] != '{' || !json.Valid(input) {
		return nil, malformed("the arguments of a tool call are not a JSON object")
	}
	return &wire.Content{Type: wire.ContentToolUse, ID: call.ID, Name: call.Function.Name, Input: input}, nil
}

func malformed(detail string) *provider.Error {
	return &provider.Error{Kind: provider.KindMalformed, Detail: detail}
}

func unusable(detail string) *provider.Error {
	return &provider.Error{Kind: provider.KindInvalid, Detail: detail}
}
