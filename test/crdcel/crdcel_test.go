// Package crdcel shows a real API server objects that it must accept or refuse,
// one file per case, so that what users read at `kubectl apply` is tested and
// not only what the Go types say.
//
// testdata/KIND/valid holds what is accepted, testdata/KIND/invalid what is
// refused; the first line of the latter, "# want: …", is a part of the message.
// testdata/KIND/stored holds what becomes of the minimal ones (-update rewrites).
package crdcel

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
	"github.com/mcp-sampling/mcp-sampling-operator/controllers/resolve"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/testing/apiserver"
)

var (
	server apiserver.Server
	update = flag.Bool("update", false, "rewrite the golden files below testdata/*/stored")
)

func TestMain(m *testing.M) { os.Exit(server.Main(m)) }

const wantPrefix = "# want: "

// testCase is one file.
type testCase struct {
	file   string
	object *unstructured.Unstructured
	want   string // part of the message; empty if the object is accepted
}

func casesOf(t *testing.T, pattern string) []testCase {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", pattern))
	if err != nil || len(files) == 0 {
		t.Fatalf("no case matches %s: %v", pattern, err)
	}
	cases := make([]testCase, 0, len(files))
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		c := testCase{file: file, object: &unstructured.Unstructured{}}
		if err := yaml.UnmarshalStrict(data, &c.object.Object); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		c.object.SetNamespace(metav1.NamespaceDefault)
		first, _, _ := strings.Cut(string(data), "\n")
		c.want = strings.TrimPrefix(first, wantPrefix)
		if c.want == first {
			c.want = ""
		}
		if invalid := filepath.Base(filepath.Dir(file)) == "invalid"; invalid != (c.want != "") {
			t.Fatalf("%s: cases below invalid, and only these, begin with %q", file, wantPrefix)
		}
		cases = append(cases, c)
	}
	return cases
}

func newClient(t *testing.T) client.Client {
	t.Helper()
	c, err := client.New(server.Config(t), client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	// As kubectl does.
	return client.WithFieldValidation(c, metav1.FieldValidationStrict)
}

func nameOf(file string) string {
	name := strings.TrimPrefix(filepath.ToSlash(file), "testdata/")
	return strings.TrimSuffix(name, ".yaml")
}

func TestObjectsAreAccepted(t *testing.T) {
	c := newClient(t)
	for _, tt := range casesOf(t, "*/valid/*.yaml") {
		t.Run(nameOf(tt.file), func(t *testing.T) {
			if err := c.Create(t.Context(), tt.object, client.DryRunAll); err != nil {
				t.Error(err)
			}
		})
	}
}

// What the API server takes and stores, samplers take, so that nobody finds out
// later.
func TestStoredPoliciesAreWhatSamplersTake(t *testing.T) {
	c := newClient(t)
	for _, tt := range casesOf(t, "samplingpolicy/valid/*.yaml") {
		t.Run(nameOf(tt.file), func(t *testing.T) {
			if err := c.Create(t.Context(), tt.object, client.DryRunAll); err != nil {
				t.Fatal(err)
			}
			policy := &mcpv1alpha1.SamplingPolicy{}
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(tt.object.Object, policy); err != nil {
				t.Fatal(err)
			}
			if _, err := resolve.EffectivePolicy(policy); err != nil {
				t.Error(err)
			}
		})
	}
}

// What we tell users to apply is accepted, every field of it.
func TestExamplesAreAccepted(t *testing.T) {
	c := newClient(t)
	files, err := filepath.Glob("../../examples/*/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	accepted := 0
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for document := range strings.SplitSeq(string(data), "\n---\n") {
			object := &unstructured.Unstructured{}
			if err := yaml.UnmarshalStrict([]byte(document), &object.Object); err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			if object.GroupVersionKind().Group != "mcp-sampling.dev" {
				continue
			}
			object.SetNamespace(metav1.NamespaceDefault)
			if err := c.Create(t.Context(), object, client.DryRunAll); err != nil {
				t.Errorf("%s: %v", file, err)
			}
			accepted++
		}
	}
	if accepted < 8 {
		t.Errorf("only %d examples were found", accepted)
	}
}

func TestObjectsAreRefusedWithAMessage(t *testing.T) {
	c := newClient(t)
	for _, tt := range casesOf(t, "*/invalid/*.yaml") {
		t.Run(nameOf(tt.file), func(t *testing.T) {
			err := c.Create(t.Context(), tt.object, client.DryRunAll)
			switch {
			case err == nil:
				t.Errorf("was accepted, want %q", tt.want)
			case !strings.Contains(asJSON(err.Error()), tt.want):
				t.Errorf("message is\n%v\nwant in it\n%s", err, tt.want)
			}
		})
	}
}

// asJSON is a message as API servers write it since they write duplicate objects as
// JSON and not as Go.
func asJSON(message string) string {
	return strings.ReplaceAll(message, "map[string]interface {}{", "{")
}

// A rule or a bound that no case breaks could be wrong without anybody seeing.
func TestEveryRuleAndBoundHasACase(t *testing.T) {
	seen := map[string]bool{}
	var messages strings.Builder
	c := newClient(t)
	for _, tt := range casesOf(t, "*/invalid/*.yaml") {
		err := c.Create(t.Context(), tt.object, client.DryRunAll)
		var status apierrors.APIStatus
		if !errors.As(err, &status) || status.Status().Details == nil {
			continue
		}
		fmt.Fprintln(&messages, err)
		for _, cause := range status.Status().Details.Causes {
			seen[tt.object.GetKind()+" "+constraintOf(cause)] = true
		}
	}
	for _, crd := range crds(t) {
		for _, version := range crd.Spec.Versions {
			spec := version.Schema.OpenAPIV3Schema.Properties["spec"]
			for _, rule := range rulesOf(version.Schema.OpenAPIV3Schema) {
				if !strings.Contains(messages.String(), rule.Message) {
					t.Errorf("%s: no case breaks the rule %q", crd.Spec.Names.Kind, rule.Message)
				}
			}
			for _, constraint := range constraintsOf("spec", &spec) {
				if !seen[crd.Spec.Names.Kind+" "+constraint] {
					t.Errorf("%s: no case breaks %s", crd.Spec.Names.Kind, constraint)
				}
			}
		}
	}
}

// What is stored for the least that one can write is what `kubectl explain`
// promises.
func TestDefaultsAreStored(t *testing.T) {
	c := newClient(t)
	for _, tt := range casesOf(t, "*/valid/minimal*.yaml") {
		t.Run(nameOf(tt.file), func(t *testing.T) {
			if err := c.Create(t.Context(), tt.object, client.DryRunAll); err != nil {
				t.Fatal(err)
			}
			stored, err := yaml.Marshal(map[string]any{"spec": tt.object.Object["spec"]})
			if err != nil {
				t.Fatal(err)
			}
			golden := strings.Replace(tt.file, string(filepath.Separator)+"valid"+string(filepath.Separator), string(filepath.Separator)+"stored"+string(filepath.Separator), 1)
			if *update {
				if err := os.MkdirAll(filepath.Dir(golden), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(golden, stored, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatalf("%v; make it with -update", err)
			}
			if diff := cmp.Diff(string(want), string(stored)); diff != "" {
				t.Errorf("stored (-want +got):\n%s", diff)
			}
		})
	}
}

func crds(t *testing.T) []apiextensionsv1.CustomResourceDefinition {
	t.Helper()
	files, err := filepath.Glob("../../config/crd/bases/*.yaml")
	if err != nil || len(files) != 2 {
		t.Fatalf("want 2 CRDs, found %v: %v", files, err)
	}
	all := make([]apiextensionsv1.CustomResourceDefinition, len(files))
	for i, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := yaml.Unmarshal(data, &all[i]); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
	}
	return all
}

func rulesOf(s *apiextensionsv1.JSONSchemaProps) []apiextensionsv1.ValidationRule {
	rules := append([]apiextensionsv1.ValidationRule{}, s.XValidations...)
	for _, child := range s.Properties {
		rules = append(rules, rulesOf(&child)...)
	}
	if s.Items != nil && s.Items.Schema != nil {
		rules = append(rules, rulesOf(s.Items.Schema)...)
	}
	return rules
}

// foreign are types of Kubernetes: what bounds these have is tested there.
var foreign = regexp.MustCompile(`\.(env|envFrom|volumeMounts)\[\]|\.(resources|securityContext)$`)

// constraintsOf lists what is bounded below path, as "path constraint".
func constraintsOf(path string, s *apiextensionsv1.JSONSchemaProps) []string {
	if foreign.MatchString(path) {
		return nil
	}
	var all []string
	add := func(present bool, constraint string) {
		if present {
			all = append(all, path+" "+constraint)
		}
	}
	add(s.MinLength != nil, "minLength")
	add(s.MaxLength != nil, "maxLength")
	add(s.Minimum != nil, "minimum")
	add(s.Maximum != nil, "maximum")
	add(s.MinItems != nil, "minItems")
	add(s.MaxItems != nil, "maxItems")
	add(s.Pattern != "", "pattern")
	add(len(s.Enum) > 0, "enum")
	for _, name := range s.Required {
		all = append(all, path+"."+name+" required")
	}
	for name, child := range s.Properties {
		all = append(all, constraintsOf(path+"."+name, &child)...)
	}
	if s.Items != nil && s.Items.Schema != nil {
		all = append(all, constraintsOf(path+"[]", s.Items.Schema)...)
	}
	return all
}

var index = regexp.MustCompile(`\[\d+\]`)

// constraintOf says which constraint an API server's complaint is about, in the
// words of constraintsOf.
func constraintOf(cause metav1.StatusCause) string {
	path := index.ReplaceAllString(cause.Field, "[]") + " "
	for text, constraint := range map[string]string{
		"at least 1 chars long":       "minLength",
		"Too long":                    "maxLength",
		"greater than or equal to":    "minimum",
		"less than or equal to":       "maximum",
		"should have at least":        "minItems",
		"Too many":                    "maxItems",
		"should match":                "pattern",
		"Unsupported value":           "enum",
		"Required value":              "required",
		"must be of type object":      "type",
		"Duplicate value":             "unique",
		"in body must be of type int": "type",
	} {
		if strings.Contains(cause.Message, text) {
			return path + constraint
		}
	}
	return path + "rule"
}
