package secret

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/config"
)

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil { // as the kubelet does
		t.Fatal(err)
	}
}

func TestRead(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) *config.Credential {
		path := filepath.Join(dir, name)
		write(t, path, text)
		return &config.Credential{File: path}
	}
	t.Setenv("SECRET_TEST_VALUE", " from env ")
	for name, tc := range map[string]struct {
		from       *config.Credential
		want       string
		wantDetail string
	}{
		"a variable":         {&config.Credential{Env: "SECRET_TEST_VALUE"}, "from env", ""},
		"an unset variable":  {&config.Credential{Env: "SECRET_TEST_UNSET"}, "", "the environment variable SECRET_TEST_UNSET is not set"},
		"a file":             {file("a", "\n Bearer x \r\n"), "Bearer x", ""},
		"an empty file":      {file("b", " \n"), "", "the value is empty"},
		"a folder":           {&config.Credential{File: dir}, "", "the value's file cannot be read"},
		"a file without end": {file("c", strings.Repeat("x", maxBytes+1)), "", "the value's file cannot be read"},
		"a missing file":     {&config.Credential{File: filepath.Join(dir, "none")}, "", "the value's file does not exist"},
	} {
		t.Run(name, func(t *testing.T) {
			for by, read := range map[string]func() (string, error){
				"Read":   func() (string, error) { return Read(tc.from, "value") },
				"Cached": NewCached(tc.from, "value").Read,
			} {
				got, err := read()
				detail := ""
				if e, ok := errors.AsType[*Error](err); ok {
					detail = e.Detail
				}
				if got != tc.want || detail != tc.wantDetail {
					t.Errorf("%s: %q and %q, want %q and %q", by, got, detail, tc.want, tc.wantDetail)
				}
			}
		})
	}
}

func TestACachedSecretIsReadAgainWhenItsFileChanges(t *testing.T) {
	path := filepath.Join(t.TempDir(), "value")
	c := NewCached(&config.Credential{File: path}, "value")
	for _, want := range []string{"first", "again", "last"} { // of one length
		write(t, path, want)
		for range 2 {
			if got, err := c.Read(); got != want || err != nil {
				t.Errorf("%q, error %v; want %q", got, err, want)
			}
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if got, err := c.Read(); err == nil {
		t.Errorf("%q although the file is gone", got)
	}
	write(t, path, "back")
	if err := os.Chtimes(path, time.Time{}, time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	if got, err := c.Read(); got != "back" || err != nil {
		t.Errorf("%q, error %v; want the new value", got, err)
	}
}
