package admission

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	utiljson "k8s.io/apimachinery/pkg/util/json"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
)

// Read finds a SamplingPolicy in a manifest, which may hold other kinds beside
// it, and lists. name chooses one of several; empty means that there is only one.
// The result is for SamplingPolicy.
func Read(manifest []byte, name string) (map[string]any, error) {
	objects, err := documents(manifest)
	if err != nil {
		return nil, err
	}
	var names []string
	var found []map[string]any
	for _, object := range objects {
		if object["kind"] != mcpv1alpha1.KindSamplingPolicy {
			continue
		}
		if version, want := object["apiVersion"], mcpv1alpha1.GroupVersion.String(); version != want {
			return nil, fmt.Errorf("apiVersion is %v: write %s", version, want)
		}
		meta, _ := object["metadata"].(map[string]any)
		own, _ := meta["name"].(string)
		names = append(names, own)
		if name == "" || name == own {
			found = append(found, object)
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(names) == 0:
		return nil, fmt.Errorf("there is no %s in it", mcpv1alpha1.KindSamplingPolicy)
	case len(found) == 0:
		return nil, fmt.Errorf("there is no %s %q in it: choose one of %s", mcpv1alpha1.KindSamplingPolicy, name, strings.Join(names, ", "))
	case name != "":
		return nil, fmt.Errorf("%s %q is in it %d times", mcpv1alpha1.KindSamplingPolicy, name, len(found))
	default:
		return nil, fmt.Errorf("there are %d of kind %s in it: choose one of %s by its name", len(found), mcpv1alpha1.KindSamplingPolicy, strings.Join(names, ", "))
	}
}

// documents reads YAML documents or JSON. Keys that are there twice are refused,
// and integers stay integers.
func documents(manifest []byte) ([]map[string]any, error) {
	var list []map[string]any
	reader := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(manifest)))
	for i := 1; ; i++ {
		document, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return list, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read document %d: %w", i, err)
		}
		data, err := yaml.YAMLToJSONStrict(document)
		if err != nil {
			return nil, fmt.Errorf("read document %d: %w", i, err)
		}
		if bytes.Equal(bytes.TrimSpace(data), []byte("null")) {
			continue // nothing but comments
		}
		var object map[string]any
		if err := utiljson.Unmarshal(data, &object); err != nil {
			return nil, fmt.Errorf("document %d is no object", i)
		}
		list = append(list, items(object)...)
	}
}

// items are those of a list, or the object itself.
func items(object map[string]any) []map[string]any {
	kind, _ := object["kind"].(string)
	list, ok := object["items"].([]any)
	if !ok || !strings.HasSuffix(kind, "List") {
		return []map[string]any{object}
	}
	var objects []map[string]any
	for _, item := range list {
		if o, ok := item.(map[string]any); ok {
			objects = append(objects, o)
		}
	}
	return objects
}
