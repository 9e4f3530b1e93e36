// Package golden compares what a pure function makes of x.in.yaml with
// x.out.yaml, for every such pair in a folder. One behaviour a file, so that a
// difference can be reviewed.
//
// go test ./... -update writes the .out.yaml files anew.
package golden

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "write the golden files anew")

// Run calls the function for each x.in.yaml of a folder, in a subtest of that
// name.
func Run(t *testing.T, dir string, function func(t *testing.T, in Documents) any) {
	t.Helper()
	inputs, err := filepath.Glob(filepath.Join(dir, "*.in.yaml"))
	if err != nil || len(inputs) == 0 {
		t.Fatalf("no *.in.yaml in %s (%v)", dir, err)
	}
	for _, input := range inputs {
		base := strings.TrimSuffix(input, ".in.yaml")
		t.Run(filepath.Base(base), func(t *testing.T) {
			data, err := os.ReadFile(input)
			if err != nil {
				t.Fatal(err)
			}
			got, err := yaml.Marshal(function(t, split(t, data)))
			if err != nil {
				t.Fatalf("encode what came out: %v", err)
			}
			compare(t, base+".out.yaml", got)
		})
	}
}

func compare(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, got, 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v: run the test with -update, and read what it writes", err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s differs (-want +got); if that is right, run the test with -update:\n%s", path, diff)
	}
}

// Documents are the YAML documents of one input.
type Documents struct {
	// Comment is the first line, without its "# ", if it is a comment.
	Comment   string
	documents []document
}

type document struct {
	kind string
	data []byte
}

func split(t *testing.T, data []byte) Documents {
	t.Helper()
	var out Documents
	if first, _, ok := bytes.Cut(data, []byte("\n")); ok && bytes.HasPrefix(first, []byte("# ")) {
		out.Comment = string(first[2:])
	}
	for part := range bytes.SplitSeq(data, []byte("\n---\n")) {
		var head struct {
			Kind string `json:"kind"`
		}
		if err := yaml.Unmarshal(part, &head); err != nil {
			t.Fatalf("read a document: %v", err)
		}
		if head.Kind == "" {
			t.Fatalf("a document has no kind:\n%s", part)
		}
		out.documents = append(out.documents, document{head.Kind, part})
	}
	return out
}

// All reads every document of a kind. Unknown fields fail the test.
func All[T any](t *testing.T, in Documents, kind string) []T {
	t.Helper()
	var out []T
	for _, d := range in.documents {
		if d.kind != kind {
			continue
		}
		var v T
		if err := yaml.UnmarshalStrict(d.data, &v); err != nil {
			t.Fatalf("read a %s: %v", kind, err)
		}
		out = append(out, v)
	}
	return out
}

// One reads the only document of a kind; nil if there is none.
func One[T any](t *testing.T, in Documents, kind string) *T {
	t.Helper()
	all := All[T](t, in, kind)
	switch len(all) {
	case 0:
		return nil
	case 1:
		return &all[0]
	}
	t.Fatalf("there are %d documents of kind %s, want at most one", len(all), kind)
	return nil
}
