package admission_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/explain/admission"
)

// cases are the very ones that a real API server is asked.
const cases = "../../../test/crdcel/testdata/samplingpolicy"

func read(t *testing.T, file string) (map[string]any, string) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	object, err := admission.Read(data, "")
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	first, _, _ := strings.Cut(string(data), "\n")
	return object, strings.TrimPrefix(first, "# want: ")
}

func files(t *testing.T, folder string) []string {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(cases, folder, "*.yaml"))
	if err != nil || len(list) < 2 {
		t.Fatalf("%d cases in %s, error %v", len(list), folder, err)
	}
	return list
}

func TestAdmitsWhatAnAPIServerAdmits(t *testing.T) {
	for _, file := range files(t, "valid") {
		object, _ := read(t, file)
		if _, err := admission.SamplingPolicy(object); err != nil {
			t.Errorf("%s: %v", filepath.Base(file), problems(err))
		}
	}
}

func TestRefusesWhatAnAPIServerRefuses(t *testing.T) {
	for _, file := range files(t, "invalid") {
		object, want := read(t, file)
		_, err := admission.SamplingPolicy(object)
		var invalid *admission.InvalidError
		if !errors.As(err, &invalid) {
			t.Errorf("%s: error %v, want one about the object", filepath.Base(file), err)
			continue
		}
		if !strings.Contains(problems(err), want) {
			t.Errorf("%s: says\n%s\nwant in it\n%s", filepath.Base(file), problems(err), want)
		}
	}
}

func TestFillsInTheDefaultsOfAnAPIServer(t *testing.T) {
	for _, file := range files(t, "stored") {
		object, _ := read(t, filepath.Join(cases, "valid", filepath.Base(file)))
		if _, err := admission.SamplingPolicy(object); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var want map[string]any
		if err := yaml.Unmarshal(data, &want); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(asYAML(t, want["spec"]), asYAML(t, object["spec"])); diff != "" {
			t.Errorf("%s (-want +got):\n%s", filepath.Base(file), diff)
		}
	}
}

// asYAML forgets which numbers are integers.
func asYAML(t *testing.T, v any) string {
	t.Helper()
	data, err := yaml.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func problems(err error) string {
	var invalid *admission.InvalidError
	if errors.As(err, &invalid) {
		return strings.Join(invalid.Problems, "\n")
	}
	return err.Error()
}

// minimal is a policy with what the lines add at its end.
func minimal(name, lines string) string {
	return `apiVersion: mcp-sampling.dev/v1alpha1
kind: SamplingPolicy
metadata: {name: ` + name + `}
spec:
  targetRefs: [{name: a}]
  providers: [{name: p, type: OpenAI}]
  models: {default: m, allowed: [{name: m, provider: p}]}
` + lines
}

// What an API server does besides schema and rules.
func TestRefusesWhatKubectlDoes(t *testing.T) {
	for name, tc := range map[string]struct{ manifest, want string }{
		"an unknown field":                   {minimal("p", "  fallback: [m]\n"), `unknown field "spec.fallback"`},
		"an unknown field in a list":         {minimal("p", "  redaction: [{name: a, pattern: b, with: c}]\n"), `unknown field "spec.redaction[0].with"`},
		"a policy without a name":            {minimal(`""`, ""), "metadata.name: Required value"},
		"a name that no object may have":     {minimal("A_B", ""), `metadata.name: Invalid value: "A_B"`},
		"a namespace that is no name of one": {strings.Replace(minimal("p", ""), "{name: p}", "{name: p, namespace: a.b}", 1), `metadata.namespace: Invalid value: "a.b"`},
		"several problems at once":           {minimal("p", "  mode: Never\n  extra: 1\n"), "(and 1 more)"},
	} {
		object, err := admission.Read([]byte(tc.manifest), "")
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if _, err := admission.SamplingPolicy(object); err == nil || !strings.Contains(err.Error()+"\n"+problems(err), tc.want) {
			t.Errorf("%s: error %v, want %q", name, err, tc.want)
		}
	}
}

func TestReadFindsThePolicy(t *testing.T) {
	const secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\n"
	two := minimal("a", "") + "---\n" + minimal("b", "")
	for name, tc := range map[string]struct{ manifest, name, want, wantError string }{
		"the only one":                      {manifest: minimal("a", ""), want: "a"},
		"beside others and comments":        {manifest: "# only a comment\n---\n" + secret + "---\n" + minimal("a", "") + "---\n", want: "a"},
		"in JSON":                           {manifest: `{"apiVersion":"mcp-sampling.dev/v1alpha1","kind":"SamplingPolicy","metadata":{"name":"a"}}`, want: "a"},
		"in a list":                         {manifest: "apiVersion: v1\nkind: List\nitems:\n- {kind: Secret}\n- {kind: SamplingPolicy, apiVersion: mcp-sampling.dev/v1alpha1, metadata: {name: a}}\n", want: "a"},
		"one of several":                    {manifest: two, name: "b", want: "b"},
		"of several, which is not said":     {manifest: two, wantError: "there are 2 of kind SamplingPolicy in it: choose one of a, b by its name"},
		"of several, one that is not there": {manifest: two, name: "c", wantError: `there is no SamplingPolicy "c" in it: choose one of a, b`},
		"one name twice":                    {manifest: minimal("a", "") + "---\n" + minimal("a", ""), name: "a", wantError: `SamplingPolicy "a" is in it 2 times`},
		"none":                              {manifest: secret, wantError: "there is no SamplingPolicy in it"},
		"of another version":                {manifest: strings.Replace(minimal("a", ""), "v1alpha1", "v2", 1), wantError: "apiVersion is mcp-sampling.dev/v2: write mcp-sampling.dev/v1alpha1"},
		"that says one thing twice":         {manifest: minimal("a", "  mode: Always\n  mode: Fallback\n"), wantError: `key "mode" already set in map`},
		"that is no YAML":                   {manifest: "a: [", wantError: "read document 1"},
		"a document that is no object":      {manifest: "just text\n", wantError: "document 1 is no object"},
	} {
		object, err := admission.Read([]byte(tc.manifest), tc.name)
		if tc.wantError != "" {
			if err == nil || !strings.Contains(err.Error(), tc.wantError) {
				t.Errorf("%s: error %v, want %q", name, err, tc.wantError)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		meta, _ := object["metadata"].(map[string]any)
		if meta["name"] != tc.want {
			t.Errorf("%s: found %v, want %s", name, meta["name"], tc.want)
		}
	}
}
