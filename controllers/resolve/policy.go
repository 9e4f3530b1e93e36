package resolve

import (
	"cmp"
	"fmt"
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
	var all []candidate
	for i := range policies {
		p := &policies[i]
		if rank := RankOf(p, server); rank != NotTargeted && p.DeletionTimestamp.IsZero() {
			all = append(all, candidate{rank, p})
		}
	}
	if len(all) == 0 {
		return nil, nil
	}
	slices.SortFunc(all, candidate.before)
	for _, c := range all[1:] {
		losers = append(losers, c.policy.Name)
	}
	return all[0].policy, losers
}

// candidate is a policy that targets a certain server.
type candidate struct {
	rank   Rank
	policy *mcpv1alpha1.SamplingPolicy
}

// before is negative if c wins over other.
func (c candidate) before(other candidate) int {
	return cmp.Or(cmp.Compare(other.rank, c.rank), byAge(c.policy, other.policy))
}

// byAge orders policies of the same rank.
func byAge(a, b *mcpv1alpha1.SamplingPolicy) int {
	return cmp.Or(
		a.CreationTimestamp.Compare(b.CreationTimestamp.Time),
		cmp.Compare(a.Name, b.Name),
	)
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
	for key, value := range selector.MatchLabels {
		if has, ok := of[key]; !ok || has != string(value) {
			return false // most often, and without the work below
		}
	}
	compiled, _ := compile(selector)
	return compiled.Matches(labels.Set(of))
}

// compile returns a selector that selects nothing beside the error for what
// Kubernetes takes for no selector, which the API server refuses but for a few
// odd keys.
func compile(selector *mcpv1alpha1.LabelSelector) (labels.Selector, error) {
	if selector == nil {
		return labels.Nothing(), nil
	}
	compiled, err := metav1.LabelSelectorAsSelector(LabelSelector(selector))
	if err != nil {
		return labels.Nothing(), fmt.Errorf("spec.targetSelector: %w", err)
	}
	return compiled, nil
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
