package controllers

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
	"github.com/mcp-sampling/mcp-sampling-operator/controllers/build"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/config"
)

// record notes what the samplers of each server are given, version by version,
// until the returned function is called.
func (b *bench) record() (stop func() map[string][]string) {
	b.Helper()
	watcher, err := client.NewWithWatch(apiServer.Config(b.T), client.Options{Scheme: b.Scheme()})
	if err != nil {
		b.Fatal(err)
	}
	events, err := watcher.Watch(b.Context(), &corev1.ConfigMapList{}, client.InNamespace(b.namespace))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(events.Stop)
	const last = "last"
	done := make(chan map[string][]string, 1)
	go func() {
		seen := map[string][]string{}
		defer func() { done <- seen }()
		for event := range events.ResultChan() {
			note(seen, event)
			if obj, ok := event.Object.(client.Object); !ok || obj.GetName() == last {
				return
			}
		}
	}()
	return func() map[string][]string {
		b.Helper()
		end := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: b.namespace, Name: last}}
		if err := b.Create(b.Context(), end); err != nil {
			b.Fatal(err)
		}
		select {
		case seen := <-done:
			return seen
		case <-time.After(deadline):
			b.Fatal("the watch does not see the last ConfigMap")
			return nil
		}
	}
}

func note(seen map[string][]string, event watch.Event) {
	configMap, ok := event.Object.(*corev1.ConfigMap)
	if !ok || configMap.Data[build.ConfigKey] == "" {
		return
	}
	entry := "nothing"
	switch c, err := config.Decode([]byte(configMap.Data[build.ConfigKey])); {
	case err != nil:
		entry = err.Error()
	case c.Policy != nil:
		entry = fmt.Sprintf("%s %d", c.Policy.Name, c.Policy.Parameters.MaxTokens.Max)
	}
	server := strings.TrimSuffix(configMap.Name, "-sampler")
	if list := seen[server]; len(list) == 0 || list[len(list)-1] != entry {
		seen[server] = append(list, entry)
	}
}

// attached waits until the status of a server names a policy, and the hash of
// what its samplers are given; "" is none.
func (b *bench) attached(server, policy string) {
	b.Helper()
	b.eventually("policy "+policy+" in the status of "+server, func() error {
		status := read(b, server, &mcpv1alpha1.MCPServer{}).Status
		got := status.SamplingPolicy
		switch {
		case status.ObservedGeneration == 0:
			return errors.New("there is no status yet")
		case policy == "" && got == nil:
			return nil
		case got == nil || got.Name != policy:
			return fmt.Errorf("status.samplingPolicy is %+v", got)
		case got.UID != read(b, policy, &mcpv1alpha1.SamplingPolicy{}).UID:
			return errors.New("it is an earlier policy of that name")
		case got.Hash != loaded(b, server).Hash():
			return errors.New("the hash is not that of what samplers are given")
		}
		return nil
	})
}

// Each move is seen by its versions of the configuration, from the first to the
// last, and takes effect at once.
func TestMovesFromPolicyToPolicy(t *testing.T) {
	b := newBench(t)
	b.server("one")
	b.server("two")
	policies := map[string]int64{"default": 10, "strict": 20, "special": 30}
	for _, name := range []string{"default", "special", "strict"} {
		b.policy(name, "nobody")
		change(b, name, &mcpv1alpha1.SamplingPolicy{}, maxTokens(policies[name]))
	}
	stop := b.record()
	b.startManager()
	set := func(policy string, mutate ...func(*mcpv1alpha1.SamplingPolicy)) {
		b.Helper()
		for _, m := range mutate {
			change(b, policy, &mcpv1alpha1.SamplingPolicy{}, m)
		}
	}
	naming := func(server string) func(*mcpv1alpha1.SamplingPolicy) {
		return func(p *mcpv1alpha1.SamplingPolicy) {
			p.Spec.TargetRefs, p.Spec.TargetSelector = []mcpv1alpha1.TargetRef{{Name: server}}, nil
		}
	}
	b.attached("one", "")
	b.attached("two", "")

	set("default", selectTeam(""))
	b.attached("one", "default")
	b.attached("two", "default")
	// A policy is moved from one server to the other.
	set("special", naming("one"))
	b.attached("one", "special")
	set("special", naming("two"))
	b.attached("two", "special")
	b.attached("one", "default")
	// The winner is deleted.
	if err := b.Delete(t.Context(), read(b, "special", &mcpv1alpha1.SamplingPolicy{})); err != nil {
		t.Fatal(err)
	}
	b.attached("two", "default")
	// The default leaves its teams to others, then a server changes the team and the
	// default is relaxed, without a pause.
	set("default", selectTeam("a"))
	b.attached("one", "")
	change(b, "one", &mcpv1alpha1.MCPServer{}, label("a"))
	b.attached("one", "default")
	set("strict", selectTeam("b"))
	change(b, "one", &mcpv1alpha1.MCPServer{}, label("b"))
	set("default", maxTokens(1000))
	b.attached("one", "strict")
	b.attached("two", "")

	want := map[string][]string{
		"one": {"nothing", "default 10", "special 30", "default 10", "nothing", "default 10", "strict 20"},
		"two": {"nothing", "default 10", "special 30", "default 10", "nothing"},
	}
	if diff := cmp.Diff(want, stop()); diff != "" {
		t.Errorf("samplers were given (-want +got):\n%s", diff)
	}
}

func TestPoliciesSayWhoGovernsInstead(t *testing.T) {
	b := newBench(t)
	b.startManager()
	b.server("demo")
	policy := &mcpv1alpha1.SamplingPolicy{}
	b.policy("default", "nobody")
	change(b, "default", policy, selectTeam("a"))
	b.condition(policy, "default", mcpv1alpha1.ConditionAccepted, metav1.ConditionTrue, mcpv1alpha1.ReasonAccepted)
	b.condition(policy, "default", mcpv1alpha1.ConditionProgrammed, metav1.ConditionTrue, mcpv1alpha1.ReasonProgrammed)
	if err := contains(message(policy, mcpv1alpha1.ConditionAccepted), "no MCPServer of this namespace has labels"); err != nil {
		t.Error(err)
	}

	change(b, "demo", &mcpv1alpha1.MCPServer{}, label("a"))
	b.attached("demo", "default")
	b.eventually("why it is not loaded shows in the policy", func() error {
		want := []mcpv1alpha1.TargetProblem{{
			Target: "demo", Reason: mcpv1alpha1.ReasonNoSamplers,
			Message: message(read(b, "demo", &mcpv1alpha1.MCPServer{}), mcpv1alpha1.ConditionSamplingReady),
		}}
		if diff := cmp.Diff(want, read(b, "default", policy).Status.Problems); diff != "" {
			return errors.New(diff)
		}
		return nil
	})

	b.policy("special", "demo")
	b.attached("demo", "special")
	b.eventually("the default says that it is overridden", func() error {
		want := mcpv1alpha1.TargetProblem{Target: "demo", Reason: mcpv1alpha1.ReasonOverridden, Policy: "special"}
		problems := read(b, "default", policy).Status.Problems
		if len(problems) == 1 {
			problems[0].Message = ""
		}
		if diff := cmp.Diff([]mcpv1alpha1.TargetProblem{want}, problems); diff != "" {
			return errors.New(diff)
		}
		return nil
	})
	if diff := cmp.Diff(mcpv1alpha1.TargetCounts{Conflicted: 1}, policy.Status.Targets); diff != "" {
		t.Errorf("targets (-want +got):\n%s", diff)
	}
}

// An invalid policy, and one without targets, hold back nobody else.
func TestOneBadPolicyHoldsBackNothing(t *testing.T) {
	b := newBench(t)
	b.server("bad")
	b.server("good")
	b.policy("a-invalid", "bad")
	change(b, "a-invalid", &mcpv1alpha1.SamplingPolicy{}, func(p *mcpv1alpha1.SamplingPolicy) {
		p.Spec.Parameters.ExtraBody = &apiextensionsv1.JSON{Raw: []byte(`{"model": "another"}`)}
	})
	b.policy("b-lost", "nobody")
	b.policy("c-good", "good")
	b.startManager()
	policy := &mcpv1alpha1.SamplingPolicy{}
	b.condition(policy, "c-good", mcpv1alpha1.ConditionAccepted, metav1.ConditionTrue, mcpv1alpha1.ReasonAccepted)
	b.condition(policy, "b-lost", mcpv1alpha1.ConditionAccepted, metav1.ConditionFalse, mcpv1alpha1.ReasonTargetNotFound)
	b.condition(policy, "a-invalid", mcpv1alpha1.ConditionAccepted, metav1.ConditionFalse, mcpv1alpha1.ReasonInvalidPolicy)
	governedBy(b, "good", "c-good")
	change(b, "c-good", policy, maxTokens(7))
	b.eventually("a change of the good one is carried out", func() error {
		if got := given(b, "good"); got != "c-good 7" {
			return fmt.Errorf("it is given %s", got)
		}
		return nil
	})
	b.condition(policy, "c-good", mcpv1alpha1.ConditionAccepted, metav1.ConditionTrue, mcpv1alpha1.ReasonAccepted)
}

func TestPassesOverANamespaceAreKeptApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSpacing(time.Now)
		var waits []time.Duration
		wait := func() { waits = append(waits, s.wait("team")) }
		wait() // nothing has been done yet
		s.begin("team", 10)
		wait()
		time.Sleep(60 * time.Millisecond)
		wait()
		if got := s.wait("other"); got != 0 {
			t.Errorf("another namespace waits for %s", got)
		}
		time.Sleep(time.Second)
		wait()
		s.begin("team", 1000)
		wait()
		s.begin("team", 10_000)
		wait()
		s.forget("team")
		wait()
		want := []time.Duration{0, 100 * time.Millisecond, 40 * time.Millisecond, 0, 250 * time.Millisecond, time.Second, 0}
		if !slices.Equal(want, waits) {
			t.Errorf("it waits for %v, want %v", waits, want)
		}
	})
}
