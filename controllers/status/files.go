package status

import (
	"fmt"
	"slices"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
	"github.com/mcp-sampling/mcp-sampling-operator/controllers/resolve"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/config"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/statusz"
)

// need is a file that samplers look for, beside the keys of providers.
type need struct {
	path    string
	missing verdict
	// unseen is said as long as no sampler has looked.
	unseen string
}

func needsOf(plan resolve.Plan) []need {
	const ofServer = "no sampler has looked yet whether what spec.remote refers to is there"
	out := headerNeeds(plan.Config.Upstream.Headers, "spec.remote.headers", ofServer)
	out = append(out, bundleNeeds(plan, plan.Config.Upstream.CAFile, "spec.remote.caBundleRef", ofServer)...)
	policy := plan.Config.Policy
	if policy == nil {
		return out
	}
	for i := range policy.Providers {
		out = append(out, providerNeeds(plan, policy, &policy.Providers[i])...)
	}
	return append(out, storeNeeds(plan, policy)...)
}

// providerNeeds are what requests to a provider cannot do without.
func providerNeeds(plan resolve.Plan, policy *config.Policy, p *config.Provider) []need {
	where := fmt.Sprintf("of provider %s in SamplingPolicy %s", quote(p.Name), quote(policy.Name))
	return append(headerNeeds(p.Headers, "headers "+where, unseenOf(policy)),
		bundleNeeds(plan, p.CAFile, "caBundleRef "+where, unseenOf(policy))...)
}

func storeNeeds(plan resolve.Plan, policy *config.Policy) []need {
	store := policy.Limits.Store
	if store == nil {
		return nil
	}
	where := " in SamplingPolicy " + quote(policy.Name)
	out := bundleNeeds(plan, store.CAFile, "limits.store.caBundleRef"+where, unseenOf(policy))
	if c := store.Credential; c != nil {
		out = append(out, need{c.File, missingSecret(c, "limits.store.credential"+where), unseenOf(policy)})
	}
	return out
}

func headerNeeds(headers []config.Header, field, unseen string) []need {
	var out []need
	for _, h := range headers {
		if from := h.ValueFrom; from != nil {
			out = append(out, need{from.File, missingSecret(from, fmt.Sprintf("header %s in %s", quote(h.Name), field)), unseen})
		}
	}
	return out
}

func bundleNeeds(plan resolve.Plan, file, field, unseen string) []need {
	if file == "" {
		return nil
	}
	ref := "the ConfigMap"
	if i := slices.IndexFunc(plan.CABundles, func(m resolve.ConfigMapMount) bool { return m.File() == file }); i >= 0 {
		ref = fmt.Sprintf("ConfigMap %s, key %s", plan.CABundles[i].Name, plan.CABundles[i].Key)
	}
	return []need{{file, no(mcpv1alpha1.ReasonConfigMapNotFound,
		fmt.Sprintf("%s is not there or holds no certificate (PEM): create it, or correct %s; samplers pick it up by themselves", ref, field)), unseen}}
}

func missingSecret(c *config.Credential, field string) verdict {
	return no(mcpv1alpha1.ReasonSecretNotFound,
		fmt.Sprintf("%s is not there or empty: create it, or correct %s; samplers pick it up by themselves", c.Ref, field))
}

func unseenOf(policy *config.Policy) string {
	return "no sampler has looked yet whether the Secrets of SamplingPolicy " + quote(policy.Name) + " are there"
}

// missing says which of the needs a sampler does not find; nil if none.
func (r reports) missing(needs []need) *verdict {
	for i := range needs {
		if r.file(needs[i].path, statusz.CredentialMissing) {
			return r.unlessReplacing(needs[i].missing)
		}
	}
	return nil
}

// unseen says which of the needs no sampler has looked for; nil if none.
func (r reports) unseen(needs []need) *verdict {
	for i := range needs {
		if r.file(needs[i].path, statusz.CredentialLoaded) {
			continue
		}
		v := unknown(mcpv1alpha1.ReasonPending, needs[i].unseen)
		if r.unreadable {
			v = unreadable()
		}
		return &v
	}
	return nil
}

// unlessReplacing holds something missing back while that may only be because an
// old pod does not mount it.
func (r reports) unlessReplacing(v verdict) *verdict {
	if r.replacing {
		v = unknown(mcpv1alpha1.ReasonPending, beingReplaced)
	}
	return &v
}
