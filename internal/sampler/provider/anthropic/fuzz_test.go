package anthropic

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

// FuzzAnswer: whatever a provider answers becomes a result that MCP allows, or an
// error of ours.
func FuzzAnswer(f *testing.F) {
	for _, seed := range []string{
		``, `{}`, `[]`, `{"type":"error"}`, `{"type":"message","content":[]}`,
		`{"type":"message","content":[{"type":"text","text":"a"},{"type":"tool_use","id":"a","name":"f","input":{"x":1}}],` +
			`"stop_reason":"tool_use","model":"m","usage":{"input_tokens":1,"cache_read_input_tokens":-1,"output_tokens":9223372036854775807}}`,
		`{"content":[{"type":"thinking"},{"type":"tool_use","input":null}],"stop_reason":"max_tokens"}`,
	} {
		f.Add([]byte(seed))
	}
	asked, err := newQuestion(provider.Request{Model: "m", MaxTokens: 1, Messages: []wire.SamplingMessage{
		{Role: wire.RoleUser, Content: []wire.Content{{Type: wire.ContentText, Text: "hi"}}}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		response, err := newResponse(raw, asked)
		if err != nil {
			var known *provider.Error
			if !errors.As(err, &known) || known.Retryable() || known.Cause != nil {
				t.Errorf("error %#v, want one of ours that says nothing of the answer", err)
			}
			return
		}
		if response.Usage.InputTokens < 0 || response.Usage.OutputTokens < 0 {
			t.Errorf("usage %+v", response.Usage)
		}
		encoded, err := json.Marshal(response.Result)
		if err != nil {
			t.Fatalf("%v: %+v", err, response.Result)
		}
		var again wire.SamplingResult
		if err := json.Unmarshal(encoded, &again); err != nil {
			t.Errorf("the result is not valid: %v: %s", err, encoded)
		}
	})
}
