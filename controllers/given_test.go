package controllers

import (
	"context"
	"testing"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
	"github.com/mcp-sampling/mcp-sampling-operator/controllers/observe"
)

// fakeHook does something in the middle of a pass, once.
type fakeHook struct{ f func() }

func (h *fakeHook) Observe(_ context.Context, _ []observe.Target) []observe.Finding {
	if h.f != nil {
		f := h.f
		h.f = nil
		f()
	}
	return nil
}

// The status write of a confirmed move conflicts; the next pass trusts a status of before the move.
// A pass gives the server another policy, and then cannot write the status, because
// the server has changed meanwhile. The next one, which sees policies that are
// behind, must not take what the old status says for what the server has.
func TestWhatWasGivenIsKnownWithoutAStatus(t *testing.T) {
	b := newBench(t)
	b.server("demo")
	change(b, "demo", &mcpv1alpha1.MCPServer{}, label("a"))
	for i, policy := range []string{"a", "b"} {
		b.policy(policy, "other")
		change(b, policy, &mcpv1alpha1.SamplingPolicy{}, selectTeam(policy))
		change(b, policy, &mcpv1alpha1.SamplingPolicy{}, maxTokens(int64(100/(i+1))))
	}
	r, caches := b.behindCaches()
	hook := &fakeHook{}
	r.observer = hook
	b.pass(r, "demo")
	caches.grow(b)
	caches.showServers()
	caches.showPolicies()

	change(b, "demo", &mcpv1alpha1.MCPServer{}, label("b"))
	caches.grow(b)
	caches.showServers()
	hook.f = func() {
		change(b, "a", &mcpv1alpha1.SamplingPolicy{}, maxTokens(5))
		change(b, "demo", &mcpv1alpha1.MCPServer{}, label("a"))
	}
	b.pass(r, "demo")
	if got := given(b, "demo"); got != "b 50" {
		t.Fatalf("the server is given %q, want b 50: this test would show nothing", got)
	}
	caches.grow(b)
	caches.showServers() // and not the policies
	b.pass(r, "demo")
	if got := given(b, "demo"); got != "a 5" {
		t.Errorf("after b 50 the server is given %q, want a 5: a 100 was withdrawn before", got)
	}
}
