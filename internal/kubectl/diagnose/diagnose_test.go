package diagnose

import (
	"strings"
	"testing"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/kubectl/records"
)

func TestRequestSaysHowToMendIt(t *testing.T) {
	policy := &mcpv1alpha1.SamplingPolicy{}
	policy.Spec.Providers = []mcpv1alpha1.Provider{
		{Name: "openai", Credential: &mcpv1alpha1.Credential{SecretKeyRef: mcpv1alpha1.SecretKeyRef{Name: "keys", Key: "openai"}}},
		{Name: "open"},
	}
	attempt := func(provider, kind, rest string) string {
		return `{"type":"audit","decision":"failed","policy":"p","attempts":[{"provider":"` + provider + `","model":"m","error":"` + kind + `"` + rest + `}],"error":{"code":-32603,"message":"x"}}`
	}
	for name, tc := range map[string]struct{ record, want string }{
		"a key that is refused":        {attempt("openai", "unauthorized", `,"status":401,"detail":"HTTP 401"`), `provider "openai" refuses the key (HTTP 401): put a valid key into Secret keys, key openai; samplers pick it up by themselves`},
		"a provider that wants a key":  {attempt("open", "unauthorized", `,"detail":"HTTP 401"`), `provider "open" refuses the key (HTTP 401): set credential.secretKeyRef of this provider in SamplingPolicy "p"`},
		"a key that is missing":        {attempt("openai", "missing_key", ""), `provider "openai" has no key: put one into Secret keys, key openai; samplers pick it up by themselves`},
		"a provider that is down":      {attempt("openai", "unreachable", `,"detail":"connection refused"`), `provider "openai" does not answer (connection refused): check its baseURL in SamplingPolicy "p", and that the sampler's pods may connect to it`},
		"a model that is not known":    {attempt("openai", "rejected", `,"status":404`), `provider "openai" does not know model "m": check the model's name and the provider's baseURL in SamplingPolicy "p"`},
		"a quota that is used up":      {attempt("openai", "rate_limited", ""), `provider "openai" is busy, or its quota is used up: try again later, or name another model in models.fallbacks of SamplingPolicy "p"`},
		"a limit that is used up":      {`{"type":"audit","decision":"refused","reason":"LimitExceeded","policy":"p","error":{"code":-1,"message":"the sampling policy's limit requestsPerMinute (1) is used up: try again in 42 s"}}`, `the sampling policy's limit requestsPerMinute (1) is used up: try again in 42 s; or raise it in spec.limits of SamplingPolicy "p"`},
		"no policy":                    {`{"type":"audit","decision":"refused","reason":"NoPolicy","server":"s"}`, `no SamplingPolicy targets the server: create one with "s" in spec.targetRefs (kubectl mcp init writes a first one)`},
		"one that the policy forbids":  {`{"type":"audit","decision":"refused","reason":"ToolsDisabled","policy":"p","error":{"code":-1,"message":"no tools"}}`, `SamplingPolicy "p" refuses the request (ToolsDisabled): no tools: change the policy, or what the server asks for`},
		"one that is not valid":        {`{"type":"audit","decision":"invalid","reason":"InvalidParams","error":{"code":-32602,"message":"messages[0]"}}`, `the server's request is not valid (InvalidParams): messages[0]: correct the server`},
		"one that was answered":        {`{"type":"audit","decision":"answered"}`, ""},
		"words that would be commands": {attempt("openai", "failed", `,"detail":"\u001b[2Jx"`), `provider "openai" failed (\u001b[2Jx): see its own state, and the sampler's log; models.fallbacks of SamplingPolicy "p" names models to ask instead`},
	} {
		t.Run(name, func(t *testing.T) {
			record, ok := records.Parse([]byte(tc.record))
			if !ok {
				t.Fatal("it is no record")
			}
			got := Request(&record, policy)
			if got != tc.want || strings.Contains(got, "\n") {
				t.Errorf("it says\n%s\nwant\n%s", got, tc.want)
			}
		})
	}
}
