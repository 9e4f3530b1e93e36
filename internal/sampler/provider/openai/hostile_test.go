package openai_test

import (
	"testing"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/testing/fakellm"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/testing/hostile"
)

func TestAnswersThatWantToBeLargeInMemory(t *testing.T) {
	for name, tc := range map[string]struct{ shape, item string }{
		"choices":                {`{"choices":[%]}`, `{}`},
		"tool calls":             {`{"choices":[{"message":{"tool_calls":[%]}}]}`, `{}`},
		"parts":                  {`{"choices":[{"message":{"content":[%]}}]}`, `{}`},
		"numbers as parts":       {`{"choices":[{"message":{"content":[%]}}]}`, `0`},
		"content of no type":     {`{"choices":[{"message":{"content":{"a":[%]}}}]}`, `{}`},
		"what nobody asked for":  {`{"x":[%]}`, `{}`},
		"tokens that were used":  {`{"usage":{"x":[%]},"choices":[]}`, `{}`},
		"a call's own arguments": {`{"choices":[{"message":{"tool_calls":[{"function":{"name":"f","arguments":[%]}}]}}]}`, `{}`},
	} {
		t.Run(name, func(t *testing.T) {
			c := connect(t, fakellm.New(fakellm.Raw(200, "application/json", hostile.Answer(tc.shape, tc.item))))
			hostile.WantLittle(t, func() {
				got, err := c.CreateMessage(t.Context(), provider.Request{Model: "m", MaxTokens: 5, Messages: userText("hi")})
				if err == nil {
					t.Errorf("it became %d blocks, want an error", len(got.Result.Content))
				}
			})
		})
	}
}
