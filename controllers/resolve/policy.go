package resolve

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/config"
)

// SecretsDir is where keys of Secrets are mounted into the sampler's container,
// each in a folder of its own: a sampler tells by the folder whether its pod can
// have the key at all, or has to be replaced by one that mounts it.
const SecretsDir = "/var/run/secrets/mcp-sampling.dev"

// SecretFile is the name of the file in such a folder.
const SecretFile = "value"

// SecretMount is a key of a Secret that the sampler needs.
type SecretMount struct {
	Name string `json:"name"`
	Key  string `json:"key"`
}

// Dir is the folder that the key is mounted at.
func (m SecretMount) Dir() string { return path.Join(SecretsDir, m.Name, m.Key) }

// credential is what the sampler's configuration says of the key.
func (m SecretMount) credential() *config.Credential {
	return &config.Credential{
		File: path.Join(m.Dir(), SecretFile),
		Ref:  fmt.Sprintf("Secret %s, key %s", m.Name, m.Key),
	}
}

// Governing returns the policy that governs the server of that name, and the
// names of those that target it in vain, in their order. The oldest wins, then
// the first by name, so that the choice never depends on who looks.
//
// Policies that are being deleted do not count. An invalid policy does: that
// another one silently takes over while somebody repairs a typing error would
// be a surprise.
func Governing(server string, policies []mcpv1alpha1.SamplingPolicy) (winner *mcpv1alpha1.SamplingPolicy, losers []string) {
	var candidates []*mcpv1alpha1.SamplingPolicy
	for i := range policies {
		if p := &policies[i]; p.DeletionTimestamp.IsZero() && targets(p, server) {
			candidates = append(candidates, p)
		}
	}
	if len(candidates) == 0 {
		return nil, nil
	}
	slices.SortFunc(candidates, func(a, b *mcpv1alpha1.SamplingPolicy) int {
		return cmp.Or(
			a.CreationTimestamp.Compare(b.CreationTimestamp.Time),
			cmp.Compare(a.Name, b.Name),
		)
	})
	for _, p := range candidates[1:] {
		losers = append(losers, p.Name)
	}
	return candidates[0], losers
}

// Targets returns the names of the servers that a policy names, sorted, each
// once.
func Targets(policy *mcpv1alpha1.SamplingPolicy) []string {
	var names []string
	for _, ref := range policy.Spec.TargetRefs {
		if isServer(ref) {
			names = append(names, ref.Name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func targets(policy *mcpv1alpha1.SamplingPolicy, server string) bool {
	return slices.ContainsFunc(policy.Spec.TargetRefs, func(ref mcpv1alpha1.TargetRef) bool {
		return ref.Name == server && isServer(ref)
	})
}

func isServer(ref mcpv1alpha1.TargetRef) bool {
	return (ref.Kind == "" || ref.Kind == mcpv1alpha1.KindMCPServer) &&
		(ref.Group == "" || ref.Group == mcpv1alpha1.GroupVersion.Group)
}

// PolicyPlan is what a policy achieves.
type PolicyPlan struct {
	// Governs are the servers that it governs, sorted.
	Governs []string `json:"governs,omitempty"`
	// Conflicts are the targets that others govern, sorted by target.
	Conflicts []mcpv1alpha1.Conflict `json:"conflicts,omitempty"`
	// Missing are the targets that are not there, sorted.
	Missing []string `json:"missing,omitempty"`
	// Problem says why samplers would refuse the policy; empty if they take it.
	Problem string `json:"problem,omitempty"`
}

// Policy plans one policy among all policies of its namespace, with the names
// of the servers there.
func Policy(policy *mcpv1alpha1.SamplingPolicy, all []mcpv1alpha1.SamplingPolicy, servers []string) PolicyPlan {
	var plan PolicyPlan
	for _, target := range Targets(policy) {
		if !slices.Contains(servers, target) {
			plan.Missing = append(plan.Missing, target)
			continue
		}
		winner, _ := Governing(target, all)
		switch {
		case winner == nil: // the policy is being deleted
		case winner.Name == policy.Name:
			plan.Governs = append(plan.Governs, target)
		default:
			plan.Conflicts = append(plan.Conflicts, mcpv1alpha1.Conflict{Target: target, Policy: winner.Name})
		}
	}
	_, _, plan.Problem = effectivePolicy(policy)
	return plan
}

// effectivePolicy is the form of a policy that samplers read, and the Secrets
// that it needs; or the problem that samplers would have with it.
func effectivePolicy(policy *mcpv1alpha1.SamplingPolicy) (_ *config.Policy, _ []SecretMount, problem string) {
	spec := &policy.Spec
	out := config.Policy{
		Name: policy.Name,
		Mode: config.Mode(spec.Mode),
		Models: config.Models{
			Default: spec.Models.Default,
		},
		Capabilities: config.Capabilities{Tools: config.ToolsCapability(spec.Capabilities.Tools)},
		Parameters:   parameters(spec.Parameters),
	}
	var secrets []SecretMount
	for i := range spec.Providers {
		p := &spec.Providers[i]
		out.Providers = append(out.Providers, provider(p))
		if p.Credential != nil {
			secrets = append(secrets, secretMount(p.Credential.SecretKeyRef))
		}
	}
	for _, m := range spec.Models.Allowed {
		out.Models.Allowed = append(out.Models.Allowed, config.Model{
			Name: m.Name, Provider: m.Provider, Model: m.Model, Hints: slices.Clone(m.Hints),
		})
	}

	// Only a whole configuration can be validated; whatever is around the policy
	// here is right.
	whole := config.Effective{
		APIVersion: config.APIVersion,
		Server:     config.Server{Name: "any"},
		Upstream:   config.Upstream{URL: "http://any/mcp"},
		Policy:     &out,
	}.WithDefaults()
	if err := whole.Validate(); err != nil {
		// Users know the same fields under spec.
		return nil, nil, strings.ReplaceAll(oneLine(err), "policy.", "spec.")
	}
	return whole.Policy, sorted(secrets), ""
}

func secretMount(ref mcpv1alpha1.SecretKeyRef) SecretMount {
	return SecretMount{Name: ref.Name, Key: ref.Key}
}

func provider(p *mcpv1alpha1.Provider) config.Provider {
	out := config.Provider{
		Name:    p.Name,
		Type:    config.ProviderType(p.Type),
		BaseURL: p.BaseURL,
		Retries: config.DefaultRetries,
	}
	if p.Credential != nil {
		out.Credential = secretMount(p.Credential.SecretKeyRef).credential()
	}
	if p.Timeout != nil {
		out.Timeout = config.Duration(p.Timeout.Duration)
	}
	if p.Retries != nil {
		out.Retries = int(*p.Retries)
	}
	if p.OpenAI != nil {
		out.OpenAI = &config.OpenAI{MaxTokensField: config.MaxTokensField(p.OpenAI.MaxTokensField)}
	}
	return out
}

func parameters(p *mcpv1alpha1.Parameters) config.Parameters {
	var out config.Parameters
	if p == nil {
		return out
	}
	if m := p.MaxTokens; m != nil {
		out.MaxTokens = &config.MaxTokensLimit{Max: m.Max, OnExceed: config.OnExceed(m.OnExceed)}
	}
	if t := p.Temperature; t != nil {
		out.Temperature = &config.TemperatureRange{Max: config.DefaultMaxTemperature}
		if t.Min != nil {
			out.Temperature.Min = *t.Min
		}
		if t.Max != nil {
			out.Temperature.Max = *t.Max
		}
	}
	if s := p.SystemPrompt; s != nil {
		out.SystemPrompt = &config.SystemPromptAction{Action: config.PromptAction(s.Action), Text: s.Text}
	}
	return out
}
