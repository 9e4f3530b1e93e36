package pagerun_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/testing/pagerun"
)

const page = "# A page\n\n" +
	"```yaml\nkind: none\n```\n\n" +
	"```sh\nname=world\nsleep 60 &\n```\n\n" +
	"```sh\necho \"hello   $name\"\necho and more\n```\n\nIt says:\n\n" +
	"```text\nhello …d\nmore\n```\n\n" +
	"<!-- fails -->\n```sh\nfalse\n```\n\n" +
	"<!-- not run: it would hurt -->\n```sh\nexit 1\n```\n"

func TestParse(t *testing.T) {
	got, err := pagerun.Parse(page)
	if err != nil {
		t.Fatal(err)
	}
	want := []pagerun.Step{
		{Line: 7, Commands: "name=world\nsleep 60 &\n"},
		{Line: 12, Commands: "echo \"hello   $name\"\necho and more\n", Want: "hello …d\nmore\n"},
		{Line: 25, Commands: "false\n", Fails: true},
		{Line: 30, Commands: "exit 1\n", NotRun: "it would hurt"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}
	for name, broken := range map[string]string{
		"a block without an end":     "```sh\nls\n",
		"a mark before other blocks": "<!-- fails -->\n```yaml\na: b\n```\n",
	} {
		if _, err := pagerun.Parse(broken); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

func TestRun(t *testing.T) {
	block := func(text string) string { return "```sh\n" + text + "\n```\n" }
	tests := map[string]struct{ page, wantErr string }{
		"a page that is true":                         {page, ""},
		"a command fails":                             {block("echo before\nfalse\necho after"), "line 1: exit status 1"},
		"a command that should fail does not":         {"<!-- fails -->\n" + block("true"), "line 2: exit status 1"},
		"another block prints what is wanted":         {block("echo hello") + block("true") + "```text\nhello\n```\n", `print "hello"`},
		"the lines come in another order":             {block("echo b a") + "```text\na\nb\n```\n", `print "b"`},
		"a word is only a part of one that is wanted": {block("echo node") + "```text\nno\n```\n", `print "no"`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			steps, err := pagerun.Parse(tc.page)
			if err != nil {
				t.Fatal(err)
			}
			out, err := pagerun.Run(t.Context(), steps, pagerun.Options{Dir: t.TempDir(), Env: os.Environ()})
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
	_, err := pagerun.Run(ctx, []pagerun.Step{{Line: 3, Commands: "sleep 60\n"}}, pagerun.Options{Env: os.Environ()})
	if err == nil || !strings.Contains(err.Error(), "line 3: that is long enough") {
		t.Errorf("error %v", err)
	}
}
