package policy

import (
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/config"
)

func TestGlobs(t *testing.T) {
	for _, tc := range []struct {
		pattern, name string
		want          bool
	}{
		{"*", "", true},
		{"*", "anything", true},
		{"**", "anything", true},
		{"read", "read", true},
		{"read", "Read", false},
		{"read", "reader", false},
		{"", "", true},
		{"", "x", false},
		{"read_*", "read_", true},
		{"read_*", "read_file", true},
		{"read_*", "xread_file", false},
		{"*_file", "read_file", true},
		{"*_file", "read_files", false},
		{"a*a", "a", false},
		{"a*a", "aa", true},
		{"*a*b*", "xxaxxbxx", true},
		{"*a*b*", "xxbxxaxx", false},
		{"a*b*c", "abcbc", true},
		{"?", "", false},
		{"?", "é", true},
		{"?", "éé", false},
		{"f?le*", "file_2", true},
		{"*f?le", "a_fle", false},
		{"*f?le", "a_fule", true},
		{"*f?l*e", "ffule", true},
		{"*?", "", false},
		{"*?", "é", true},
		{"??*??", "abc", false},
		{"??*??", "abcd", true},
		{"[a]", "a", false},
		{`a\*`, "a*", false},
		{"a.c", "abc", false},
	} {
		g := compileGlobs([]string{tc.pattern})
		if got := g.match(tc.name); got != tc.want {
			t.Errorf("%q matches %q: %v, want %v", tc.pattern, tc.name, got, tc.want)
		}
	}
}

func TestToolNames(t *testing.T) {
	for name, tc := range map[string]struct {
		names config.ToolNames
		tool  string
		want  bool
	}{
		"all where nothing is said":     {config.ToolNames{}, "x", true},
		"one of several":                {config.ToolNames{Allow: []string{"a", "b*"}}, "bc", true},
		"none of several":               {config.ToolNames{Allow: []string{"a", "b*"}}, "c", false},
		"denied although it is allowed": {config.ToolNames{Allow: []string{"a"}, Deny: []string{"?"}}, "a", false},
		"not denied, nothing else said": {config.ToolNames{Deny: []string{"a"}}, "b", true},
		"everything is denied":          {config.ToolNames{Deny: []string{"*"}}, "b", false},
	} {
		names := compileToolNames(tc.names)
		if got := names.allow(tc.tool); got != tc.want {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
	}
}

// A pattern that others try for years.
func TestGlobsTakeNoLongTime(t *testing.T) {
	g := compileGlobs([]string{strings.Repeat("a*", 100) + "b", strings.Repeat("?a*", 80) + "b"})
	begin := time.Now()
	if g.match(strings.Repeat("a", 100_000)) {
		t.Error("matches")
	}
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("took %s", took)
	}
}

// Globs say what the regular expression says that they stand for.
func FuzzGlobs(f *testing.F) {
	f.Add("a*b?c", "axxbéc")
	f.Add("*?*", "")
	f.Add("**a", "ba")
	f.Fuzz(func(t *testing.T, pattern, name string) {
		if !utf8.ValidString(pattern) || !utf8.ValidString(name) || len(pattern) > 100 {
			return
		}
		expression := regexp.QuoteMeta(pattern)
		expression = strings.ReplaceAll(expression, `\*`, `.*`)
		expression = strings.ReplaceAll(expression, `\?`, `.`)
		want := regexp.MustCompile(`\A(?s:` + expression + `)\z`).MatchString(name)
		g := compileGlobs([]string{pattern})
		if got := g.match(name); got != want {
			t.Errorf("%q matches %q: %v, want %v", pattern, name, got, want)
		}
	})
}
