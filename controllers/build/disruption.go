package build

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"
	policyv1ac "k8s.io/client-go/applyconfigurations/policy/v1"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
)

// disruptionBudget lets a node's drain take one pod at a time. A pod that is not
// ready anyway is in nobody's way.
func disruptionBudget(server *mcpv1alpha1.MCPServer, name string, component map[string]string) *policyv1ac.PodDisruptionBudgetApplyConfiguration {
	return policyv1ac.PodDisruptionBudget(name, server.Namespace).
		WithLabels(labels(server, component)).
		WithOwnerReferences(ownerOf(server)).
		WithSpec(policyv1ac.PodDisruptionBudgetSpec().
			WithSelector(metav1ac.LabelSelector().WithMatchLabels(selector(server, component))).
			WithMaxUnavailable(intstr.FromInt32(1)).
			WithUnhealthyPodEvictionPolicy(policyv1.AlwaysAllow))
}

// SeveralServers says whether the server is to have more than one pod. live is its
// Deployment as it is, nil if there is none.
func SeveralServers(server *mcpv1alpha1.MCPServer, live *appsv1.Deployment) bool {
	return serverReplicas(server, live) > 1
}

// serverReplicas is how many pods the server is to have. Where its spec leaves that to
// somebody else, the Deployment says it.
func serverReplicas(server *mcpv1alpha1.MCPServer, live *appsv1.Deployment) int32 {
	switch {
	case server.Spec.Replicas != nil:
		return *server.Spec.Replicas
	case live != nil && live.Spec.Replicas != nil:
		return *live.Spec.Replicas
	default:
		return 1
	}
}

// spread puts the pods on several nodes and zones where there are some. It does
// not depend on the number of replicas, so that scaling restarts nothing.
func spread(server *mcpv1alpha1.MCPServer, component map[string]string) []*corev1ac.TopologySpreadConstraintApplyConfiguration {
	over := func(key string) *corev1ac.TopologySpreadConstraintApplyConfiguration {
		return corev1ac.TopologySpreadConstraint().
			WithMaxSkew(1).
			WithTopologyKey(key).
			WithWhenUnsatisfiable(corev1.ScheduleAnyway).
			WithLabelSelector(metav1ac.LabelSelector().WithMatchLabels(selector(server, component))).
			WithMatchLabelKeys("pod-template-hash")
	}
	return []*corev1ac.TopologySpreadConstraintApplyConfiguration{
		over(corev1.LabelHostname), over(corev1.LabelTopologyZone),
	}
}
