package pages

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

// Options say where commands are run.
type Options struct {
	// Dir is the folder, Env the whole environment.
	Dir string
	Env []string
}

const mark = "--8<-- block "

// Run runs the blocks of commands in one shell and checks what they print. It
// returns all of that.
func Run(ctx context.Context, blocks []Block, o Options) (string, error) {
	var script strings.Builder
	script.WriteString("trap 's=$?; set +e; kill $(jobs -p) 2>/dev/null; exit $s' EXIT\n") // what was started with &
	for i, block := range blocks {
		if block.Language == "sh" && block.NotRun == "" {
			fmt.Fprintf(&script, "printf '\\n%s%d\\n'\n%s", mark, i, commands(block))
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
		if last >= 0 && last < len(blocks) {
			at = blocks[last].Line
		}
		return string(all), fmt.Errorf("the commands at line %d: %w", at, err)
	}
	var wrong []error
	for i, block := range blocks {
		if output, ran := printed[i]; ran && block.Want != "" {
			if err := Match(block.Want, output); err != nil {
				wrong = append(wrong, fmt.Errorf("the commands at line %d: %w", block.Line, err))
			}
		}
	}
	return string(all), errors.Join(wrong...)
}

var forwarded = regexp.MustCompile(`port-forward .* (\d+):\d+ .*&\n$`)

// commands is what the shell does for a block. It has an end only with the
// context's.
func commands(block Block) string {
	switch {
	case block.Eventually:
		// Not `until (…)`: where bash tests a status, -e counts for nothing.
		return fmt.Sprintf("set +e\nwhile true; do\n(\nset -eo pipefail\n%s)\n[ $? != 0 ] || break\nsleep 1\ndone\n", block.Text)
	case block.Fails:
		return fmt.Sprintf("set +e\n%s[ $? != 0 ] || { echo 'it did not fail'; exit 1; }\n", block.Text)
	}
	text := "set -eo pipefail\n" + block.Text
	if m := forwarded.FindStringSubmatch(block.Text); m != nil {
		// Readers see that it listens before they go on.
		text += fmt.Sprintf("until (exec 3<>/dev/tcp/127.0.0.1/%s) 2>/dev/null; do kill -0 $!; sleep 0.1; done\n", m[1])
	}
	return text
}

// split returns what each block printed, and the last one that began.
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
