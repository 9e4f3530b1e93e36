package anthropic

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strings"
	"unicode/utf8"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

// imageTypes are what the API documents; anything else it would refuse with
// words that a server cannot use.
var imageTypes = map[string]string{
	"image/jpeg": "image/jpeg", "image/jpg": "image/jpeg",
	"image/png": "image/png", "image/gif": "image/gif", "image/webp": "image/webp",
}

// blocks translates one message. Results of tools stand first, and what they
// cannot hold after them.
func (q *question) blocks(m wire.SamplingMessage) ([]block, error) {
	blocks := make([]block, 0, len(m.Content))
	var beside []block
	for _, c := range m.Content {
		var (
			b   *block
			err error
		)
		switch {
		case c.Type == wire.ContentToolUse:
			b, err = q.toolUse(c)
		case c.Type == wire.ContentToolResult:
			var more []block
			b, more, err = q.toolResult(c)
			beside = append(beside, more...)
		case m.Role == wire.RoleAssistant && c.Type != wire.ContentText:
			err = unsupported("the model provider takes " + c.Type + " content in user messages only")
		default:
			b, err = plain(c)
		}
		if err != nil {
			return nil, err
		}
		if b != nil {
			blocks = append(blocks, *b)
		}
	}
	return append(blocks, beside...), nil
}

func (q *question) toolUse(c wire.Content) (*block, error) {
	input := bytes.TrimSpace(c.Input)
	if len(input) == 0 || input[0] != '{' || !json.Valid(input) {
		return nil, unsupported("the input of a tool_use is not a JSON object")
	}
	return &block{Type: "tool_use", ID: q.ids.use(c.ID), Name: q.names.Out(c.Name), Input: input}, nil
}

func (q *question) toolResult(c wire.Content) (result *block, beside []block, err error) {
	id, ok := q.ids.newest[c.ToolUseID]
	if !ok {
		return nil, nil, unsupported("a tool_result answers no tool_use")
	}
	result = &block{Type: "tool_result", ToolUseID: id, IsError: c.IsError}
	texts := 0
	for _, item := range c.Content {
		b, err := plain(item)
		if err != nil {
			return nil, nil, err
		}
		switch {
		case b == nil:
		case b.Type == "text":
			texts++
			result.Content = append(result.Content, *b)
		case c.IsError:
			// Of a failed tool the API takes only text.
			if beside == nil {
				beside = append(beside, block{Type: "text", Text: "From the result of tool call " + id + ":"})
			}
			beside = append(beside, *b)
			q.lose(provider.LossToolResultMedia)
		default:
			result.Content = append(result.Content, *b)
		}
	}
	if len(c.StructuredContent) > 0 {
		if texts > 0 {
			q.lose(provider.LossStructuredContent)
		} else {
			var text bytes.Buffer
			if err := json.Compact(&text, c.StructuredContent); err != nil {
				return nil, nil, unsupported("the structuredContent of a tool_result is not valid JSON")
			}
			result.Content = append([]block{{Type: "text", Text: text.String()}}, result.Content...)
		}
	}
	if c.IsError && len(result.Content) == 0 {
		// Nor does it take an empty one.
		result.Content = []block{{Type: "text", Text: "Error"}}
	}
	return result, beside, nil
}

// plain translates what may stand in a user message as well as in a tool's
// result. It returns nil for text that nobody could read.
func plain(c wire.Content) (*block, error) {
	switch c.Type {
	case wire.ContentText:
		return text(c.Text), nil
	case wire.ContentImage:
		return image(c.MIMEType, c.Data)
	case wire.ContentAudio:
		return nil, unsupported("the model provider takes no audio")
	case wire.ContentResourceLink:
		return text(strings.TrimSpace(c.Name + " " + c.URI)), nil
	case wire.ContentResource:
		if c.Resource.Blob == "" {
			return text(c.Resource.Text), nil
		}
		return blob(c.Resource.MIMEType, c.Resource.Blob)
	default:
		return nil, unsupported("the model provider takes no content of type " + c.Type + " here")
	}
}

func text(s string) *block {
	if !visible(s) {
		return nil
	}
	return &block{Type: "text", Text: s}
}

func image(mimeType, data string) (*block, error) {
	mediaType, ok := imageTypes[mediaType(mimeType)]
	if !ok {
		return nil, unsupported("the model provider takes images of type image/jpeg, image/png, image/gif and image/webp only")
	}
	return &block{Type: "image", Source: &source{Type: "base64", MediaType: mediaType, Data: oneLine(data)}}, nil
}

// blob translates the data of an embedded resource.
func blob(mimeType, data string) (*block, error) {
	kind := mediaType(mimeType)
	switch {
	case strings.HasPrefix(kind, "image/"):
		return image(kind, data)
	case strings.HasPrefix(kind, "audio/"):
		return nil, unsupported("the model provider takes no audio")
	case kind == "application/pdf":
		return &block{Type: "document", Source: &source{Type: "base64", MediaType: kind, Data: oneLine(data)}}, nil
	case strings.HasPrefix(kind, "text/") || kind == "application/json":
		if decoded, err := base64.StdEncoding.DecodeString(data); err == nil && utf8.Valid(decoded) {
			return text(string(decoded)), nil
		}
	}
	return nil, unsupported("the model provider takes embedded resources with text, images and PDF documents only")
}

// mediaType is a MIME type without parameters.
func mediaType(mimeType string) string {
	kind, _, _ := strings.Cut(mimeType, ";")
	return strings.ToLower(strings.TrimSpace(kind))
}

// oneLine takes out the line breaks that base64 may have.
func oneLine(data string) string {
	if !strings.ContainsAny(data, "\r\n") {
		return data
	}
	return strings.NewReplacer("\r", "", "\n", "").Replace(data)
}
