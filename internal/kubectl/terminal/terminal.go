// Package terminal makes text fit for a terminal. Names, messages and results of
// MCP servers and models are written by others: none of their control characters
// reaches a terminal, where they could hide, move or colour what stands there.
package terminal

import (
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/term"
)

// Line returns text as one line that can be printed.
func Line(text string) string {
	return strings.TrimSpace(escape(text, func(r rune) (string, bool) {
		return " ", unicode.IsSpace(r)
	}))
}

// Block returns text that can be printed, with its lines and tabs as they are.
func Block(text string) string {
	text = strings.ReplaceAll(text, "\r\n", "\n")
	return escape(text, func(r rune) (string, bool) {
		return string(r), r == '\n' || r == '\t'
	})
}

// escape writes what cannot be printed as Go and JSON do, and so that it shows.
func escape(text string, keep func(rune) (string, bool)) string {
	var b strings.Builder
	for len(text) > 0 {
		r, size := utf8.DecodeRuneInString(text)
		kept, ok := keep(r)
		switch {
		case ok:
			b.WriteString(kept)
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, text[0])
		case unicode.IsPrint(r) || r == '\u200d' || r == '\ufe0f': // those two make one emoji of several
			b.WriteRune(r)
		case r > 0xffff:
			fmt.Fprintf(&b, `\U%08x`, r)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
		text = text[size:]
	}
	return b.String()
}

// Short cuts a line to at most n characters.
func Short(line string, n int) string {
	runes := []rune(line)
	if len(runes) <= n {
		return line
	}
	return strings.TrimSpace(string(runes[:n-1])) + "…"
}

// Style is a colour by its meaning.
type Style string

// Styles.
const (
	Plain Style = ""
	Good  Style = "32"
	Bad   Style = "31"
	Wait  Style = "33"
	Faint Style = "2"
	Bold  Style = "1"
)

// Painter colours text, or leaves it as it is.
type Painter struct{ on bool }

// Paint returns a painter for what is written to w: it colours on a terminal,
// unless the environment says NO_COLOR (no-color.org) or that the terminal is dumb.
func Paint(w io.Writer) Painter {
	return Painter{on: IsTerminal(w) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"}
}

// Colours returns a painter that colours, wherever its text goes.
func Colours() Painter { return Painter{on: true} }

// Text returns text in a style.
func (p Painter) Text(style Style, text string) string {
	if !p.on || style == Plain || text == "" {
		return text
	}
	return "\x1b[" + string(style) + "m" + text + "\x1b[0m"
}

// IsTerminal reports whether a stream (a reader or a writer) is a terminal.
func IsTerminal(stream any) bool {
	f, ok := stream.(interface{ Fd() uintptr })
	return ok && term.IsTerminal(int(f.Fd()))
}
