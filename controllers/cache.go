package controllers

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
	"github.com/mcp-sampling/mcp-sampling-operator/controllers/build"
)

// CacheOptions restricts the cache to what the reconcilers need: in large
// clusters everything else is most of the memory. No namespaces means all.
func CacheOptions(namespaces []string) cache.Options {
	ours := labels.SelectorFromSet(labels.Set{build.LabelManagedBy: build.ManagedBy})
	// What is only read is not copied for each reader.
	shared := new(true)
	opts := cache.Options{
		ByObject: map[client.Object]cache.ByObject{
			// Of these the managed fields stay: they tell whether what was applied
			// is still as it was.
			&appsv1.Deployment{}: {Label: ours, UnsafeDisableDeepCopy: shared},
			&corev1.ConfigMap{}:  {Label: ours, UnsafeDisableDeepCopy: shared},

			&networkingv1.NetworkPolicy{}:   {Label: ours, UnsafeDisableDeepCopy: shared},
			&policyv1.PodDisruptionBudget{}: {Label: ours, UnsafeDisableDeepCopy: shared},
			// A server can be behind anybody's Service.
			&corev1.Service{}:             {Transform: slimService, UnsafeDisableDeepCopy: shared},
			&corev1.Pod{}:                 {Label: ours, Transform: slimPod},
			&mcpv1alpha1.MCPServer{}:      {Transform: cache.TransformStripManagedFields()},
			&mcpv1alpha1.SamplingPolicy{}: {Transform: cache.TransformStripManagedFields()},
		},
	}
	if len(namespaces) > 0 {
		opts.DefaultNamespaces = map[string]cache.Config{}
		for _, namespace := range namespaces {
			opts.DefaultNamespaces[namespace] = cache.Config{}
		}
	}
	return opts
}

// slimService keeps of others' Services what a reference needs.
func slimService(obj any) (any, error) {
	service, ok := obj.(*corev1.Service)
	if !ok || service.Labels[build.LabelManagedBy] == build.ManagedBy {
		return obj, nil
	}
	service.ManagedFields = nil
	service.Annotations = nil
	service.Status = corev1.ServiceStatus{}
	return service, nil
}

// slimPod drops what no condition is made from.
func slimPod(obj any) (any, error) {
	pod, ok := obj.(*corev1.Pod)
	if !ok {
		return obj, nil
	}
	pod.ManagedFields = nil
	pod.Spec = corev1.PodSpec{}
	return pod, nil
}
