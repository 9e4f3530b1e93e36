package controllers

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
)

// fakeCaches stand for the caches of servers and of policies: each shows an
// earlier moment, and not the same one. Neither ever goes back.
type fakeCaches struct {
	client.Client
	namespace string

	servers            []mcpv1alpha1.MCPServerList
	policies           []mcpv1alpha1.SamplingPolicyList
	serverAt, policyAt int
}

func newFakeCaches(b *bench) *fakeCaches {
	f := &fakeCaches{Client: b.Client, namespace: b.namespace}
	f.grow(b)
	return f
}

// grow lets the caches know of another moment, which they need not show yet.
func (f *fakeCaches) grow(b *bench) {
	b.Helper()
	var servers mcpv1alpha1.MCPServerList
	var policies mcpv1alpha1.SamplingPolicyList
	for _, list := range []client.ObjectList{&servers, &policies} {
		if err := f.Client.List(b.Context(), list, client.InNamespace(f.namespace)); err != nil {
			b.Fatal(err)
		}
	}
	f.servers, f.policies = append(f.servers, servers), append(f.policies, policies)
}

func (f *fakeCaches) showServers()  { f.serverAt = len(f.servers) - 1 }
func (f *fakeCaches) showPolicies() { f.policyAt = len(f.policies) - 1 }

func (f *fakeCaches) Get(ctx context.Context, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
	into, ok := obj.(*mcpv1alpha1.MCPServer)
	if !ok {
		return f.Client.Get(ctx, key, obj, opts...)
	}
	for i := range f.servers[f.serverAt].Items {
		if s := &f.servers[f.serverAt].Items[i]; s.Name == key.Name {
			s.DeepCopyInto(into)
			return nil
		}
	}
	return apierrors.NewNotFound(schema.GroupResource{Resource: "mcpservers"}, key.Name)
}

func (f *fakeCaches) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	into, ok := list.(*mcpv1alpha1.SamplingPolicyList)
	if !ok {
		return f.Client.List(ctx, list, opts...)
	}
	f.policies[f.policyAt].DeepCopyInto(into)
	return nil
}

// behindCaches returns a reconciler that reads from such caches, and the API
// server only where it says so.
func (b *bench) behindCaches() (*ServerReconciler, *fakeCaches) {
	caches := newFakeCaches(b)
	r := b.reconciler()
	r.client = caches
	return r, caches
}

// given is what the samplers of a server are given: a policy, and its limit on
// tokens, by which its versions are told apart.
func given(b *bench, server string) string {
	b.Helper()
	c := loaded(b, server)
	if c.Policy == nil {
		return "nothing"
	}
	return fmt.Sprintf("%s %d", c.Policy.Name, c.Policy.Parameters.MaxTokens.Max)
}

func maxTokens(n int64) func(*mcpv1alpha1.SamplingPolicy) {
	return func(p *mcpv1alpha1.SamplingPolicy) { p.Spec.Parameters.MaxTokens.Max = n }
}

func selectTeam(team string) func(*mcpv1alpha1.SamplingPolicy) {
	return func(p *mcpv1alpha1.SamplingPolicy) {
		p.Spec.TargetRefs = nil
		p.Spec.TargetSelector = &mcpv1alpha1.LabelSelector{}
		if team != "" {
			p.Spec.TargetSelector.MatchLabels = map[string]mcpv1alpha1.LabelValue{"team": mcpv1alpha1.LabelValue(team)}
		}
	}
}

func label(team string) func(*mcpv1alpha1.MCPServer) {
	return func(s *mcpv1alpha1.MCPServer) { s.Labels = map[string]string{"team": team} }
}

// The server leaves a policy, which is then relaxed for others. Whichever cache
// is behind, the server must not get what was never meant for it.
func TestNothingIsGivenThatWasNeverDeclared(t *testing.T) {
	type step = func(*bench)
	relabel := func(b *bench) { change(b, "demo", &mcpv1alpha1.MCPServer{}, label("b")) }
	relax := func(b *bench) { change(b, "a", &mcpv1alpha1.SamplingPolicy{}, maxTokens(1000)) }
	for name, tc := range map[string]struct {
		steps []step
		show  func(*fakeCaches)
		want  string
	}{
		"the server is seen with its old label": {
			steps: []step{relabel, relax}, show: (*fakeCaches).showPolicies, want: "b 20",
		},
		"the policies are seen as they were": {
			steps: []step{
				func(b *bench) { change(b, "b", &mcpv1alpha1.SamplingPolicy{}, selectTeam("c")) },
				func(b *bench) { change(b, "demo", &mcpv1alpha1.MCPServer{}, label("b")) },
			},
			show: (*fakeCaches).showServers, want: "nothing",
		},
		"a policy that is gone still shows": {
			steps: []step{
				func(b *bench) {
					if err := b.Delete(b.Context(), read(b, "b", &mcpv1alpha1.SamplingPolicy{})); err != nil {
						b.Fatal(err)
					}
				},
				relabel,
			},
			show: (*fakeCaches).showServers, want: "nothing",
		},
		"a policy that was made first does not show": {
			steps: []step{
				func(b *bench) { b.policy("strict", "demo") },
				relabel,
			},
			show: (*fakeCaches).showServers, want: "strict 100",
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.server("demo")
			change(b, "demo", &mcpv1alpha1.MCPServer{}, label("a"))
			for i, policy := range []string{"a", "b"} {
				b.policy(policy, "other")
				change(b, policy, &mcpv1alpha1.SamplingPolicy{}, selectTeam(policy))
				change(b, policy, &mcpv1alpha1.SamplingPolicy{}, maxTokens(int64(10*(i+1))))
			}
			r, caches := b.behindCaches()
			b.pass(r, "demo")
			if got := given(b, "demo"); got != "a 10" {
				t.Fatalf("at first it is given %s", got)
			}
			caches.grow(b)
			caches.showServers()
			caches.showPolicies()

			for _, do := range tc.steps {
				do(b)
			}
			caches.grow(b)
			tc.show(caches)
			b.pass(r, "demo")
			if got := given(b, "demo"); got != tc.want {
				t.Errorf("it is given %s, want %s", got, tc.want)
			}
			attached := read(b, "demo", &mcpv1alpha1.MCPServer{}).Status.SamplingPolicy
			if name, _, _ := strings.Cut(tc.want, " "); (attached == nil) != (name == "nothing") || (attached != nil && attached.Name != name) {
				t.Errorf("status.samplingPolicy is %+v", attached)
			}
		})
	}
}

// declared is what a user has declared, in a few words.
type declared struct {
	team     string // the label of the server
	policies map[string]declaredPolicy
}

type declaredPolicy struct {
	made  time.Time
	team  string // what it selects; "*" is all, and "" names the server
	limit int64
}

// governing says by the rules in docs/policies.md who governs the server. It has
// nothing in common with what the operator does.
func (d declared) governing() string {
	best, bestName := "", "nothing"
	for name, p := range d.policies {
		rank := "2"
		switch p.team {
		case "":
			rank = "1"
		case "*", d.team:
		default:
			continue
		}
		if order := rank + p.made.UTC().Format(time.RFC3339) + name; best == "" || order < best {
			best, bestName = order, fmt.Sprintf("%s %d", name, p.limit)
		}
	}
	return bestName
}

// user declares things at random.
type user struct {
	*bench
	rand  *rand.Rand
	now   declared
	limit int64
	// said is what governed the server after each of the steps.
	said []string
}

func (u *user) step() {
	u.Helper()
	one := func(of ...string) string { return of[u.rand.IntN(len(of))] }
	name := one(slices.Sorted(maps.Keys(u.now.policies))...)
	p := u.now.policies[name]
	u.limit++
	switch choice := u.rand.IntN(20); {
	case choice < 6:
		u.now.team = one("a", "b")
		change(u.bench, "demo", &mcpv1alpha1.MCPServer{}, label(u.now.team))
	case choice < 14:
		p.limit = u.limit
		change(u.bench, name, &mcpv1alpha1.SamplingPolicy{}, maxTokens(u.limit))
		u.now.policies[name] = p
	case choice < 16:
		p.team = one("a", "b", "*")
		change(u.bench, name, &mcpv1alpha1.SamplingPolicy{}, selectTeam(strings.Trim(p.team, "*")))
		u.now.policies[name] = p
	case choice < 17:
		p.team = ""
		change(u.bench, name, &mcpv1alpha1.SamplingPolicy{}, func(policy *mcpv1alpha1.SamplingPolicy) {
			policy.Spec.TargetRefs, policy.Spec.TargetSelector = []mcpv1alpha1.TargetRef{{Name: "demo"}}, nil
		})
		u.now.policies[name] = p
	case choice < 18 && len(u.now.policies) > 1:
		if err := u.Delete(u.Context(), read(u.bench, name, &mcpv1alpha1.SamplingPolicy{})); err != nil {
			u.Fatal(err)
		}
		delete(u.now.policies, name)
	default:
		u.declare(fmt.Sprintf("p%d", u.limit), one("a", "b", "*"))
	}
	u.note()
}

// declare makes a policy that selects a team.
func (u *user) declare(name, team string) {
	u.Helper()
	policy := &mcpv1alpha1.SamplingPolicy{}
	selector := "targetSelector: {}"
	if team != "*" {
		selector = "targetSelector: {matchLabels: {team: " + team + "}}"
	}
	u.apply(policy, strings.NewReplacer("NAME", name, "targetRefs: [{name: TARGET}]", selector).Replace(policyYAML))
	u.now.policies[name] = declaredPolicy{made: policy.CreationTimestamp.Time, team: team, limit: 100}
}

func (u *user) note() { u.said = append(u.said, u.now.governing()) }

// A user changes policies and labels, one after the other; the caches follow as
// they like. What the server is given has always been declared, it comes in the
// order in which it was declared, and in the end it is what holds.
func TestRandomChangesBehindCachesThatLag(t *testing.T) {
	const sequences, steps = 100, 8
	b := newBench(t)
	b.server("demo")
	r, caches := b.behindCaches()
	for seed := range uint64(sequences) {
		u := &user{bench: b, rand: rand.New(rand.NewPCG(seed, 7)), now: declared{team: "a", policies: map[string]declaredPolicy{}}}
		change(b, "demo", &mcpv1alpha1.MCPServer{}, label("a"))
		u.declare("a", "a")
		u.declare("b", "b")
		u.note()
		*caches = *newFakeCaches(b)
		look := func() {
			t.Helper()
			b.pass(r, "demo")
			caches.grow(b)
			got := given(b, "demo")
			at := slices.Index(u.said, got)
			if at < 0 {
				t.Fatalf("seed %d: the server is given %q; since what it had before, declared was %q", seed, got, u.said)
			}
			u.said = u.said[at:]
		}
		look()
		for range steps {
			u.step()
			caches.grow(b)
			switch u.rand.IntN(4) { // or none
			case 0:
				caches.showServers()
				look()
			case 1:
				caches.showPolicies()
				look()
			}
		}
		caches.showPolicies()
		caches.showServers()
		look()
		if got, want := given(b, "demo"), u.now.governing(); got != want {
			t.Fatalf("seed %d: in the end the server is given %s, want %s", seed, got, want)
		}
		if err := b.DeleteAllOf(t.Context(), &mcpv1alpha1.SamplingPolicy{}, client.InNamespace(b.namespace)); err != nil {
			t.Fatal(err)
		}
	}
}
