package engine

import (
	"math"
	"strings"
	"testing"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

// A number that overflows would reserve nothing, and pass every limit.
func TestAnEstimateNeverOverflows(t *testing.T) {
	for _, asked := range []int64{1 << 31, 1 << 53, math.MaxInt64} {
		got := estimate(&wire.SamplingParams{MaxTokens: asked, Messages: []wire.SamplingMessage{
			{Role: wire.RoleUser, Content: []wire.Content{{Type: wire.ContentText, Text: strings.Repeat("x", 1000)}}}}})
		if want := min(asked, mostTokens); got.likely < want || got.most < want || got.likely > got.most {
			t.Errorf("%d tokens are estimated as %+v", asked, got)
		}
	}
}
