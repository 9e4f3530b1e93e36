package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
)

// wantCondition is what a condition has to say.
type wantCondition struct {
	conditionType string
	status        metav1.ConditionStatus
	reason        string
	// message holds parts of the message: what users must be told.
	message []string
}

func conditionsOf(obj client.Object) []metav1.Condition {
	switch o := obj.(type) {
	case *mcpv1alpha1.MCPServer:
		return o.Status.Conditions
	case *mcpv1alpha1.SamplingPolicy:
		return o.Status.Conditions
	default:
		return nil
	}
}

func (w wantCondition) check(obj client.Object) error {
	c := meta.FindStatusCondition(conditionsOf(obj), w.conditionType)
	switch {
	case c == nil:
		return fmt.Errorf("%s has no condition %s", obj.GetName(), w.conditionType)
	case c.ObservedGeneration != obj.GetGeneration():
		return fmt.Errorf("condition %s of %s is about generation %d, now is %d", w.conditionType, obj.GetName(), c.ObservedGeneration, obj.GetGeneration())
	case c.Status != w.status || (w.reason != "" && c.Reason != w.reason):
		return fmt.Errorf("condition %s of %s is %s (%s: %s), want %s (%s)", w.conditionType, obj.GetName(), c.Status, c.Reason, c.Message, w.status, w.reason)
	}
	for _, part := range w.message {
		if !strings.Contains(c.Message, part) {
			return fmt.Errorf("condition %s of %s says %q, want %q in it", w.conditionType, obj.GetName(), c.Message, part)
		}
	}
	return nil
}

// await waits until obj has all the conditions, and refreshes obj.
func (s *space) await(t *testing.T, obj client.Object, wants ...wantCondition) time.Duration {
	t.Helper()
	return eventually(t, patience, "conditions of "+obj.GetName(), func(ctx context.Context) error {
		if err := s.get(ctx, obj); err != nil {
			return err
		}
		for _, want := range wants {
			if err := want.check(obj); err != nil {
				return err
			}
		}
		return nil
	})
}

// awaitReady waits until a server and its policy are all well.
func (s *space) awaitReady(t *testing.T, server *mcpv1alpha1.MCPServer, policy *mcpv1alpha1.SamplingPolicy) {
	t.Helper()
	took := s.await(t, server,
		wantCondition{conditionType: mcpv1alpha1.ConditionReady, status: metav1.ConditionTrue},
		wantCondition{conditionType: mcpv1alpha1.ConditionAccepted, status: metav1.ConditionTrue},
		wantCondition{conditionType: mcpv1alpha1.ConditionResolvedRefs, status: metav1.ConditionTrue},
		wantCondition{conditionType: mcpv1alpha1.ConditionAvailable, status: metav1.ConditionTrue},
		wantCondition{conditionType: mcpv1alpha1.ConditionVerified, status: metav1.ConditionTrue},
		wantCondition{conditionType: mcpv1alpha1.ConditionSamplingReady, status: metav1.ConditionTrue},
	)
	took += s.await(t, policy,
		wantCondition{conditionType: mcpv1alpha1.ConditionAccepted, status: metav1.ConditionTrue},
		wantCondition{conditionType: mcpv1alpha1.ConditionProgrammed, status: metav1.ConditionTrue},
	)
	t.Logf("%s is ready after %s (%s)", server.Name, took.Round(time.Millisecond), history(server))
}

// history says when each condition took its present status, counted from the
// making of the object.
func history(server *mcpv1alpha1.MCPServer) string {
	parts := make([]string, 0, len(server.Status.Conditions))
	for _, c := range server.Status.Conditions {
		parts = append(parts, fmt.Sprintf("%s %s", c.Type, c.LastTransitionTime.Sub(server.CreationTimestamp.Time)))
	}
	return strings.Join(parts, ", ")
}
