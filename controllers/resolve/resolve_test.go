package resolve_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
	"github.com/mcp-sampling/mcp-sampling-operator/controllers/resolve"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/config"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/testing/golden"
)

func TestServer(t *testing.T) {
	golden.Run(t, "testdata/server", func(t *testing.T, in golden.Documents) any {
		plan := resolve.Server(resolve.Input{
			Server:   golden.One[mcpv1alpha1.MCPServer](t, in, "MCPServer"),
			Policies: golden.All[mcpv1alpha1.SamplingPolicy](t, in, "SamplingPolicy"),
			Service:  golden.One[corev1.Service](t, in, "Service"),
		})
		encoded, err := plan.Config.Encode()
		if err != nil {
			t.Fatalf("encode the configuration: %v", err)
		}
		decoded, err := config.Decode(encoded)
		if err != nil {
			t.Fatalf("a sampler would refuse the configuration: %v", err)
		}
		if got, want := decoded.Hash(), plan.Config.Hash(); got != want {
			t.Errorf("a sampler would report the hash %s, and %s is awaited", got, want)
		}
		return plan
	})
}

func TestPolicy(t *testing.T) {
	golden.Run(t, "testdata/policy", func(t *testing.T, in golden.Documents) any {
		policies := golden.All[mcpv1alpha1.SamplingPolicy](t, in, "SamplingPolicy")
		var servers []metav1.Object
		for _, s := range golden.All[mcpv1alpha1.MCPServer](t, in, "MCPServer") {
			servers = append(servers, &s)
		}
		return resolve.Policies(policies, servers)[0]
	})
}

func TestServerUsesTheDomainOfTheCluster(t *testing.T) {
	plan := resolve.Server(resolve.Input{
		Server: &mcpv1alpha1.MCPServer{
			ObjectMeta: metav1.ObjectMeta{Name: "demo", Namespace: "team"},
			Spec:       mcpv1alpha1.MCPServerSpec{Container: &mcpv1alpha1.ServerContainer{Image: "any"}},
		},
		ClusterDomain: "example.internal",
	})
	if got, want := plan.URL, "http://demo.team.svc.example.internal/mcp"; got != want {
		t.Errorf("URL is %q, want %q", got, want)
	}
	if got, want := plan.Config.Upstream.URL, "http://demo-server.team.svc.example.internal:8000/mcp"; got != want {
		t.Errorf("the upstream is %q, want %q", got, want)
	}
}

func TestTheOrderOfPoliciesDoesNotMatter(t *testing.T) {
	policy := func(name string, second int) mcpv1alpha1.SamplingPolicy {
		return mcpv1alpha1.SamplingPolicy{
			ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: metav1.Unix(int64(second), 0)},
			Spec:       mcpv1alpha1.SamplingPolicySpec{TargetRefs: []mcpv1alpha1.TargetRef{{Name: "demo"}}},
		}
	}
	old, young, young2 := policy("z", 1), policy("a", 2), policy("b", 2)
	for _, order := range [][]mcpv1alpha1.SamplingPolicy{
		{old, young, young2}, {young2, young, old}, {young, old, young2},
	} {
		winner, losers := resolve.Governing(&metav1.ObjectMeta{Name: "demo"}, order)
		if winner.Name != "z" || len(losers) != 2 || losers[0] != "a" || losers[1] != "b" {
			t.Errorf("winner %s, losers %v; want z and [a b]", winner.Name, losers)
		}
	}
	if winner, losers := resolve.Governing(&metav1.ObjectMeta{Name: "other"}, []mcpv1alpha1.SamplingPolicy{old}); winner != nil || losers != nil {
		t.Errorf("a server that nobody targets has winner %v, losers %v", winner, losers)
	}
}
