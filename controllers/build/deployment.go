package build

import (
	"fmt"
	"path"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/intstr"
	appsv1ac "k8s.io/client-go/applyconfigurations/apps/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
	"github.com/mcp-sampling/mcp-sampling-operator/controllers/resolve"
)

// samplerUser runs the samplers. The image says the same, but only the pod can
// set the group, and Pod Security wants it here.
const samplerUser int64 = 65532

// leaveSeconds is how long a server goes on serving when its pod is to end: until
// its name leads there no more, samplers have heard of it and sent sessions
// elsewhere, and the calls that ran then are over. serverGrace is that and what
// Kubernetes gives a process by default.
const (
	leaveSeconds int64 = 20
	serverGrace  int64 = leaveSeconds + 30
)

// podIPEnv is the pod's address, by which other samplers of the server reach it.
const podIPEnv = "POD_IP"

// memoryLimitEnv tells Go's runtime how much memory there is.
const memoryLimitEnv = "GOMEMLIMIT"

// defaultContainer makes kubectl logs and exec choose the right container if
// others are added.
const defaultContainer = "kubectl.kubernetes.io/default-container"

// pullSecrets name what the sampler's image is pulled with.
func pullSecrets(opts Options) []*corev1ac.LocalObjectReferenceApplyConfiguration {
	var refs []*corev1ac.LocalObjectReferenceApplyConfiguration
	for _, name := range opts.SamplerImagePullSecrets {
		refs = append(refs, corev1ac.LocalObjectReference().WithName(name))
	}
	return refs
}

func serverDeployment(server *mcpv1alpha1.MCPServer, opts Options) (*appsv1ac.DeploymentApplyConfiguration, error) {
	container, err := serverContainer(server)
	if err != nil {
		return nil, err
	}
	pod := corev1ac.PodSpec().
		WithAutomountServiceAccountToken(false).
		WithEnableServiceLinks(false).
		WithTerminationGracePeriodSeconds(serverGrace).
		WithTopologySpreadConstraints(spread(server, serverLabels)...).
		WithSecurityContext(corev1ac.PodSecurityContext().
			WithRunAsNonRoot(true).
			WithSeccompProfile(corev1ac.SeccompProfile().WithType(corev1.SeccompProfileTypeRuntimeDefault))).
		WithContainers(container)
	if isStdio(server) {
		addBridge(pod, opts)
	}
	template := corev1ac.PodTemplateSpec().
		WithLabels(labels(server, serverLabels)).
		WithAnnotations(map[string]string{defaultContainer: ServerContainer}).
		WithSpec(pod)
	if at := server.Annotations[mcpv1alpha1.AnnotationRestartedAt]; at != "" {
		template.WithAnnotations(map[string]string{mcpv1alpha1.AnnotationRestartedAt: at})
	}
	template, err = patchTemplate(template, templatePatch{
		field: "spec.podTemplate", patch: server.Spec.PodTemplate,
		container: ServerContainer, keep: labels(server, serverLabels),
	})
	if err != nil {
		return nil, err
	}
	allowRoot(template.Spec)
	if err := checkPodSecurity(template, opts.PodSecurity, "spec.container.securityContext or spec.podTemplate"); err != nil {
		return nil, err
	}
	spec := appsv1ac.DeploymentSpec().
		WithRevisionHistoryLimit(3).
		WithSelector(metav1ac.LabelSelector().WithMatchLabels(selector(server, serverLabels))).
		WithTemplate(template)
	// Absent means that somebody else sets it.
	if server.Spec.Replicas != nil {
		spec.WithReplicas(*server.Spec.Replicas)
	}
	deployment := appsv1ac.Deployment(resolve.ServerObject(server.Name), server.Namespace).
		WithLabels(labels(server, serverLabels)).
		WithOwnerReferences(ownerOf(server)).
		WithSpec(spec)
	return deployment, markTemplate(deployment, server)
}

func serverContainer(server *mcpv1alpha1.MCPServer) (*corev1ac.ContainerApplyConfiguration, error) {
	from := server.Spec.Container
	out := corev1ac.Container().
		WithName(ServerContainer).
		WithImage(from.Image).
		WithCommand(from.Command...).
		WithArgs(from.Args...).
		WithPorts(corev1ac.ContainerPort().
			WithName("mcp").
			WithProtocol(corev1.ProtocolTCP).
			WithContainerPort(resolve.ServerPort(server))).
		// A server that does not listen yet would lose the first calls. Whether
		// it speaks MCP is found out by the samplers.
		WithReadinessProbe(corev1ac.Probe().
			WithTCPSocket(corev1ac.TCPSocketAction().WithPort(intstr.FromString("mcp"))).
			WithPeriodSeconds(2).
			WithFailureThreshold(3)).
		WithLifecycle(corev1ac.Lifecycle().WithPreStop(corev1ac.LifecycleHandler().
			WithSleep(corev1ac.SleepAction().WithSeconds(leaveSeconds))))
	if from.ImagePullPolicy != "" {
		out.WithImagePullPolicy(from.ImagePullPolicy)
	}
	securityDefaults(from.SecurityContext, out)
	// Everything else is copied as it is written in the spec, over the defaults.
	err := convert(struct {
		Env             []corev1.EnvVar              `json:"env,omitempty"`
		EnvFrom         []corev1.EnvFromSource       `json:"envFrom,omitempty"`
		Resources       *corev1.ResourceRequirements `json:"resources,omitempty"`
		SecurityContext *corev1.SecurityContext      `json:"securityContext,omitempty"`
		VolumeMounts    []corev1.VolumeMount         `json:"volumeMounts,omitempty"`
	}{from.Env, from.EnvFrom, unlessEmpty(from.Resources), from.SecurityContext, from.VolumeMounts}, out)
	if err != nil {
		return nil, fmt.Errorf("copy spec.container: %w", err)
	}
	if isStdio(server) {
		runBridge(server, out)
	}
	return out, nil
}

func samplerDeployment(server *mcpv1alpha1.MCPServer, plan resolve.Plan, opts Options) (*appsv1ac.DeploymentApplyConfiguration, error) {
	container, err := samplerContainer(server, plan, opts)
	if err != nil {
		return nil, err
	}
	template := corev1ac.PodTemplateSpec().
		WithLabels(labels(server, samplerLabels)).
		WithAnnotations(map[string]string{defaultContainer: SamplerContainer}).
		WithSpec(corev1ac.PodSpec().
			WithAutomountServiceAccountToken(false).
			WithEnableServiceLinks(false).
			WithTerminationGracePeriodSeconds(60).
			WithTopologySpreadConstraints(spread(server, samplerLabels)...).
			WithSecurityContext(corev1ac.PodSecurityContext().
				WithRunAsNonRoot(true).
				WithRunAsUser(samplerUser).
				WithRunAsGroup(samplerUser).
				WithSeccompProfile(corev1ac.SeccompProfile().WithType(corev1.SeccompProfileTypeRuntimeDefault))).
			WithImagePullSecrets(pullSecrets(opts)...).
			WithContainers(container).
			WithVolumes(samplerVolumes(server, plan)...))
	template, err = patchTemplate(template, templatePatch{
		field: "spec.sampler.podTemplate", patch: server.Spec.Sampler.PodTemplate,
		container: SamplerContainer, keep: labels(server, samplerLabels),
	})
	if err != nil {
		return nil, err
	}
	if err := checkPodSecurity(template, opts.PodSecurity, "spec.sampler.podTemplate"); err != nil {
		return nil, err
	}
	return appsv1ac.Deployment(SamplerObject(server.Name), server.Namespace).
		WithLabels(labels(server, samplerLabels)).
		WithOwnerReferences(ownerOf(server)).
		WithSpec(appsv1ac.DeploymentSpec().
			WithReplicas(resolve.SamplerReplicas(server)).
			WithRevisionHistoryLimit(3).
			WithSelector(metav1ac.LabelSelector().WithMatchLabels(selector(server, samplerLabels))).
			WithStrategy(rollingUpdate()).
			WithTemplate(template)), nil
}

// rollingUpdate starts a pod before it ends one, so that callers always find one.
func rollingUpdate() *appsv1ac.DeploymentStrategyApplyConfiguration {
	return appsv1ac.DeploymentStrategy().
		WithType(appsv1.RollingUpdateDeploymentStrategyType).
		WithRollingUpdate(appsv1ac.RollingUpdateDeployment().
			WithMaxUnavailable(intstr.FromInt32(0)).
			WithMaxSurge(intstr.FromInt32(1)))
}

func samplerContainer(server *mcpv1alpha1.MCPServer, plan resolve.Plan, opts Options) (*corev1ac.ContainerApplyConfiguration, error) {
	out := corev1ac.Container().
		WithName(SamplerContainer).
		WithImage(opts.SamplerImage).
		WithArgs(
			"serve",
			"--config", path.Join(ConfigDir, ConfigKey),
			"--listen", fmt.Sprintf(":%d", resolve.SamplerPort),
			"--admin-listen", fmt.Sprintf(":%d", AdminPort),
			"--metrics-listen", fmt.Sprintf(":%d", MetricsPort),
			// An address alone, which may be one of IPv6: the sampler takes the
			// port from sessions.replicas.
			"--advertise", "$("+podIPEnv+")",
		).
		WithEnv(corev1ac.EnvVar().WithName(podIPEnv).WithValueFrom(
			corev1ac.EnvVarSource().WithFieldRef(corev1ac.ObjectFieldSelector().WithFieldPath("status.podIP")))).
		WithPorts(
			corev1ac.ContainerPort().WithName("mcp").WithProtocol(corev1.ProtocolTCP).WithContainerPort(resolve.SamplerPort),
			corev1ac.ContainerPort().WithName("admin").WithProtocol(corev1.ProtocolTCP).WithContainerPort(AdminPort),
			corev1ac.ContainerPort().WithName("metrics").WithProtocol(corev1.ProtocolTCP).WithContainerPort(MetricsPort),
		).
		WithReadinessProbe(adminProbe("/readyz").WithPeriodSeconds(2).WithFailureThreshold(3)).
		WithLivenessProbe(adminProbe("/healthz").WithPeriodSeconds(10).WithFailureThreshold(3).WithTimeoutSeconds(5)).
		WithSecurityContext(restricted()).
		WithVolumeMounts(samplerMounts(plan)...)
	if opts.SamplerImagePullPolicy != "" {
		out.WithImagePullPolicy(opts.SamplerImagePullPolicy)
	}
	if opts.OTLP != nil {
		out.WithEnv(opts.OTLP.env(server)...)
	}
	resources := server.Spec.Sampler.Resources
	if resources == nil {
		resources = defaultSamplerResources()
	}
	if _, limited := resources.Limits[corev1.ResourceMemory]; limited {
		// Go collects garbage harder before the limit kills it. By reference, so
		// that it follows a limit that a podTemplate changes.
		out.WithEnv(corev1ac.EnvVar().WithName(memoryLimitEnv).WithValueFrom(
			corev1ac.EnvVarSource().WithResourceFieldRef(
				corev1ac.ResourceFieldSelector().WithResource("limits.memory"))))
	}
	err := convert(struct {
		Resources *corev1.ResourceRequirements `json:"resources,omitempty"`
	}{unlessEmpty(*resources)}, out)
	if err != nil {
		return nil, fmt.Errorf("copy spec.sampler.resources: %w", err)
	}
	return out, nil
}

// securityDefaults makes the server's container what Pod Security asks for at its
// strictest level, together with the pod's own settings, but for what the user's own
// rule out: every field of these counts more.
func securityDefaults(user *corev1.SecurityContext, container *corev1ac.ContainerApplyConfiguration) {
	defaults := corev1ac.SecurityContext().
		WithAllowPrivilegeEscalation(false).
		WithCapabilities(corev1ac.Capabilities().WithDrop("ALL")).
		WithSeccompProfile(corev1ac.SeccompProfile().WithType(corev1.SeccompProfileTypeRuntimeDefault))
	if user != nil {
		if user.Privileged != nil && *user.Privileged {
			defaults.AllowPrivilegeEscalation = nil // the API refuses the two together
		}
		if user.SeccompProfile != nil {
			defaults.SeccompProfile = nil // its fields exclude each other
		}
	}
	container.WithSecurityContext(defaults)
}

// allowRoot lets whoever asks for user 0 have it, which runAsNonRoot would only keep
// from starting: in the pod for all containers that say nothing else, or in one.
func allowRoot(pod *corev1ac.PodSpecApplyConfiguration) {
	if all := pod.SecurityContext; all != nil && all.RunAsUser != nil && *all.RunAsUser == 0 {
		all.WithRunAsNonRoot(false)
	}
	for i := range pod.Containers {
		if one := pod.Containers[i].SecurityContext; one != nil && one.RunAsUser != nil && *one.RunAsUser == 0 {
			one.WithRunAsNonRoot(false)
		}
	}
}

// restricted is what Pod Security asks for at its strictest level.
func restricted() *corev1ac.SecurityContextApplyConfiguration {
	return corev1ac.SecurityContext().
		WithAllowPrivilegeEscalation(false).
		WithReadOnlyRootFilesystem(true).
		WithRunAsNonRoot(true).
		WithCapabilities(corev1ac.Capabilities().WithDrop("ALL")).
		WithSeccompProfile(corev1ac.SeccompProfile().WithType(corev1.SeccompProfileTypeRuntimeDefault))
}

// defaultSamplerResources hold an idle sampler with ease. The limit keeps a
// hostile server from taking the node's memory by way of its sampler.
func defaultSamplerResources() *corev1.ResourceRequirements {
	return &corev1.ResourceRequirements{
		Requests: corev1.ResourceList{
			corev1.ResourceCPU:    resource.MustParse("10m"),
			corev1.ResourceMemory: resource.MustParse("32Mi"),
		},
		Limits: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("512Mi")},
	}
}

func adminProbe(path string) *corev1ac.ProbeApplyConfiguration {
	return corev1ac.Probe().WithHTTPGet(corev1ac.HTTPGetAction().
		WithPath(path).
		WithPort(intstr.FromString("admin")))
}
