package build

import (
	"fmt"

	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
	"github.com/mcp-sampling/mcp-sampling-operator/controllers/resolve"
)

// What users name is optional: a Secret, ConfigMap or key that is not there is a
// condition, not a pod that hangs. The key of sessions is not: a pod waits for
// it.
func samplerVolumes(server *mcpv1alpha1.MCPServer, plan resolve.Plan) []*corev1ac.VolumeApplyConfiguration {
	out := []*corev1ac.VolumeApplyConfiguration{
		corev1ac.Volume().WithName("config").WithConfigMap(
			corev1ac.ConfigMapVolumeSource().WithName(SamplerObject(server.Name))),
		corev1ac.Volume().WithName("session").WithSecret(corev1ac.SecretVolumeSource().
			WithSecretName(SamplerObject(server.Name)).
			WithItems(corev1ac.KeyToPath().WithKey(resolve.SessionKey).WithPath(resolve.SessionKey))),
	}
	for i, secret := range plan.Secrets {
		out = append(out, corev1ac.Volume().WithName(secretVolume(i)).WithSecret(corev1ac.SecretVolumeSource().
			WithSecretName(secret.Name).
			WithOptional(true).
			WithItems(corev1ac.KeyToPath().WithKey(secret.Key).WithPath(resolve.SecretFile))))
	}
	for i, bundle := range plan.CABundles {
		out = append(out, corev1ac.Volume().WithName(bundleVolume(i)).WithConfigMap(corev1ac.ConfigMapVolumeSource().
			WithName(bundle.Name).
			WithOptional(true).
			WithItems(corev1ac.KeyToPath().WithKey(bundle.Key).WithPath(resolve.CABundleFile))))
	}
	return out
}

func samplerMounts(plan resolve.Plan) []*corev1ac.VolumeMountApplyConfiguration {
	mount := func(volume, dir string) *corev1ac.VolumeMountApplyConfiguration {
		return corev1ac.VolumeMount().WithName(volume).WithMountPath(dir).WithReadOnly(true)
	}
	out := []*corev1ac.VolumeMountApplyConfiguration{mount("config", ConfigDir), mount("session", resolve.SessionDir)}
	for i, secret := range plan.Secrets {
		out = append(out, mount(secretVolume(i), secret.Dir()))
	}
	for i, bundle := range plan.CABundles {
		out = append(out, mount(bundleVolume(i), bundle.Dir()))
	}
	return out
}

// secretVolume numbers the volumes: names of Secrets can be longer than those
// of volumes.
func secretVolume(i int) string { return fmt.Sprintf("secret-%d", i) }

func bundleVolume(i int) string { return fmt.Sprintf("ca-bundle-%d", i) }
