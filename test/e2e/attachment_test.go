package e2e

import (
	"context"
	"fmt"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
)

// A default for all servers of a label, another policy for one of them by name.
// Which policy governs shows in what the model is asked, in a session that is open
// all the while.
func testAttachment(t *testing.T) {
	s := newSpace(t)
	s.runFakeModel(t)
	server := newServer("summarizer", withLabel("team", "research"))
	byDefault := limitedTo(11, newPolicy("default"))
	byDefault.Spec.TargetSelector = &mcpv1alpha1.LabelSelector{
		MatchExpressions: []mcpv1alpha1.LabelRequirement{{Key: "team", Operator: metav1.LabelSelectorOpExists}},
	}
	s.create(t, byDefault)
	accepted := wantCondition{conditionType: mcpv1alpha1.ConditionAccepted, status: metav1.ConditionTrue}
	programmed := wantCondition{conditionType: mcpv1alpha1.ConditionProgrammed, status: metav1.ConditionTrue}
	nothingYet := accepted
	nothingYet.message = []string{"no MCPServer of this namespace has labels"}
	s.await(t, byDefault, nothingYet, programmed)

	s.create(t, server)
	s.awaitReady(t, server, byDefault)
	caller := s.dial(t, server)
	governs := func(what string, limit int) {
		t.Helper()
		eventually(t, patience, what, func(ctx context.Context) error {
			got, err := caller.summarize(ctx)
			if err != nil {
				return err
			}
			if want := (asked{"fast-1", limit}); got != want {
				return fmt.Errorf("the model was asked as %+v, want %+v", got, want)
			}
			return nil
		})
	}
	governs("the default", 11)

	named := limitedTo(22, newPolicy("special", server.Name))
	s.create(t, named)
	governs("the policy that names the server", 22)
	s.await(t, named, accepted, programmed)
	overridden := accepted
	overridden.message = []string{`SamplingPolicy "special" names the server`}
	s.await(t, byDefault, overridden, programmed)
	if p := byDefault.Status.Problems; len(p) != 1 || p[0].Target != server.Name || p[0].Reason != mcpv1alpha1.ReasonOverridden || p[0].Policy != named.Name {
		t.Errorf("status.problems of the default is %+v", p)
	}

	must(t, s.client.Delete(t.Context(), named))
	governs("the default again, as the other one is deleted", 11)
	s.await(t, byDefault, accepted, programmed)

	another := limitedTo(33, newPolicy("sales"))
	another.Spec.TargetSelector = &mcpv1alpha1.LabelSelector{MatchLabels: map[string]mcpv1alpha1.LabelValue{"department": "sales"}}
	s.create(t, another)
	s.await(t, another, nothingYet, programmed)
	patch(t, s, server, func(server *mcpv1alpha1.MCPServer) { server.Labels = map[string]string{"department": "sales"} })
	governs("the policy that selects the new label", 33)
	s.await(t, another, accepted, programmed)
	s.await(t, byDefault, nothingYet, programmed)
	must(t, s.get(t.Context(), server))
	if got := server.Status.SamplingPolicy; got == nil || got.Name != another.Name {
		t.Errorf("status.samplingPolicy is %+v, want %s", got, another.Name)
	}
}

func withLabel(key, value string) func(*mcpv1alpha1.MCPServer) {
	return func(s *mcpv1alpha1.MCPServer) { s.Labels = map[string]string{key: value} }
}

// limitedTo makes a policy known by what it lets servers ask for.
func limitedTo(tokens int64, policy *mcpv1alpha1.SamplingPolicy) *mcpv1alpha1.SamplingPolicy {
	policy.Spec.Parameters.MaxTokens.Max = tokens
	return policy
}
