package status

import (
	"fmt"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/config"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/statusz"
)

// storeReady says what a store of the limits that does not answer means: nothing
// is answered, or samplers go on with their shares, as the policy has it.
func storeReady(policy *config.Policy, r reports) verdict {
	answered := "sampling requests are answered under SamplingPolicy " + quote(policy.Name)
	store := policy.Limits.Store
	if store == nil {
		return yes(mcpv1alpha1.ReasonSamplingReady, answered)
	}
	where := "SamplingPolicy " + quote(policy.Name)
	var reason, wrong, todo string
	switch seen := r.store(); seen.State {
	case statusz.StoreRefused:
		reason = mcpv1alpha1.ReasonCredentialRefused
		wrong = fmt.Sprintf("the store of the limits at %s refuses who logs in%s", store.Address, detail(seen.Detail))
		todo = "name the Secret with its password in limits.store.credential of " + where
		if store.Credential != nil {
			todo = fmt.Sprintf("put the right password into %s, or correct limits.store.username in %s", store.Credential.Ref, where)
		}
	case statusz.StoreUnreachable:
		reason = mcpv1alpha1.ReasonLimitStoreUnreachable
		wrong = fmt.Sprintf("the store of the limits at %s does not answer%s", store.Address, detail(seen.Detail))
		todo = fmt.Sprintf("check limits.store.address in %s, and that the sampler's pods may connect to it", where)
	default:
		return yes(mcpv1alpha1.ReasonSamplingReady, answered)
	}
	if store.OnUnavailable == config.FailClosed {
		return no(reason, fmt.Sprintf("%s, and limits.store.onUnavailable is FailClosed, so that every sampling request is refused: %s", wrong, todo))
	}
	return yes(mcpv1alpha1.ReasonSamplingReady, fmt.Sprintf("%s; %s, so each sampler keeps to its share of the limits: %s", answered, wrong, todo))
}
