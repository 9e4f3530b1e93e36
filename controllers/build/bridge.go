package build

import (
	"fmt"
	"path"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
	"github.com/mcp-sampling/mcp-sampling-operator/controllers/resolve"
)

// A server over stdio is run by a bridge, which speaks Streamable HTTP for it.
// The server's image knows nothing of it: an init container copies the binary,
// which needs nothing of the image it runs in, to a volume of the pod.
const (
	// BridgeContainer is the name of the init container.
	BridgeContainer = "bridge"
	bridgeVolume    = "mcp-sampling"
	bridgeDir       = "/mcp-sampling"
	// bridgeDrain is how long running calls may take to end, and bridgeGrace
	// leaves samplers time to turn away before and the processes time to end after.
	bridgeDrain       = 45 * time.Second
	bridgeGrace int64 = leaveSeconds + 60
)

func isStdio(server *mcpv1alpha1.MCPServer) bool {
	return server.Spec.Transport.Type == mcpv1alpha1.TransportStdio
}

// addBridge gives the pod the bridge.
func addBridge(pod *corev1ac.PodSpecApplyConfiguration, opts Options) {
	install := corev1ac.Container().
		WithName(BridgeContainer).
		WithImage(opts.SamplerImage).
		WithArgs("install", bridgeDir).
		WithResources(corev1ac.ResourceRequirements().
			WithRequests(corev1.ResourceList{
				corev1.ResourceCPU:    resource.MustParse("10m"),
				corev1.ResourceMemory: resource.MustParse("32Mi"),
			}).
			WithLimits(corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("128Mi")})).
		WithSecurityContext(restricted().WithRunAsUser(samplerUser).WithRunAsGroup(samplerUser)).
		WithVolumeMounts(corev1ac.VolumeMount().WithName(bridgeVolume).WithMountPath(bridgeDir))
	if opts.SamplerImagePullPolicy != "" {
		install.WithImagePullPolicy(opts.SamplerImagePullPolicy)
	}
	pod.WithInitContainers(install).
		WithImagePullSecrets(pullSecrets(opts)...).
		WithVolumes(corev1ac.Volume().WithName(bridgeVolume).WithEmptyDir(
			corev1ac.EmptyDirVolumeSource().WithSizeLimit(resource.MustParse("256Mi")))).
		WithTerminationGracePeriodSeconds(bridgeGrace)
}

// runBridge puts the bridge before the command of the server's container.
func runBridge(server *mcpv1alpha1.MCPServer, container *corev1ac.ContainerApplyConfiguration) {
	from := server.Spec.Container
	args := []string{
		"bridge",
		"--listen", fmt.Sprintf(":%d", resolve.ServerPort(server)),
		"--path", resolve.ServerPath(server),
		"--shutdown-timeout", bridgeDrain.String(),
	}
	// What the sampler lets through must not end at the bridge.
	if bytes := max(server.Spec.Limits.RequestBytes, server.Spec.Limits.EventBytes); bytes > 0 {
		args = append(args, "--max-message-bytes", fmt.Sprint(bytes))
	}
	if stdio := server.Spec.Transport.Stdio; stdio != nil {
		if stdio.Process == mcpv1alpha1.StdioShared {
			args = append(args, "--shared")
		}
		if stdio.MaxProcesses != nil {
			args = append(args, "--max-processes", fmt.Sprint(*stdio.MaxProcesses))
		}
		if stdio.IdleTimeout != nil {
			args = append(args, "--idle-timeout", stdio.IdleTimeout.Duration.String())
		}
	}
	args = append(args, "--")
	args = append(args, from.Command...)
	args = append(args, from.Args...)

	container.Command, container.Args = nil, nil
	container.
		WithCommand(path.Join(bridgeDir, "sampler")).
		WithArgs(args...).
		WithVolumeMounts(corev1ac.VolumeMount().WithName(bridgeVolume).WithMountPath(bridgeDir).WithReadOnly(true))
}
