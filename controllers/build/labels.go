package build

import (
	"maps"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
)

// Labels of everything that is built.
const (
	LabelName      = "app.kubernetes.io/name"
	LabelInstance  = "app.kubernetes.io/instance"
	LabelComponent = "app.kubernetes.io/component"
	LabelPartOf    = "app.kubernetes.io/part-of"
	LabelManagedBy = "app.kubernetes.io/managed-by"

	// ManagedBy is the value of LabelManagedBy. The operator's cache holds only
	// what carries it.
	ManagedBy = "mcp-sampling-operator"
	// ComponentServer and ComponentSampler are the values of LabelComponent.
	ComponentServer  = "server"
	ComponentSampler = "sampler"
)

var (
	serverLabels  = map[string]string{LabelName: "mcp-server", LabelComponent: ComponentServer}
	samplerLabels = map[string]string{LabelName: "mcp-sampler", LabelComponent: ComponentSampler}
)

// ServerSelector selects the pods of the server of an MCPServer.
func ServerSelector(server *mcpv1alpha1.MCPServer) map[string]string {
	return selector(server, serverLabels)
}

// SamplerSelector selects the pods of the samplers of an MCPServer.
func SamplerSelector(server *mcpv1alpha1.MCPServer) map[string]string {
	return selector(server, samplerLabels)
}

// selector is part of what can never be changed in a Deployment.
func selector(server *mcpv1alpha1.MCPServer, component map[string]string) map[string]string {
	out := maps.Clone(component)
	out[LabelInstance] = server.Name
	return out
}

func labels(server *mcpv1alpha1.MCPServer, component map[string]string) map[string]string {
	out := selector(server, component)
	out[LabelPartOf] = "mcp-sampling"
	out[LabelManagedBy] = ManagedBy
	return out
}
