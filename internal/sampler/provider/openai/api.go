package openai

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/tidwall/gjson"
)

// These are the parts of the chat completions API that are used here.

// chatRequest is the body of a request.
type chatRequest struct {
	Model               string            `json:"model"`
	Messages            []message         `json:"messages"`
	MaxTokens           int64             `json:"max_tokens,omitempty"`
	MaxCompletionTokens int64             `json:"max_completion_tokens,omitempty"`
	Temperature         *float64          `json:"temperature,omitempty"`
	Stop                []string          `json:"stop,omitempty"`
	Tools               []tool            `json:"tools,omitempty"`
	ToolChoice          string            `json:"tool_choice,omitempty"`
	Metadata            map[string]string `json:"metadata,omitempty"`
}

// decided are the members of a body that nothing but the request decides,
// whether they are there or not, and however they are written: some servers read
// keys without case. The last ones are other names of others.
var decided = map[string]bool{
	"model": true, "models": true, "route": true, "fallbacks": true, "messages": true,
	"max_tokens": true, "max_completion_tokens": true, "temperature": true, "stop": true,
	"tools": true, "tool_choice": true, "n": true, "stream": true, "stream_options": true,
	"functions": true, "function_call": true, "n_predict": true, "max_new_tokens": true,
	"context_window_fallbacks": true, "content_policy_fallbacks": true, "preset": true,
}

// Roles of messages.
const (
	roleSystem    = "system"
	roleUser      = "user"
	roleAssistant = "assistant"
	roleTool      = "tool"
)

// message is one message of any role.
type message struct {
	Role string `json:"role"`
	// Content is a string or a list of contentPart; nil where there is none.
	Content    any        `json:"content,omitempty"`
	ToolCalls  []toolCall `json:"tool_calls,omitempty"`
	ToolCallID string     `json:"tool_call_id,omitempty"`
}

// contentPart is one part of a user message; only what its type has is set.
type contentPart struct {
	Type       string      `json:"type"`
	Text       string      `json:"text,omitempty"`
	ImageURL   *imageURL   `json:"image_url,omitempty"`
	InputAudio *inputAudio `json:"input_audio,omitempty"`
}

type imageURL struct {
	URL string `json:"url"`
}

type inputAudio struct {
	Data   string `json:"data"`
	Format string `json:"format"`
}

// typeFunction is the type of all tools and tool calls here.
const typeFunction = "function"

type tool struct {
	Type     string   `json:"type"`
	Function function `json:"function"`
}

// function passes a tool's schema on as it came: a map would lose the order of
// its keys and the precision of its numbers.
type function struct {
	Name string `json:"name"`
	// Description is there also where it is empty, for servers whose chat
	// templates read it without asking.
	Description string          `json:"description"`
	Parameters  json.RawMessage `json:"parameters"`
}

type toolCall struct {
	ID       string       `json:"id"`
	Type     string       `json:"type"`
	Function functionCall `json:"function"`
}

type functionCall struct {
	Name      string `json:"name"`
	Arguments string `json:"arguments"`
}

// completion is the body of an answer.
type completion struct {
	Model string `json:"model"`
	// Choices has room for one: the decoder skips the others, however many there are.
	Choices [1]choice `json:"choices"`
	// Usage are floats, because some servers write 7.0.
	Usage struct {
		PromptTokens     float64 `json:"prompt_tokens"`
		CompletionTokens float64 `json:"completion_tokens"`
	} `json:"usage"`
}

type choice struct {
	FinishReason string         `json:"finish_reason"`
	Message      *answerMessage `json:"message"`
}

type answerMessage struct {
	// Content is a string, a list of parts, or null.
	Content json.RawMessage `json:"content"`
	Refusal string          `json:"refusal"`
	// ToolCalls is a list of answerToolCall.
	ToolCalls json.RawMessage `json:"tool_calls"`
}

type answerToolCall struct {
	ID       string `json:"id"`
	Function struct {
		Name string `json:"name"`
		// Arguments is the text of a JSON object, and with some servers the object.
		Arguments json.RawMessage `json:"arguments"`
	} `json:"function"`
}

// encode writes a request as it is sent: what is decided, then of extra what it
// does not say.
func encode(r *chatRequest, extra json.RawMessage) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(r); err != nil {
		return nil, fmt.Errorf("encode the request: %w", err)
	}
	body := bytes.TrimSuffix(b.Bytes(), []byte("}\n"))
	gjson.ParseBytes(extra).ForEach(func(key, value gjson.Result) bool {
		if name := strings.ToLower(key.String()); decided[name] || (name == "metadata" && r.Metadata != nil) {
			return true
		}
		body = append(body, ',')
		body = append(body, key.Raw...)
		body = append(body, ':')
		body = append(body, value.Raw...)
		return true
	})
	return append(body, '}'), nil
}
