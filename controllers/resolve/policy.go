package resolve

import (
	"cmp"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
)

// Rank says how a policy targets a server. The higher one wins.
type Rank int

const (
	// NotTargeted means that the policy is not for the server.
	NotTargeted Rank = iota
	// Selected means that spec.targetSelector selects the server.
	Selected
	// Named means that spec.targetRefs names the server.
	Named
)

// RankOf returns how a policy targets a server of its namespace.
func RankOf(policy *mcpv1alpha1.SamplingPolicy, server metav1.Object) Rank {
	names := func(ref mcpv1alpha1.TargetRef) bool { return ref.Name == server.GetName() && isServer(ref) }
	switch selector := policy.Spec.TargetSelector; {
	case slices.ContainsFunc(policy.Spec.TargetRefs, names):
		return Named
	case selector != nil && selects(selector, server.GetLabels()):
		return Selected
	default:
		return NotTargeted
	}
}

// Governing returns the policy that governs a server, and the names of those
// that target it in vain, in their order. A policy that names the server wins
// over those that select it, then the oldest, then the first by name, so that
// the choice never depends on who looks.
//
// Policies that are being deleted do not count. An invalid policy does: that
// another one silently takes over while somebody repairs a typing error would
// be a surprise.
func Governing(server metav1.Object, policies []mcpv1alpha1.SamplingPolicy) (winner *mcpv1alpha1.SamplingPolicy, losers []string) {
	type candidate struct {
		rank   Rank
		policy *mcpv1alpha1.SamplingPolicy
	}
	var candidates []candidate
	for i := range policies {
		p := &policies[i]
		if rank := RankOf(p, server); rank != NotTargeted && p.DeletionTimestamp.IsZero() {
			candidates = append(candidates, candidate{rank, p})
		}
	}
	if len(candidates) == 0 {
		return nil, nil
	}
	slices.SortFunc(candidates, func(a, b candidate) int {
		return cmp.Or(
			cmp.Compare(b.rank, a.rank),
			a.policy.CreationTimestamp.Compare(b.policy.CreationTimestamp.Time),
			cmp.Compare(a.policy.Name, b.policy.Name),
		)
	})
	for _, c := range candidates[1:] {
		losers = append(losers, c.policy.Name)
	}
	return candidates[0].policy, losers
}

// NamedTargets returns the names of the servers that a policy names, sorted, each
// once.
func NamedTargets(policy *mcpv1alpha1.SamplingPolicy) []string {
	var names []string
	for _, ref := range policy.Spec.TargetRefs {
		if isServer(ref) {
			names = append(names, ref.Name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func isServer(ref mcpv1alpha1.TargetRef) bool {
	return (ref.Kind == "" || ref.Kind == mcpv1alpha1.KindMCPServer) &&
		(ref.Group == "" || ref.Group == mcpv1alpha1.GroupVersion.Group)
}

func selects(selector *mcpv1alpha1.LabelSelector, of map[string]string) bool {
	compiled, err := metav1.LabelSelectorAsSelector(LabelSelector(selector))
	// The API server refuses what cannot be compiled; here it selects nothing.
	return err == nil && compiled.Matches(labels.Set(of))
}

// LabelSelector returns Kubernetes' own form of a selector.
func LabelSelector(from *mcpv1alpha1.LabelSelector) *metav1.LabelSelector {
	out := &metav1.LabelSelector{}
	for key, value := range from.MatchLabels {
		metav1.AddLabelToSelector(out, key, string(value))
	}
	for _, r := range from.MatchExpressions {
		requirement := metav1.LabelSelectorRequirement{Key: r.Key, Operator: r.Operator}
		for _, value := range r.Values {
			requirement.Values = append(requirement.Values, string(value))
		}
		out.MatchExpressions = append(out.MatchExpressions, requirement)
	}
	return out
}

// Conflict is a target that another policy governs.
type Conflict struct {
	Target string `json:"target"`
	// Policy governs it.
	Policy string `json:"policy"`
	// Overridden says that it does because it names the target, which this policy
	// only selects.
	Overridden bool `json:"overridden,omitempty"`
}

// PolicyPlan is what a policy achieves.
type PolicyPlan struct {
	// Governs are the servers that it governs, sorted.
	Governs []string `json:"governs,omitempty"`
	// Conflicts are the targets that others govern, sorted by target.
	Conflicts []Conflict `json:"conflicts,omitempty"`
	// Missing are the servers that it names and that are not there, sorted.
	Missing []string `json:"missing,omitempty"`
	// Problem says why samplers would refuse the policy; empty if they take it.
	Problem string `json:"problem,omitempty"`
}

// Policy plans one policy among all policies of its namespace, with the servers
// there that are not going.
func Policy(policy *mcpv1alpha1.SamplingPolicy, all []mcpv1alpha1.SamplingPolicy, servers []metav1.Object) PolicyPlan {
	var plan PolicyPlan
	there := map[string]bool{}
	for _, server := range servers {
		name := server.GetName()
		there[name] = true
		rank := RankOf(policy, server)
		if rank == NotTargeted {
			continue
		}
		winner, _ := Governing(server, all)
		switch {
		case winner == nil: // the policy is being deleted
		case winner.Name == policy.Name:
			plan.Governs = append(plan.Governs, name)
		default:
			plan.Conflicts = append(plan.Conflicts, Conflict{
				Target: name, Policy: winner.Name, Overridden: RankOf(winner, server) > rank,
			})
		}
	}
	slices.Sort(plan.Governs)
	slices.SortFunc(plan.Conflicts, func(a, b Conflict) int { return cmp.Compare(a.Target, b.Target) })
	for _, name := range NamedTargets(policy) {
		if !there[name] {
			plan.Missing = append(plan.Missing, name)
		}
	}
	if _, _, err := effectivePolicy(policy); err != nil {
		plan.Problem = err.Error()
	}
	return plan
}
