package status

import (
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
	"github.com/mcp-sampling/mcp-sampling-operator/controllers/resolve"
)

// maxProblems is how many problems the API lets a status hold.
const maxProblems = 16

// PolicyInput is everything that the status of a SamplingPolicy depends on.
type PolicyInput struct {
	// Policy is the SamplingPolicy with its earlier status.
	Policy *mcpv1alpha1.SamplingPolicy
	Plan   resolve.PolicyPlan
	// Servers are the MCPServers of the namespace; their status says what
	// samplers have loaded.
	Servers []mcpv1alpha1.MCPServer
	Now     time.Time
}

// Policy returns the status of a SamplingPolicy.
func Policy(in PolicyInput) mcpv1alpha1.SamplingPolicyStatus {
	var waiting []string
	for _, name := range in.Plan.Governs {
		if !loadedBy(in, name) {
			waiting = append(waiting, name)
		}
	}
	out := mcpv1alpha1.SamplingPolicyStatus{
		ObservedGeneration: in.Policy.Generation,
		Targets: mcpv1alpha1.TargetCounts{
			Attached:   int32(len(in.Plan.Governs)),                //nolint:gosec // as many as there are servers
			Programmed: int32(len(in.Plan.Governs) - len(waiting)), //nolint:gosec // the same
			Conflicted: int32(len(in.Plan.Conflicts)), //nolint:gosec // the same
		},
		Problems: problems(in),
	}
	c := newConditions(in.Policy.Status.Conditions, in.Policy.Generation, in.Now)
	accepted := policyAccepted(in.Plan)
	c.set(mcpv1alpha1.ConditionAccepted, accepted)
	c.set(mcpv1alpha1.ConditionProgrammed, policyProgrammed(in, accepted, waiting))
	out.Conditions = c.list
	return out
}

// problems lists the targets that the policy does not reach.
func problems(in PolicyInput) []mcpv1alpha1.TargetProblem {
	var out []mcpv1alpha1.TargetProblem
	for _, c := range in.Plan.Conflicts {
		reason := mcpv1alpha1.ReasonConflicted
		if c.Overridden {
			reason = mcpv1alpha1.ReasonOverridden
		}
		out = append(out, mcpv1alpha1.TargetProblem{Target: c.Target, Reason: reason, Policy: c.Policy})
	}
	return out[:min(len(out), maxProblems)]
}

func loadedBy(in PolicyInput, server string) bool {
	i := slices.IndexFunc(in.Servers, func(s mcpv1alpha1.MCPServer) bool { return s.Name == server })
	if i < 0 {
		return false
	}
	attached := in.Servers[i].Status.SamplingPolicy
	return attached != nil && attached.Name == in.Policy.Name && attached.UID == in.Policy.UID &&
		attached.ProgrammedGeneration == in.Policy.Generation
}

func policyAccepted(plan resolve.PolicyPlan) verdict {
	switch {
	case plan.Problem != "":
		return no(mcpv1alpha1.ReasonInvalidPolicy, "samplers would refuse this policy; correct it: "+plan.Problem)
	case len(plan.Governs) > 0:
		return yes(mcpv1alpha1.ReasonAccepted, "the policy governs "+names(plan.Governs)+rest(plan))
	case len(plan.Conflicts) > 0:
		return no(mcpv1alpha1.ReasonConflicted, "other policies govern every target"+rest(plan))
	default:
		return no(mcpv1alpha1.ReasonTargetNotFound,
			fmt.Sprintf("no MCPServer %s is in this namespace: create it, or correct spec.targetRefs", names(plan.Missing)))
	}
}

// rest names the targets that the policy does not govern.
func rest(plan resolve.PolicyPlan) string {
	var b strings.Builder
	if len(plan.Conflicts) > 0 {
		first := plan.Conflicts[0]
		fmt.Fprintf(&b, "; %s is governed by SamplingPolicy %s, which is older or first by name: remove the target from one of the two",
			quote(first.Target), quote(first.Policy))
		if len(plan.Conflicts) > 1 {
			b.WriteString(" (status.conflicts lists the others)")
		}
	}
	if len(plan.Missing) > 0 {
		fmt.Fprintf(&b, "; no MCPServer %s is in this namespace", names(plan.Missing))
	}
	return b.String()
}

// policyProgrammed repeats why a policy is not accepted: no sampler is given it
// then, and `kubectl get` shows this condition.
func policyProgrammed(in PolicyInput, accepted verdict, waiting []string) verdict {
	switch {
	case accepted.status != metav1.ConditionTrue:
		return accepted
	case len(waiting) > 0:
		return no(mcpv1alpha1.ReasonPending,
			fmt.Sprintf("samplers of %s have not loaded the policy yet: if that lasts, see `kubectl describe mcps -n %s %s`",
				names(waiting), in.Policy.Namespace, waiting[0]))
	default:
		return yes(mcpv1alpha1.ReasonProgrammed, "every ready sampler of every server that the policy governs has loaded it")
	}
}

// names lists a few names.
func names(list []string) string {
	const most = 5
	quoted := make([]string, 0, most)
	for _, n := range list[:min(len(list), most)] {
		quoted = append(quoted, quote(n))
	}
	text := strings.Join(quoted, ", ")
	if len(list) > most {
		text += " and others"
	}
	return text
}
