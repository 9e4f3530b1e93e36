// Package chart holds the tests of the Helm chart and of its twin for kustomize
// users: what they render, what they refuse, and that they say the same.
package chart

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"
)

const (
	root      = "../.."
	chartDir  = root + "/charts/mcp-sampling-operator"
	release   = "mcp-sampling"
	namespace = "mcp-sampling-system"
)

// helm finds the program: $HELM, else the one that the dev cluster's build
// makes, else that of the PATH on machines where that build cannot run.
var helm = sync.OnceValues(func() (string, error) {
	if path := os.Getenv("HELM"); path != "" {
		return path, nil
	}
	build := exec.Command(filepath.Join(root, "hack/cluster/build.sh"), "--print", "tools")
	build.Stderr = os.Stderr
	out, err := build.Output()
	if err == nil {
		return filepath.Join(strings.TrimSpace(string(out)), "helm"), nil
	}
	path, lookErr := exec.LookPath("helm")
	if lookErr != nil {
		return "", fmt.Errorf("no helm: set HELM, or put it on the PATH: %w", errors.Join(err, lookErr))
	}
	return path, nil
})

// object is whatever was rendered.
type object map[string]any

func (o object) kind() string { return text(o, "kind") }
func (o object) name() string { return text(o, "metadata", "name") }

// key names an object among all that were rendered.
func (o object) key() string {
	return fmt.Sprintf("%s %s/%s", o.kind(), text(o, "metadata", "namespace"), o.name())
}

// at walks down the path; nil if there is nothing.
func at(o map[string]any, path ...string) any {
	var value any = o
	for _, step := range path {
		m, ok := value.(map[string]any)
		if !ok {
			return nil
		}
		value = m[step]
	}
	return value
}

func text(o object, path ...string) string {
	s, _ := at(o, path...).(string)
	return s
}

// as reads a rendered object as a typed one, strictly: a misspelt field is an
// error.
func as[T any](t *testing.T, o object) T {
	t.Helper()
	data, err := yaml.Marshal(o)
	if err != nil {
		t.Fatalf("%s: %v", o.key(), err)
	}
	var typed T
	if err := yaml.UnmarshalStrict(data, &typed); err != nil {
		t.Fatalf("%s: %v", o.key(), err)
	}
	return typed
}

// template runs `helm template` and returns what it prints, or its complaint. What
// is set goes before values.
func template(t *testing.T, values string, set ...string) (string, error) {
	t.Helper()
	command := []string{"template"}
	for _, s := range set {
		command = append(command, "--set", s)
	}
	return runHelm(t, values, command...)
}

// notes returns what a user reads after `helm install`.
func notes(t *testing.T, values string) string {
	t.Helper()
	out, err := runHelm(t, values, "install", "--dry-run=client")
	if err != nil {
		t.Fatal(err)
	}
	_, found, ok := strings.Cut(out, "\nNOTES:\n")
	if !ok {
		t.Fatalf("no notes in:\n%s", out)
	}
	return found
}

// runHelm runs a command of helm on the chart, with no cluster in reach.
func runHelm(t *testing.T, values string, command ...string) (string, error) {
	t.Helper()
	program, err := helm()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "values.yaml")
	if err := os.WriteFile(file, []byte(values), 0o600); err != nil {
		t.Fatal(err)
	}
	args := append(slices.Clone(command), release, chartDir, "--namespace", namespace, "--values", file)
	cmd := exec.Command(program, args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG=/dev/null")
	return output(cmd)
}

// output runs a command; its error holds what the command said on stderr.
func output(cmd *exec.Cmd) (string, error) {
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: %w: %s", cmd, err, stderr.String())
	}
	return stdout.String(), nil
}

// render returns the objects that the chart makes with these values.
func render(t *testing.T, values string) []object {
	t.Helper()
	out, err := template(t, values)
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, out)
}

// renderKustomize returns the objects of config/default.
func renderKustomize(t *testing.T) []object {
	t.Helper()
	cmd := exec.Command("go", "tool", "-modfile=hack/tools/go.mod", "kustomize", "build", "config/default")
	cmd.Dir = root
	out, err := output(cmd)
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, out)
}

func parse(t *testing.T, documents string) []object {
	t.Helper()
	var objects []object
	for _, document := range strings.Split("\n"+documents, "\n---\n") {
		var o object
		if err := yaml.UnmarshalStrict([]byte(document), &o); err != nil {
			t.Fatalf("not YAML: %v\n%s", err, document)
		}
		if len(o) > 0 {
			objects = append(objects, o)
		}
	}
	return objects
}

// ofKind returns the objects of one kind.
func ofKind(objects []object, kind string) []object {
	var found []object
	for _, o := range objects {
		if o.kind() == kind {
			found = append(found, o)
		}
	}
	return found
}

// only returns the one object of a kind.
func only(t *testing.T, objects []object, kind string) object {
	t.Helper()
	found := ofKind(objects, kind)
	if len(found) != 1 {
		t.Fatalf("%d objects of kind %s, want 1", len(found), kind)
	}
	return found[0]
}

// grant is what somebody may do and where; the namespace is empty for the whole
// cluster.
type grant struct {
	Namespace string
	Rules     []rbacv1.PolicyRule
}

// grants returns everything that is bound to ServiceAccounts.
func grants(t *testing.T, objects []object) []grant {
	t.Helper()
	rules := map[string][]rbacv1.PolicyRule{}
	for _, o := range objects {
		switch o.kind() {
		case "Role":
			role := as[rbacv1.Role](t, o)
			rules["Role "+role.Namespace+"/"+role.Name] = role.Rules
		case "ClusterRole":
			role := as[rbacv1.ClusterRole](t, o)
			rules["ClusterRole /"+role.Name] = role.Rules
		}
	}
	var found []grant
	add := func(namespace string, ref rbacv1.RoleRef) {
		in := ""
		if ref.Kind == "Role" {
			in = namespace
		}
		bound, ok := rules[ref.Kind+" "+in+"/"+ref.Name]
		if !ok {
			t.Fatalf("a binding names %s %s, which is not there", ref.Kind, ref.Name)
		}
		found = append(found, grant{Namespace: namespace, Rules: bound})
	}
	for _, o := range objects {
		switch o.kind() {
		case "RoleBinding":
			add(text(o, "metadata", "namespace"), as[rbacv1.RoleBinding](t, o).RoleRef)
		case "ClusterRoleBinding":
			add("", as[rbacv1.ClusterRoleBinding](t, o).RoleRef)
		}
	}
	slices.SortFunc(found, func(a, b grant) int { return strings.Compare(a.Namespace, b.Namespace) })
	return found
}
