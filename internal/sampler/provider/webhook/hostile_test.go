package webhook_test

import (
	"testing"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/testing/hostile"
)

func TestAnswersThatWantToBeLargeInMemory(t *testing.T) {
	for name, tc := range map[string]struct{ shape, item string }{
		"blocks":                {`{"role":"assistant","content":[%]}`, `{}`},
		"texts":                 {`{"role":"assistant","content":[%]}`, `{"type":"text","text":""}`},
		"a result in a result":  {`{"role":"assistant","content":[{"type":"tool_result","toolUseId":"a","content":[%]}]}`, `{}`},
		"texts in a result":     {`{"role":"assistant","content":[{"type":"tool_result","toolUseId":"a","content":[%]}]}`, `{"type":"text","text":""}`},
		"what nobody asked for": {`{"x":[%]}`, `{}`},
		"its error":             {`{"error":[%]}`, `{}`},
	} {
		t.Run(name, func(t *testing.T) {
			c, _ := connect(t, replyJSON(hostile.Answer(tc.shape, tc.item)), nil)
			hostile.WantLittle(t, func() {
				got, err := c.CreateMessage(t.Context(), question())
				if err == nil {
					t.Errorf("it became %d blocks, want an error", len(got.Result.Content))
				}
			})
		})
	}
}
