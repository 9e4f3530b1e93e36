package chart

import (
	"maps"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
)

// previous is the chart of the release before, as `helm package` made it.
const previous = "testdata/previous/mcp-sampling-operator-0.1.0.tgz"

// renderPrevious returns the objects of the previous chart.
func renderPrevious(t *testing.T) []object {
	t.Helper()
	program, err := helm()
	if err != nil {
		t.Fatal(err)
	}
	out, err := output(exec.Command(program, "template", release, previous, "--namespace", namespace))
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, out)
}

// An object that the API took before the upgrade has to be taken after it, with
// all that it says. Its status is written anew.
func TestAnUpgradeTakesNothingOutOfTheAPI(t *testing.T) {
	for _, o := range ofKind(renderPrevious(t), "CustomResourceDefinition") {
		before := as[apiextensionsv1.CustomResourceDefinition](t, o)
		var after apiextensionsv1.CustomResourceDefinition
		for _, o := range ofKind(render(t, ""), "CustomResourceDefinition") {
			if o.name() == before.Name {
				after = as[apiextensionsv1.CustomResourceDefinition](t, o)
			}
		}
		if len(after.Spec.Versions) != 1 || len(before.Spec.Versions) != 1 || after.Spec.Versions[0].Name != before.Spec.Versions[0].Name {
			t.Errorf("%s: the versions are not the same", before.Name)
			continue
		}
		if diff := cmp.Diff(before.Spec.Names, after.Spec.Names); diff != "" {
			t.Errorf("%s has other names (-before +after):\n%s", before.Name, diff)
		}
		was, is := fieldsOf(before.Spec.Versions[0].Schema), fieldsOf(after.Spec.Versions[0].Schema)
		if len(was) < 50 {
			t.Fatalf("%s: only %d fields are found", before.Name, len(was))
		}
		for _, path := range slices.Sorted(maps.Keys(was)) {
			if is[path] != was[path] && !strings.HasPrefix(path, ".status.") {
				t.Errorf("%s: %s was of type %q, is %q", before.Name, path, was[path], is[path])
			}
		}
	}
}

// fieldsOf returns the type of every field.
func fieldsOf(validation *apiextensionsv1.CustomResourceValidation) map[string]string {
	found := map[string]string{}
	var walk func(path string, schema apiextensionsv1.JSONSchemaProps)
	walk = func(path string, schema apiextensionsv1.JSONSchemaProps) {
		found[path] = schema.Type
		for name, property := range schema.Properties {
			walk(path+"."+name, property)
		}
		if schema.Items != nil && schema.Items.Schema != nil {
			walk(path+"[]", *schema.Items.Schema)
		}
		if schema.AdditionalProperties != nil && schema.AdditionalProperties.Schema != nil {
			walk(path+"{}", *schema.AdditionalProperties.Schema)
		}
	}
	walk("", *validation.OpenAPIV3Schema)
	return found
}

// What cannot change in an object would make `helm upgrade` fail, and what changes
// its name is made anew.
func TestAnUpgradeKeepsWhatTheManagerIsKnownBy(t *testing.T) {
	before, after := renderPrevious(t), render(t, "")
	was, is := as[appsv1.Deployment](t, only(t, before, "Deployment")), as[appsv1.Deployment](t, only(t, after, "Deployment"))
	if diff := cmp.Diff(was.Spec.Selector, is.Spec.Selector); diff != "" {
		t.Errorf("the selector of the manager's Deployment cannot change (-before +after):\n%s", diff)
	}
	kept := map[string]bool{}
	for _, o := range after {
		kept[o.key()] = true
	}
	for _, o := range before {
		if !kept[o.key()] {
			t.Errorf("%s is gone", o.key())
		}
	}
	// Two charts of one version are told apart by nobody.
	if label := "helm.sh/chart"; was.Labels[label] == is.Labels[label] || !strings.HasPrefix(is.Labels[label], "mcp-sampling-operator-") {
		t.Errorf("label %s was %q, is %q", label, was.Labels[label], is.Labels[label])
	}
}
