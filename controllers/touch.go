package controllers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
	"github.com/mcp-sampling/mcp-sampling-operator/controllers/build"
	"github.com/mcp-sampling/mcp-sampling-operator/controllers/observe"
	"github.com/mcp-sampling/mcp-sampling-operator/controllers/resolve"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/statusz"
)

// A kubelet looks at the ConfigMaps and Secrets of a pod when the pod changes,
// and else only about once a minute. So the operator touches an annotation of
// the sampler's pods when their configuration has changed, and again, at growing
// intervals, while a sampler reports that it has not loaded it, that a key is
// missing or refused, or that certificates of the user's may be too old. After mostTouches of them it leaves that to the kubelet,
// until there is another configuration: nobody has to write a pod for ever because
// a key is wrong. All that has to be remembered for that stands in the annotation
// itself: hash, count of the repetitions, and time of the last touch.
//
// A touch too many does harm: after each look at a pod the kubelet does not look at
// it again before it has relisted all containers, which it does once a second. So
// the next change would wait for that.

// touch is the value of the annotation, taken apart.
type touch struct {
	hash  string
	count int
	at    time.Time
}

func parseTouch(value string) touch {
	parts := strings.Split(value, ".")
	t := touch{hash: parts[0]}
	if len(parts) != 3 {
		return t
	}
	count, err := strconv.Atoi(parts[1])
	ms, err2 := strconv.ParseInt(parts[2], 10, 64)
	if err != nil || err2 != nil || count < 0 {
		return t
	}
	t.count, t.at = count, time.UnixMilli(ms)
	return t
}

func (t touch) String() string {
	return fmt.Sprintf("%s.%d.%d", t.hash, t.count, t.at.UnixMilli())
}

// spent says that a pod has been touched often enough for a configuration.
func (t touch) spent(hash string) bool { return t.hash == hash && t.count >= mostTouches }

// next returns the touch that follows, and how long to wait before it.
func (t touch) next(hash string, now time.Time) (touch, time.Duration) {
	if t.hash != hash {
		return touch{hash: hash, at: now}, 0
	}
	following := touch{hash: hash, count: t.count + 1, at: now}
	wait := t.at.Add(touchInterval(t.count)).Sub(now)
	// A clock that was set back must not stop it.
	return following, max(0, min(wait, touchInterval(t.count)))
}

// mostTouches is how often a pod is touched again for one configuration. By then
// a bit more than a minute has passed, and the kubelet has looked by itself.
const mostTouches = 16

// touchInterval is how long to wait after that many repetitions: a second while
// somebody may be watching, then less often. The first comes earlier, as a busy
// kubelet may have looked before it heard of the change.
func touchInterval(count int) time.Duration {
	switch {
	case count == 0:
		return 500 * time.Millisecond
	case count < 10:
		return time.Second
	default:
		return 10 * time.Second
	}
}

// announce touches the pods that were touched for another configuration before,
// without asking them first, and returns their names. A pod that was never
// touched began with the newest configuration, or is reminded after it was asked.
func (r *ServerReconciler) announce(ctx context.Context, pods []corev1.Pod, hash string) ([]string, error) {
	var touched []string
	var problems []error
	for i := range pods {
		pod := &pods[i]
		value, there := pod.Annotations[mcpv1alpha1.AnnotationConfigHash]
		if !there || !samplerRuns(pod) || parseTouch(value).hash == hash {
			continue
		}
		if err := r.touch(ctx, pod, touch{hash: hash, at: r.opts.now()}); err != nil {
			problems = append(problems, err)
		}
		touched = append(touched, pod.Name)
	}
	return touched, errors.Join(problems...)
}

// remind touches the pods whose samplers are behind or lack a key, each when its
// time has come, but not those just touched. It returns how long to wait until
// the next pod's time comes; zero if none does.
func (r *ServerReconciler) remind(ctx context.Context, pods []corev1.Pod, findings []observe.Finding, hash string, just []string) (time.Duration, error) {
	var soonest time.Duration
	var problems []error
	for i := range pods {
		pod := &pods[i]
		if !samplerRuns(pod) || !behind(pod.Name, findings, hash) {
			continue
		}
		last := parseTouch(pod.Annotations[mcpv1alpha1.AnnotationConfigHash])
		if last.spent(hash) {
			continue
		}
		wait := touchInterval(0)
		if !slices.Contains(just, pod.Name) {
			var next touch
			next, wait = last.next(hash, r.opts.now())
			if wait == 0 {
				if err := r.touch(ctx, pod, next); err != nil {
					problems = append(problems, err)
				}
				wait = touchInterval(next.count)
			}
		}
		if soonest == 0 || wait < soonest {
			soonest = wait
		}
	}
	return soonest, errors.Join(problems...)
}

// behind says whether a look at the mounted files may help a sampler.
func behind(pod string, findings []observe.Finding, hash string) bool {
	i := slices.IndexFunc(findings, func(f observe.Finding) bool { return f.Pod == pod })
	if i < 0 || findings[i].Report == nil {
		return false
	}
	report := findings[i].Report
	refused := report.Server.State == statusz.ServerUnauthorized
	lacks := func(f statusz.File) bool { return refused || f.State == statusz.CredentialMissing }
	if report.Store != nil && report.Store.State == statusz.StoreRefused {
		return true
	}
	return report.ConfigHash != hash || mayDistrust(report) || slices.ContainsFunc(report.Files, lacks) || slices.ContainsFunc(report.Providers, func(p statusz.Provider) bool {
		return p.Credential == statusz.CredentialMissing || p.State == statusz.ProviderRefused
	})
}

// mayDistrust says whether newer certificates may help: what cannot be reached is
// not told from what shows another certificate than those that are mounted.
func mayDistrust(report *statusz.Report) bool {
	bundle := func(f statusz.File) bool { return strings.HasPrefix(f.Path, resolve.CABundleDir+"/") }
	unreachable := func(p statusz.Provider) bool { return p.State == statusz.ProviderUnreachable }
	return slices.ContainsFunc(report.Files, bundle) && (report.Server.State == statusz.ServerUnreachable ||
		report.Store != nil && report.Store.State == statusz.StoreUnreachable || slices.ContainsFunc(report.Providers, unreachable))
}

func (r *ServerReconciler) touch(ctx context.Context, pod *corev1.Pod, t touch) error {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"uid":         pod.UID, // not another pod of the same name
		"annotations": map[string]string{mcpv1alpha1.AnnotationConfigHash: t.String()},
	}})
	if err != nil {
		return fmt.Errorf("encode the annotation of pod %s: %w", pod.Name, err)
	}
	err = r.client.Patch(ctx, pod.DeepCopy(), client.RawPatch(types.MergePatchType, patch), client.FieldOwner(mcpv1alpha1.FieldOwner))
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
		return fmt.Errorf("annotate pod %s: %w", pod.Name, err)
	}
	return nil
}

// targetsOf returns where to ask the samplers. Those that are not ready are asked
// too: a configuration that a sampler refuses may be the reason. since is when the
// server became what it is.
func targetsOf(pods []corev1.Pod, since time.Time) []observe.Target {
	var out []observe.Target
	for i := range pods {
		if pod := &pods[i]; samplerRuns(pod) && pod.Status.PodIP != "" {
			out = append(out, observe.Target{
				Pod:     pod.Name,
				Address: net.JoinHostPort(pod.Status.PodIP, strconv.Itoa(int(build.AdminPort))),
				Since:   since,
			})
		}
	}
	return out
}

// samplerRuns says whether the sampler's container runs and is to go on running.
func samplerRuns(pod *corev1.Pod) bool {
	return pod.DeletionTimestamp.IsZero() && slices.ContainsFunc(pod.Status.ContainerStatuses, func(c corev1.ContainerStatus) bool {
		return c.Name == build.SamplerContainer && c.State.Running != nil
	})
}
