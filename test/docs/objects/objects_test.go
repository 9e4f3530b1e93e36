// Package objects shows every YAML of the documentation to a real API server
// that has our CRDs and admission policies.
package objects

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/testing/apiserver"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/testing/pages"
)

var server apiserver.Server

func TestMain(m *testing.M) { os.Exit(server.Main(m)) }

func TestEveryYAMLIsTaken(t *testing.T) {
	cfg := server.Config(t)
	cfg.QPS = -1
	plain, err := client.New(cfg, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	// As strict as kubectl, and nothing is stored.
	c := client.NewDryRunClient(client.WithFieldValidation(plain, metav1.FieldValidationStrict))

	install(t, plain)

	files, objects := 0, 0
	for _, file := range pageFiles(t) {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		blocks, err := pages.Blocks(string(data))
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		files++
		for _, block := range blocks {
			for _, document := range pages.Documents(block) {
				object, err := whole(document)
				if err != nil {
					t.Errorf("%s:%d: %v", file, block.Line, err)
				}
				if object == nil {
					continue
				}
				objects++
				if err := try(t, plain, c, object); err != nil {
					t.Errorf("%s:%d: the API server does not take this: %v\n%s", file, block.Line, err, document)
				}
			}
		}
	}
	t.Logf("%d objects in %d pages", objects, files)
	if files < 20 || objects < 50 {
		t.Errorf("%d objects in %d pages: has something moved?", objects, files)
	}
}

// install puts our admission policies there, beside the CRDs.
func install(t *testing.T, c client.Client) {
	t.Helper()
	for _, name := range []string{"mcpservers", "samplingpolicies", "bindings"} {
		data, err := os.ReadFile("../../../config/admission/" + name + ".yaml")
		if err != nil {
			t.Fatal(err)
		}
		for document := range strings.SplitSeq(string(data), "\n---\n") {
			object := &unstructured.Unstructured{}
			if err := yaml.Unmarshal([]byte(document), &object.Object); err != nil {
				t.Fatal(err)
			}
			if len(object.Object) == 0 {
				continue
			}
			if err := c.Create(t.Context(), object); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func pageFiles(t *testing.T) []string {
	t.Helper()
	var files []string
	for _, pattern := range []string{"../../../*.md", "../../../docs/*.md", "../../../docs/decisions/*.md", "../../../examples/*/*.md"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	return files
}

// try creates an object in its namespace, without storing it.
func try(t *testing.T, plain, c client.Client, object *unstructured.Unstructured) error {
	t.Helper()
	if object.GetNamespace() == "" {
		object.SetNamespace("default")
	}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: object.GetNamespace()}}
	if err := plain.Create(t.Context(), namespace); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("create namespace %s: %w", namespace.Name, err)
	}
	return c.Create(t.Context(), object)
}

// whole returns the object of a document. A part that begins with spec is of a
// SamplingPolicy if it fits one, else of an MCPServer, and gets what it lacks;
// anything else without a kind is none of ours.
func whole(document string) (*unstructured.Unstructured, error) {
	var content map[string]any
	if err := yaml.Unmarshal([]byte(document), &content); err != nil {
		return nil, err
	}
	object := &unstructured.Unstructured{Object: content}
	if object.GetKind() != "" {
		if strings.HasPrefix(object.GetAPIVersion(), "sampler.") || object.GetNamespace() == "" && object.GetName() == "" {
			return nil, nil // the configuration of a sampler without a cluster
		}
		return object, nil
	}
	spec, ok := content["spec"].(map[string]any)
	if !ok || len(content) != 1 {
		return nil, nil
	}
	object.SetAPIVersion(mcpv1alpha1.GroupVersion.String())
	object.SetName("part")
	switch {
	case yaml.UnmarshalStrict([]byte(document), &mcpv1alpha1.SamplingPolicy{}) == nil:
		object.SetKind("SamplingPolicy")
		completePolicy(spec)
	case yaml.UnmarshalStrict([]byte(document), &mcpv1alpha1.MCPServer{}) == nil:
		object.SetKind(mcpv1alpha1.KindMCPServer)
		completeServer(spec)
	default:
		return nil, fmt.Errorf("this begins with spec and is part of neither kind:\n%s", document)
	}
	return object, nil
}

func completeServer(spec map[string]any) {
	for _, source := range []string{"container", "service", "remote"} {
		if spec[source] != nil {
			if container, ok := spec[source].(map[string]any); ok && source == "container" && container["image"] == nil {
				container["image"] = "any"
			}
			return
		}
	}
	spec["container"] = map[string]any{"image": "any"}
}

// completePolicy adds a target, and the providers and models that the others
// name.
func completePolicy(spec map[string]any) {
	if spec["targetRefs"] == nil && spec["targetSelector"] == nil {
		spec["targetSelector"] = map[string]any{}
	}
	providers := map[string]bool{}
	list, _ := spec["providers"].([]any)
	for _, each := range list {
		if provider, ok := each.(map[string]any); ok {
			providers[fmt.Sprint(provider["name"])] = true
		}
	}
	models, _ := spec["models"].(map[string]any)
	if models == nil {
		name := "any"
		if len(providers) > 0 {
			name = slices.Sorted(maps.Keys(providers))[0]
		}
		models = map[string]any{"default": "any", "allowed": []any{map[string]any{"name": "any", "provider": name}}}
		spec["models"] = models
	}
	allowed, _ := models["allowed"].([]any)
	for _, each := range allowed {
		model, ok := each.(map[string]any)
		if name := fmt.Sprint(model["provider"]); ok && !providers[name] {
			providers[name] = true
			list = append(list, map[string]any{"name": name, "type": "OpenAI"})
		}
	}
	spec["providers"] = list
}
