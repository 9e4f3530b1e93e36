// Package pages reads the fenced blocks of a Markdown page, and runs its commands
// word by word and in their order, as a reader does who copies them into a
// terminal. What they print is held to what the page says that they print.
//
//   - All commands of a run share one shell. A block of commands is fenced as sh.
//   - A block fenced as text that follows one says what that prints: each line is to
//     be found in the output, in this order. White space counts as one space, line
//     breaks included, and … stands for anything.
//
// Comments on lines of their own say more:
//
//	<!-- prints: TEXT -->         the same, in place of such a block; one for each line
//	<!-- fails: REASON -->        the last command of the next block fails
//	<!-- eventually: REASON -->   the next block is run again until it succeeds
//	<!-- not run: REASON -->      the next block is left out
package pages

import (
	"fmt"
	"regexp"
	"strings"
)

// Block is one fenced block.
type Block struct {
	Language string
	Text     string
	// Line is that of the fence which opens it.
	Line int
	// Want is what the page says that its commands print.
	Want       string
	Fails      bool
	Eventually bool
	// NotRun says why it is left out.
	NotRun string
}

var (
	fence   = regexp.MustCompile("^\\s*```([^`]*)$")
	comment = regexp.MustCompile(`^\s*<!-- (fails|eventually|not run|prints): (.+) -->$`)
)

// Blocks returns the fenced blocks of a page in their order.
func Blocks(page string) ([]Block, error) {
	var (
		blocks []Block
		next   Block  // what comments say of the block to come
		marked int    // the line of the first of these comments
		open   *Block // the block that has begun
		shell  = -1   // the newest block of commands
	)
	for i, line := range strings.Split(page, "\n") {
		m := fence.FindStringSubmatch(line)
		switch {
		case open != nil && m != nil && m[1] == "":
			switch {
			case open.Language == "sh":
				shell = len(blocks)
			case marked > 0:
				return nil, fmt.Errorf("line %d: the comment is not before a block of commands", marked)
			case open.Language == "text" && shell >= 0 && blocks[shell].Want == "":
				blocks[shell].Want = open.Text
			}
			blocks = append(blocks, *open)
			open, marked = nil, 0
		case open != nil:
			open.Text += line + "\n"
		case m != nil:
			next.Language, next.Line = m[1], i+1
			block := next
			open, next = &block, Block{}
		default:
			m := comment.FindStringSubmatch(line)
			if m == nil {
				continue
			}
			switch m[1] {
			case "prints":
				if shell < 0 {
					return nil, fmt.Errorf("line %d: no block of commands before it prints anything", i+1)
				}
				blocks[shell].Want += m[2] + "\n"
				continue
			case "fails":
				next.Fails = true
			case "eventually":
				next.Eventually = true
			case "not run":
				next.NotRun = m[2]
			}
			marked = i + 1
		}
	}
	if open != nil {
		return nil, fmt.Errorf("line %d: the block has no end", open.Line)
	}
	return blocks, nil
}

// Commands returns the blocks of commands among them.
func Commands(blocks []Block) []Block {
	var out []Block
	for _, block := range blocks {
		if block.Language == "sh" {
			out = append(out, block)
		}
	}
	return out
}

// Documents returns the YAML of a block: all of it, or that of a block of
// commands between <<'END' and END.
func Documents(block Block) []string {
	text := block.Text
	switch block.Language {
	case "yaml":
		return strings.Split(text, "\n---\n")
	case "sh":
		var out []string
		for {
			_, rest, ok := strings.Cut(text, "<<'END'\n")
			if !ok {
				return out
			}
			body, after, ok := strings.Cut(rest, "\nEND\n")
			if !ok {
				return out
			}
			if strings.HasPrefix(body, "apiVersion:") {
				out = append(out, strings.Split(body+"\n", "\n---\n")...)
			}
			text = after
		}
	}
	return nil
}
