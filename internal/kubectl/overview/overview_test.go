package overview

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/kubectl/terminal"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func read(t *testing.T, file string) Input {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var in Input
	for document := range strings.SplitSeq(string(data), "\n---\n") {
		var kind struct{ Kind string }
		var server mcpv1alpha1.MCPServer
		var policy mcpv1alpha1.SamplingPolicy
		var pod corev1.Pod
		if err = yaml.Unmarshal([]byte(document), &kind); err != nil {
			t.Fatal(err)
		}
		switch kind.Kind {
		case "MCPServer":
			err = yaml.UnmarshalStrict([]byte(document), &server)
			in.Servers = append(in.Servers, server)
		case "SamplingPolicy":
			err = yaml.UnmarshalStrict([]byte(document), &policy)
			in.Policies = append(in.Policies, policy)
		case "Pod":
			err = yaml.UnmarshalStrict([]byte(document), &pod)
			in.Pods = append(in.Pods, pod)
		default:
			t.Fatalf("nothing here knows kind %q", kind.Kind)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return in
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}

func TestTree(t *testing.T) {
	for _, file := range []string{"testdata/all.in.yaml"} {
		tree, missing := Make(read(t, file))
		if len(missing) > 0 {
			t.Errorf("missing %v", missing)
		}
		name := strings.TrimSuffix(file, ".in.yaml")
		for suffix, write := range map[string]func(*bytes.Buffer) error{
			".txt": func(b *bytes.Buffer) error { return tree.WriteText(b, terminal.Painter{}, TextOptions{}) },
			".wide.txt": func(b *bytes.Buffer) error {
				return tree.WriteText(b, terminal.Painter{}, TextOptions{Wide: true, Namespaces: true})
			},
			".colour.txt": func(b *bytes.Buffer) error { return tree.WriteText(b, terminal.Colours(), TextOptions{}) },
			".json":       func(b *bytes.Buffer) error { return terminal.JSON(b, tree) },
		} {
			var out bytes.Buffer
			if err := write(&out); err != nil {
				t.Fatal(err)
			}
			golden(t, filepath.FromSlash(name+suffix), out.String())
		}
	}
}

func TestNamesChoose(t *testing.T) {
	in := read(t, "testdata/all.in.yaml")
	in.Names = []string{"broken", "noone"}
	tree, missing := Make(in)
	if diff := cmp.Diff([]string{"noone"}, missing); diff != "" {
		t.Errorf("missing (-want +got):\n%s", diff)
	}
	if len(tree.Policies) != 1 || len(tree.Policies[0].Servers) != 1 || tree.Policies[0].Servers[0].Name != "broken" || len(tree.Ungoverned) != 0 {
		t.Errorf("the tree is %+v, want one server below its policy", tree)
	}
	in.Names = []string{"support"}
	if tree, _ = Make(in); len(tree.Policies) != 1 || len(tree.Policies[0].Servers) != 2 {
		t.Errorf("the tree is %+v, want a policy with all of its servers", tree)
	}
}
