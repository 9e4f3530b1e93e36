package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestInstall(t *testing.T) {
	dir := t.TempDir()
	target := filepath.Join(dir, "sampler")
	for _, time := range []string{"the first time", "over one that is there"} {
		if err := install(dir); err != nil {
			t.Fatalf("%s: %v", time, err)
		}
		info, err := os.Stat(target)
		if err != nil {
			t.Fatalf("%s: %v", time, err)
		}
		if got := info.Mode(); got != 0o555 {
			t.Errorf("%s: the mode is %v, want executable and read-only", time, got)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("in the folder are %v (%v), want the program alone", entries, err)
	}
	if out, err := exec.Command(target, "-test.run=^$").CombinedOutput(); err != nil {
		t.Errorf("the copy does not run: %v: %s", err, out)
	}
	if err := install(filepath.Join(dir, "missing")); err == nil || !strings.Contains(err.Error(), "installing into") {
		t.Errorf("into a folder that is not there: %v", err)
	}
}

func TestBridgeArguments(t *testing.T) {
	for name, tc := range map[string]struct {
		args []string
		want string
	}{
		"no command":                    {nil, "requires at least 1 arg"},
		"a command that is not there":   {[]string{"--", "no-such-server"}, `"no-such-server": executable file not found`},
		"a flag that it does not know":  {[]string{"--nothing", "--", "true"}, "unknown flag"},
		"the server's flags without --": {[]string{"no-such-server", "--nothing"}, "no-such-server"},
		"no processes":                  {[]string{"--max-processes", "0", "--", "true"}, "--max-processes must be 1 or more, not 0"},
		"fewer than none":               {[]string{"--max-processes", "-1", "--", "true"}, "--max-processes must be 1 or more, not -1"},
		"several processes, and one":    {[]string{"--shared", "--max-processes", "5", "--", "true"}, "with --shared they have one, leave it out"},
		"no time to begin":              {[]string{"--initialize-timeout", "0s", "--", "true"}, "--initialize-timeout must be more than 0"},
		"a log format":                  {[]string{"--log-format", "xml", "--", "true"}, "write json or text"},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := command()
			cmd.SetArgs(append([]string{"bridge"}, tc.args...))
			if err := cmd.Execute(); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}
