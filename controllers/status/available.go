package status

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
	"github.com/mcp-sampling/mcp-sampling-operator/controllers/build"
	"github.com/mcp-sampling/mcp-sampling-operator/controllers/resolve"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/statusz"
)

// part is the server or the sampler, as a set of pods.
type part struct {
	name, namespace, server string // name is the component: server or sampler
	object                  string // the Deployment
	deployment              *appsv1.Deployment
	pods                    []corev1.Pod
	// notReady is said while there is no better explanation.
	notReady verdict
	// crashing is the reason for a container that ends again and again.
	crashing string
	// memory is the field to raise if a container needs more.
	memory string
	// listening is said where a container has run since startedBefore and does not
	// listen; empty is never.
	listening     string
	startedBefore time.Time
	// image is the place where the image is chosen, spec that of all else.
	image, spec string
	// waiting is said of a pod whose containers could not even be made since
	// longAgo; the pod says no more than that. Empty is never.
	waiting string
	longAgo time.Time
}

// creatingPatience is how long a node may take before its containers run, for
// volumes and the network. The image is pulled after that.
const creatingPatience = 20 * time.Second

// startPatience is how long a server may run before it listens.
const startPatience = 30 * time.Second

func serverPart(in ServerInput) part {
	name := resolve.ServerObject(in.Server.Name)
	why := fmt.Sprintf("it is still starting, or does not listen on port %d (spec.transport.port)", resolve.ServerPort(in.Server))
	deaf := fmt.Sprintf("does not listen on port %d", resolve.ServerPort(in.Server))
	if in.Server.Spec.PodTemplate != nil {
		deaf += ", or fails a readiness check of spec.podTemplate"
	}
	if isStdio(in) {
		why = "it is still starting"
	}
	return part{
		name: build.ComponentServer, namespace: in.Server.Namespace, server: in.Server.Name, object: name,
		deployment: in.ServerDeployment, pods: in.ServerPods,
		notReady: no(mcpv1alpha1.ReasonServerNotReady,
			fmt.Sprintf("no pod of the server is ready: %s; see `kubectl logs -n %s deploy/%s`", why, in.Server.Namespace, name)),
		crashing: mcpv1alpha1.ReasonServerCrashing,
		listening: fmt.Sprintf("the server runs and %s: correct spec.transport.port, or have it listen on all addresses (0.0.0.0); see `kubectl logs -n %s deploy/%s`",
			deaf, in.Server.Namespace, name),
		startedBefore: in.Now.Add(-startPatience),
		memory:        "spec.container.resources.limits",
		image:         "spec.container.image, or spec.podTemplate.spec.imagePullSecrets",
		spec:          "spec.container and spec.podTemplate",
	}
}

// samplerImage is where the image of samplers is chosen, and of the bridge of a
// server over stdio.
const samplerImage = "the operator's --sampler-image"

func samplerPart(in ServerInput) part {
	name := build.SamplerObject(in.Server.Name)
	return part{
		name: build.ComponentSampler, namespace: in.Server.Namespace, server: in.Server.Name, object: name,
		deployment: in.SamplerDeployment, pods: in.SamplerPods,
		notReady: no(mcpv1alpha1.ReasonSamplerNotReady,
			fmt.Sprintf("no pod of the sampler is ready: it is still starting; see `kubectl logs -n %s deploy/%s`", in.Server.Namespace, name)),
		crashing: mcpv1alpha1.ReasonSamplerCrashing,
		memory:   "spec.sampler.resources.limits",
		image:    samplerImage + ", or spec.sampler.podTemplate.spec.imagePullSecrets",
		spec:     "spec.sampler.podTemplate",
		waiting: fmt.Sprintf("a pod of the sampler waits for its volumes: if Secret %s has no key %s, delete it, and the operator makes it again; see `kubectl describe pod -n %s -l %s`",
			name, resolve.SessionKey, in.Server.Namespace, selector(in.Server.Name, build.ComponentSampler)),
		longAgo: in.Now.Add(-creatingPatience),
	}
}

func available(in ServerInput, r reports) verdict {
	parts := []part{samplerPart(in)}
	if in.Server.Spec.Container != nil {
		if scaledToZero(in) {
			return no(mcpv1alpha1.ReasonScaledToZero, "the server is scaled to zero: set spec.replicas to 1 or more to serve callers again")
		}
		parts = []part{serverPart(in), samplerPart(in)}
	}
	if r := in.firstRefusal(mcpv1alpha1.ConditionAvailable); r != nil {
		return refusedBy(r)
	}
	also := ""
	for _, p := range parts {
		problem := p.problem()
		if !slices.ContainsFunc(p.pods, func(pod corev1.Pod) bool { return PodReady(&pod) }) {
			if problem == nil {
				return p.notReady
			}
			return *problem
		}
		if problem != nil && also == "" {
			also = "; but not every pod is well: " + problem.message
		}
	}
	return yes(mcpv1alpha1.ReasonAvailable, "the pods that serve callers are ready"+also+differentKeys(in, r))
}

// differentKeys is what is said where replicas do not open each other's sessions,
// as after their Secret was deleted and made again.
func differentKeys(in ServerInput, r reports) string {
	if !r.keysDiffer() {
		return ""
	}
	return fmt.Sprintf("; but samplers hold different session keys, so that callers lose sessions: restart them with `kubectl rollout restart -n %s deploy/%s`",
		in.Server.Namespace, build.SamplerObject(in.Server.Name))
}

func scaledToZero(in ServerInput) bool {
	if d := in.ServerDeployment; d != nil && d.Spec.Replicas != nil {
		return *d.Spec.Replicas == 0
	}
	return in.Server.Spec.Replicas != nil && *in.Server.Spec.Replicas == 0
}

// problem returns what keeps a pod from running, nil if nothing is known.
func (p part) problem() *verdict {
	refused := p.podsRefused()
	if refused != nil && p.deployment.Status.UpdatedReplicas == 0 {
		// What there is of pods is of an earlier pod template.
		return refused
	}
	for _, pod := range newestPods(p.pods) {
		if v := p.podProblem(pod); v != nil {
			return v
		}
	}
	return refused
}

// newestPods returns the living pods of the newest pod template, the oldest
// first, so that an answer taken from the first does not jump. The others are on
// their way out: what is wrong with them may be mended already.
func newestPods(pods []corev1.Pod) []*corev1.Pod {
	var living []*corev1.Pod
	for i := range pods {
		pod := &pods[i]
		// A pod that has ended for good, as after an eviction, has been replaced.
		ended := pod.Status.Phase == corev1.PodFailed || pod.Status.Phase == corev1.PodSucceeded
		if !ended && pod.DeletionTimestamp.IsZero() {
			living = append(living, pod)
		}
	}
	slices.SortFunc(living, func(a, b *corev1.Pod) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})
	if len(living) == 0 {
		return nil
	}
	revision := living[len(living)-1].Labels[appsv1.DefaultDeploymentUniqueLabelKey]
	return slices.DeleteFunc(living, func(pod *corev1.Pod) bool {
		return pod.Labels[appsv1.DefaultDeploymentUniqueLabelKey] != revision
	})
}

func (p part) podProblem(pod *corev1.Pod) *verdict {
	if PodReady(pod) {
		return nil
	}
	for _, c := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		if v := p.containerProblem(c); v != nil {
			return v
		}
	}
	if p.listening != "" && slices.ContainsFunc(pod.Status.ContainerStatuses, p.isDeaf) {
		v := no(mcpv1alpha1.ReasonServerNotListening, p.listening)
		return &v
	}
	if p.waiting != "" && waitsForVolumes(pod) && pod.CreationTimestamp.Time.Before(p.longAgo) {
		v := no(p.notReady.reason, p.waiting)
		return &v
	}
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse && c.Reason == corev1.PodReasonUnschedulable {
			v := no(mcpv1alpha1.ReasonUnschedulable,
				fmt.Sprintf("no node takes a pod of the %s%s: see `kubectl describe pod -n %s -l %s`", p.name, detail(c.Message), p.namespace, p.selector()))
			return &v
		}
	}
	return nil
}

// isDeaf says whether the server's container has run for long and is not ready.
func (p part) isDeaf(c corev1.ContainerStatus) bool {
	return c.Name == build.ServerContainer && !c.Ready && c.State.Running != nil &&
		!c.State.Running.StartedAt.IsZero() && c.State.Running.StartedAt.Time.Before(p.startedBefore)
}

// waitsForVolumes says whether a node has the pod and nothing of it runs. While
// an image is pulled the node has made what containers run in.
func waitsForVolumes(pod *corev1.Pod) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReadyToStartContainers && c.Status == corev1.ConditionTrue {
			return false
		}
	}
	return slices.ContainsFunc(pod.Status.ContainerStatuses, func(c corev1.ContainerStatus) bool {
		return c.State.Waiting != nil && c.State.Waiting.Reason == "ContainerCreating"
	})
}

// podsRefused says that the cluster does not let the pods be made, and why.
func (p part) podsRefused() *verdict {
	if p.deployment == nil {
		return nil
	}
	for _, c := range p.deployment.Status.Conditions {
		if c.Type == appsv1.DeploymentReplicaFailure && c.Status == corev1.ConditionTrue {
			why := p.refusal(c.Message)
			if why == "" {
				why = "a quota, Pod Security or a webhook is in the way"
			}
			reason, todo := refusedFor(c.Message)
			v := no(reason,
				fmt.Sprintf("the cluster refuses to create a pod of the %s: %s; correct %s or %s, and see `kubectl describe replicaset -n %s -l %s`",
					p.name, why, p.spec, todo, p.namespace, p.selector()))
			return &v
		}
	}
	return nil
}

// refusedFor tells why the cluster refuses a pod, and what else than the spec can
// be changed. There is nothing but the API server's words to tell it by; others
// than these get the reason that is never wrong.
func refusedFor(message string) (reason, todo string) {
	switch {
	case strings.Contains(message, "exceeded quota"), strings.Contains(message, "failed quota"):
		return mcpv1alpha1.ReasonQuotaExceeded, "the namespace's ResourceQuota"
	case strings.Contains(message, "violates PodSecurity"):
		return mcpv1alpha1.ReasonPodSecurity, "the namespace's Pod Security level"
	default:
		return mcpv1alpha1.ReasonPodsRefused, "what the namespace allows"
	}
}

// maxRefusal is the length of what is quoted of a refusal. Pod Security's list of
// all that it misses has some 450 bytes.
const maxRefusal = 560

// refusal is what the API server said against a pod, without the pod's name: at
// each attempt it is another one. A longer text ends after one of its items.
func (p part) refusal(message string) string {
	for _, intro := range []string{" is forbidden: ", " is invalid: "} {
		if _, after, found := strings.Cut(message, intro); found {
			message = after
			break
		}
	}
	podName := regexp.MustCompile(regexp.QuoteMeta(p.object) + `-[a-z0-9]+-[a-z0-9]{5}\b`)
	message = podName.ReplaceAllLiteralString(message, p.object)
	text := ""
	for item := range strings.SplitSeq(message, ", ") {
		item = statusz.Clean(item)
		if len(text)+len(item) > maxRefusal {
			return text + ", …"
		}
		if text != "" {
			text += ", "
		}
		text += item
	}
	return text
}

func (p part) selector() string { return selector(p.server, p.name) }

func selector(server, component string) string {
	return fmt.Sprintf("%s=%s,%s=%s", build.LabelInstance, server, build.LabelComponent, component)
}

func (p part) containerProblem(c corev1.ContainerStatus) *verdict {
	var v verdict
	switch waiting := c.State.Waiting; {
	case waiting != nil && slices.Contains([]string{"ImagePullBackOff", "ErrImagePull", "ErrImageNeverPull", "InvalidImageName", "RegistryUnavailable"}, waiting.Reason):
		why := "cannot be pulled"
		switch waiting.Reason {
		case "ErrImageNeverPull":
			why = "is not on the node and must not be pulled (imagePullPolicy Never)"
		case "InvalidImageName":
			why = "has no valid name"
		}
		check := p.image
		if c.Name == build.BridgeContainer {
			check = samplerImage
		}
		v = no(mcpv1alpha1.ReasonImagePullFailed, fmt.Sprintf("the image %s of the %s %s: check %s", quote(c.Image), p.name, why, check))
	case waiting != nil && slices.Contains([]string{"CreateContainerConfigError", "CreateContainerError", "PreCreateHookError"}, waiting.Reason):
		v = no(mcpv1alpha1.ReasonContainerRefused,
			fmt.Sprintf("the container %s of the %s cannot be created%s: create what is missing, or correct %s", quote(c.Name), p.name, detail(waiting.Message), p.spec))
	case waiting != nil && waiting.Reason == "RunContainerError", neverStarted(lastEnd(c)):
		if c.State.Running != nil {
			return nil // now it did
		}
		// Such a container leaves no log, but the node says why. It says so again
		// and again in several ways, and the reason is one.
		why := ""
		if end := lastEnd(c); neverStarted(end) {
			why = end.Message
		} else if waiting != nil {
			why = waiting.Message
		}
		v = no(mcpv1alpha1.ReasonContainerRefused,
			fmt.Sprintf("the container %s of the %s cannot be started%s: correct %s", quote(c.Name), p.name, detail(why), p.spec))
	case crashes(c):
		v = no(p.crashing, p.crash(c))
	default:
		return nil
	}
	return &v
}

// crashes says whether a container ends again and again, also in the moments
// between two ends, so that the condition stands still.
func crashes(c corev1.ContainerStatus) bool {
	switch {
	case c.State.Waiting != nil && c.State.Waiting.Reason == "CrashLoopBackOff":
		return true
	case c.State.Terminated != nil:
		// An init container that has done its work is ready.
		return !c.Ready
	default:
		return !c.Ready && c.RestartCount > 0 && c.LastTerminationState.Terminated != nil
	}
}

// lastEnd is how the container ended last, nil if it never did.
func lastEnd(c corev1.ContainerStatus) *corev1.ContainerStateTerminated {
	if c.State.Terminated != nil {
		return c.State.Terminated
	}
	return c.LastTerminationState.Terminated
}

// neverStarted says whether a container ended without having run.
func neverStarted(end *corev1.ContainerStateTerminated) bool {
	return end != nil && (end.Reason == "StartError" || end.Reason == "ContainerCannotRun")
}

func (p part) crash(c corev1.ContainerStatus) string {
	end := lastEnd(c)
	if end != nil && end.Reason == "OOMKilled" {
		return fmt.Sprintf("the %s needs more memory than it may use and was killed: raise %s", p.name, p.memory)
	}
	how := ""
	if end != nil {
		how = fmt.Sprintf(" (exit code %d)", end.ExitCode)
		if end.Reason != "" && end.Reason != "Error" {
			how = fmt.Sprintf(" (%s, exit code %d)", statusz.Clean(end.Reason), end.ExitCode)
		}
	}
	return fmt.Sprintf("the container %s of the %s ends again and again%s: see why with `kubectl logs -n %s deploy/%s -c %s`",
		quote(c.Name), p.name, how, p.namespace, p.object, c.Name)
}
