package provider_test

import (
	"strings"
	"testing"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider"
)

func TestModelName(t *testing.T) {
	for name, tc := range map[string]struct{ answered, want string }{
		"none":              {"", "asked"},
		"a name":            {"gpt-5 (ä/b:c)", "gpt-5 (ä/b:c)"},
		"a very long name":  {strings.Repeat("m", 257), "asked"},
		"a line end":        {"m\nn", "asked"},
		"an escape":         {"m\x1b[2J", "asked"},
		"bytes, not a text": {"m\xff", "asked"},
	} {
		if got := provider.ModelName(tc.answered, "asked"); got != tc.want {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
	}
}
