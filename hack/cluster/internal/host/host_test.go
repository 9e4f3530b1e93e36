package host

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParseStat(t *testing.T) {
	const after = " 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20 21"
	for sentence, test := range map[string]struct {
		raw       string
		want      stat
		wantError bool
	}{
		"a plain name":                    {raw: "12 (etcd) S" + after, want: stat{state: "S", start: 4711}},
		"a name with spaces and brackets": {raw: "12 (a) Z (b) c) R" + after, want: stat{state: "R", start: 4711}},
		"too few fields":                  {raw: "12 (etcd) S 1 2", wantError: true},
		"no name":                         {raw: "12", wantError: true},
		"nothing":                         {raw: "", wantError: true},
	} {
		t.Run(sentence, func(t *testing.T) {
			got, err := parseStat(test.raw)
			if (err != nil) != test.wantError {
				t.Fatalf("parseStat() error = %v, want one: %t", err, test.wantError)
			}
			if got != test.want {
				t.Errorf("parseStat() = %+v, want %+v", got, test.want)
			}
		})
	}
}

func TestProcessIsAliveUntilItIsKilled(t *testing.T) {
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	process, err := FindProcess(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	if !process.Alive() {
		t.Error("a running process is not alive")
	}
	if (Process{PID: process.PID, Start: process.Start + 1}).Alive() {
		t.Error("a process that has taken over a number passes for the earlier one")
	}
	if err := process.Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	if process.Alive() {
		t.Error("a killed process that nobody has reaped yet counts as alive")
	}
	_ = cmd.Wait()
	if err := process.Kill(t.Context()); err != nil {
		t.Errorf("killing what has ended: %v", err)
	}
}

func TestCgroupsAreMadeInEveryHierarchyAndRemoved(t *testing.T) {
	mount := t.TempDir()
	for path, content := range map[string]string{
		"memory/tasks":        "",
		"cpuset/cpuset.cpus":  "0-1\n",
		"cpuset/cpuset.mems":  "0\n",
		"memory/others/tasks": "",
	} {
		writeFile(t, filepath.Join(mount, path), content)
	}
	if err := os.Symlink("memory", filepath.Join(mount, "memory,link")); err != nil {
		t.Fatal(err)
	}
	cgroups := Cgroups{Mount: mount}
	for range 2 { // What is there already is no error.
		if err := cgroups.Create("devcluster-x"); err != nil {
			t.Fatal(err)
		}
	}
	if got := readFile(t, filepath.Join(mount, "cpuset/devcluster-x/cpuset.cpus")); got != "0-1\n" {
		t.Errorf("cpuset.cpus = %q, want the root's", got)
	}
	if err := os.MkdirAll(filepath.Join(mount, "memory/devcluster-x/kubepods/pod1"), 0o755); err != nil {
		t.Fatal(err)
	}
	// In a control group file system the files vanish with their folder; here they are in the way.
	for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
		if err := os.Remove(filepath.Join(mount, "cpuset/devcluster-x", file)); err != nil {
			t.Fatal(err)
		}
	}
	if err := cgroups.Remove(t.Context(), "devcluster-x"); err != nil {
		t.Fatal(err)
	}
	for _, hierarchy := range []string{"memory", "cpuset"} {
		if _, err := os.Stat(filepath.Join(mount, hierarchy, "devcluster-x")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the control group is still in %s (%v)", hierarchy, err)
		}
	}
	if _, err := os.Stat(filepath.Join(mount, "memory/others")); err != nil {
		t.Errorf("another control group is gone: %v", err)
	}
}

func TestUnifiedCgroupsPassTheirControllersOn(t *testing.T) {
	mount := t.TempDir()
	writeFile(t, filepath.Join(mount, "cgroup.controllers"), "memory\n")
	writeFile(t, filepath.Join(mount, "devcluster-x", "cgroup.controllers"), "memory\n")
	if err := (Cgroups{Mount: mount, Unified: true}).Create("devcluster-x"); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{mount, filepath.Join(mount, "devcluster-x")} {
		if got := readFile(t, filepath.Join(dir, "cgroup.subtree_control")); got != "+memory" {
			t.Errorf("%s passes on %q, want +memory", dir, got)
		}
	}
}

func TestLastClusterSetsTheKernelSettingsBack(t *testing.T) {
	procs := t.TempDir()
	panicOnOOM := filepath.Join(procs, "sys/vm/panic_on_oom")
	writeFile(t, panicOnOOM, "7\n")
	r := Registry{path: filepath.Join(t.TempDir(), "registry.json"), procs: procs}
	alive, err := FindProcess(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	want := Entry{Dir: "/a", Init: alive}
	for _, name := range []string{"a", "b"} {
		if err := r.Add(t.Context(), name, want); err != nil {
			t.Fatal(err)
		}
		writeFile(t, panicOnOOM, "0\n") // As a kubelet does.
	}
	got, ok, err := r.Lookup("b")
	if err != nil || !ok {
		t.Fatalf("Lookup() = %t, %v", ok, err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Lookup() (-want +got):\n%s", diff)
	}
	if err := r.Remove(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	if got := readFile(t, panicOnOOM); got != "0\n" {
		t.Errorf("with a cluster left the setting became %q", got)
	}
	if err := r.Remove(t.Context(), "b"); err != nil {
		t.Fatal(err)
	}
	if got := readFile(t, panicOnOOM); got != "7" {
		t.Errorf("after the last cluster the setting is %q, want what it was before the first", got)
	}
	if _, err := os.Stat(r.path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the note of running clusters is still there (%v)", err)
	}
}

func TestLockIsHeldByOneAtATime(t *testing.T) {
	unlock, err := Lock(t.Context(), t.Name())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := Lock(ctx, t.Name()); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("a second lock: %v, want it to wait", err)
	}
	unlock()
	unlock, err = Lock(t.Context(), t.Name())
	if err != nil {
		t.Fatal(err)
	}
	unlock()
}

func writeFile(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}
