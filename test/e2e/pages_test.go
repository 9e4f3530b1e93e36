package e2e

import (
	"cmp"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/testing/pages"
)

// testFirstPages types what the first three pages say, word by word and in one
// shell, as a new user does. Where a page does not say how to go on, this fails.
func testFirstPages(t *testing.T) {
	if cmp.Or(os.Getenv("CLUSTER"), "own") != "own" {
		t.Skip("the first page is for a machine without a cluster")
	}
	if os.Getenv("E2E_SMALL_MODEL") == "skip" {
		t.Skip("E2E_SMALL_MODEL says so, and the third page is answered by it")
	}
	followPages(t, []string{"first-steps"}, "install.md", "first-server.md", "first-policy.md")
}

func testTenantsPage(t *testing.T) { followPages(t, []string{"team-a"}, "tenants.md") }

// followPages runs the commands of pages in one shell, in the folder that users
// have cloned.
func followPages(t *testing.T, namespaces []string, names ...string) {
	t.Helper()
	dropNamespaces(t, namespaces...)
	var blocks []pages.Block
	for _, name := range names {
		page, err := os.ReadFile(filepath.Join("../../docs", name))
		must(t, err)
		more, err := pages.Blocks(string(page))
		must(t, err)
		if len(pages.Commands(more)) == 0 {
			t.Errorf("docs/%s: nothing to run", name)
		}
		blocks = append(blocks, more...)
	}
	runPages(t, blocks, "../..")
}

// runPages runs the commands of pages in a folder, as a user with kubectl, the
// cluster and a key.
func runPages(t *testing.T, blocks []pages.Block, dir string) {
	t.Helper()
	// Long enough for every wait in a page.
	ctx, cancel := context.WithTimeoutCause(t.Context(), 5*patience, errors.New("the commands do not come to an end"))
	defer cancel()
	out, err := pages.Run(ctx, blocks, pages.Options{Dir: dir, Env: userEnv(t)})
	if err != nil {
		t.Errorf("%v\nAll that was printed:\n%s", err, out)
	}
}
