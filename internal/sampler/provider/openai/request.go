package openai

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/config"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

// imageTypes and audioFormats are what the API documents; anything else it
// would refuse with words that a server cannot use.
var (
	imageTypes = map[string]bool{
		"image/jpeg": true, "image/png": true, "image/gif": true, "image/webp": true,
	}
	audioFormats = map[string]string{
		"audio/wav": "wav", "audio/x-wav": "wav", "audio/wave": "wav", "audio/vnd.wave": "wav",
		"audio/mpeg": "mp3", "audio/mp3": "mp3",
	}
)

// newRequest translates a request. The error is a *provider.UnsupportedError.
func newRequest(req provider.Request, field config.MaxTokensField) (*chatRequest, error) {
	r := &chatRequest{Model: req.Model, Temperature: req.Temperature, Stop: req.StopSequences}
	if field == config.MaxTokens {
		r.MaxTokens = req.MaxTokens
	} else {
		r.MaxCompletionTokens = req.MaxTokens
	}
	if req.SystemPrompt != "" {
		r.Messages = append(r.Messages, message{Role: roleSystem, Content: req.SystemPrompt})
	}
	for _, m := range req.Messages {
		messages, err := newMessages(m)
		if err != nil {
			return nil, err
		}
		r.Messages = append(r.Messages, messages...)
	}
	for _, t := range req.Tools {
		r.Tools = append(r.Tools, tool{typeFunction, function{t.Name, t.Description, t.InputSchema}})
	}
	// The API refuses a choice without tools to choose from.
	if len(r.Tools) > 0 {
		r.ToolChoice = req.ToolChoice
	}
	return r, nil
}

func newMessages(m wire.SamplingMessage) ([]message, error) {
	if m.Role == wire.RoleAssistant {
		return assistantMessage(m.Content)
	}
	if len(m.Content) > 0 && m.Content[0].Type == wire.ContentToolResult {
		return toolMessages(m.Content)
	}
	parts, err := userParts(m.Content)
	if err != nil {
		return nil, err
	}
	return []message{userMessage(parts)}, nil
}

// assistantMessage puts text and tool calls into one message, as the API's own
// answers do.
func assistantMessage(blocks []wire.Content) ([]message, error) {
	var (
		texts []string
		msg   = message{Role: roleAssistant}
	)
	for _, b := range blocks {
		switch b.Type {
		case wire.ContentText:
			texts = append(texts, b.Text)
		case wire.ContentToolUse:
			arguments, err := compact(b.Input)
			if err != nil {
				return nil, &provider.UnsupportedError{What: "the input of a tool_use is not valid JSON"}
			}
			msg.ToolCalls = append(msg.ToolCalls, toolCall{b.ID, typeFunction, functionCall{b.Name, arguments}})
		case wire.ContentImage, wire.ContentAudio:
			return nil, &provider.UnsupportedError{What: "the model provider takes " + b.Type + " content in user messages only"}
		default:
			return nil, unsupported(b.Type)
		}
	}
	if len(texts) > 0 || len(msg.ToolCalls) == 0 {
		msg.Content = strings.Join(texts, "\n")
	}
	return []message{msg}, nil
}

// toolMessages answers each tool call by a message of its own, in order, and
// after them what the tool role cannot carry.
func toolMessages(blocks []wire.Content) ([]message, error) {
	var (
		messages []message
		media    []part
	)
	for _, b := range blocks {
		if b.Type != wire.ContentToolResult {
			return nil, unsupported(b.Type)
		}
		parts, err := userParts(b.Content)
		if err != nil {
			return nil, err
		}
		var texts []string
		labelled := false
		for _, p := range parts {
			if p.media == nil {
				texts = append(texts, p.text)
				continue
			}
			if !labelled {
				media = append(media, part{text: "From the result of tool call " + b.ToolUseID + ":"})
				labelled = true
			}
			media = append(media, p)
		}
		text := strings.Join(texts, "\n")
		if len(texts) == 0 && len(b.StructuredContent) > 0 {
			if text, err = compact(b.StructuredContent); err != nil {
				return nil, &provider.UnsupportedError{What: "the structuredContent of a tool_result is not valid JSON"}
			}
		}
		if b.IsError {
			text = "Error: " + text
		}
		messages = append(messages, message{Role: roleTool, Content: text, ToolCallID: b.ToolUseID})
	}
	if media != nil {
		messages = append(messages, userMessage(media))
	}
	return messages, nil
}

// part is one piece of a user message: a text, or something else.
type part struct {
	text  string
	media *contentPart
}

// userMessage writes text alone as a string, which every compatible server
// understands, and a list of parts only where it has to.
func userMessage(parts []part) message {
	var (
		texts []string
		list  []contentPart
		mixed bool
	)
	for _, p := range parts {
		if p.media != nil {
			mixed = true
			list = append(list, *p.media)
			continue
		}
		texts = append(texts, p.text)
		list = append(list, contentPart{Type: "text", Text: &p.text})
	}
	if mixed {
		return message{Role: roleUser, Content: list}
	}
	return message{Role: roleUser, Content: strings.Join(texts, "\n")}
}

func userParts(blocks []wire.Content) ([]part, error) {
	parts := make([]part, 0, len(blocks))
	for _, b := range blocks {
		p, err := userPart(b)
		if err != nil {
			return nil, err
		}
		parts = append(parts, p)
	}
	return parts, nil
}

func userPart(b wire.Content) (part, error) {
	switch b.Type {
	case wire.ContentText:
		return part{text: b.Text}, nil
	case wire.ContentImage:
		return imagePart(b.MIMEType, b.Data)
	case wire.ContentAudio:
		return audioPart(b.MIMEType, b.Data)
	case wire.ContentResourceLink:
		return part{text: strings.TrimSpace(b.Name + " " + b.URI)}, nil
	case wire.ContentResource:
		return resourcePart(b.Resource)
	default:
		return part{}, unsupported(b.Type)
	}
}

func resourcePart(r *wire.Resource) (part, error) {
	if r.Blob == "" {
		return part{text: r.Text}, nil
	}
	if strings.HasPrefix(strings.ToLower(r.MIMEType), "audio/") {
		return audioPart(r.MIMEType, r.Blob)
	}
	return imagePart(r.MIMEType, r.Blob)
}

func imagePart(mimeType, data string) (part, error) {
	mimeType = strings.ToLower(strings.TrimSpace(mimeType))
	if !imageTypes[mimeType] {
		return part{}, &provider.UnsupportedError{What: "the model provider takes images of type image/jpeg, image/png, image/gif and image/webp only"}
	}
	return part{media: &contentPart{
		Type: "image_url", ImageURL: &imageURL{"data:" + mimeType + ";base64," + data},
	}}, nil
}

func audioPart(mimeType, data string) (part, error) {
	format, ok := audioFormats[strings.ToLower(strings.TrimSpace(mimeType))]
	if !ok {
		return part{}, &provider.UnsupportedError{What: "the model provider takes audio of type audio/wav and audio/mpeg only"}
	}
	return part{media: &contentPart{Type: "input_audio", InputAudio: &inputAudio{data, format}}}, nil
}

func unsupported(contentType string) error {
	return &provider.UnsupportedError{What: "the model provider takes no content of type " + contentType + " here"}
}

func compact(raw json.RawMessage) (string, error) {
	var buf bytes.Buffer
	if err := json.Compact(&buf, raw); err != nil {
		return "", err
	}
	return buf.String(), nil
}
