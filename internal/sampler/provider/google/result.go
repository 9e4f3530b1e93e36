package google

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"

	"google.golang.org/genai"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

// addResults answers the calls of the content before, in their order, and after
// them what a function's response cannot carry.
func (t *translation) addResults(blocks []wire.Content) error {
	places := make(map[string]int, len(t.calls))
	for i := range t.calls {
		places[t.calls[i].ID] = i
	}
	responses := make([]*genai.Part, len(t.calls))
	beside := make([][]*genai.Part, len(t.calls))
	for _, b := range blocks {
		i, called := places[b.ToolUseID]
		if b.Type != wire.ContentToolResult || !called || responses[i] != nil {
			return &provider.UnsupportedError{What: "a message with tool_result must answer each tool_use of the message before once, and hold nothing else"}
		}
		response, media, err := t.newResult(t.calls[i], b)
		if err != nil {
			return err
		}
		responses[i] = &genai.Part{FunctionResponse: response}
		if media != nil {
			t.lose(provider.LossToolResultMedia)
			beside[i] = append([]*genai.Part{{Text: "From the result of tool call " + b.ToolUseID + ":"}}, media...)
		}
	}
	if slices.Contains(responses, nil) {
		return &provider.UnsupportedError{What: "every tool_use must be answered by a tool_result in the next message"}
	}
	t.calls = nil
	t.add(genai.RoleUser, responses)
	t.add(genai.RoleUser, slices.Concat(beside...))
	return nil
}

// newResult translates one tool_result. media is what has to stand beside it.
func (t *translation) newResult(call, b wire.Content) (response *genai.FunctionResponse, media []*genai.Part, err error) {
	response = &genai.FunctionResponse{ID: call.ID, Name: t.names.Out(call.Name)}
	var texts []string
	for _, inner := range b.Content {
		part, err := newPart(inner)
		switch {
		case err != nil:
			return nil, nil, err
		case part == nil:
		case part.InlineData == nil:
			texts = append(texts, part.Text)
		case t.traits.signsThoughts && slices.Contains(functionTypes, part.InlineData.MIMEType):
			response.Parts = append(response.Parts, &genai.FunctionResponsePart{
				InlineData: &genai.FunctionResponseBlob{Data: part.InlineData.Data, MIMEType: part.InlineData.MIMEType},
			})
		default:
			media = append(media, part)
		}
	}
	var structured any
	if len(b.StructuredContent) > 0 {
		if err := json.Unmarshal(b.StructuredContent, &structured); err != nil {
			return nil, nil, &provider.UnsupportedError{What: "the structuredContent of a tool_result is not valid JSON"}
		}
	}
	response.Response = newOutput(strings.Join(texts, "\n"), structured, b.IsError)
	return response, media, nil
}

// newOutput is the object that a function answers with. Its keys "output" and
// "error" have a meaning; without them all of it is the output.
func newOutput(text string, structured any, failed bool) map[string]any {
	var value any = text
	switch {
	case structured == nil:
	case text == "" || sameJSON(text, structured):
		value = structured
	default:
		value = map[string]any{"text": text, "structuredContent": structured}
	}
	if failed {
		return map[string]any{"error": value}
	}
	if fields, ok := value.(map[string]any); ok && len(fields) > 0 {
		_, output := fields["output"]
		_, failure := fields["error"]
		if !output && !failure {
			return fields
		}
	}
	return map[string]any{"output": value}
}

// sameJSON reports whether text is only the other form of a value, as the
// protocol asks of tools with structured content.
func sameJSON(text string, value any) bool {
	var v any
	return fewValues([]byte(text)) && json.Unmarshal([]byte(text), &v) == nil && reflect.DeepEqual(v, value)
}
