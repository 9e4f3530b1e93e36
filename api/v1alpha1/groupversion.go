// Package v1alpha1 holds the API of the operator: MCPServer, an MCP server that
// is made available to any caller, and SamplingPolicy, which says how the
// sampling requests of servers are answered.
//
// +kubebuilder:object:generate=true
// +groupName=mcp-sampling.dev
package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion is the group and version of every kind in this package.
var GroupVersion = schema.GroupVersion{Group: "mcp-sampling.dev", Version: "v1alpha1"}

// AddToScheme registers the kinds of this package.
func AddToScheme(s *runtime.Scheme) error {
	s.AddKnownTypes(GroupVersion,
		&MCPServer{}, &MCPServerList{},
		&SamplingPolicy{}, &SamplingPolicyList{},
	)
	metav1.AddToGroupVersion(s, GroupVersion)
	return nil
}

// Kinds of this API, as they stand in references.
const (
	KindMCPServer      = "MCPServer"
	KindSamplingPolicy = "SamplingPolicy"
)
