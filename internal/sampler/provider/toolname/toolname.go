// Package toolname fits the names of tools to what a model's API takes, and
// finds the tool again that a model calls by such a name.
package toolname

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
)

// Rule reports whether an API takes r as the character with index i of a name.
// It has to take lower-case letters anywhere, and digits and "_" but at the start.
type Rule func(i int, r rune) bool

// Identifier takes ASCII letters, digits, "_" and "-".
func Identifier(_ int, r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '_' || r == '-'
}

// hashLen is the length of what makes a replacement unique.
const hashLen = 8

// Map knows the names of one request. It does not change, so it may be shared.
type Map struct {
	rule   Rule
	maxLen int
	// out holds what New replaced, back every name by what it became.
	out, back map[string]string
}

// New maps names: those of the tools that a request offers and of the tool_use
// blocks in its messages, in any order, each as often as it comes. maxLen is
// in bytes and at least 16. A name that fits is never changed. Another one
// becomes the same replacement for the same set of names, whatever their order.
func New(names []string, rule Rule, maxLen int) *Map {
	m := &Map{rule: rule, maxLen: maxLen, back: make(map[string]string, len(names))}
	var unfit []string
	for _, name := range names {
		if m.fits(name) {
			m.back[name] = name
		} else {
			unfit = append(unfit, name)
		}
	}
	if unfit == nil {
		return m
	}
	// Sorted, so that even names of one hash do not depend on their order.
	slices.Sort(unfit)
	unfit = slices.Compact(unfit)
	m.out = map[string]string{}
	wanted := map[string]int{} // how many names would like to be called so
	for _, name := range unfit {
		wanted[m.readable(name)]++
	}
	for _, name := range unfit {
		text := m.readable(name)
		if _, taken := m.back[text]; taken || wanted[text] > 1 || len(text) > maxLen {
			text = m.hashed(text, name)
		}
		m.out[name], m.back[text] = text, name
	}
	return m
}

// Out is what the API is told in place of a name that New was given.
func (m *Map) Out(name string) string {
	if replaced, ok := m.out[name]; ok {
		return replaced
	}
	return name
}

// Back is the name that the API was told by the other one. It is false for what
// Out never returned: a model may make up a name.
func (m *Map) Back(name string) (string, bool) {
	original, ok := m.back[name]
	if !ok {
		return name, false
	}
	return original, true
}

func (m *Map) fits(name string) bool {
	if name == "" || len(name) > m.maxLen {
		return false
	}
	for i, r := range name {
		if !m.rule(i, r) {
			return false
		}
	}
	return true
}

// readable keeps what is allowed of a name, of whatever length.
func (m *Map) readable(name string) string {
	var b strings.Builder
	for _, r := range name {
		if !m.rule(b.Len(), r) {
			if b.Len() == 0 && m.rule(1, r) {
				// Only the start is wrong, as with a digit.
				b.WriteString("x_")
				b.WriteRune(r)
				continue
			}
			r = '_'
			if !m.rule(b.Len(), r) {
				r = 'x'
			}
		}
		b.WriteRune(r)
	}
	if b.Len() == 0 {
		return "x"
	}
	return b.String()
}

// hashed is a readable beginning and a hash of name that nothing is called by
// yet. Whoever offers the names may know which that will be, so the next one is
// made of the last and costs the same.
func (m *Map) hashed(readable, name string) string {
	if most := m.maxLen - hashLen - 1; len(readable) > most {
		readable = strings.ToValidUTF8(readable[:most], "")
	}
	for sum := sha256.Sum256([]byte(name)); ; sum = sha256.Sum256(sum[:]) {
		text := readable + "_" + hex.EncodeToString(sum[:])[:hashLen]
		if _, taken := m.back[text]; !taken {
			return text
		}
	}
}
