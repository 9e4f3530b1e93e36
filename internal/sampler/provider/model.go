package provider

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxModelName is longer than any model's name.
const maxModelName = 256

// ModelName is the name to pass on of the model that answered: asked, where the
// answer names none or what cannot be a name.
func ModelName(answered, asked string) string {
	odd := func(r rune) bool { return !unicode.IsPrint(r) }
	if answered == "" || len(answered) > maxModelName || !utf8.ValidString(answered) || strings.ContainsFunc(answered, odd) {
		return asked
	}
	return answered
}
