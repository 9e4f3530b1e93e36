package sampler_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/config"
)

// Replicas with another key answer 404 for each other's sessions: a report has to
// tell keys apart, and nothing more of them.
func TestReportsTellSessionKeysApart(t *testing.T) {
	dir := t.TempDir()
	reported := func(name, key string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(key), 0o600); err != nil {
			t.Fatal(err)
		}
		f := start(t, "http://127.0.0.1:9", "http://127.0.0.1:9", func(c *config.Effective) { c.Sessions.KeyFile = path })
		return f.report().SessionKey
	}
	one, same, other := strings.Repeat("k", 32), strings.Repeat("k", 32), strings.Repeat("l", 32)
	first := reported("one", one)
	if len(first) != 8 {
		t.Errorf("the report says %q of the key, want 8 digits", first)
	}
	if got := reported("same", same); got != first {
		t.Errorf("of one key reports say %q and %q", first, got)
	}
	if got := reported("other", other); got == first {
		t.Errorf("of two keys reports say %q", got)
	}
}
