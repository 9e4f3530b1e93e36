package e2e

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/testing/pages"
)

// What a model that calls tools says in two of the examples. A small one does not
// do it reliably; there users bring a key of theirs.
const (
	toolLoopTurns = `[
		{"calls": [{"id": "a", "name": "stock", "arguments": "{\"item\":\"lamp\"}"},
		           {"id": "b", "name": "price", "arguments": "{\"item\":\"lamp\",\"pieces\":3}"}]},
		{"text": "We have lamps: {results}."}]`
	structuredTurns = `[
		{"calls": [{"id": "a", "name": "final_response",
		            "arguments": "{\"number\":\"R-2041\",\"due\":\"2026-12-01\",\"total\":1250.5,\"currency\":\"EUR\"}"}]}]`
)

// modelNamespace is where the quickstart's model runs, which other examples use.
const modelNamespace = "mcp-demo"

// testExamples does what the READMEs of examples say, word by word, and sees what
// they say that one sees.
func testExamples(t *testing.T) {
	if os.Getenv("E2E_SMALL_MODEL") == "skip" {
		t.Log("SKIPPED: E2E_SMALL_MODEL says so, and the examples are answered by it")
		return
	}
	dropNamespaces(t, modelNamespace)
	for _, example := range []struct {
		name       string
		namespaces []string
		// turns are those of the fake model that answers in place of OpenAI.
		turns string
	}{
		{name: "quickstart"},
		{name: "local-model", namespaces: []string{"local-model"}},
		{name: "tool-loop", namespaces: []string{"tool-loop"}, turns: toolLoopTurns},
		{name: "structured-output", namespaces: []string{"structured-output"}, turns: structuredTurns},
		{name: "stdio-npm", namespaces: []string{"stdio-npm"}},
		{name: "remote", namespaces: []string{"remote", "elsewhere"}},
		{name: "two-teams", namespaces: []string{"team-search", "team-support"}},
		{name: "fallback", namespaces: []string{"fallback"}},
		{name: "webhook", namespaces: []string{"webhook"}},
	} {
		t.Run(example.name, func(t *testing.T) {
			t.Parallel()
			dropNamespaces(t, example.namespaces...)
			replace := []string{"localhost/", strings.TrimSuffix(image("", ""), ":")}
			if example.turns != "" {
				s := newSpace(t)
				s.runFakeModel(t, "--key="+rightKey, "--play="+example.turns)
				replace = append(replace, "https://api.openai.com/", fmt.Sprintf("http://%s.%s.svc:8080/", fakeModel, s.name))
			}
			page, err := os.ReadFile("../../examples/" + example.name + "/README.md")
			must(t, err)
			blocks, err := pages.Blocks(string(page))
			must(t, err)
			if n := len(pages.Commands(blocks)); n < 2 {
				t.Fatalf("the README has %d blocks of commands only", n)
			}
			ownPorts(t, blocks)
			runPages(t, blocks, repository(t, replace, "quickstart", example.name))
		})
	}
}

// dropNamespaces removes what an earlier run has left, and what this one leaves.
func dropNamespaces(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		_, err := theCluster.kubectl(t.Context(), "", "delete", "namespace", name, "--ignore-not-found", "--timeout=2m")
		must(t, err)
		s := &space{cluster: theCluster, name: name}
		t.Cleanup(func() {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			if t.Failed() {
				s.diagnose(ctx, t)
			}
			ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
			if err := theCluster.client.Delete(ctx, ns); err != nil && s.get(ctx, ns) == nil {
				t.Errorf("delete namespace %s: %v", name, err)
			}
		})
	}
}

var forwarded = regexp.MustCompile(`port-forward .* (\d+):\d+ &`)

// ownPorts takes free ports in place of those of a README, which may be in use on
// this machine.
func ownPorts(t *testing.T, blocks []pages.Block) {
	t.Helper()
	var replace []string
	for _, block := range blocks {
		for _, m := range forwarded.FindAllStringSubmatch(block.Text, -1) {
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			must(t, err)
			defer listener.Close() // all at the end, so that each gets another one
			_, port, err := net.SplitHostPort(listener.Addr().String())
			must(t, err)
			replace = append(replace, " "+m[1]+":", " "+port+":", "127.0.0.1:"+m[1], "127.0.0.1:"+port)
		}
	}
	replacer := strings.NewReplacer(replace...)
	for i := range blocks {
		blocks[i].Text = replacer.Replace(blocks[i].Text)
	}
}

// repository is a folder that looks like this repository, with some of its examples
// changed: their images and models are those of these tests.
func repository(t *testing.T, replace []string, examples ...string) string {
	t.Helper()
	root, err := filepath.Abs("../..")
	must(t, err)
	dir := t.TempDir()
	link := func(folder string, but ...string) {
		entries, err := os.ReadDir(filepath.Join(root, folder))
		must(t, err)
		must(t, os.MkdirAll(filepath.Join(dir, folder), 0o755))
		for _, entry := range entries {
			if entry.Name() != ".git" && !slices.Contains(but, entry.Name()) {
				must(t, os.Symlink(filepath.Join(root, folder, entry.Name()), filepath.Join(dir, folder, entry.Name())))
			}
		}
	}
	link(".", "examples")
	link("examples", examples...)
	replacer := strings.NewReplacer(replace...)
	for _, example := range slices.Compact(examples) { // the quickstart may be named twice
		from := filepath.Join(root, "examples", example)
		files, err := filepath.Glob(filepath.Join(from, "*.yaml"))
		must(t, err)
		changed := make([]string, 0, len(files))
		for _, file := range files {
			changed = append(changed, filepath.Base(file))
		}
		link(filepath.Join("examples", example), changed...)
		for _, name := range changed {
			data, err := os.ReadFile(filepath.Join(from, name))
			must(t, err)
			must(t, os.WriteFile(filepath.Join(dir, "examples", example, name), []byte(replacer.Replace(string(data))), 0o600))
		}
	}
	return dir
}

// userEnv is the environment of a user with kubectl, the cluster and a key.
func userEnv(t *testing.T) []string {
	t.Helper()
	kubectl, err := exec.LookPath("kubectl")
	if path := os.Getenv("E2E_KUBECTL"); path != "" {
		kubectl, err = filepath.Abs(path)
	}
	must(t, err)
	bin := t.TempDir()
	must(t, os.Symlink(kubectl, filepath.Join(bin, "kubectl")))
	return append(os.Environ(),
		"PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"),
		"KUBECONFIG="+theCluster.kubeconfig,
		"OPENAI_API_KEY="+rightKey,
		// The folder is another one each time; what was built is the same.
		"GOFLAGS=-trimpath",
		"MAKEFLAGS=", "NO_COLOR=1",
	)
}
