package build

import (
	"os"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"
)

// The API server completes objects that are stored already by the defaults of new
// fields: of one below these two, the hash of every server's spec would be another,
// and the upgrade would replace the pods of all servers.
func TestNoNewDefaultReplacesPods(t *testing.T) {
	data, err := os.ReadFile("../../config/crd/bases/mcp-sampling.dev_mcpservers.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var crd apiextensionsv1.CustomResourceDefinition
	if err := yaml.Unmarshal(data, &crd); err != nil {
		t.Fatal(err)
	}
	spec := crd.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["spec"]
	var got []string
	for _, name := range []string{"container", "transport"} {
		got = append(got, defaultsOf(name, spec.Properties[name])...)
	}
	slices.Sort(got)
	want := []string{
		"container.envFrom[].configMapRef.name",
		"container.envFrom[].secretRef.name",
		"container.env[].valueFrom.configMapKeyRef.name",
		"container.env[].valueFrom.fileKeyRef.optional",
		"container.env[].valueFrom.secretKeyRef.name",
		"transport",
		"transport.protocolEra",
		"transport.stdio.idleTimeout",
		"transport.stdio.process",
		"transport.type",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("fields with defaults: leave a new one out of what markTemplate hashes where it has its default (-want +got):\n%s", diff)
	}
}

func defaultsOf(path string, schema apiextensionsv1.JSONSchemaProps) []string {
	var out []string
	if schema.Default != nil {
		out = append(out, path)
	}
	for name, property := range schema.Properties {
		out = append(out, defaultsOf(path+"."+name, property)...)
	}
	if schema.Items != nil && schema.Items.Schema != nil {
		out = append(out, defaultsOf(path+"[]", *schema.Items.Schema)...)
	}
	return out
}
