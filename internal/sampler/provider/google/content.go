package google

import (
	"encoding/base64"
	"encoding/json"
	"strings"

	"google.golang.org/genai"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

// blank stands where the API wants a text and there is none to say: an empty one
// it refuses.
const blank = " "

// newContents translates the messages.
func (t *translation) newContents() error {
	if t.traits.noSystem && t.req.SystemPrompt != "" {
		t.add(genai.RoleUser, []*genai.Part{{Text: t.req.SystemPrompt}})
	}
	for _, m := range t.req.Messages {
		if err := t.addMessage(m); err != nil {
			return err
		}
	}
	if len(t.contents) == 0 || t.contents[0].Role != genai.RoleUser {
		t.contents = append([]*genai.Content{{Role: genai.RoleUser, Parts: []*genai.Part{{Text: blank}}}}, t.contents...)
	}
	if t.traits.refusesPrefill && t.contents[len(t.contents)-1].Role == genai.RoleModel {
		return &provider.UnsupportedError{What: "the model continues no message of the assistant: the last message must be one of the user"}
	}
	return nil
}

func (t *translation) addMessage(m wire.SamplingMessage) error {
	if m.Role == wire.RoleUser && len(m.Content) > 0 && m.Content[0].Type == wire.ContentToolResult {
		return t.addResults(m.Content)
	}
	role := genai.Role(genai.RoleUser)
	if m.Role == wire.RoleAssistant {
		role = genai.RoleModel
	}
	t.calls = nil
	var parts []*genai.Part
	for _, b := range m.Content {
		var (
			part *genai.Part
			err  error
		)
		if b.Type == wire.ContentToolUse && role == genai.RoleModel {
			part, err = t.newCall(b)
		} else {
			part, err = newPart(b)
		}
		if err != nil {
			return err
		}
		if part != nil {
			parts = append(parts, part)
		}
	}
	if parts == nil && role == genai.RoleUser {
		parts = []*genai.Part{{Text: blank}}
	}
	t.add(role, parts)
	return nil
}

// add puts messages of one role into one content, as the API's own answers are.
// Functions' responses stay alone: there must be as many as calls.
func (t *translation) add(role genai.Role, parts []*genai.Part) {
	if len(parts) == 0 {
		return
	}
	if n := len(t.contents); n > 0 && t.contents[n-1].Role == string(role) {
		last := t.contents[n-1]
		if last.Parts[0].FunctionResponse == nil && parts[0].FunctionResponse == nil {
			last.Parts = append(last.Parts, parts...)
			return
		}
	}
	t.contents = append(t.contents, &genai.Content{Role: string(role), Parts: parts})
}

// newCall translates a tool_use. The first of a message needs a signature.
func (t *translation) newCall(b wire.Content) (*genai.Part, error) {
	args, ok := object(b.Input)
	if !ok {
		return nil, &provider.UnsupportedError{What: "the input of a tool_use is not a JSON object"}
	}
	part := &genai.Part{FunctionCall: &genai.FunctionCall{ID: b.ID, Name: t.names.Out(b.Name), Args: args}}
	if key, ok := keyOf(t.req, b.ID, b.Name, args); ok {
		part.ThoughtSignature = t.thoughts.recall(key)
	}
	if part.ThoughtSignature == nil && t.traits.signsThoughts && len(t.calls) == 0 {
		part.ThoughtSignature = []byte(placeholder)
	}
	t.calls = append(t.calls, b)
	t.ids[b.ID] = true
	return part, nil
}

// newPart translates a block of either role; nil where it says nothing.
func newPart(b wire.Content) (*genai.Part, error) {
	switch b.Type {
	case wire.ContentText:
		return textPart(b.Text), nil
	case wire.ContentImage:
		return mediaPart(b.MIMEType, b.Data, "image")
	case wire.ContentAudio:
		return mediaPart(b.MIMEType, b.Data, "audio")
	case wire.ContentResourceLink:
		return textPart(strings.TrimSpace(b.Name + " " + b.URI)), nil
	case wire.ContentResource:
		if b.Resource.Blob == "" {
			return textPart(b.Resource.Text), nil
		}
		return mediaPart(b.Resource.MIMEType, b.Resource.Blob, "")
	default:
		return nil, &provider.UnsupportedError{What: "the model provider takes no content of type " + b.Type + " here"}
	}
}

func textPart(text string) *genai.Part {
	if text == "" {
		return nil
	}
	return &genai.Part{Text: text}
}

// mediaPart translates base64 data of a known type. kind is the beginning that
// the type must have; empty means any.
func mediaPart(mimeType, data, kind string) (*genai.Part, error) {
	known := mediaType(mimeType)
	if known == "" || kind != "" && !strings.HasPrefix(known, kind+"/") {
		what := "this MIME type of an embedded resource"
		if kind != "" {
			what = "this MIME type of " + kind + " content"
		}
		return nil, &provider.UnsupportedError{What: "the model provider does not take " + what + ": it takes " + knownTypes(kind)}
	}
	raw, err := base64.StdEncoding.DecodeString(data)
	if err != nil {
		return nil, &provider.UnsupportedError{What: "the data of an image, audio or embedded resource is not valid base64"}
	}
	return &genai.Part{InlineData: &genai.Blob{Data: raw, MIMEType: known}}, nil
}

func object(raw json.RawMessage) (map[string]any, bool) {
	var v map[string]any
	return v, json.Unmarshal(raw, &v) == nil && v != nil
}
