package status

import (
	"testing"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/config"
)

func TestSamplingIsReadyWhileAModelInTheRowAnswers(t *testing.T) {
	model := func(name, provider string) config.Model { return config.Model{Name: name, Provider: provider} }
	policy := &config.Policy{Models: config.Models{
		Default: "first", Fallbacks: []string{"second"},
		Allowed: []config.Model{model("first", "a"), model("second", "b"), model("rare", "c")},
	}}
	well := yes(mcpv1alpha1.ReasonSamplingReady, "sampling requests are answered")
	sick := func(providers ...string) (out []finding) {
		for _, p := range providers {
			out = append(out, finding{p, no(mcpv1alpha1.ReasonProviderUnreachable, p+" is away")})
		}
		return out
	}
	for name, tc := range map[string]struct {
		sick []finding
		want verdict
	}{
		"all are well":                       {nil, well},
		"one that hints ask for is not":      {sick("c"), yes(mcpv1alpha1.ReasonSamplingReady, "sampling requests are answered; but c is away")},
		"the fallback's is not":              {sick("b"), yes(mcpv1alpha1.ReasonSamplingReady, "sampling requests are answered; but b is away")},
		"the default's is not":               {sick("a"), yes(mcpv1alpha1.ReasonSamplingReady, `sampling requests are answered, by the fallback "second"; but a is away`)},
		"neither the default's nor the rest": {sick("a", "b"), no(mcpv1alpha1.ReasonProviderUnreachable, "a is away")},
	} {
		t.Run(name, func(t *testing.T) {
			if got := answered(policy, tc.sick, well); got != tc.want {
				t.Errorf("%+v, want %+v", got, tc.want)
			}
		})
	}
}
