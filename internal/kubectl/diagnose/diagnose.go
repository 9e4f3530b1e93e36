// Package diagnose says in one line what is wrong with a server or its sampling,
// and how to mend it: from the operator's conditions, and from what a sampler wrote
// of a request.
package diagnose

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/kubectl/records"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/kubectl/terminal"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider"
)

// order is that in which one condition follows from another.
var order = []string{
	mcpv1alpha1.ConditionAccepted, mcpv1alpha1.ConditionResolvedRefs, mcpv1alpha1.ConditionAvailable,
	mcpv1alpha1.ConditionVerified, mcpv1alpha1.ConditionSamplingReady,
}

// NotSeen is said of an object that has no status.
const NotSeen = "the operator has not looked at it: see whether it runs, and whether it watches this namespace"

// Server returns why a server is not ready; empty if it is.
func Server(server *mcpv1alpha1.MCPServer) string {
	ready := meta.FindStatusCondition(server.Status.Conditions, mcpv1alpha1.ConditionReady)
	switch {
	case ready == nil:
		return NotSeen
	case ready.Status == metav1.ConditionTrue:
		return ""
	default:
		return ready.Reason + ": " + terminal.Line(ready.Message)
	}
}

// CannotBeCalled returns why no caller gets through to a server; empty if nothing
// is known to be in the way. Whether its sampling works does not matter.
func CannotBeCalled(server *mcpv1alpha1.MCPServer) string {
	if len(server.Status.Conditions) == 0 {
		return NotSeen
	}
	for _, name := range []string{mcpv1alpha1.ConditionAccepted, mcpv1alpha1.ConditionAvailable} {
		if c := meta.FindStatusCondition(server.Status.Conditions, name); c != nil && c.Status == metav1.ConditionFalse {
			return c.Reason + ": " + terminal.Line(c.Message)
		}
	}
	return ""
}

// First returns the first condition that is not met, nil if all are.
func First(server *mcpv1alpha1.MCPServer) *metav1.Condition {
	for _, name := range order {
		if c := meta.FindStatusCondition(server.Status.Conditions, name); c != nil && c.Status != metav1.ConditionTrue {
			return c
		}
	}
	return nil
}

// Sampling returns why sampling does not work, by the server's condition; empty if
// nothing is known to be wrong.
func Sampling(server *mcpv1alpha1.MCPServer) string {
	c := meta.FindStatusCondition(server.Status.Conditions, mcpv1alpha1.ConditionSamplingReady)
	if c == nil || c.Status != metav1.ConditionFalse {
		return ""
	}
	return c.Reason + ": " + terminal.Line(c.Message)
}

// Request returns why a sampling request was not answered, and what to do: empty if
// it was. policy may be nil.
func Request(r *records.Record, policy *mcpv1alpha1.SamplingPolicy) string {
	where := "the SamplingPolicy"
	if r.Policy != "" {
		where = "SamplingPolicy " + quote(r.Policy)
	}
	switch r.Decision {
	case records.Answered:
		return ""
	case records.Refused:
		return refused(r, where)
	case records.Invalid:
		return fmt.Sprintf("the server's request is not valid (%s): %s: correct the server", r.Reason, message(r))
	case records.Canceled:
		return "the call ended before there was an answer"
	default:
		return failed(r, policy, where)
	}
}

func refused(r *records.Record, where string) string {
	switch r.Reason {
	case "NoPolicy":
		return fmt.Sprintf("no SamplingPolicy targets the server: create one with %s in spec.targetRefs (kubectl mcp init writes a first one)", quote(r.Server))
	case "LimitExceeded":
		return fmt.Sprintf("%s; or raise it in spec.limits of %s", message(r), where)
	case "LimitStoreUnavailable":
		return fmt.Sprintf("%s: repair the store that spec.limits.store of %s names", message(r), where)
	case "TimeoutExceeded":
		return fmt.Sprintf("%s: raise spec.limits.timeout of %s, or choose a faster model", message(r), where)
	default:
		return fmt.Sprintf("%s refuses the request (%s): %s: change the policy, or what the server asks for", where, r.Reason, message(r))
	}
}

// failed is about the last attempt: the one that decided.
func failed(r *records.Record, policy *mcpv1alpha1.SamplingPolicy, where string) string {
	n := len(r.Attempts)
	if n == 0 {
		return fmt.Sprintf("%s (%s): see the sampler's log", message(r), r.Reason)
	}
	last := r.Attempts[n-1]
	name, detail := "provider "+quote(last.Provider), ""
	if last.Detail != "" {
		detail = " (" + terminal.Line(last.Detail) + ")"
	}
	switch provider.Kind(last.Error) {
	case provider.KindUnauthorized:
		return fmt.Sprintf("%s refuses the key%s: %s", name, detail, keyTodo(policy, last.Provider, "put a valid key into %s; samplers pick it up by themselves", where))
	case provider.KindMissingKey:
		return fmt.Sprintf("%s has no key: %s", name, keyTodo(policy, last.Provider, "put one into %s; samplers pick it up by themselves", where))
	case provider.KindUnreachable, provider.KindUnavailable:
		return fmt.Sprintf("%s does not answer%s: check its baseURL in %s, and that the sampler's pods may connect to it", name, detail, where)
	case provider.KindTimeout:
		return fmt.Sprintf("%s did not answer in time%s: raise its timeout in %s, or choose a faster model", name, detail, where)
	case provider.KindRateLimited:
		return fmt.Sprintf("%s is busy, or its quota is used up%s: try again later, or name another model in models.fallbacks of %s", name, detail, where)
	case provider.KindRejected:
		if last.Status == 404 {
			return fmt.Sprintf("%s does not know model %s%s: check the model's name and the provider's baseURL in %s", name, quote(last.Model), detail, where)
		}
		return fmt.Sprintf("%s does not take the request%s: check model %s and parameters in %s", name, detail, quote(last.Model), where)
	default:
		return fmt.Sprintf("%s failed%s: see its own state, and the sampler's log; models.fallbacks of %s names models to ask instead", name, detail, where)
	}
}

// keyTodo names the Secret with the key of a provider.
func keyTodo(policy *mcpv1alpha1.SamplingPolicy, name, todo, where string) string {
	if policy != nil {
		for i := range policy.Spec.Providers {
			if p := &policy.Spec.Providers[i]; p.Name == name && p.Credential != nil {
				ref := p.Credential.SecretKeyRef
				return fmt.Sprintf(todo, fmt.Sprintf("Secret %s, key %s", ref.Name, ref.Key))
			}
		}
	}
	return "set credential.secretKeyRef of this provider in " + where
}

func message(r *records.Record) string {
	if r.Error == nil {
		return "the request was not answered"
	}
	return strings.TrimSuffix(terminal.Line(r.Error.Message), ".")
}

func quote(s string) string { return fmt.Sprintf("%q", s) }
