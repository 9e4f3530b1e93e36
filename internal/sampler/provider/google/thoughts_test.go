package google

import (
	"strconv"
	"testing"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider"
)

func TestThoughtsAreBounded(t *testing.T) {
	for name, tc := range map[string]struct {
		size, count, wantKept int
	}{
		"by their number":                  {1, maxSignatures + 10, maxSignatures},
		"by their bytes":                   {maxSignatureBytes / 16, 20, 16},
		"one that is too long is not kept": {maxSignatureBytes/16 + 1, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			thoughts := newThoughts()
			keys := make([]callKey, tc.count)
			for i := range keys {
				keys[i], _ = keyOf(&provider.Request{}, strconv.Itoa(i), "f", nil)
				for range 2 { // the same again changes nothing
					thoughts.remember(keys[i], make([]byte, tc.size))
				}
			}
			kept := 0
			for i, key := range keys {
				known := thoughts.recall(key) != nil
				if want := i >= tc.count-tc.wantKept; known != want {
					t.Fatalf("signature %d: known %t, want %t", i, known, want)
				}
				if known {
					kept++
				}
			}
			if kept != tc.wantKept || thoughts.bytes != kept*tc.size || len(thoughts.order) != kept {
				t.Errorf("%d kept, %d bytes, %d in order; want %d", kept, thoughts.bytes, len(thoughts.order), tc.wantKept)
			}
		})
	}
}

func TestTraits(t *testing.T) {
	for model, want := range map[string]traits{
		"gemini-1.5-pro":                     {},
		"gemini-2.5-flash":                   {},
		"models/gemini-2.5-flash-lite":       {},
		"gemini-2.5-flash-preview-09-2025":   {},
		"gemini-3-pro-preview":               {signsThoughts: true},
		"Gemini-3-Flash-Preview":             {signsThoughts: true},
		"gemini-3.1-flash-lite":              {signsThoughts: true},
		"gemini-3.1-pro-preview-customtools": {signsThoughts: true},
		"gemini-3.5-flash":                   {signsThoughts: true},
		"gemini-3.5-flash-lite":              {signsThoughts: true, refusesPrefill: true},
		"gemini-3.6-flash":                   {signsThoughts: true, refusesPrefill: true},
		"google/gemini-3.10-pro":             {signsThoughts: true, refusesPrefill: true},
		"gemini-4-neon":                      {signsThoughts: true, refusesPrefill: true},
		"gemini-12":                          {signsThoughts: true, refusesPrefill: true},
		"gemini-flash-latest":                {signsThoughts: true, refusesPrefill: true},
		"gemini-flash-lite-latest":           {signsThoughts: true, refusesPrefill: true},
		"gemma-3-27b-it":                     {noSystem: true},
		"gemma-3n-e4b-it":                    {noSystem: true},
		"gemma-4-31b-it":                     {},
		"tunedModels/ours":                   {},
		"ours":                               {},
	} {
		if got := traitsOf(model); got != want {
			t.Errorf("%s: %+v, want %+v", model, got, want)
		}
	}
}
