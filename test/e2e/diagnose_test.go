package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
)

// diagnose logs what one wants to see of a namespace after a failure.
func (s *space) diagnose(ctx context.Context, t *testing.T) {
	t.Helper()
	var out strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&out, format+"\n", args...) }

	var servers mcpv1alpha1.MCPServerList
	var policies mcpv1alpha1.SamplingPolicyList
	var events corev1.EventList
	var objects []client.Object
	for _, list := range []client.ObjectList{&servers, &policies, &events} {
		if err := s.client.List(ctx, list, client.InNamespace(s.name)); err != nil {
			say("list %T: %v", list, err)
		}
	}
	for i := range servers.Items {
		objects = append(objects, &servers.Items[i])
	}
	for i := range policies.Items {
		objects = append(objects, &policies.Items[i])
	}
	say("--- conditions")
	for _, obj := range objects {
		for _, c := range conditionsOf(obj) {
			say("%T %s (generation %d) %s=%s %s: %s", obj, obj.GetName(), obj.GetGeneration(), c.Type, c.Status, c.Reason, c.Message)
		}
	}
	say("--- events")
	slices.SortFunc(events.Items, func(a, b corev1.Event) int {
		return a.LastTimestamp.Compare(b.LastTimestamp.Time)
	})
	for _, e := range events.Items {
		say("%s/%s %s (x%d): %s", e.InvolvedObject.Kind, e.InvolvedObject.Name, e.Reason, e.Count, e.Message)
	}
	s.sayPods(ctx, say, s.name, 40)
	s.sayPods(ctx, say, operatorNamespace, 60)
	t.Logf("namespace %s when the test failed:\n%s", s.name, out.String())
}

func (c *cluster) sayPods(ctx context.Context, say func(string, ...any), namespace string, lines int64) {
	var pods corev1.PodList
	if err := c.client.List(ctx, &pods, client.InNamespace(namespace)); err != nil {
		say("list pods: %v", err)
	}
	for _, pod := range pods.Items {
		say("--- pod %s/%s: %s", namespace, pod.Name, pod.Status.Phase)
		for _, status := range pod.Status.ContainerStatuses {
			say("container %s: ready %v, %d restarts, %s", status.Name, status.Ready, status.RestartCount, stateOf(status.State))
			for _, previous := range []bool{true, false} {
				if previous && status.RestartCount == 0 {
					continue
				}
				text, err := c.logs(ctx, namespace, pod.Name, &corev1.PodLogOptions{Container: status.Name, TailLines: &lines, Previous: previous})
				if err != nil {
					text = err.Error()
				}
				say("%s", text)
			}
		}
	}
}

func stateOf(state corev1.ContainerState) string {
	switch {
	case state.Waiting != nil:
		return "waiting: " + state.Waiting.Reason + " " + state.Waiting.Message
	case state.Terminated != nil:
		return fmt.Sprintf("ended with code %d: %s", state.Terminated.ExitCode, state.Terminated.Reason)
	default:
		return "running"
	}
}
