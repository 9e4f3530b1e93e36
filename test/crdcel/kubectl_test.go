package crdcel

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
)

// manifests are the files that users copy, in batches: no two files of a batch
// have an object of the same name.
func manifests(t *testing.T) [][]string {
	t.Helper()
	var batches [][]string
	var taken []map[string]bool
	for _, dir := range []string{"../../examples", "../../config/samples"} {
		err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || filepath.Ext(path) != ".yaml" {
				return err
			}
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			names := objectsIn(t, path, string(data))
			if len(names) == 0 {
				return nil // a sampler's own configuration, for example
			}
			i := slices.IndexFunc(taken, func(taken map[string]bool) bool {
				return !slices.ContainsFunc(names, func(name string) bool { return taken[name] })
			})
			if i < 0 {
				i = len(batches)
				batches, taken = append(batches, nil), append(taken, map[string]bool{})
			}
			batches[i] = append(batches[i], path)
			for _, name := range names {
				taken[i][name] = true
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(slices.Concat(batches...)) < 10 {
		t.Fatalf("only these files are found: %v", batches)
	}
	return batches
}

// objectsIn names the objects of a file.
func objectsIn(t *testing.T, path, text string) (names []string) {
	t.Helper()
	for document := range strings.SplitSeq(text, "\n---\n") {
		var o unstructured.Unstructured
		if err := yaml.Unmarshal([]byte(document), &o.Object); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if o.GetKind() != "" && o.GetName() != "" {
			names = append(names, o.GetKind()+" "+o.GetNamespace()+"/"+o.GetName())
		}
	}
	return names
}

// What is applied is stored as it was written: a dry run takes it and makes
// nothing, a second look finds no difference, in either way to apply, and the same
// text once more counts as no change.
func TestAppliedManifestsShowNoDiff(t *testing.T) {
	run := func(files []string, args ...string) (string, error) {
		for _, file := range files {
			args = append(args, "-f", file)
		}
		return server.Kubectl(t, "", args...)
	}
	kubectl := func(files []string, args ...string) string {
		t.Helper()
		out, err := run(files, args...)
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return out
	}
	// A dry run makes no namespaces, and objects want theirs.
	namespaces := []string{"../../examples/quickstart/namespace.yaml", "../../examples/two-teams/teams.yaml"}
	kubectl(namespaces, "apply", "--server-side")

	for _, files := range manifests(t) {
		files = slices.DeleteFunc(files, func(file string) bool { return slices.Contains(namespaces, file) })
		kubectl(files, "apply", "--server-side", "--dry-run=server")
		if _, err := run(files, "get"); err == nil {
			t.Error("a dry run made objects")
		}
		// A Deployment counts other annotations, such as those of kubectl, too.
		generations := func() string {
			t.Helper()
			all := kubectl(files, "get", "-o", "custom-columns=API:.apiVersion,KIND:.kind,NAME:.metadata.name,GENERATION:.metadata.generation")
			return strings.Join(slices.DeleteFunc(strings.Split(all, "\n"), func(line string) bool {
				return !strings.HasPrefix(line, mcpv1alpha1.GroupVersion.Group)
			}), "\n")
		}

		kubectl(files, "apply")
		first := generations()
		if out := kubectl(files, "diff"); out != "" {
			t.Errorf("kubectl diff after kubectl apply:\n%s", out)
		}
		kubectl(files, "apply")
		kubectl(files, "apply", "--server-side", "--force-conflicts")
		if out := kubectl(files, "diff", "--server-side", "--force-conflicts"); out != "" {
			t.Errorf("kubectl diff --server-side after kubectl apply --server-side:\n%s", out)
		}
		if again := generations(); first == "" || again != first {
			t.Errorf("the same text counts as a change:\n%s\nand now\n%s", first, again)
		}
		kubectl(files, "delete", "--wait=false")
	}
}
