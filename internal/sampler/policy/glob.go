package policy

import (
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/config"
)

// toolNames says which names of tools are allowed.
type toolNames struct{ allowed, denied globs }

func compileToolNames(c config.ToolNames) toolNames {
	allowed := c.Allow
	if len(allowed) == 0 {
		allowed = []string{"*"}
	}
	return toolNames{allowed: compileGlobs(allowed), denied: compileGlobs(c.Deny)}
}

func (t *toolNames) allow(name string) bool {
	return t.allowed.match(name) && !t.denied.match(name)
}

// globs match a name if any of them does.
type globs struct {
	all   bool                // one of them is *
	exact map[string]struct{} // those without * and ?
	rest  []glob
}

func compileGlobs(patterns []string) globs {
	g := globs{exact: map[string]struct{}{}}
	for _, p := range patterns {
		switch {
		case strings.Trim(p, "*") == "" && p != "":
			g.all = true
		case !strings.ContainsAny(p, "*?"):
			g.exact[p] = struct{}{}
		default:
			g.rest = append(g.rest, compileGlob(p))
		}
	}
	return g
}

func (g *globs) match(name string) bool {
	if g.all {
		return true
	}
	if _, ok := g.exact[name]; ok {
		return true
	}
	return slices.ContainsFunc(g.rest, func(g glob) bool { return g.match(name) })
}

// glob is a pattern cut at its stars: the first part begins the name, the last
// one ends it, and the others stand between them in their order. Taking each of
// these where it is found first is enough, so that no pattern makes a name take
// longer than its length times that of the pattern.
type glob struct {
	parts []string // one if there is no star
}

func compileGlob(pattern string) glob { return glob{parts: strings.Split(pattern, "*")} }

func (g glob) match(name string) bool {
	n, ok := hasPrefix(name, g.parts[0])
	if !ok {
		return false
	}
	name = name[n:]
	if len(g.parts) == 1 {
		return name == ""
	}
	last := len(g.parts) - 1
	for _, part := range g.parts[1:last] {
		at := find(name, part)
		if at < 0 {
			return false
		}
		name = name[at:]
	}
	return hasSuffix(name, g.parts[last])
}

// hasPrefix reports whether name begins with part, in which ? is any one
// character, and how long that beginning is.
func hasPrefix(name, part string) (int, bool) {
	at := 0
	for i := 0; i < len(part); i++ {
		if at >= len(name) {
			return 0, false
		}
		if part[i] == '?' {
			_, size := utf8.DecodeRuneInString(name[at:])
			at += size
			continue
		}
		if name[at] != part[i] {
			return 0, false
		}
		at++
	}
	return at, true
}

// find returns where the first occurrence of part ends, or -1.
func find(name, part string) int {
	if !strings.Contains(part, "?") {
		at := strings.Index(name, part)
		if at < 0 {
			return -1
		}
		return at + len(part)
	}
	for at := range name {
		if n, ok := hasPrefix(name[at:], part); ok {
			return at + n
		}
	}
	return -1
}

func hasSuffix(name, part string) bool {
	if !strings.Contains(part, "?") {
		return strings.HasSuffix(name, part)
	}
	// As many characters as the part has; a byte of a longer character in the
	// part is one that the name has, too.
	start := len(name)
	for range utf8.RuneCountInString(part) {
		if start == 0 {
			return false
		}
		_, size := utf8.DecodeLastRuneInString(name[:start])
		start -= size
	}
	n, ok := hasPrefix(name[start:], part)
	return ok && start+n == len(name)
}
