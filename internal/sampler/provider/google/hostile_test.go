package google_test

import (
	"io"
	"net/http"
	"testing"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/testing/hostile"
)

func TestAnswersThatWantToBeLargeInMemory(t *testing.T) {
	for name, tc := range map[string]struct{ shape, item string }{
		"candidates":             {`{"candidates":[%]}`, `{}`},
		"parts":                  {`{"candidates":[{"content":{"parts":[%]}}]}`, `{}`},
		"parts of one letter":    {`{"candidates":[{"content":{"parts":[%]}}]}`, `{"text":"a"}`},
		"a call's own arguments": {`{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":{"a":[%]}}}]}}]}`, `0`},
		"what nobody asked for":  {`{"x":[%]}`, `{}`},
		"members":                {`{"x":{%}}`, `"a":0`},
	} {
		t.Run(name, func(t *testing.T) {
			answer := hostile.Answer(tc.shape, tc.item)
			c := connect(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				io.WriteString(w, answer)
			}))
			hostile.WantLittle(t, func() {
				_, err := c.CreateMessage(t.Context(), hello())
				wantKind(t, err, provider.KindInvalid)
			})
		})
	}
}
