package docs_test

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/testing/pages"
)

// followed are the pages whose commands test/e2e types on a real cluster.
var followed = []string{"install.md", "first-server.md", "first-policy.md", "tenants.md"}

// maxNotRun bounds what pages may leave to the reader: lower it when it can be.
const maxNotRun = 34

func TestCommandsAreRunOrSayWhyNot(t *testing.T) {
	notRun := 0
	all := handPages(t)
	for _, file := range slices.Sorted(maps.Keys(all)) {
		blocks, err := pages.Blocks(all[file])
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for _, block := range pages.Commands(blocks) {
			switch {
			case block.NotRun != "":
				notRun++
			case !slices.Contains(followed, file):
				t.Errorf("%s:%d: no test runs these commands: write <!-- not run: REASON --> above them, or have test/e2e follow the page:\n%s", file, block.Line, block.Text)
			}
		}
	}
	if notRun > maxNotRun {
		t.Errorf("%d blocks of commands are not run, at most %d may be", notRun, maxNotRun)
	}
}

// handPages are those of this folder and the first one of the repository.
func handPages(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	for file, text := range pagesOf(t) {
		if file == "../README.md" || !strings.Contains(file, "/") {
			out[file] = text
		}
	}
	return out
}

var misspelt = regexp.MustCompile(`\b(?:McpServer|MCPserver|MCP Server|mcpServer|Samplingpolicy|Sampling Policy|samplingPolicy|samplingpolicy)\b`)

// Kinds are written as the API writes them.
func TestKindsAreSpeltAsInTheAPI(t *testing.T) {
	for file, text := range pagesOf(t) {
		for line := range strings.Lines(fence.ReplaceAllString(text, "")) {
			if strings.Contains(line, "status.samplingPolicy") {
				continue
			}
			if word := misspelt.FindString(line); word != "" {
				t.Errorf("%s: %q: the kinds are MCPServer and SamplingPolicy, in: %s", file, word, strings.TrimSpace(line))
			}
		}
	}
}
