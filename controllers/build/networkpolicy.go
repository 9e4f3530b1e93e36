package build

import (
	"fmt"
	"maps"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"
	networkingv1ac "k8s.io/client-go/applyconfigurations/networking/v1"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
	"github.com/mcp-sampling/mcp-sampling-operator/controllers/resolve"
)

// NetworkPolicies says how pods are sealed off.
type NetworkPolicies struct {
	// Operator is who may ask samplers how they are; nil, where the operator does
	// not run as a pod, lets everybody.
	Operator *Peer
	// MetricsFrom is who may read the metrics of samplers; nobody if it is empty.
	MetricsFrom []networkingv1.NetworkPolicyPeer
}

// Peer is a set of pods.
type Peer struct {
	Namespace string
	Labels    map[string]string
}

// dnsPort is that of name resolution.
const dnsPort int32 = 53

// samplerNetworkPolicy lets callers in from where the spec says, the samplers of
// the same server, the operator where it asks, and who scrapes where metrics are.
// Probes come from the node, which no NetworkPolicy keeps out.
func samplerNetworkPolicy(server *mcpv1alpha1.MCPServer, opts NetworkPolicies) (*networkingv1ac.NetworkPolicyApplyConfiguration, error) {
	calls := networkingv1ac.NetworkPolicyIngressRule().WithPorts(port(corev1.ProtocolTCP, resolve.SamplerPort))
	if server.Spec.Access.From != mcpv1alpha1.AccessFromAll {
		calls.WithFrom(callers(server), podsOf(selector(server, samplerLabels)))
	}
	admin := networkingv1ac.NetworkPolicyIngressRule().WithPorts(port(corev1.ProtocolTCP, AdminPort))
	if o := opts.Operator; o != nil {
		admin.WithFrom(podsOf(o.Labels).WithNamespaceSelector(
			metav1ac.LabelSelector().WithMatchLabels(map[string]string{corev1.LabelMetadataName: o.Namespace})))
	}
	spec := networkingv1ac.NetworkPolicySpec().
		WithPodSelector(metav1ac.LabelSelector().WithMatchLabels(selector(server, samplerLabels))).
		WithPolicyTypes(networkingv1.PolicyTypeIngress).
		WithIngress(calls, admin)
	// A rule without peers would let everybody in.
	if len(opts.MetricsFrom) > 0 {
		scrapes := networkingv1ac.NetworkPolicyIngressRule().WithPorts(port(corev1.ProtocolTCP, MetricsPort))
		for _, peer := range opts.MetricsFrom {
			from := networkingv1ac.NetworkPolicyPeer()
			if err := convert(peer, from); err != nil {
				return nil, fmt.Errorf("copy who may read metrics: %w", err)
			}
			scrapes.WithFrom(from)
		}
		spec.WithIngress(scrapes)
	}
	return networkingv1ac.NetworkPolicy(SamplerObject(server.Name), server.Namespace).
		WithLabels(labels(server, samplerLabels)).
		WithOwnerReferences(ownerOf(server)).
		WithSpec(spec), nil
}

// callers are the pods that may call, unless everybody may.
func callers(server *mcpv1alpha1.MCPServer) *networkingv1ac.NetworkPolicyPeerApplyConfiguration {
	access := server.Spec.Access
	if access.From != mcpv1alpha1.AccessFromSelector || access.NamespaceSelector == nil {
		return podsOf(nil) // all of this namespace
	}
	from := resolve.LabelSelector(access.NamespaceSelector)
	to := metav1ac.LabelSelector()
	if len(from.MatchLabels) > 0 {
		to.WithMatchLabels(from.MatchLabels)
	}
	for _, r := range from.MatchExpressions {
		to.WithMatchExpressions(metav1ac.LabelSelectorRequirement().WithKey(r.Key).WithOperator(r.Operator).WithValues(r.Values...))
	}
	return networkingv1ac.NetworkPolicyPeer().WithNamespaceSelector(to)
}

// serverNetworkPolicy lets nobody but the server's own samplers in. Without
// egress rules of its own it leaves those of others in force.
func serverNetworkPolicy(server *mcpv1alpha1.MCPServer) *networkingv1ac.NetworkPolicyApplyConfiguration {
	spec := networkingv1ac.NetworkPolicySpec().
		WithPodSelector(metav1ac.LabelSelector().WithMatchLabels(selector(server, serverLabels))).
		WithPolicyTypes(networkingv1.PolicyTypeIngress).
		WithIngress(networkingv1ac.NetworkPolicyIngressRule().
			WithPorts(port(corev1.ProtocolTCP, resolve.ServerPort(server))).
			WithFrom(podsOf(selector(server, samplerLabels))))
	if server.Spec.Access.Egress == mcpv1alpha1.EgressRestricted {
		// To anywhere: name servers are pods, or caches of the node, or outside.
		spec.WithPolicyTypes(networkingv1.PolicyTypeEgress).
			WithEgress(networkingv1ac.NetworkPolicyEgressRule().WithPorts(
				port(corev1.ProtocolUDP, dnsPort), port(corev1.ProtocolTCP, dnsPort)))
	}
	return networkingv1ac.NetworkPolicy(resolve.ServerObject(server.Name), server.Namespace).
		WithLabels(labels(server, serverLabels)).
		WithOwnerReferences(ownerOf(server)).
		WithSpec(spec)
}

// podsOf are the pods of this namespace that have these labels.
func podsOf(labels map[string]string) *networkingv1ac.NetworkPolicyPeerApplyConfiguration {
	selector := metav1ac.LabelSelector()
	if len(labels) > 0 {
		selector.WithMatchLabels(maps.Clone(labels))
	}
	return networkingv1ac.NetworkPolicyPeer().WithPodSelector(selector)
}

func port(protocol corev1.Protocol, number int32) *networkingv1ac.NetworkPolicyPortApplyConfiguration {
	return networkingv1ac.NetworkPolicyPort().WithProtocol(protocol).WithPort(intstr.FromInt32(number))
}
