package cluster

import (
	"encoding/json"
	"fmt"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
)

// FieldOwner is the field manager of what users write by the plugin.
const FieldOwner = "kubectl-mcp"

// newApply returns what is sent: the object without what only the cluster writes.
func newApply(object client.Object) (client.Patch, error) {
	data, err := json.Marshal(object)
	if err != nil {
		return nil, fmt.Errorf("write the %s: %w", resourceOf(object), err)
	}
	var fields map[string]any
	if err := json.Unmarshal(data, &fields); err != nil {
		return nil, err
	}
	delete(fields, "status")
	if data, err = json.Marshal(fields); err != nil {
		return nil, err
	}
	return client.RawPatch(types.ApplyPatchType, data), nil
}

func resourceOf(object client.Object) string {
	if _, ok := object.(*mcpv1alpha1.SamplingPolicy); ok {
		return "samplingpolicies"
	}
	return "mcpservers"
}
