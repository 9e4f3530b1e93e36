package google

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/genai"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/testing/hostile"
)

func TestRequestsThatWantToTakeLong(t *testing.T) {
	const many = 40_000
	uses := make([]wire.Content, many)
	results := make([]wire.Content, many)
	for i := range many {
		id := fmt.Sprint(i)
		uses[i] = wire.Content{Type: wire.ContentToolUse, ID: id, Name: "f", Input: json.RawMessage(`{}`)}
		results[many-1-i] = wire.Content{Type: wire.ContentToolResult, ToolUseID: id}
	}
	hostile.WantQuick(t, func() {
		_, err := newTranslation(provider.Request{Model: "m", Messages: []wire.SamplingMessage{
			{Role: wire.RoleAssistant, Content: uses}, {Role: wire.RoleUser, Content: results},
		}}, newThoughts(), false)
		if err != nil {
			t.Error(err)
		}
	})
}

func TestAnswersThatWantToTakeLong(t *testing.T) {
	content := &genai.Content{Parts: []*genai.Part{{Text: strings.Repeat("x", 4<<20)}}}
	for range 60_000 {
		content.Parts = append(content.Parts, &genai.Part{Text: "y"})
	}
	translation := &translation{}
	hostile.WantQuick(t, func() {
		blocks, _, err := translation.blocks(content)
		if err != nil || len(blocks) != 1 || len(blocks[0].Text) != 4<<20+60_000 {
			t.Errorf("%d blocks and error %v, want all text in one", len(blocks), err)
		}
	})
}

func TestRequestsThatWantToBeLargeInMemory(t *testing.T) {
	list := json.RawMessage(`{"a":` + hostile.Answer("[%]", "{}") + `}`)
	said := []wire.SamplingMessage{{Role: wire.RoleUser, Content: []wire.Content{{Type: wire.ContentText, Text: "hi"}}}}
	call := func(input, structured json.RawMessage) []wire.SamplingMessage {
		return []wire.SamplingMessage{
			{Role: wire.RoleAssistant, Content: []wire.Content{{Type: wire.ContentToolUse, ID: "a", Name: "f", Input: input}}},
			{Role: wire.RoleUser, Content: []wire.Content{{Type: wire.ContentToolResult, ToolUseID: "a", StructuredContent: structured}}},
		}
	}
	for name, req := range map[string]provider.Request{
		"a schema":              {Messages: said, Tools: []wire.Tool{{Name: "f", InputSchema: list}}},
		"arguments":             {Messages: call(list, nil)},
		"a result":              {Messages: call(json.RawMessage(`{}`), list)},
		"metadata":              {Messages: said, Metadata: list},
		"a schema and a result": {Messages: call(json.RawMessage(`{}`), list[:len(list)/2]), Tools: []wire.Tool{{Name: "f", InputSchema: list[:len(list)/2]}}},
	} {
		t.Run(name, func(t *testing.T) {
			req.Model = "m"
			hostile.WantLittle(t, func() {
				_, err := newTranslation(req, newThoughts(), false)
				var unsupported *provider.UnsupportedError
				if !errors.As(err, &unsupported) {
					t.Errorf("error %v, want one that says what the provider does not take", err)
				}
			})
		})
	}
}
