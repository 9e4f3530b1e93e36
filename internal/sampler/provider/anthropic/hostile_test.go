package anthropic_test

import (
	"testing"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/testing/fakeanthropic"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/testing/hostile"
)

func TestAnswersThatWantToBeLargeInMemory(t *testing.T) {
	for name, tc := range map[string]struct{ shape, item string }{
		"blocks":                {`{"content":[%]}`, `{}`},
		"thoughts":              {`{"content":[%]}`, `{"type":"thinking"}`},
		"content of no type":    {`{"content":{"a":[%]}}`, `{}`},
		"what nobody asked for": {`{"x":[%]}`, `{}`},
	} {
		t.Run(name, func(t *testing.T) {
			c := connect(t, fakeanthropic.New(fakeanthropic.Raw(200, "application/json", hostile.Answer(tc.shape, tc.item))))
			hostile.WantLittle(t, func() {
				got, err := c.CreateMessage(t.Context(), hi)
				if err == nil {
					t.Errorf("it became %d blocks, want an error", len(got.Result.Content))
				}
			})
		})
	}
}
