// Package docs_test holds the documentation to the code: what the pages name is
// there, and what users meet is in the pages.
package docs_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"strconv"
	"strings"
	"testing"
)

func TestTroubleshootingNamesEveryReasonAndCondition(t *testing.T) {
	page := read(t, "troubleshooting.md")
	found := 0
	for name, value := range stringConstants(t, "../api/v1alpha1/conditions.go") {
		switch {
		case strings.HasPrefix(name, "Reason"):
			if !strings.Contains(page, "`"+value+"`") {
				t.Errorf("docs/troubleshooting.md does not explain the reason `%s` (%s): add a row that says what it means and what to do", value, name)
			}
		case strings.HasPrefix(name, "Condition"):
			if !strings.Contains(page, "### "+value+":") && !strings.Contains(page, "| `"+value+"` |") {
				t.Errorf("docs/troubleshooting.md has neither a section nor a row for the condition %s", value)
			}
		default:
			continue
		}
		found++
	}
	if found < 20 {
		t.Fatalf("found only %d reasons and conditions in conditions.go: has it moved?", found)
	}
}

// stringConstants returns the exported string constants of a Go file.
func stringConstants(t *testing.T, path string) map[string]string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		for i, name := range spec.Names {
			if i >= len(spec.Values) || !name.IsExported() {
				continue
			}
			literal, ok := spec.Values[i].(*ast.BasicLit)
			if !ok || literal.Kind != token.STRING {
				continue
			}
			value, err := strconv.Unquote(literal.Value)
			if err != nil {
				t.Fatal(err)
			}
			out[name.Name] = value
		}
		return true
	})
	return out
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
