package openai

import (
	"bytes"
	"encoding/json"
	"strings"

	openai "github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/packages/param"
	"github.com/openai/openai-go/v3/shared"

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

// newParams translates a request. The error is a *provider.UnsupportedError.
func newParams(req provider.Request, field config.MaxTokensField) (*openai.ChatCompletionNewParams, error) {
	p := &openai.ChatCompletionNewParams{Model: req.Model}
	if field == config.MaxTokens {
		p.MaxTokens = param.NewOpt(req.MaxTokens)
	} else {
		p.MaxCompletionTokens = param.NewOpt(req.MaxTokens)
	}
	if req.Temperature != nil {
		p.Temperature = param.NewOpt(*req.Temperature)
	}
	if len(req.StopSequences) > 0 {
		p.Stop = openai.ChatCompletionNewParamsStopUnion{OfStringArray: req.StopSequences}
	}
	if req.SystemPrompt != "" {
		p.Messages = append(p.Messages, openai.SystemMessage(req.SystemPrompt))
	}
	for _, m := range req.Messages {
		messages, err := newMessages(m)
		if err != nil {
			return nil, err
		}
		p.Messages = append(p.Messages, messages...)
	}
	for _, tool := range req.Tools {
		p.Tools = append(p.Tools, newTool(tool))
	}
	// The API refuses a choice without tools to choose from.
	if req.ToolChoice != "" && len(p.Tools) > 0 {
		p.ToolChoice = openai.ChatCompletionToolChoiceOptionUnionParam{OfAuto: param.NewOpt(req.ToolChoice)}
	}
	return p, nil
}

// newTool passes the schema on as it came: a map would lose the order of its
// keys and the precision of its numbers.
func newTool(tool wire.Tool) openai.ChatCompletionToolUnionParam {
	return openai.ChatCompletionFunctionTool(param.Override[shared.FunctionDefinitionParam](struct {
		Name        string          `json:"name"`
		Description string          `json:"description,omitempty"`
		Parameters  json.RawMessage `json:"parameters"`
	}{tool.Name, tool.Description, tool.InputSchema}))
}

func newMessages(m wire.SamplingMessage) ([]openai.ChatCompletionMessageParamUnion, error) {
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
	return []openai.ChatCompletionMessageParamUnion{userMessage(parts)}, nil
}

// assistantMessage puts text and tool calls into one message, as the API's own
// answers do.
func assistantMessage(blocks []wire.Content) ([]openai.ChatCompletionMessageParamUnion, error) {
	var (
		texts []string
		msg   openai.ChatCompletionAssistantMessageParam
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
			msg.ToolCalls = append(msg.ToolCalls, openai.ChatCompletionMessageToolCallUnionParam{
				OfFunction: &openai.ChatCompletionMessageFunctionToolCallParam{
					ID: b.ID,
					Function: openai.ChatCompletionMessageFunctionToolCallFunctionParam{
						Name: b.Name, Arguments: arguments,
					},
				},
			})
		case wire.ContentImage, wire.ContentAudio:
			return nil, &provider.UnsupportedError{What: "the model provider takes " + b.Type + " content in user messages only"}
		default:
			return nil, unsupported(b.Type)
		}
	}
	if len(texts) > 0 || len(msg.ToolCalls) == 0 {
		msg.Content.OfString = param.NewOpt(strings.Join(texts, "\n"))
	}
	return []openai.ChatCompletionMessageParamUnion{{OfAssistant: &msg}}, nil
}

// toolMessages answers each tool call by a message of its own, in order, and
// after them what the tool role cannot carry.
func toolMessages(blocks []wire.Content) ([]openai.ChatCompletionMessageParamUnion, error) {
	var (
		messages []openai.ChatCompletionMessageParamUnion
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
		messages = append(messages, openai.ToolMessage(text, b.ToolUseID))
	}
	if media != nil {
		messages = append(messages, userMessage(media))
	}
	return messages, nil
}

// part is one piece of a user message: a text, or something else.
type part struct {
	text  string
	media *openai.ChatCompletionContentPartUnionParam
}

// userMessage writes text alone as a string, which every compatible server
// understands, and a list of parts only where it has to.
func userMessage(parts []part) openai.ChatCompletionMessageParamUnion {
	var (
		texts []string
		list  []openai.ChatCompletionContentPartUnionParam
		mixed bool
	)
	for _, p := range parts {
		if p.media != nil {
			mixed = true
			list = append(list, *p.media)
			continue
		}
		texts = append(texts, p.text)
		list = append(list, openai.TextContentPart(p.text))
	}
	if mixed {
		return openai.UserMessage(list)
	}
	return openai.UserMessage(strings.Join(texts, "\n"))
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
	p := openai.ImageContentPart(openai.ChatCompletionContentPartImageImageURLParam{
		URL: "data:" + mimeType + ";base64," + data,
	})
	return part{media: &p}, nil
}

func audioPart(mimeType, data string) (part, error) {
	format, ok := audioFormats[strings.ToLower(strings.TrimSpace(mimeType))]
	if !ok {
		return part{}, &provider.UnsupportedError{What: "the model provider takes audio of type audio/wav and audio/mpeg only"}
	}
	p := openai.InputAudioContentPart(openai.ChatCompletionContentPartInputAudioInputAudioParam{
		Data: data, Format: format,
	})
	return part{media: &p}, nil
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
