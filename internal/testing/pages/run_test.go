package pages

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"
)

const aPage = "# A page\n\n" +
	"```yaml\nkind: none\n```\n\n" +
	"```sh\nname=world\nsleep 60 &\n```\n\n" +
	"```sh\necho \"hello   $name\"\necho and more\n```\n\nIt says:\n\n" +
	"```text\nhello …d\nmore\n```\n\n" +
	"<!-- fails: it has to -->\n```sh\nfalse\n```\n\n" +
	"<!-- not run: it would hurt -->\n```sh\nexit 1\n```\n"

func TestRun(t *testing.T) {
	block := func(text string) string { return "```sh\n" + text + "\n```\n" }
	tests := map[string]struct{ page, wantErr string }{
		"a page that is true":                           {aPage, ""},
		"a command fails":                               {block("echo before\nfalse\necho after"), "line 1: exit status 1"},
		"a command that should fail does not":           {"<!-- fails: it has to -->\n" + block("true"), "line 2: exit status 1"},
		"another block prints what is wanted":           {block("echo hello") + block("true") + "```text\nhello\n```\n", `print "hello"`},
		"the lines come in another order":               {block("echo b a") + "```text\na\nb\n```\n", `print "b"`},
		"a command that succeeds the second time":       {"<!-- eventually: it takes a moment -->\n" + block("[ -e made ] || { touch made; false; }\necho there") + "<!-- prints: there -->\n", ""},
		"a first command that succeeds the second time": {"<!-- eventually: it takes a moment -->\n" + block("[ -e made ] || { touch made; false; }\necho once >> count\n[ $(wc -l <count) = 1 ]") + block("[ $(wc -l <count) = 1 ]"), ""},
		"a comment says what is printed":                {block("echo hello") + "<!-- prints: bye -->\n", `print "bye"`},
		"the first part of a pipe fails":                {block("false | true"), "line 1: exit status 1"},
		"a word is only a part of one that is wanted":   {block("echo node") + "```text\nno\n```\n", `print "no"`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			blocks, err := Blocks(tc.page)
			if err != nil {
				t.Fatal(err)
			}
			out, err := Run(t.Context(), blocks, Options{Dir: t.TempDir(), Env: os.Environ()})
			if tc.wantErr == "" && err != nil || tc.wantErr != "" && (err == nil || !strings.Contains(err.Error(), tc.wantErr)) {
				t.Errorf("error %v, want %q, after\n%s", err, tc.wantErr, out)
			}
			if strings.Contains(out, "after") {
				t.Errorf("it went on after a failure:\n%s", out)
			}
		})
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithTimeoutCause(t.Context(), 100*time.Millisecond, errors.New("that is long enough"))
	defer cancel()
	_, err := Run(ctx, []Block{{Language: "sh", Line: 3, Text: "sleep 60\n"}}, Options{Env: os.Environ()})
	if err == nil || !strings.Contains(err.Error(), "line 3: that is long enough") {
		t.Errorf("error %v", err)
	}
}
