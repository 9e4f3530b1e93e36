package openai

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/tidwall/gjson"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/config"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider/toolname"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

// question is a request as it is sent, and what its answer is read with.
type question struct {
	body  []byte
	names *toolname.Map
	lost  []provider.Loss
}

func (q *question) lose(loss provider.Loss) {
	if !slices.Contains(q.lost, loss) {
		q.lost = append(q.lost, loss)
	}
}

// translate writes a request. The error is a *provider.UnsupportedError.
func translate(req *provider.Request, r *rules) (*question, error) {
	if err := r.check(req); err != nil {
		return nil, err
	}
	q := &question{names: toolname.New(toolNames(req), toolname.Identifier, maxToolName)}
	body := chatRequest{
		Model: req.Model, Temperature: req.Temperature, Stop: req.StopSequences,
		Messages: make([]message, 0, len(req.Messages)+1),
	}
	if r.maxTokensField(req.Model) == config.MaxTokens {
		body.MaxTokens = req.MaxTokens
	} else {
		body.MaxCompletionTokens = req.MaxTokens
	}
	if req.SystemPrompt != "" {
		body.Messages = append(body.Messages, message{Role: roleSystem, Content: req.SystemPrompt})
	}
	if err := q.addMessages(&body, req.Messages); err != nil {
		return nil, err
	}
	if len(body.Messages) == 0 {
		return nil, &provider.UnsupportedError{What: "the model provider takes no request without messages"}
	}
	for i := range req.Tools {
		t, err := newTool(&req.Tools[i], q.names.Out(req.Tools[i].Name), r.vendor)
		if err != nil {
			return nil, err
		}
		body.Tools = append(body.Tools, t)
	}
	// The API refuses a choice without tools to choose from.
	if len(body.Tools) > 0 {
		body.ToolChoice = req.ToolChoice
	}
	q.addMetadata(&body, req, r)
	var err error
	if q.body, err = encode(&body, req.ExtraBody); err != nil {
		// Only JSON that is none cannot be written.
		return nil, &provider.UnsupportedError{What: "the inputSchema of a tool is not valid JSON"}
	}
	return q, nil
}

// toolNames are the names of all tools that a request speaks of.
func toolNames(req *provider.Request) []string {
	var names []string
	for i := range req.Tools {
		names = append(names, req.Tools[i].Name)
	}
	for i := range req.Messages {
		for j := range req.Messages[i].Content {
			if b := &req.Messages[i].Content[j]; b.Type == wire.ContentToolUse {
				names = append(names, b.Name)
			}
		}
	}
	return names
}

// addMetadata passes on what the API has room for: pairs of strings.
func (q *question) addMetadata(body *chatRequest, req *provider.Request, r *rules) {
	takes := r.takesMetadata(req.ExtraBody)
	gjson.ParseBytes(req.Metadata).ForEach(func(key, value gjson.Result) bool {
		fits := takes && value.Type == gjson.String && len(body.Metadata) < maxMetadata &&
			utf8.RuneCountInString(key.String()) <= maxMetadataKey && utf8.RuneCountInString(value.String()) <= maxMetadataValue
		if !fits {
			q.lose(provider.LossMetadata)
			return true
		}
		if body.Metadata == nil {
			body.Metadata = map[string]string{}
		}
		body.Metadata[key.String()] = value.String()
		return true
	})
}

// addMessages translates a conversation. Each message with tool calls must be
// followed by one that answers all of them: the API refuses anything else.
func (q *question) addMessages(body *chatRequest, messages []wire.SamplingMessage) error {
	var open map[string]bool // ids of the tool calls in the message before
	for i := range messages {
		m := &messages[i]
		var err error
		switch {
		case m.Role == wire.RoleAssistant:
			if len(open) > 0 {
				return errUnanswered()
			}
			open, err = q.addAssistant(body, m.Content)
		case len(open) > 0 || (len(m.Content) > 0 && m.Content[0].Type == wire.ContentToolResult):
			err = q.addToolResults(body, m.Content, open)
			open = nil
		default:
			var parts []contentPart
			if parts, err = userParts(m.Content); err == nil {
				body.Messages = append(body.Messages, userMessage(parts))
			}
		}
		if err != nil {
			return err
		}
	}
	if len(open) > 0 {
		return errUnanswered()
	}
	return nil
}

func errUnanswered() error {
	return &provider.UnsupportedError{What: "each tool_use must be answered by a tool_result in the next message"}
}

// addAssistant puts text and tool calls into one message, as the API's own
// answers do. It returns the ids of the calls.
func (q *question) addAssistant(body *chatRequest, blocks []wire.Content) (calls map[string]bool, err error) {
	msg := message{Role: roleAssistant}
	calls = map[string]bool{}
	var texts []string
	for i := range blocks {
		b := &blocks[i]
		switch b.Type {
		case wire.ContentText:
			texts = append(texts, b.Text)
		case wire.ContentToolUse:
			arguments, err := compact(b.Input)
			if err != nil {
				return nil, &provider.UnsupportedError{What: "the input of a tool_use is not valid JSON"}
			}
			msg.ToolCalls = append(msg.ToolCalls, toolCall{
				ID: callID(b.ID), Type: typeFunction,
				Function: functionCall{Name: q.names.Out(b.Name), Arguments: arguments},
			})
			calls[b.ID] = true
		case wire.ContentImage, wire.ContentAudio:
			return nil, &provider.UnsupportedError{What: "the model provider takes " + b.Type + " content in user messages only"}
		default:
			return nil, unsupported(b.Type)
		}
	}
	// A message needs one of both, be it empty.
	if text := strings.Join(texts, "\n"); text != "" || len(msg.ToolCalls) == 0 {
		msg.Content = text
	}
	body.Messages = append(body.Messages, msg)
	return calls, nil
}

// callID shortens what OpenAI refuses for its length. Ids mean nothing, and
// other families have longer ones.
func callID(id string) string {
	if len(id) <= maxToolCallID {
		return id
	}
	sum := sha256.Sum256([]byte(id))
	return "call_" + hex.EncodeToString(sum[:16])
}

// addToolResults answers each tool call by a message of its own, in order, and
// after them what the tool role cannot carry.
func (q *question) addToolResults(body *chatRequest, blocks []wire.Content, calls map[string]bool) error {
	var media []contentPart
	answered := map[string]bool{}
	for i := range blocks {
		b := &blocks[i]
		if b.Type != wire.ContentToolResult {
			return unsupported(b.Type)
		}
		if answered[b.ToolUseID] || !calls[b.ToolUseID] {
			return &provider.UnsupportedError{What: "each tool_result must answer another tool_use of the message before"}
		}
		answered[b.ToolUseID] = true
		parts, err := userParts(b.Content)
		if err != nil {
			return err
		}
		var texts []string
		labelled := false
		for _, p := range parts {
			if p.Type == partText {
				texts = append(texts, p.Text)
				continue
			}
			if !labelled {
				media = append(media, contentPart{Type: partText, Text: "From the result of tool call " + callID(b.ToolUseID) + ":"})
				labelled = true
			}
			media = append(media, p)
			q.lose(provider.LossToolResultMedia)
		}
		text := strings.Join(texts, "\n")
		if len(b.StructuredContent) > 0 {
			if len(texts) > 0 {
				q.lose(provider.LossStructuredContent)
			} else if text, err = compact(b.StructuredContent); err != nil {
				return &provider.UnsupportedError{What: "the structuredContent of a tool_result is not valid JSON"}
			}
		}
		if b.IsError {
			text = "Error: " + text
			q.lose(provider.LossToolError)
		}
		body.Messages = append(body.Messages, message{Role: roleTool, Content: text, ToolCallID: callID(b.ToolUseID)})
	}
	if len(answered) < len(calls) {
		return errUnanswered()
	}
	if media != nil {
		body.Messages = append(body.Messages, userMessage(media))
	}
	return nil
}

func compact(raw json.RawMessage) (string, error) {
	var buf bytes.Buffer
	if err := json.Compact(&buf, raw); err != nil {
		return "", err
	}
	return buf.String(), nil
}

func unsupported(contentType string) error {
	return &provider.UnsupportedError{What: "the model provider takes no content of type " + contentType + " here"}
}
