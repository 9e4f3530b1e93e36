package resolve

import (
	"cmp"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
)

// Because says why one policy wins over another.
type Because string

const (
	// BecauseNamed means that it names the target, which the other one only
	// selects.
	BecauseNamed Because = "Named"
	// BecauseOlder means that it was made earlier.
	BecauseOlder Because = "Older"
	// BecauseFirst means that both are of the same age, and it is the first by name.
	BecauseFirst Because = "First"
)

// Conflict is a target that another policy governs.
type Conflict struct {
	Target string `json:"target"`
	// Policy governs it.
	Policy string `json:"policy"`
	// Because says why it wins.
	Because Because `json:"because"`
	// Selected says that the policy that does not govern it only selects it.
	Selected bool `json:"selected,omitempty"`
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

// Policies plans all policies of a namespace, with the servers there that are not
// going. The plans come in the order of the policies; those of policies that are
// being deleted govern nothing.
func Policies(policies []mcpv1alpha1.SamplingPolicy, servers []metav1.Object) []PolicyPlan {
	plans := make([]PolicyPlan, len(policies))
	there := make(map[string]bool, len(servers))
	all := inOrder(policies)
	for _, server := range servers {
		there[server.GetName()] = true
		attach(plans, all, server)
	}
	for i := range policies {
		plan := &plans[i]
		slices.Sort(plan.Governs)
		slices.SortFunc(plan.Conflicts, func(a, b Conflict) int { return cmp.Compare(a.Target, b.Target) })
		for _, name := range NamedTargets(&policies[i]) {
			if !there[name] {
				plan.Missing = append(plan.Missing, name)
			}
		}
		if _, err := EffectivePolicy(&policies[i]); err != nil {
			plan.Problem = err.Error()
		}
	}
	return plans
}

// TargetsOf returns the names of those of the servers that a policy names or
// selects.
func TargetsOf(policy *mcpv1alpha1.SamplingPolicy, servers []metav1.Object) []string {
	var out []string
	t := newTargets(policy)
	for _, server := range servers {
		if t.rankOf(server) != NotTargeted {
			out = append(out, server.GetName())
		}
	}
	return out
}

// targets is whom a policy is for, made once for many servers.
type targets struct {
	index    int // of the policy and its plan
	policy   *mcpv1alpha1.SamplingPolicy
	named    map[string]bool
	selector labels.Selector
}

func newTargets(policy *mcpv1alpha1.SamplingPolicy) targets {
	t := targets{policy: policy, named: map[string]bool{}}
	for _, name := range NamedTargets(policy) {
		t.named[name] = true
	}
	t.selector, _ = compile(policy.Spec.TargetSelector)
	return t
}

// inOrder returns the targets of the policies that count, the oldest first.
func inOrder(policies []mcpv1alpha1.SamplingPolicy) []targets {
	var out []targets
	for i := range policies {
		if policies[i].DeletionTimestamp.IsZero() {
			t := newTargets(&policies[i])
			t.index = i
			out = append(out, t)
		}
	}
	slices.SortFunc(out, func(a, b targets) int { return byAge(a.policy, b.policy) })
	return out
}

func (t *targets) rankOf(server metav1.Object) Rank {
	switch {
	case t.named[server.GetName()]:
		return Named
	case t.selector.Matches(labels.Set(server.GetLabels())):
		return Selected
	default:
		return NotTargeted
	}
}

// attach enters one server into the plans.
func attach(plans []PolicyPlan, all []targets, server metav1.Object) {
	var winner *targets
	var best Rank
	ranks := make([]Rank, len(all))
	for i := range all {
		if ranks[i] = all[i].rankOf(server); ranks[i] > best {
			winner, best = &all[i], ranks[i]
		}
	}
	for i := range all {
		plan := &plans[all[i].index]
		switch {
		case ranks[i] == NotTargeted:
		case &all[i] == winner:
			plan.Governs = append(plan.Governs, server.GetName())
		default:
			plan.Conflicts = append(plan.Conflicts, Conflict{
				Target: server.GetName(), Policy: winner.policy.Name, Selected: ranks[i] == Selected,
				Because: because(candidate{best, winner.policy}, candidate{ranks[i], all[i].policy}),
			})
		}
	}
}

func because(winner, loser candidate) Because {
	switch {
	case winner.rank > loser.rank:
		return BecauseNamed
	case winner.policy.CreationTimestamp.Time.Before(loser.policy.CreationTimestamp.Time):
		return BecauseOlder
	default:
		return BecauseFirst
	}
}
