package openai

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/config"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/testing/hostile"
)

func TestRequestsThatWantToTakeLong(t *testing.T) {
	const many = 60_000
	uses := make([]wire.Content, many)
	results := make([]wire.Content, many)
	for i := range many {
		id := fmt.Sprint(i)
		uses[i] = wire.Content{Type: wire.ContentToolUse, ID: id, Name: "f", Input: json.RawMessage(`{}`)}
		results[many-1-i] = wire.Content{Type: wire.ContentToolResult, ToolUseID: id}
	}
	deep := strings.Repeat(`{"items":`, 8000) + `{"type":"array","description":"` + strings.Repeat("x", 4<<20) + `"}` + strings.Repeat("}", 8000)
	for name, req := range map[string]provider.Request{
		"many tool results": {Messages: []wire.SamplingMessage{
			{Role: wire.RoleAssistant, Content: uses}, {Role: wire.RoleUser, Content: results},
		}},
		"a deep schema": {
			Messages: []wire.SamplingMessage{{Role: wire.RoleUser, Content: []wire.Content{{Type: wire.ContentText, Text: "hi"}}}},
			Tools:    []wire.Tool{{Name: "f", InputSchema: json.RawMessage(deep)}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			hostile.WantQuick(t, func() {
				r := rulesOf("api.openai.com", config.OpenAI{})
				if _, err := translate(&req, &r); err != nil {
					t.Error(err)
				}
			})
		})
	}
}
