package controllers

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
)

// notice tells of one transition.
type notice struct {
	kind, reason, action, note string
}

// serverEvents returns the transitions between two statuses of an MCPServer.
func serverEvents(earlier, now mcpv1alpha1.MCPServerStatus) []notice {
	var out []notice
	// Of a new server Ready tells by which policy it is governed.
	if e := policyEvent(earlier.SamplingPolicy, now.SamplingPolicy); e != nil && earlier.ObservedGeneration > 0 {
		out = append(out, *e)
	}
	ready := conditionEvent(earlier.Conditions, now.Conditions, mcpv1alpha1.ConditionReady)
	if e := programmedEvent(earlier.SamplingPolicy, now.SamplingPolicy); e != nil && (ready == nil || ready.reason != mcpv1alpha1.ReasonReady) {
		out = append(out, *e)
	}
	if ready != nil {
		out = append(out, *ready)
	}
	// Ready says the first that is wrong, and not what else is, or is no longer.
	for _, conditionType := range []string{
		mcpv1alpha1.ConditionAccepted, mcpv1alpha1.ConditionResolvedRefs, mcpv1alpha1.ConditionAvailable,
		mcpv1alpha1.ConditionVerified, mcpv1alpha1.ConditionSamplingReady,
	} {
		if e := failureEvent(earlier.Conditions, now.Conditions, conditionType); e != nil && !slices.Contains(out, *e) {
			out = append(out, *e)
		}
	}
	return out
}

// failureEvent tells that a condition is not met, or is met again. That it is met
// at first is what Ready is for, and that there is no policy is told when it goes.
func failureEvent(earlier, now []metav1.Condition, conditionType string) *notice {
	before, after := meta.FindStatusCondition(earlier, conditionType), meta.FindStatusCondition(now, conditionType)
	failed := func(c *metav1.Condition) bool {
		return c != nil && c.Status == metav1.ConditionFalse && c.Reason != mcpv1alpha1.ReasonNoPolicy && !passes(c.Reason)
	}
	if failed(after) || (failed(before) && after != nil && after.Status == metav1.ConditionTrue) {
		return conditionEvent(earlier, now, conditionType)
	}
	return nil
}

// passes says whether a condition that is not met for this reason mostly is a
// moment later.
func passes(reason string) bool {
	switch reason {
	case mcpv1alpha1.ReasonPending, mcpv1alpha1.ReasonNotVerified, mcpv1alpha1.ReasonNoSamplers,
		mcpv1alpha1.ReasonServerNotReady, mcpv1alpha1.ReasonSamplerNotReady, mcpv1alpha1.ReasonReportUnreadable:
		return true
	}
	return false
}

// policyEvents returns the transitions between two statuses of a SamplingPolicy.
func policyEvents(earlier, now mcpv1alpha1.SamplingPolicyStatus) []notice {
	var out []notice
	for _, conditionType := range []string{mcpv1alpha1.ConditionAccepted, mcpv1alpha1.ConditionProgrammed} {
		// While a policy is not accepted, Programmed repeats why.
		if e := conditionEvent(earlier.Conditions, now.Conditions, conditionType); e != nil && !slices.Contains(out, *e) {
			out = append(out, *e)
		}
	}
	return out
}

// policyEvent tells that another policy governs a server.
func policyEvent(earlier, now *mcpv1alpha1.AttachedPolicy) *notice {
	switch {
	case now != nil && (earlier == nil || earlier.Name != now.Name || earlier.UID != now.UID):
		return &notice{corev1.EventTypeNormal, "PolicyAttached", "Attach", fmt.Sprintf("SamplingPolicy %q governs this server", now.Name)}
	case now == nil && earlier != nil:
		return &notice{corev1.EventTypeNormal, "PolicyDetached", "Detach", fmt.Sprintf("SamplingPolicy %q no longer governs this server", earlier.Name)}
	}
	return nil
}

// programmedEvent tells that every sampler has loaded a policy.
func programmedEvent(earlier, now *mcpv1alpha1.AttachedPolicy) *notice {
	if now == nil || now.ProgrammedGeneration == 0 {
		return nil
	}
	if earlier != nil && earlier.Name == now.Name && earlier.UID == now.UID && earlier.ProgrammedGeneration == now.ProgrammedGeneration {
		return nil
	}
	return &notice{
		corev1.EventTypeNormal, mcpv1alpha1.ReasonProgrammed, "Program",
		fmt.Sprintf("every sampler has loaded generation %d of SamplingPolicy %q", now.ProgrammedGeneration, now.Name),
	}
}

// conditionEvent tells that a condition became true, or why it is not. What only
// needs a moment is not worth an event.
func conditionEvent(earlier, now []metav1.Condition, conditionType string) *notice {
	before, after := meta.FindStatusCondition(earlier, conditionType), meta.FindStatusCondition(now, conditionType)
	if after == nil || (before != nil && before.Status == after.Status && before.Reason == after.Reason) {
		return nil
	}
	if after.Status == metav1.ConditionTrue {
		return &notice{corev1.EventTypeNormal, after.Reason, "Observe", after.Message}
	}
	switch {
	case passes(after.Reason):
		return nil
	case after.Reason == mcpv1alpha1.ReasonScaledToZero:
		return &notice{corev1.EventTypeNormal, after.Reason, "Observe", after.Message}
	}
	return &notice{corev1.EventTypeWarning, after.Reason, "Observe", after.Message}
}

// eventSink records events and drops those that were told a moment ago, as of a
// condition that goes back and forth.
type eventSink struct {
	recorder events.EventRecorder
	now      func() time.Time

	mu     sync.Mutex
	told   map[eventKey]time.Time
	pruned time.Time
}

type eventKey struct {
	object types.UID
	notice notice
}

// quiet is how long the same event is not told again.
const quiet = 2 * time.Minute

func newEventSink(recorder events.EventRecorder, now func() time.Time) *eventSink {
	return &eventSink{recorder: recorder, now: now, told: map[eventKey]time.Time{}}
}

func (s *eventSink) record(obj client.Object, list []notice) {
	for _, e := range list {
		if s.fresh(eventKey{obj.GetUID(), e}) {
			s.recorder.Eventf(obj, runtime.Object(nil), e.kind, e.reason, e.action, "%s", e.note)
		}
	}
}

func (s *eventSink) fresh(key eventKey) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	if now.Sub(s.pruned) > quiet {
		maps.DeleteFunc(s.told, func(_ eventKey, at time.Time) bool { return now.Sub(at) > quiet })
		s.pruned = now
	}
	if at, ok := s.told[key]; ok && now.Sub(at) <= quiet {
		return false
	}
	s.told[key] = now
	return true
}
