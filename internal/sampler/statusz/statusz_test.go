package statusz_test

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/statusz"
)

func TestClean(t *testing.T) {
	for name, tc := range map[string]struct{ in, want string }{
		"plain text stays":                       {"weather é 1.0", "weather é 1.0"},
		"control characters and colours go":      {"a\x1b[31mb\nc\x00", "a[31mb c"},
		"lines become one line":                  {"\ta\r\nb\u2028c\n", "a  b c"},
		"direction overrides go":                 {"a\u202eb", "ab"},
		"bytes that are no UTF-8 go":             {"a\xffb", "ab"},
		"long text is cut":                       {strings.Repeat("x", 300), strings.Repeat("x", 256)},
		"a character is not cut in two":          {strings.Repeat("x", 255) + "é", strings.Repeat("x", 255)},
		"a cut leaves no space at the end":       {strings.Repeat("x", 255) + " y", strings.Repeat("x", 255)},
		"very long text that is mostly bad ends": {strings.Repeat("\x01", 1<<20) + "a", ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := statusz.Clean(tc.in); got != tc.want {
				t.Errorf("Clean = %q, want %q", got, tc.want)
			}
		})
	}
}

func FuzzClean(f *testing.F) {
	f.Add("a\xff\u202e")
	f.Fuzz(func(t *testing.T, s string) {
		got := statusz.Clean(s)
		if len(got) > statusz.MaxText || !utf8.ValidString(got) || strings.ContainsFunc(got, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("Clean(%q) = %q", s, got)
		}
		if again := statusz.Clean(got); again != got {
			t.Errorf("Clean is not idempotent: %q, then %q", got, again)
		}
	})
}
