package resolve_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
	"github.com/mcp-sampling/mcp-sampling-operator/controllers/resolve"
)

func policyNamed(name string, second int, change ...func(*mcpv1alpha1.SamplingPolicySpec)) mcpv1alpha1.SamplingPolicy {
	p := mcpv1alpha1.SamplingPolicy{ObjectMeta: metav1.ObjectMeta{
		Name: name, UID: types.UID(name), CreationTimestamp: metav1.Unix(int64(second), 0),
	}}
	for _, c := range change {
		c(&p.Spec)
	}
	return p
}

func naming(servers ...string) func(*mcpv1alpha1.SamplingPolicySpec) {
	return func(s *mcpv1alpha1.SamplingPolicySpec) {
		for _, name := range servers {
			s.TargetRefs = append(s.TargetRefs, mcpv1alpha1.TargetRef{Name: name})
		}
	}
}

func selecting(labels map[string]string, requirements ...mcpv1alpha1.LabelRequirement) func(*mcpv1alpha1.SamplingPolicySpec) {
	return func(s *mcpv1alpha1.SamplingPolicySpec) {
		s.TargetSelector = &mcpv1alpha1.LabelSelector{MatchExpressions: requirements}
		for key, value := range labels {
			if s.TargetSelector.MatchLabels == nil {
				s.TargetSelector.MatchLabels = map[string]mcpv1alpha1.LabelValue{}
			}
			s.TargetSelector.MatchLabels[key] = mcpv1alpha1.LabelValue(value)
		}
	}
}

func TestRankOf(t *testing.T) {
	type requirement = mcpv1alpha1.LabelRequirement
	is := func(operator metav1.LabelSelectorOperator, values ...mcpv1alpha1.LabelValue) requirement {
		return requirement{Key: "team", Operator: operator, Values: values}
	}
	for name, tc := range map[string]struct {
		targets func(*mcpv1alpha1.SamplingPolicySpec)
		labels  map[string]string
		want    resolve.Rank
	}{
		"a name":       {targets: naming("other", "demo"), want: resolve.Named},
		"another name": {targets: naming("other"), want: resolve.NotTargeted},
		"a name of another kind": {targets: func(s *mcpv1alpha1.SamplingPolicySpec) {
			s.TargetRefs = []mcpv1alpha1.TargetRef{{Kind: "Service", Name: "demo"}}
		}, want: resolve.NotTargeted},
		"the empty selector":                 {targets: selecting(nil), want: resolve.Selected},
		"a label":                            {targets: selecting(map[string]string{"team": "a"}), labels: map[string]string{"team": "a", "x": "y"}, want: resolve.Selected},
		"another value of a label":           {targets: selecting(map[string]string{"team": "a"}), labels: map[string]string{"team": "b"}, want: resolve.NotTargeted},
		"a label that is not there":          {targets: selecting(map[string]string{"team": ""}), want: resolve.NotTargeted},
		"one label of two":                   {targets: selecting(map[string]string{"team": "a", "x": "y"}), labels: map[string]string{"team": "a"}, want: resolve.NotTargeted},
		"one of the values":                  {targets: selecting(nil, is("In", "a", "b")), labels: map[string]string{"team": "b"}, want: resolve.Selected},
		"none of the values":                 {targets: selecting(nil, is("NotIn", "a", "b")), labels: map[string]string{"team": "c"}, want: resolve.Selected},
		"none of the values, without it":     {targets: selecting(nil, is("NotIn", "a", "b")), want: resolve.Selected},
		"the key":                            {targets: selecting(nil, is("Exists")), labels: map[string]string{"team": ""}, want: resolve.Selected},
		"the key that must not be there":     {targets: selecting(nil, is("DoesNotExist")), labels: map[string]string{"team": ""}, want: resolve.NotTargeted},
		"a label, but not the other":         {targets: selecting(map[string]string{"x": "y"}, is("Exists")), labels: map[string]string{"x": "y"}, want: resolve.NotTargeted},
		"what Kubernetes takes for no label": {targets: selecting(nil, requirement{Key: "a..b/c", Operator: "DoesNotExist"}), want: resolve.NotTargeted},
		"a name beside a selector": {targets: func(s *mcpv1alpha1.SamplingPolicySpec) {
			naming("demo")(s)
			selecting(nil)(s)
		}, want: resolve.Named},
		"a selector beside another name": {targets: func(s *mcpv1alpha1.SamplingPolicySpec) {
			naming("other")(s)
			selecting(nil)(s)
		}, want: resolve.Selected},
		"nothing": {targets: func(*mcpv1alpha1.SamplingPolicySpec) {}, want: resolve.NotTargeted},
	} {
		t.Run(name, func(t *testing.T) {
			policy := policyNamed("policy", 1, tc.targets)
			server := &metav1.ObjectMeta{Name: "demo", Labels: tc.labels}
			if got := resolve.RankOf(&policy, server); got != tc.want {
				t.Errorf("the rank is %d, want %d", got, tc.want)
			}
			want := tc.want != resolve.NotTargeted
			if got := len(resolve.TargetsOf(&policy, []metav1.Object{server})) == 1; got != want {
				t.Errorf("it is a target: %t, want %t", got, want)
			}
		})
	}
}

func TestNamedBeatsSelectedThenTheOldestThenTheFirstByName(t *testing.T) {
	all, team := selecting(nil), selecting(map[string]string{"team": "a"})
	for name, tc := range map[string]struct {
		policies []mcpv1alpha1.SamplingPolicy
		want     string
		losers   []string
	}{
		"a younger one names it":               {[]mcpv1alpha1.SamplingPolicy{policyNamed("a", 1, all), policyNamed("b", 2, naming("demo"))}, "b", []string{"a"}},
		"both name it":                         {[]mcpv1alpha1.SamplingPolicy{policyNamed("a", 2, naming("demo")), policyNamed("b", 1, naming("demo"))}, "b", []string{"a"}},
		"a narrow selector is no better":       {[]mcpv1alpha1.SamplingPolicy{policyNamed("a", 2, team), policyNamed("b", 1, all)}, "b", []string{"a"}},
		"both of the same age":                 {[]mcpv1alpha1.SamplingPolicy{policyNamed("b", 1, all), policyNamed("a", 1, team)}, "a", []string{"b"}},
		"names before age before the alphabet": {[]mcpv1alpha1.SamplingPolicy{policyNamed("a", 1, all), policyNamed("b", 1, team), policyNamed("c", 9, naming("demo")), policyNamed("d", 8, naming("demo"))}, "d", []string{"c", "a", "b"}},
	} {
		t.Run(name, func(t *testing.T) {
			winner, losers := resolve.Governing(&metav1.ObjectMeta{Name: "demo", Labels: map[string]string{"team": "a"}}, tc.policies)
			if winner == nil || winner.Name != tc.want {
				t.Errorf("the winner is %+v, want %s", winner, tc.want)
			}
			if diff := cmp.Diff(tc.losers, losers); diff != "" {
				t.Errorf("losers (-want +got):\n%s", diff)
			}
		})
	}
}

// What the statuses of policies say is what the servers are given.
func TestPlansOfPoliciesAgreeWithWhatGoverns(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		var policies []mcpv1alpha1.SamplingPolicy
		for i := range 1 + r.IntN(6) {
			p := policyNamed(fmt.Sprintf("p%d", i), r.IntN(3))
			for range r.IntN(3) {
				naming(fmt.Sprintf("s%d", r.IntN(7)))(&p.Spec)
			}
			if r.IntN(2) == 0 {
				selecting(map[string]string{"team": string(rune('a' + r.IntN(2)))})(&p.Spec)
			}
			if r.IntN(6) == 0 {
				now := metav1.Unix(9, 0)
				p.DeletionTimestamp = &now
			}
			policies = append(policies, p)
		}
		rankOf := func(policy string, server metav1.Object) resolve.Rank {
			i := slices.IndexFunc(policies, func(p mcpv1alpha1.SamplingPolicy) bool { return p.Name == policy })
			return resolve.RankOf(&policies[i], server)
		}
		var servers []metav1.Object
		for i := range 5 {
			servers = append(servers, &metav1.ObjectMeta{Name: fmt.Sprintf("s%d", i), Labels: map[string]string{"team": string(rune('a' + r.IntN(3)))}})
		}
		plans := resolve.Policies(policies, servers)
		for _, server := range servers {
			winner, losers := resolve.Governing(server, policies)
			var governedBy []string
			inVain := map[string]bool{}
			for i, plan := range plans {
				for _, name := range plan.Governs {
					if name == server.GetName() {
						governedBy = append(governedBy, policies[i].Name)
					}
				}
				for _, c := range plan.Conflicts {
					if c.Target == server.GetName() {
						inVain[policies[i].Name] = true
						if selected := rankOf(policies[i].Name, server) == resolve.Selected; c.Selected != selected || c.Because == "" {
							t.Errorf("seed %d: %s has lost %s with selected %t because %q, want %t and why", seed, policies[i].Name, c.Target, c.Selected, c.Because, selected)
						}
						if winner == nil || c.Policy != winner.Name {
							t.Errorf("seed %d: %s says that %s governs %s, and %+v does", seed, policies[i].Name, c.Policy, c.Target, winner)
						}
					}
				}
			}
			switch {
			case winner == nil && len(governedBy) != 0,
				winner != nil && (len(governedBy) != 1 || governedBy[0] != winner.Name):
				t.Errorf("seed %d: %s is governed by %v, want %+v", seed, server.GetName(), governedBy, winner)
			}
			if len(losers) != len(inVain) {
				t.Errorf("seed %d: %v target %s in vain, want %v", seed, inVain, server.GetName(), losers)
			}
		}
	}
}

func BenchmarkPolicies(b *testing.B) {
	policies, servers := crowd(100, 1000)
	b.Run("that select", func(b *testing.B) {
		for b.Loop() {
			resolve.Policies(policies, servers)
		}
	})
	var named []mcpv1alpha1.SamplingPolicy
	for i := range policies {
		named = append(named, policyNamed(fmt.Sprintf("n%d", i), i))
	}
	for i, server := range servers {
		naming(server.GetName())(&named[i%len(named)].Spec)
	}
	b.Run("that name", func(b *testing.B) {
		for b.Loop() {
			resolve.Policies(named, servers)
		}
	})
}

func BenchmarkGoverning(b *testing.B) {
	policies, servers := crowd(100, 1)
	for b.Loop() {
		resolve.Governing(servers[0], policies)
	}
}

// crowd is one namespace with many policies, each for a team, and a default.
func crowd(policies, servers int) (all []mcpv1alpha1.SamplingPolicy, there []metav1.Object) {
	all = append(all, policyNamed("default", 1, selecting(nil)))
	for i := 1; i < policies; i++ {
		all = append(all, policyNamed(fmt.Sprintf("p%d", i), i, selecting(map[string]string{"team": fmt.Sprint(i)},
			mcpv1alpha1.LabelRequirement{Key: "tier", Operator: "In", Values: []mcpv1alpha1.LabelValue{"a", "b"}})))
	}
	for i := range servers {
		there = append(there, &metav1.ObjectMeta{Name: fmt.Sprintf("s%d", i), Labels: map[string]string{"team": fmt.Sprint(i % policies), "tier": "a"}})
	}
	return all, there
}
