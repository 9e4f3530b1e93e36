package resolve

import (
	"cmp"
	"slices"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
)

// Governing returns the policy that governs the server of that name, and the
// names of those that target it in vain, in their order. The oldest wins, then
// the first by name, so that the choice never depends on who looks.
//
// Policies that are being deleted do not count. An invalid policy does: that
// another one silently takes over while somebody repairs a typing error would
// be a surprise.
func Governing(server string, policies []mcpv1alpha1.SamplingPolicy) (winner *mcpv1alpha1.SamplingPolicy, losers []string) {
	var candidates []*mcpv1alpha1.SamplingPolicy
	for i := range policies {
		if p := &policies[i]; p.DeletionTimestamp.IsZero() && targets(p, server) {
			candidates = append(candidates, p)
		}
	}
	if len(candidates) == 0 {
		return nil, nil
	}
	slices.SortFunc(candidates, func(a, b *mcpv1alpha1.SamplingPolicy) int {
		return cmp.Or(
			a.CreationTimestamp.Compare(b.CreationTimestamp.Time),
			cmp.Compare(a.Name, b.Name),
		)
	})
	for _, p := range candidates[1:] {
		losers = append(losers, p.Name)
	}
	return candidates[0], losers
}

// Targets returns the names of the servers that a policy names, sorted, each
// once.
func Targets(policy *mcpv1alpha1.SamplingPolicy) []string {
	var names []string
	for _, ref := range policy.Spec.TargetRefs {
		if isServer(ref) {
			names = append(names, ref.Name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func targets(policy *mcpv1alpha1.SamplingPolicy, server string) bool {
	return slices.ContainsFunc(policy.Spec.TargetRefs, func(ref mcpv1alpha1.TargetRef) bool {
		return ref.Name == server && isServer(ref)
	})
}

func isServer(ref mcpv1alpha1.TargetRef) bool {
	return (ref.Kind == "" || ref.Kind == mcpv1alpha1.KindMCPServer) &&
		(ref.Group == "" || ref.Group == mcpv1alpha1.GroupVersion.Group)
}

// PolicyPlan is what a policy achieves.
type PolicyPlan struct {
	// Governs are the servers that it governs, sorted.
	Governs []string `json:"governs,omitempty"`
	// Conflicts are the targets that others govern, sorted by target.
	Conflicts []mcpv1alpha1.Conflict `json:"conflicts,omitempty"`
	// Missing are the targets that are not there, sorted.
	Missing []string `json:"missing,omitempty"`
	// Problem says why samplers would refuse the policy; empty if they take it.
	Problem string `json:"problem,omitempty"`
}

// Policy plans one policy among all policies of its namespace, with the names
// of the servers there.
func Policy(policy *mcpv1alpha1.SamplingPolicy, all []mcpv1alpha1.SamplingPolicy, servers []string) PolicyPlan {
	var plan PolicyPlan
	for _, target := range Targets(policy) {
		if !slices.Contains(servers, target) {
			plan.Missing = append(plan.Missing, target)
			continue
		}
		winner, _ := Governing(target, all)
		switch {
		case winner == nil: // the policy is being deleted
		case winner.Name == policy.Name:
			plan.Governs = append(plan.Governs, target)
		default:
			plan.Conflicts = append(plan.Conflicts, mcpv1alpha1.Conflict{Target: target, Policy: winner.Name})
		}
	}
	if _, _, err := effectivePolicy(policy); err != nil {
		plan.Problem = err.Error()
	}
	return plan
}
