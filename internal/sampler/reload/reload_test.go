package reload_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/config"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/reload"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func file(name string) []byte {
	return []byte("apiVersion: " + config.APIVersion + "\nserver: {name: " + name + "}\nupstream: {url: http://127.0.0.1:1/mcp}\n")
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// mount lays a folder out as the kubelet does: the file is a link into ..data,
// which is a link that is swapped as a whole.
func mount(t *testing.T, dir, version string, data []byte) {
	t.Helper()
	if err := os.Mkdir(filepath.Join(dir, version), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, version, "sampler.yaml"), data)
	if err := os.Symlink(version, filepath.Join(dir, "..data_tmp")); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "sampler.yaml")
	if _, err := os.Lstat(link); errors.Is(err, os.ErrNotExist) {
		if err := os.Symlink("..data/sampler.yaml", link); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRunFollowsAMountedConfigMap(t *testing.T) {
	dir := t.TempDir()
	mount(t, dir, "..1", file("one"))
	got := make(chan string, 8)
	f := reload.New(filepath.Join(dir, "sampler.yaml"), slog.New(slog.DiscardHandler), func(c *config.Effective) error {
		got <- c.Server.Name
		return nil
	})
	if err := f.Load(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	expect(t, got, "one")
	mount(t, dir, "..2", file("two"))
	expect(t, got, "two")
	mount(t, dir, "..3", []byte("nonsense: true\n"))
	mount(t, dir, "..4", file("three"))
	expect(t, got, "three")
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run = %v", err)
	}
	if err := f.Err(); err != nil {
		t.Errorf("Err = %v, want none once the file is good again", err)
	}
}

func expect(t *testing.T, got <-chan string, want string) {
	t.Helper()
	select {
	case name := <-got:
		if name != want {
			t.Fatalf("applied %q, want %q", name, want)
		}
	case <-time.After(20 * time.Second):
		t.Fatalf("%q was not applied", want)
	}
}

func TestLoadKeepsTheLastGoodConfiguration(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sampler.yaml")
	refuse := errors.New("refused")
	var applied []string
	f := reload.New(path, slog.New(slog.DiscardHandler), func(c *config.Effective) error {
		if c.Server.Name == "refused" {
			return refuse
		}
		applied = append(applied, c.Server.Name)
		return nil
	})
	steps := []struct {
		name        string
		do          func()
		wantErr     string
		wantApplied string
	}{
		{"a file that is not there is an error", func() {}, "no such file", ""},
		{"the first good file is applied", func() { write(t, path, file("one")) }, "", "one"},
		{"the same file is not applied again", func() {}, "", "one"},
		{"an unknown key is refused", func() { write(t, path, append(file("two"), "polcy: {}\n"...)) }, "polcy", "one"},
		{"the error stays while the file does", func() {}, "polcy", "one"},
		{"one that cannot be taken into use is refused", func() { write(t, path, file("refused")) }, "refused", "one"},
		{"a file that is gone is an error", func() { _ = os.Remove(path) }, "no such file", "one"},
		{"a file that is too long is refused", func() { write(t, path, make([]byte, config.MaxBytes+10)) }, "bytes", "one"},
		{"a good file heals", func() { write(t, path, file("three")) }, "", "one three"},
	}
	for _, s := range steps {
		s.do()
		err := f.Load()
		switch {
		case s.wantErr == "" && err != nil:
			t.Errorf("%s: %v", s.name, err)
		case s.wantErr != "" && (err == nil || !strings.Contains(err.Error(), s.wantErr)):
			t.Errorf("%s: error %v, want one with %q", s.name, err, s.wantErr)
		case (err == nil) != (f.Err() == nil):
			t.Errorf("%s: Load = %v, Err = %v", s.name, err, f.Err())
		}
		if got := strings.Join(applied, " "); got != s.wantApplied {
			t.Errorf("%s: applied %q, want %q", s.name, got, s.wantApplied)
		}
	}
}
