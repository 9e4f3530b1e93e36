package status

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
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
	// Servers are the MCPServers of the namespace by name; their status says what
	// samplers have loaded.
	Servers map[string]*mcpv1alpha1.MCPServer
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
			Conflicted: int32(len(in.Plan.Conflicts)),              //nolint:gosec // the same
		},
		Problems: problems(in, waiting),
	}
	c := newConditions(in.Policy.Status.Conditions, in.Policy.Generation, in.Now)
	accepted := policyAccepted(in)
	c.set(mcpv1alpha1.ConditionAccepted, accepted)
	c.set(mcpv1alpha1.ConditionProgrammed, policyProgrammed(in, accepted, waiting))
	out.Conditions = c.list
	return out
}

// loadedBy says whether the samplers of a server have loaded the policy as it is
// now.
func loadedBy(in PolicyInput, server string) bool {
	s := in.Servers[server]
	return s != nil && given(in, s) && s.Status.SamplingPolicy.ProgrammedGeneration == in.Policy.Generation
}

// given says whether a server is said to be governed by the policy already.
func given(in PolicyInput, server *mcpv1alpha1.MCPServer) bool {
	attached := server.Status.SamplingPolicy
	return attached != nil && attached.Name == in.Policy.Name && attached.UID == in.Policy.UID
}

// problems lists the targets that the policy does not reach, the first by name.
func problems(in PolicyInput, waiting []string) []mcpv1alpha1.TargetProblem {
	var out []mcpv1alpha1.TargetProblem
	for _, c := range in.Plan.Conflicts {
		out = append(out, conflict(c))
	}
	for _, name := range in.Plan.Missing {
		out = append(out, mcpv1alpha1.TargetProblem{
			Target: name, Reason: mcpv1alpha1.ReasonTargetNotFound,
			Message: "no MCPServer of this name is in this namespace: create it, or correct spec.targetRefs",
		})
	}
	// One that samplers refuse is loaded by none of them: the conditions say it once.
	if in.Plan.Problem == "" {
		for _, name := range waiting {
			out = append(out, notLoaded(in, name))
		}
	}
	slices.SortFunc(out, func(a, b mcpv1alpha1.TargetProblem) int { return cmp.Compare(a.Target, b.Target) })
	return out[:min(len(out), maxProblems)]
}

func conflict(c resolve.Conflict) mcpv1alpha1.TargetProblem {
	out := mcpv1alpha1.TargetProblem{Target: c.Target, Reason: mcpv1alpha1.ReasonConflicted, Policy: c.Policy}
	why := fmt.Sprintf("SamplingPolicy %s %s", quote(c.Policy), wins(c.Because))
	switch {
	case c.Because == resolve.BecauseNamed:
		out.Reason = mcpv1alpha1.ReasonOverridden
		out.Message = why + "; if that is not meant, remove the server from its spec.targetRefs"
	case c.Selected:
		out.Message = why + ": narrow the spec.targetSelector of one of the two, or name the server in spec.targetRefs of the one that is to govern it"
	default:
		out.Message = why + ": remove the server from spec.targetRefs of one of the two"
	}
	return out
}

// wins says why a policy wins over another one.
func wins(because resolve.Because) string {
	switch because {
	case resolve.BecauseNamed:
		return "names the server, and names go before selectors"
	case resolve.BecauseOlder:
		return "governs it, because it is older"
	default:
		return "governs it, because both are of the same age and it is the first by name"
	}
}

// notLoaded repeats what the server says of its sampling, if that is why.
func notLoaded(in PolicyInput, name string) mcpv1alpha1.TargetProblem {
	out := mcpv1alpha1.TargetProblem{
		Target: name, Reason: mcpv1alpha1.ReasonPending,
		Message: "the server's samplers have not loaded the policy yet; they do so by themselves within seconds",
	}
	server := in.Servers[name]
	if server == nil || !given(in, server) {
		return out
	}
	c := meta.FindStatusCondition(server.Status.Conditions, mcpv1alpha1.ConditionSamplingReady)
	if c != nil && c.Status != metav1.ConditionTrue {
		out.Reason, out.Message = c.Reason, c.Message
	}
	return out
}

func policyAccepted(in PolicyInput) verdict {
	plan := in.Plan
	conflicted := slices.ContainsFunc(plan.Conflicts, func(c resolve.Conflict) bool { return c.Because != resolve.BecauseNamed })
	switch {
	case plan.Problem != "":
		return no(mcpv1alpha1.ReasonInvalidPolicy, "samplers would refuse this policy; correct it: "+plan.Problem)
	case len(plan.Governs) > 0:
		return yes(mcpv1alpha1.ReasonAccepted, "the policy governs "+names(plan.Governs)+ungoverned(", but not ", plan)+missing(plan))
	case conflicted:
		return no(mcpv1alpha1.ReasonConflicted, "other policies govern every target"+ungoverned(", such as ", plan)+missing(plan))
	case len(plan.Missing) > 0:
		return no(mcpv1alpha1.ReasonTargetNotFound,
			fmt.Sprintf("no MCPServer %s is in this namespace: create it, or correct spec.targetRefs", names(plan.Missing)))
	case len(plan.Conflicts) > 0:
		// What a default is for: nothing has to be put right.
		return yes(mcpv1alpha1.ReasonAccepted,
			"every server that the policy selects is governed by one that names it"+ungoverned(", such as ", plan))
	default:
		return yes(mcpv1alpha1.ReasonAccepted,
			"no MCPServer of this namespace has labels that spec.targetSelector selects; one that gets them is governed at once")
	}
}

// ungoverned tells of the first target that another policy governs.
func ungoverned(link string, plan resolve.PolicyPlan) string {
	if len(plan.Conflicts) == 0 {
		return ""
	}
	first := conflict(plan.Conflicts[0])
	others := ""
	if len(plan.Conflicts) > 1 {
		others = " (status.problems lists the others)"
	}
	return link + quote(first.Target) + ": " + first.Message + others
}

func missing(plan resolve.PolicyPlan) string {
	if len(plan.Missing) == 0 {
		return ""
	}
	return fmt.Sprintf("; no MCPServer %s is in this namespace", names(plan.Missing))
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
	case len(in.Plan.Governs) == 0:
		return yes(mcpv1alpha1.ReasonProgrammed, "the policy governs no server, so no sampler has to load it")
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
