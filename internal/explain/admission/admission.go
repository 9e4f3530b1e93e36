// Package admission does with a SamplingPolicy what an API server does at apply:
// it refuses unknown fields, fills in defaults, and holds the object against the
// schema and the CEL rules of the definition. It is for where no cluster is.
package admission

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structuralschema "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	schemacel "k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	schemavalidation "k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	metavalidation "k8s.io/apimachinery/pkg/api/validation"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"sigs.k8s.io/yaml"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
	"github.com/mcp-sampling/mcp-sampling-operator/config/crd"
)

// InvalidError says what an API server would refuse.
type InvalidError struct {
	// Problems name the field first.
	Problems []string
}

func (e *InvalidError) Error() string {
	if len(e.Problems) == 1 {
		return e.Problems[0]
	}
	return fmt.Sprintf("%s (and %d more)", e.Problems[0], len(e.Problems)-1)
}

// definition is what is made of a CustomResourceDefinition to check objects.
type definition struct {
	structural *structuralschema.Structural
	schema     schemavalidation.SchemaValidator
	rules      *schemacel.Validator // nil if there are none
}

// samplingPolicies is compiled at its first use.
var samplingPolicies = sync.OnceValues(func() (*definition, error) {
	return compile(crd.SamplingPolicies, mcpv1alpha1.GroupVersion.Version)
})

func compile(data []byte, version string) (*definition, error) {
	var external apiextensionsv1.CustomResourceDefinition
	if err := yaml.UnmarshalStrict(data, &external); err != nil {
		return nil, fmt.Errorf("read the definition: %w", err)
	}
	for i := range external.Spec.Versions {
		v := &external.Spec.Versions[i]
		if v.Name != version || v.Schema == nil {
			continue
		}
		var internal apiextensions.CustomResourceValidation
		if err := apiextensionsv1.Convert_v1_CustomResourceValidation_To_apiextensions_CustomResourceValidation(v.Schema, &internal, nil); err != nil {
			return nil, fmt.Errorf("convert the schema: %w", err)
		}
		structural, err := structuralschema.NewStructural(internal.OpenAPIV3Schema)
		if err != nil {
			return nil, fmt.Errorf("read the schema: %w", err)
		}
		validator, _, err := schemavalidation.NewSchemaValidator(internal.OpenAPIV3Schema)
		if err != nil {
			return nil, fmt.Errorf("compile the schema: %w", err)
		}
		return &definition{
			structural: structural,
			schema:     validator,
			rules:      schemacel.NewValidator(structural, true, celconfig.PerCallLimit),
		}, nil
	}
	return nil, fmt.Errorf("the definition has no version %s", version)
}

// SamplingPolicy admits one object, as it was read from YAML or JSON with
// integers kept: it returns it with the definition's defaults. The object is
// changed. An error about the object is an *InvalidError.
func SamplingPolicy(object map[string]any) (*mcpv1alpha1.SamplingPolicy, error) {
	d, err := samplingPolicies()
	if err != nil {
		return nil, err
	}
	unknown := structuralschema.UnknownFieldPathOptions{TrackUnknownFieldPaths: true}
	var problems []string
	for _, path := range pruning.PruneWithOptions(object, d.structural, true, unknown) {
		problems = append(problems, fmt.Sprintf("unknown field %q", path))
	}
	defaulting.PruneNonNullableNullsWithoutDefaults(object, d.structural)
	defaulting.Default(object, d.structural)
	for _, e := range append(metadata(object), d.validate(object)...) {
		problems = append(problems, e.Error())
	}
	if len(problems) > 0 {
		return nil, &InvalidError{Problems: problems}
	}

	data, err := json.Marshal(object)
	if err != nil {
		return nil, fmt.Errorf("write the admitted policy: %w", err)
	}
	var policy mcpv1alpha1.SamplingPolicy
	if err := json.Unmarshal(data, &policy); err != nil {
		return nil, fmt.Errorf("read the admitted policy: %w", err)
	}
	return &policy, nil
}

// metadata holds what every object needs.
func metadata(object map[string]any) field.ErrorList {
	at := field.NewPath("metadata")
	meta, _ := object["metadata"].(map[string]any)
	name, _ := meta["name"].(string)
	if name == "" {
		return field.ErrorList{field.Required(at.Child("name"), "")}
	}
	var found field.ErrorList
	for _, problem := range metavalidation.NameIsDNSSubdomain(name, false) {
		found = append(found, field.Invalid(at.Child("name"), name, problem))
	}
	if namespace, _ := meta["namespace"].(string); namespace != "" {
		for _, problem := range utilvalidation.IsDNS1123Label(namespace) {
			found = append(found, field.Invalid(at.Child("namespace"), namespace, problem))
		}
	}
	return found
}

func (d *definition) validate(object map[string]any) field.ErrorList {
	found := schemavalidation.ValidateCustomResource(nil, object, d.schema)
	found = append(found, listtype.ValidateListSetsAndMaps(nil, d.structural, object)...)
	if d.rules == nil {
		return found
	}
	for _, e := range found {
		switch e.Type {
		case field.ErrorTypeNotSupported, field.ErrorTypeRequired, field.ErrorTypeTooLong, field.ErrorTypeTooMany, field.ErrorTypeTypeInvalid:
			return found // rules expect what the schema says
		default:
		}
	}
	broken, _ := d.rules.Validate(context.Background(), nil, d.structural, object, nil, celconfig.RuntimeCELCostBudget)
	return append(found, broken...)
}
