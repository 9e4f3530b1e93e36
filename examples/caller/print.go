package main

import (
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/mark3labs/mcp-go/mcp"
)

// width is where texts are wrapped.
const width = 76

// printer shows a call to a person: in colours on a terminal, plain elsewhere.
type printer struct {
	out                           io.Writer
	bold, dim, green, red, normal string
}

func newPrinter(out *os.File) *printer {
	p := &printer{out: out}
	info, err := out.Stat()
	isTerminal := err == nil && info.Mode()&os.ModeCharDevice != 0
	if isTerminal && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" {
		p.bold, p.dim, p.green, p.red, p.normal = "\033[1m", "\033[2m", "\033[32m", "\033[31m", "\033[0m"
	}
	return p
}

// server shows who answered the handshake.
func (p *printer) server(server mcp.Implementation, version string, tools []mcp.Tool) {
	names := make([]string, len(tools))
	for i, tool := range tools {
		names[i] = short(tool.Name)
	}
	p.row("server", fmt.Sprintf("%s%s %s%s (MCP %s), tools: %s",
		p.bold, short(server.Name), short(server.Version), p.normal, short(version), strings.Join(names, ", ")))
}

// tools shows what each tool is for.
func (p *printer) tools(tools []mcp.Tool) {
	for _, tool := range tools {
		p.row(short(tool.Name), printable(firstLine(tool.Description)))
	}
}

// asked shows the call before it is made.
func (p *printer) asked(tool string, samples bool, arguments map[string]any) {
	who := "by a caller that cannot sample"
	if samples {
		who = "by a caller that can sample"
	}
	p.row("call", p.bold+tool+p.normal+p.dim+"  "+who+p.normal)
	for _, name := range slices.Sorted(maps.Keys(arguments)) {
		p.row("  "+name, fmt.Sprint(arguments[name]))
	}
}

// answered shows what came back, and how long it took.
func (p *printer) answered(result *mcp.CallToolResult, took time.Duration) {
	colour, label := p.green, "result"
	if result.IsError {
		colour, label = p.red, "error"
	}
	for _, content := range result.Content {
		text := fmt.Sprintf("(%T)", content)
		if block, ok := content.(mcp.TextContent); ok {
			text = strings.TrimSpace(block.Text)
		}
		p.rowIn(colour, label, printable(text))
		label = ""
	}
	p.row("took", fmt.Sprintf("%s%s%s", p.dim, took.Round(10*time.Millisecond), p.normal))
}

func (p *printer) row(label, text string) { p.rowIn("", label, text) }

// rowIn prints a label and its text in a colour, wrapped and indented.
func (p *printer) rowIn(colour, label, text string) {
	for line := range strings.SplitSeq(text, "\n") {
		for _, part := range wrap(line, width) {
			if part == "" {
				continue
			}
			if colour != "" {
				part = colour + part + p.normal
			}
			fmt.Fprintf(p.out, "  %s%-10s%s %s\n", p.dim, label, p.normal, part)
			label = ""
		}
	}
}

// wrap breaks a line between words; a longer word stays whole.
func wrap(line string, limit int) []string {
	var lines []string
	current := ""
	for word := range strings.FieldsSeq(line) {
		if current != "" && utf8.RuneCountInString(current)+1+utf8.RuneCountInString(word) > limit {
			lines = append(lines, current)
			current = ""
		}
		if current != "" {
			current += " "
		}
		current += word
	}
	return append(lines, current)
}

// printable takes out what a terminal would obey: the texts are a server's.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r != '\n' && (unicode.IsControl(r) || unicode.Is(unicode.Cf, r)) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, ""))
}

// short is a name on one line.
func short(name string) string {
	const most = 60
	runes := []rune(printable(firstLine(name)))
	if len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return string(runes)
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return line
}
