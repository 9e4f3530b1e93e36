package controllers

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
)

func readyIs(status metav1.ConditionStatus, reason string) []metav1.Condition {
	return []metav1.Condition{{Type: mcpv1alpha1.ConditionReady, Status: status, Reason: reason, Message: "because"}}
}

func TestServerEvents(t *testing.T) {
	policy := func(name string, generation int64) *mcpv1alpha1.AttachedPolicy {
		return &mcpv1alpha1.AttachedPolicy{Name: name, ProgrammedGeneration: generation}
	}
	for name, tc := range map[string]struct {
		earlier, now mcpv1alpha1.MCPServerStatus
		want         []string
	}{
		"nothing has changed": {
			earlier: mcpv1alpha1.MCPServerStatus{Conditions: readyIs(metav1.ConditionTrue, "Ready"), SamplingPolicy: policy("p", 1)},
			now:     mcpv1alpha1.MCPServerStatus{Conditions: readyIs(metav1.ConditionTrue, "Ready"), SamplingPolicy: policy("p", 1)},
		},
		"it became ready": {
			earlier: mcpv1alpha1.MCPServerStatus{Conditions: readyIs(metav1.ConditionFalse, "Pending")},
			now:     mcpv1alpha1.MCPServerStatus{Conditions: readyIs(metav1.ConditionTrue, "Ready")},
			want:    []string{"Normal Ready"},
		},
		"what only takes a moment is not worth an event": {
			now: mcpv1alpha1.MCPServerStatus{Conditions: readyIs(metav1.ConditionFalse, mcpv1alpha1.ReasonServerNotReady)},
		},
		"it crashes": {
			earlier: mcpv1alpha1.MCPServerStatus{Conditions: readyIs(metav1.ConditionFalse, mcpv1alpha1.ReasonServerNotReady)},
			now:     mcpv1alpha1.MCPServerStatus{Conditions: readyIs(metav1.ConditionFalse, mcpv1alpha1.ReasonServerCrashing)},
			want:    []string{"Warning ServerCrashing"},
		},
		"two things are wrong, of which Ready says the first": {
			earlier: mcpv1alpha1.MCPServerStatus{Conditions: readyIs(metav1.ConditionTrue, "Ready")},
			now: mcpv1alpha1.MCPServerStatus{Conditions: append(readyIs(metav1.ConditionFalse, mcpv1alpha1.ReasonSecretNotFound),
				metav1.Condition{Type: mcpv1alpha1.ConditionResolvedRefs, Status: metav1.ConditionFalse, Reason: mcpv1alpha1.ReasonSecretNotFound, Message: "because"},
				metav1.Condition{Type: mcpv1alpha1.ConditionVerified, Status: metav1.ConditionFalse, Reason: mcpv1alpha1.ReasonNotMCP},
				metav1.Condition{Type: mcpv1alpha1.ConditionSamplingReady, Status: metav1.ConditionFalse, Reason: mcpv1alpha1.ReasonNoPolicy},
			)},
			want: []string{"Warning SecretNotFound", "Warning NotMCP"},
		},
		"one of two things is mended": {
			earlier: mcpv1alpha1.MCPServerStatus{Conditions: []metav1.Condition{
				{Type: mcpv1alpha1.ConditionVerified, Status: metav1.ConditionFalse, Reason: mcpv1alpha1.ReasonNotMCP},
				{Type: mcpv1alpha1.ConditionAvailable, Status: metav1.ConditionFalse, Reason: mcpv1alpha1.ReasonServerNotReady},
			}},
			now: mcpv1alpha1.MCPServerStatus{Conditions: []metav1.Condition{
				{Type: mcpv1alpha1.ConditionVerified, Status: metav1.ConditionTrue, Reason: mcpv1alpha1.ReasonVerified},
				{Type: mcpv1alpha1.ConditionAvailable, Status: metav1.ConditionTrue, Reason: mcpv1alpha1.ReasonAvailable},
			}},
			want: []string{"Normal Verified"},
		},
		"a new server has a policy": {
			now: mcpv1alpha1.MCPServerStatus{SamplingPolicy: policy("p", 0)},
		},
		"a new server's samplers have loaded its policy": {
			earlier: mcpv1alpha1.MCPServerStatus{ObservedGeneration: 1, SamplingPolicy: policy("p", 0), Conditions: readyIs(metav1.ConditionFalse, "Pending")},
			now:     mcpv1alpha1.MCPServerStatus{ObservedGeneration: 1, SamplingPolicy: policy("p", 1), Conditions: readyIs(metav1.ConditionTrue, "Ready")},
			want:    []string{"Normal Ready"},
		},
		"a policy was attached": {
			earlier: mcpv1alpha1.MCPServerStatus{ObservedGeneration: 1},
			now:     mcpv1alpha1.MCPServerStatus{SamplingPolicy: policy("p", 0)},
			want:    []string{"Normal PolicyAttached"},
		},
		"another policy was attached and loaded": {
			earlier: mcpv1alpha1.MCPServerStatus{ObservedGeneration: 1, SamplingPolicy: policy("p", 4)},
			now:     mcpv1alpha1.MCPServerStatus{SamplingPolicy: policy("q", 4)},
			want:    []string{"Normal PolicyAttached", "Normal Programmed"},
		},
		"a policy of the same name was attached and loaded": {
			earlier: mcpv1alpha1.MCPServerStatus{ObservedGeneration: 1, SamplingPolicy: &mcpv1alpha1.AttachedPolicy{Name: "p", UID: "old", ProgrammedGeneration: 1}},
			now:     mcpv1alpha1.MCPServerStatus{SamplingPolicy: &mcpv1alpha1.AttachedPolicy{Name: "p", UID: "new", ProgrammedGeneration: 1}},
			want:    []string{"Normal PolicyAttached", "Normal Programmed"},
		},
		"the policy is gone": {
			earlier: mcpv1alpha1.MCPServerStatus{ObservedGeneration: 1, SamplingPolicy: policy("p", 1)},
			want:    []string{"Normal PolicyDetached"},
		},
		"a change was loaded": {
			earlier: mcpv1alpha1.MCPServerStatus{SamplingPolicy: policy("p", 0)},
			now:     mcpv1alpha1.MCPServerStatus{SamplingPolicy: policy("p", 2)},
			want:    []string{"Normal Programmed"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, n := range serverEvents(tc.earlier, tc.now) {
				got = append(got, n.kind+" "+n.reason)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTheSameEventIsNotToldTwiceInAShortTime(t *testing.T) {
	clock := time.Unix(0, 0)
	recorder := events.NewFakeRecorder(10)
	sink := newEventSink(recorder, func() time.Time { return clock })
	server := &mcpv1alpha1.MCPServer{ObjectMeta: metav1.ObjectMeta{Name: "demo", UID: "1"}}
	tell := func() { sink.record(server, []notice{{"Normal", "Ready", "Observe", "100% well"}}) }
	tell()
	tell()
	clock = clock.Add(quiet + time.Second)
	tell()
	close(recorder.Events)
	var got []string
	for e := range recorder.Events {
		got = append(got, e)
	}
	if diff := cmp.Diff([]string{"Normal Ready 100% well", "Normal Ready 100% well"}, got); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	if len(sink.told) != 1 {
		t.Errorf("%d events are remembered, want 1", len(sink.told))
	}
}

func TestAnEventTellsOfATransitionAndNotOfAPass(t *testing.T) {
	b := newBench(t)
	b.apply(&mcpv1alpha1.MCPServer{}, "metadata: {name: demo}\nspec: {service: {name: absent, port: 80}}")
	recorder := events.NewFakeRecorder(100)
	clock := time.Now()
	r := b.reconciler()
	r.events = newEventSink(recorder, func() time.Time { return clock })
	for range 20 {
		b.pass(r, "demo")
		clock = clock.Add(2 * quiet)
	}
	close(recorder.Events)
	told := map[string]int{}
	for e := range recorder.Events {
		told[e]++
	}
	if len(told) == 0 {
		t.Error("no event tells that the Service is missing")
	}
	for e, times := range told {
		if times != 1 {
			t.Errorf("told %d times: %s", times, e)
		}
	}
}
