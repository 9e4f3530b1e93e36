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
	all := directoryOf(policies)
	var hits []hit // for all servers
	for _, server := range servers {
		there[server.GetName()] = true
		hits = all.find(hits, server)
		attach(plans, hits, server.GetName())
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
	t := newTargets(policy)
	var out []string
	for _, server := range servers {
		if slices.Contains(t.named, server.GetName()) || t.selects(server) {
			out = append(out, server.GetName())
		}
	}
	return out
}

// targets is whom a policy is for, made once for many servers.
type targets struct {
	index    int // of the policy and its plan
	policy   *mcpv1alpha1.SamplingPolicy
	named    []string
	selector labels.Selector // nil selects nothing
}

func newTargets(policy *mcpv1alpha1.SamplingPolicy) targets {
	t := targets{policy: policy, named: NamedTargets(policy)}
	if policy.Spec.TargetSelector != nil {
		t.selector, _ = compile(policy.Spec.TargetSelector)
	}
	return t
}

func (t *targets) selects(server metav1.Object) bool {
	return t.selector != nil && t.selector.Matches(labels.Set(server.GetLabels()))
}

// directory finds the policies that are for a server, without a look at those that
// name others only.
type directory struct {
	naming    map[string][]*targets // by the name of the server
	selecting []*targets
}

// directoryOf holds the policies that count.
func directoryOf(policies []mcpv1alpha1.SamplingPolicy) directory {
	d := directory{naming: map[string][]*targets{}}
	for i := range policies {
		if !policies[i].DeletionTimestamp.IsZero() {
			continue
		}
		t := newTargets(&policies[i])
		t.index = i
		for _, name := range t.named {
			d.naming[name] = append(d.naming[name], &t)
		}
		if t.selector != nil {
			d.selecting = append(d.selecting, &t)
		}
	}
	return d
}

// hit is a policy that is for a certain server.
type hit struct {
	candidate
	index int // of the policy and its plan
}

// find returns the policies that are for a server, each once, in the room of hits.
func (d directory) find(hits []hit, server metav1.Object) []hit {
	hits = hits[:0]
	for _, t := range d.naming[server.GetName()] {
		hits = append(hits, hit{candidate{Named, t.policy}, t.index})
	}
	naming := len(hits)
	for _, t := range d.selecting {
		isNamed := slices.ContainsFunc(hits[:naming], func(h hit) bool { return h.index == t.index })
		if !isNamed && t.selects(server) {
			hits = append(hits, hit{candidate{Selected, t.policy}, t.index})
		}
	}
	return hits
}

// attach enters one server into the plans of the policies that are for it.
func attach(plans []PolicyPlan, hits []hit, server string) {
	if len(hits) == 0 {
		return
	}
	winner := slices.MinFunc(hits, func(a, b hit) int { return a.before(b.candidate) })
	for _, h := range hits {
		plan := &plans[h.index]
		if h.index == winner.index {
			plan.Governs = append(plan.Governs, server)
			continue
		}
		plan.Conflicts = append(plan.Conflicts, Conflict{
			Target: server, Policy: winner.policy.Name, Selected: h.rank == Selected, Because: because(winner.candidate, h.candidate),
		})
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
