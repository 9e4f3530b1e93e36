package policy

import (
	"math"
	"strings"
	"testing"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

// A number that overflows would reserve nothing, and pass every limit.
func TestAnEstimateNeverOverflows(t *testing.T) {
	for _, asked := range []int64{1 << 31, 1 << 53, math.MaxInt64} {
		got := Estimate(&wire.SamplingParams{MaxTokens: asked, Messages: []wire.SamplingMessage{
			{Role: wire.RoleUser, Content: []wire.Content{{Type: wire.ContentText, Text: strings.Repeat("x", 1000)}}}}})
		if want := min(asked, mostTokens); got.Likely < want || got.Most < want || got.Likely > got.Most {
			t.Errorf("%d tokens are estimated as %+v", asked, got)
		}
	}
}

func TestAFileOfTextCostsItsText(t *testing.T) {
	estimate := func(mimeType string) Tokens {
		return Estimate(&wire.SamplingParams{Messages: []wire.SamplingMessage{{Role: wire.RoleUser, Content: []wire.Content{{
			Type: wire.ContentToolResult, Content: []wire.Content{{Type: wire.ContentResource, Resource: &wire.Resource{
				URI: "file:///a", MIMEType: mimeType, Blob: strings.Repeat("YWFh", 100_000)}}},
		}}}}})
	}
	if got := estimate("text/csv"); got.Most < 300_000 || got.Likely < 300_000/bytesPerToken {
		t.Errorf("300,000 bytes of text are estimated as %+v", got)
	}
	if got := estimate("image/png"); got.Most > 2*mostImage {
		t.Errorf("an image is estimated as %+v", got)
	}
}
