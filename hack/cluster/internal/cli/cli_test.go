package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mcp-sampling/mcp-sampling-operator/hack/cluster/internal/layout"
)

// A name that no cluster on the machine has.
const name = "cli-test"

func TestCommandsOnAClusterThatWasStarted(t *testing.T) {
	cache := t.TempDir()
	t.Setenv(layout.CacheVariable, cache)
	dir := filepath.Join(cache, "clusters", name)
	if err := os.MkdirAll(filepath.Join(dir, "logs"), 0o755); err != nil {
		t.Fatal(err)
	}
	for path, content := range map[string]string{"kubeconfig": "x", "logs/etcd.log": "one\ntwo\nthree\n"} {
		if err := os.WriteFile(filepath.Join(dir, path), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for sentence, test := range map[string]struct {
		args      []string
		want      string
		wantError string
	}{
		"kubeconfig prints a path and nothing else": {args: []string{"kubeconfig"}, want: filepath.Join(dir, "kubeconfig") + "\n"},
		"logs lists what there is":                  {args: []string{"logs"}, want: filepath.Join(dir, "logs", "etcd.log") + "\n"},
		"logs of a part are its last lines":         {args: []string{"logs", "etcd", "-n", "2"}, want: "two\nthree\n"},
		"more lines than there are is all":          {args: []string{"logs", "etcd", "-n", "9"}, want: "one\ntwo\nthree\n"},
		"zero lines is all":                         {args: []string{"logs", "etcd", "-n", "0"}, want: "one\ntwo\nthree\n"},
		"an unknown part is answered by the known":  {args: []string{"logs", "../x"}, wantError: "containerd, coredns, egress, etcd"},
		"status of one that has ended is an error":  {args: []string{"status"}, wantError: "not running"},
		"a way out needs a running cluster":         {args: []string{"egress"}, wantError: "start it with 'up'"},
		"loading needs a running cluster":           {args: []string{"load", "x.tar"}, wantError: "start it with 'up'"},
		"loading needs an archive":                  {args: []string{"load"}, wantError: "at least 1 arg"},
		"an unknown command is an error":            {args: []string{"start"}, wantError: "unknown command"},
	} {
		t.Run(sentence, func(t *testing.T) {
			root := newRoot(func(string) bool { return false })
			var out bytes.Buffer
			root.SetOut(&out)
			root.SetArgs(append(test.args, "--name", name))
			err := root.ExecuteContext(t.Context())
			if (err != nil) != (test.wantError != "") {
				t.Fatalf("error = %v, want one: %t", err, test.wantError != "")
			}
			if err != nil && !strings.Contains(err.Error(), test.wantError) {
				t.Errorf("error %q lacks %q", err, test.wantError)
			}
			if diff := cmp.Diff(test.want, out.String()); diff != "" {
				t.Errorf("output (-want +got):\n%s", diff)
			}
		})
	}
}
