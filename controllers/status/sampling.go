package status

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
	"github.com/mcp-sampling/mcp-sampling-operator/controllers/build"
	"github.com/mcp-sampling/mcp-sampling-operator/controllers/resolve"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/config"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/statusz"
)

func resolvedRefs(in ServerInput, r reports) verdict {
	if refusal := in.firstRefusal(mcpv1alpha1.ConditionResolvedRefs); refusal != nil {
		return refusedBy(refusal)
	}
	needs := needsOf(in.Plan)
	if v := r.missing(needs); v != nil {
		return *v
	}
	policy := in.Plan.Config.Policy
	if policy != nil {
		for i := range policy.Providers {
			if p := &policy.Providers[i]; p.Credential != nil && r.credentialMissing(p.Name) {
				return *r.unlessReplacing(secretNotFound(policy, p))
			}
		}
	}
	if v := r.unseen(needs); v != nil {
		return *v
	}
	if policy != nil && len(in.Plan.Secrets) > 0 {
		if r.unreadable {
			return unreadable()
		}
		for i := range policy.Providers {
			if p := &policy.Providers[i]; !r.credentialKnown(p) {
				return unknown(mcpv1alpha1.ReasonPending, unseenOf(policy))
			}
		}
	}
	return yes(mcpv1alpha1.ReasonResolvedRefs, "everything that is referred to is there")
}

// startAnew is what a sampler says that does not mount what its newest
// configuration names: a change of the mounts is on its way to replace it.
const startAnew = "has to be started anew"

// beingReplaced is said instead of a key that is missing while that may only be
// because an old pod does not mount it.
const beingReplaced = "the sampler's pods are being replaced by ones that mount what they need"

func secretNotFound(policy *config.Policy, p *config.Provider) verdict {
	return missingSecret(p.Credential,
		fmt.Sprintf("credential.secretKeyRef of provider %s in SamplingPolicy %s", quote(p.Name), quote(policy.Name)))
}

// outdated says why it is no news that a sampler did not reach the server at a
// moment: no pod of it is ready, or one has become so since. A Service's pods
// are not known.
func outdated(in ServerInput, at time.Time) string {
	if in.Server.Spec.Container == nil {
		return ""
	}
	since := ServesSince(in.ServerPods)
	switch {
	case !slices.ContainsFunc(in.ServerPods, func(pod corev1.Pod) bool { return PodReady(&pod) }):
		return "no pod of the server is ready to be looked at: see the condition Available"
	case !since.IsZero() && at.Before(since.Add(time.Second)): // the API server keeps whole seconds
		return "no sampler has looked since the server became ready; one does within seconds"
	default:
		return ""
	}
}

func samplingReady(in ServerInput, r reports) verdict {
	if refusal := in.firstRefusal(mcpv1alpha1.ConditionSamplingReady); refusal != nil {
		return refusedBy(refusal)
	}
	if in.blocked() {
		return unknown(mcpv1alpha1.ReasonPending, "the configuration of the samplers cannot be written: see the condition Accepted")
	}
	if text := r.refusal(); text != "" {
		// The report may be newer than what is known of the Deployment.
		if r.replacing || strings.Contains(text, startAnew) {
			return unknown(mcpv1alpha1.ReasonPending, beingReplaced)
		}
		return no(mcpv1alpha1.ReasonConfigRefused,
			fmt.Sprintf("a sampler refuses its configuration (%s) and keeps the one before: operator and sampler may be of different releases, see `kubectl logs -n %s deploy/%s-sampler`",
				statusz.Clean(text), in.Server.Namespace, in.Server.Name))
	}
	policy := in.Plan.Config.Policy
	if r.readyPods == 0 {
		if policy == nil {
			return noPolicy(in)
		}
		return no(mcpv1alpha1.ReasonNoSamplers, "no sampler is ready to answer sampling requests: see the condition Available")
	}
	if r.unreadable {
		return unreadable()
	}
	if !r.programmed() {
		return unknown(mcpv1alpha1.ReasonPending, "samplers have not loaded the newest configuration yet; they do so by themselves within seconds")
	}
	if policy == nil {
		return noPolicy(in)
	}
	return answered(policy, providersOf(in.Plan, r), storeReady(policy, r))
}

// finding is what is wrong with a provider.
type finding struct {
	provider string
	verdict  verdict
}

// providersOf returns what is wrong with providers, in the policy's order.
func providersOf(plan resolve.Plan, r reports) []finding {
	var out []finding
	policy := plan.Config.Policy
	for i := range policy.Providers {
		p := &policy.Providers[i]
		if v := provider(plan, p, r); v != nil {
			out = append(out, finding{p.Name, *v})
		}
	}
	return out
}

// answered says whether requests are answered although something may be wrong with
// some providers: they are as long as the default model's is well, or that of one of
// its fallbacks. otherwise is said where nothing is wrong.
func answered(policy *config.Policy, sick []finding, otherwise verdict) verdict {
	if len(sick) == 0 || otherwise.status != metav1.ConditionTrue {
		return otherwise
	}
	at := func(model string) int { // what is wrong with the provider of a model
		i := slices.IndexFunc(policy.Models.Allowed, func(m config.Model) bool { return m.Name == model })
		if i < 0 {
			return -1
		}
		return slices.IndexFunc(sick, func(f finding) bool { return f.provider == policy.Models.Allowed[i].Provider })
	}
	first := at(policy.Models.Default)
	if first < 0 {
		return yes(otherwise.reason, fmt.Sprintf("%s; but %s", otherwise.message, sick[0].verdict.message))
	}
	for _, name := range policy.Models.Fallbacks {
		if at(name) < 0 {
			return yes(otherwise.reason, fmt.Sprintf("%s, by the fallback %s; but %s", otherwise.message, quote(name), sick[first].verdict.message))
		}
	}
	return sick[first].verdict
}

func unreadable() verdict {
	return unknown(mcpv1alpha1.ReasonReportUnreadable,
		fmt.Sprintf("the operator cannot read the report of a sampler: allow connections from the operator to port %d of the sampler's pods", build.AdminPort))
}

func noPolicy(in ServerInput) verdict {
	return no(mcpv1alpha1.ReasonNoPolicy,
		fmt.Sprintf("no SamplingPolicy targets this server, so no sampling is declared to it: create one with %q in spec.targetRefs", in.Server.Name))
}

// provider returns what is wrong with a provider, nil if nothing is known to be.
func provider(plan resolve.Plan, p *config.Provider, r reports) *verdict {
	policy := plan.Config.Policy
	if p.Credential != nil && r.credentialMissing(p.Name) {
		return r.unlessReplacing(secretNotFound(policy, p))
	}
	if v := r.missing(providerNeeds(plan, policy, p)); v != nil {
		return v
	}
	where := p.BaseURL
	if where == "" {
		where = "the vendor's own address"
	}
	var v verdict
	switch seen := r.provider(p.Name); seen.State {
	case statusz.ProviderRefused:
		todo := "it wants a key: set credential.secretKeyRef of this provider in SamplingPolicy " + quote(policy.Name)
		if p.Credential != nil {
			todo = fmt.Sprintf("put a valid key into %s; samplers pick it up by themselves", p.Credential.Ref)
		}
		v = no(mcpv1alpha1.ReasonCredentialRefused, fmt.Sprintf("provider %s refuses the credential%s: %s", quote(p.Name), detail(seen.Detail), todo))
	case statusz.ProviderUnreachable:
		v = no(mcpv1alpha1.ReasonProviderUnreachable, fmt.Sprintf("provider %s does not answer at %s%s: check its baseURL in SamplingPolicy %s, and that the sampler's pods may connect to it",
			quote(p.Name), where, detail(seen.Detail), quote(policy.Name)))
	case statusz.ProviderFailing:
		if calls(policy, p.Name, seen.Model) {
			v = no(mcpv1alpha1.ReasonModelNotFound, fmt.Sprintf("provider %s answers HTTP 404 to requests for model %s: check the model's name, in models.allowed[].model, and the provider's baseURL in SamplingPolicy %s",
				quote(p.Name), quote(seen.Model), quote(policy.Name)))
			break
		}
		v = no(mcpv1alpha1.ReasonProviderFailing, fmt.Sprintf("provider %s answers with errors%s: %s",
			quote(p.Name), detail(seen.Detail), failingTodo(seen.Detail, "SamplingPolicy "+quote(policy.Name))))
	case statusz.ProviderHealthy:
		return nil
	default:
		v = unknown(mcpv1alpha1.ReasonPending, fmt.Sprintf("no sampler has asked provider %s yet whether it answers", quote(p.Name)))
	}
	return &v
}

// calls says whether a policy has a provider run that model: another name can only
// be of an earlier policy, or made up.
func calls(policy *config.Policy, provider, model string) bool {
	return slices.ContainsFunc(policy.Models.Allowed, func(m config.Model) bool {
		return m.Provider == provider && cmp.Or(m.Model, m.Name) == model
	})
}

// failingTodo is what to do about a provider that answers with errors. Samplers
// report in words alone what they were; words that are not known get the advice
// that is never wrong.
func failingTodo(why, policy string) string {
	switch {
	case strings.HasPrefix(why, "HTTP 404"):
		return "check the names of the models, and the provider's baseURL, in " + policy
	case strings.HasPrefix(why, "its answer is no "), strings.Contains(why, "web page"), strings.Contains(why, "redirects"):
		return "check the provider's baseURL in " + policy
	default:
		return "look at the provider's own state; samplers see by themselves when it is well again"
	}
}

// detail is a short text of a sampler, in brackets.
func detail(text string) string {
	text = statusz.Clean(text)
	if text == "" {
		return ""
	}
	return " (" + text + ")"
}
