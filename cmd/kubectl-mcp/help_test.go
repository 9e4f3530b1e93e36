package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"
)

// What users read first is looked at when it changes. kubectl's own flags are
// left out.
func TestHelp(t *testing.T) {
	commands := command(genericiooptions.NewTestIOStreamsDiscard()).Commands()
	if len(commands) < 9 {
		t.Fatalf("%d commands", len(commands))
	}
	for _, cmd := range commands {
		if cmd.Name() == "policy" || cmd.Name() == "help" || cmd.Name() == "completion" {
			continue
		}
		t.Run(cmd.Name(), func(t *testing.T) {
			code, got, stderr := try(t, "", cmd.Name(), "--help")
			if code != exitOK || stderr != "" {
				t.Errorf("exit code %d, stderr %q", code, stderr)
			}
			got, _, _ = strings.Cut(got, "\nGlobal Flags:")
			golden := filepath.Join("testdata", "help-"+cmd.Name()+".txt")
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(readText(t, golden), got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if !strings.Contains(got, "Examples:") || !strings.Contains(got, "Rights:") {
				t.Errorf("it has no examples, or does not name the rights that it needs")
			}
		})
	}
}

func TestWrongUseIsSaid(t *testing.T) {
	for name, tc := range map[string]struct {
		args []string
		want string
	}{
		"a command that is not there":  {[]string{"nothing"}, `unknown command "nothing"`},
		"a call without a tool":        {[]string{"call", "a"}, "write the names of an MCPServer and of a tool: kubectl mcp call NAME TOOL"},
		"an output that is not there":  {[]string{"status", "-o", "xml"}, `--output is "xml": write json or name or wide or yaml`},
		"init without a name":          {[]string{"init", "--image", "x"}, "the server needs a name: write --name"},
		"init with two servers":        {[]string{"init", "--name=a", "--image=x", "--url=https://x/mcp"}, "say where the server is, in one way"},
		"init with half of a provider": {[]string{"init", "--name=a", "--image=x", "--model=m"}, "write --provider too"},
		"a Service without a port":     {[]string{"init", "--name=a", "--service=x"}, `--service is "x": write NAME:PORT`},
		"a time below none":            {[]string{"usage", "--since=-1h"}, "--since is not below 0"},
	} {
		t.Run(name, func(t *testing.T) {
			code, stdout, stderr := try(t, "", tc.args...)
			if code != exitUsage || stdout != "" || !strings.Contains(stderr, tc.want) {
				t.Errorf("exit code %d, stdout %q, stderr %q; want %d and %q", code, stdout, stderr, exitUsage, tc.want)
			}
		})
	}
}

// Where no cluster answers, one line says so.
func TestNoCluster(t *testing.T) {
	for _, args := range [][]string{{"status"}, {"tools", "a"}, {"call", "a", "b"}, {"logs"}, {"usage"}, {"restart", "a"}, {"init", "--name=a", "--image=x", "--apply"}} {
		code, stdout, stderr := try(t, "", append(args, "--server=http://127.0.0.1:1")...)
		if code != exitCluster || stdout != "" || !strings.HasPrefix(stderr, "kubectl-mcp: the cluster does not answer") || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%v: exit code %d, stdout %q, stderr %q; want %d and one line", args, code, stdout, stderr, exitCluster)
		}
	}
}

func TestEveryCommandHasAShortLine(t *testing.T) {
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		if cmd.Short == "" || strings.HasSuffix(cmd.Short, ".") {
			t.Errorf("%s: Short is %q", cmd.CommandPath(), cmd.Short)
		}
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
	}
	walk(command(genericiooptions.NewTestIOStreamsDiscard()))
}
