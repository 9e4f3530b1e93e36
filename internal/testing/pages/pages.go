// Package pages reads what the documentation tells users to type, so that tests
// can do it: the fenced blocks of a Markdown page, with what comments before
// them say.
//
//	<!-- not run: REASON -->     the next block cannot run in tests
//	<!-- fails: REASON -->       its commands are to fail
//	<!-- eventually: REASON -->  it is run again until it succeeds
//	<!-- prints: TEXT -->        what the block before has printed holds TEXT
package pages

import (
	"fmt"
	"strings"
)

// Block is one fenced block.
type Block struct {
	Language   string
	Text       string
	Line       int    // of the fence that opens it
	NotRun     string // why it cannot run in tests
	Fails      string // why it has to fail
	Eventually string // why it may have to run several times
	Prints     []string
}

// Blocks returns the fenced blocks of a page in their order.
func Blocks(page string) ([]Block, error) {
	var (
		blocks []Block
		next   Block // what comments say of the block to come
		open   *Block
		shell  = -1 // the newest block of commands
	)
	for i, line := range strings.Split(page, "\n") {
		switch {
		case open != nil && line == "```":
			blocks = append(blocks, *open)
			if open.Language == "sh" {
				shell = len(blocks) - 1
			}
			open = nil
		case open != nil:
			open.Text += line + "\n"
		case strings.HasPrefix(line, "```"):
			next.Language, next.Line = strings.TrimPrefix(line, "```"), i+1
			block := next
			open, next = &block, Block{}
		case strings.HasPrefix(line, "<!-- "):
			key, value, ok := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(line, "<!-- "), " -->"), ": ")
			switch {
			case ok && key == "not run":
				next.NotRun = value
			case ok && key == "fails":
				next.Fails = value
			case ok && key == "eventually":
				next.Eventually = value
			case ok && key == "prints" && shell >= 0:
				blocks[shell].Prints = append(blocks[shell].Prints, value)
			case ok && key == "prints":
				return nil, fmt.Errorf("line %d: no block of commands before it prints anything", i+1)
			}
		}
	}
	if open != nil {
		return nil, fmt.Errorf("line %d: the block does not end", open.Line)
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
