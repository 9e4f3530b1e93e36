// Package pagerun runs the commands of a Markdown page, word by word and in their
// order, as a reader does who copies them into a terminal, and holds what they print
// to what the page says that they print.
//
//   - A block fenced as sh is run; all of a page's blocks share one shell.
//   - A block fenced as text that follows one says what that prints: each line is to
//     be found in the output, in this order. White space counts as one space, line
//     breaks included, and … stands for anything.
//   - The comment <!-- fails --> before a block says that its last command fails.
//   - <!-- not run: WHY --> before a block leaves it out.
package pagerun

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Step is one block of commands.
type Step struct {
	// Line is where it begins in the page.
	Line     int
	Commands string
	// Want is what the page says that it prints.
	Want   string
	Fails  bool
	NotRun string
}

var (
	fence   = regexp.MustCompile("^\\s*```([a-z]*)$")
	comment = regexp.MustCompile(`^\s*<!-- (fails|not run: .+) -->$`)
)

// Parse returns the steps of a page.
func Parse(page string) ([]Step, error) {
	var steps []Step
	var mark, language string
	var block strings.Builder
	begin, open := 0, false
	for i, line := range strings.Split(page, "\n") {
		m := fence.FindStringSubmatch(line)
		switch {
		case open && m != nil:
			open = false
			switch {
			case language == "sh":
				step := Step{Line: begin, Commands: block.String(), Fails: mark == "fails"}
				step.NotRun, _ = strings.CutPrefix(mark, "not run: ")
				if step.Fails {
					step.NotRun = ""
				}
				steps = append(steps, step)
			case mark != "":
				return nil, fmt.Errorf("line %d: the comment %q is not before a block of commands", begin, mark)
			case language == "text" && len(steps) > 0 && steps[len(steps)-1].Want == "":
				steps[len(steps)-1].Want = block.String()
			}
			mark = ""
		case open:
			block.WriteString(line + "\n")
		case m != nil:
			open, language, begin = true, m[1], i+1
			block.Reset()
		default:
			if m := comment.FindStringSubmatch(line); m != nil {
				mark = m[1]
			}
		}
	}
	if open {
		return nil, fmt.Errorf("line %d: the block has no end", begin)
	}
	return steps, nil
}

// Options say where steps are run.
type Options struct {
	// Dir is the folder, Env the whole environment.
	Dir string
	Env []string
}

const mark = "--8<-- step "

// Run runs the steps in one shell and checks what they print. It returns all of that.
func Run(ctx context.Context, steps []Step, o Options) (string, error) {
	var script strings.Builder
	script.WriteString("trap 's=$?; set +e; kill $(jobs -p) 2>/dev/null; exit $s' EXIT\n") // what was started with &
	for i, step := range steps {
		if step.NotRun != "" {
			continue
		}
		fmt.Fprintf(&script, "printf '\\n%s%d\\n'\n", mark, i)
		if step.Fails {
			fmt.Fprintf(&script, "set +e\n%sstatus=$?\n[ $status != 0 ] || { echo 'it did not fail'; exit 1; }\n", step.Commands)
		} else {
			fmt.Fprintf(&script, "set -e\n%s", step.Commands)
		}
	}
	cmd := exec.CommandContext(ctx, "bash", "-c", script.String())
	cmd.Dir, cmd.Env = o.Dir, o.Env
	// All that the shell has started ends with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 10 * time.Second
	all, err := cmd.CombinedOutput()
	printed, last := split(string(all))
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		at := 0
		if last >= 0 && last < len(steps) {
			at = steps[last].Line
		}
		return string(all), fmt.Errorf("the commands at line %d: %w", at, err)
	}
	var wrong []error
	for i, step := range steps {
		if step.NotRun == "" && step.Want != "" {
			if err := Match(step.Want, printed[i]); err != nil {
				wrong = append(wrong, fmt.Errorf("the commands at line %d: %w", step.Line, err))
			}
		}
	}
	return string(all), errors.Join(wrong...)
}

// split returns what each step printed, and the last one that began.
func split(all string) (printed map[int]string, last int) {
	printed, last = map[int]string{}, -1
	for part := range strings.SplitSeq(all, "\n"+mark) {
		number, output, _ := strings.Cut(part, "\n")
		if i, err := strconv.Atoi(number); err == nil {
			printed[i], last = output, i
		}
	}
	return printed, last
}

// Match says what of the wanted lines is missing in what was printed.
func Match(want, printed string) error {
	rest := strings.Join(strings.Fields(printed), " ")
	for line := range strings.Lines(want) {
		line = strings.Join(strings.Fields(line), " ")
		if line == "" {
			continue
		}
		pattern := strings.ReplaceAll(regexp.QuoteMeta(line), "…", ".*?")
		found := regexp.MustCompile(`(?:^|\s)` + pattern + `(?:\s|$)`).FindStringIndex(rest)
		if found == nil {
			return fmt.Errorf("the page says that they print %q; what is left of what they printed is\n%s", line, rest)
		}
		// The space at the end begins the next line too.
		rest = rest[max(found[0], found[1]-1):]
	}
	return nil
}
