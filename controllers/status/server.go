package status

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
	"github.com/mcp-sampling/mcp-sampling-operator/controllers/resolve"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/config"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/statusz"
)

func verified(in ServerInput, r reports) verdict {
	if in.blocked() {
		return unknown(mcpv1alpha1.ReasonNotVerified, "the objects of the server are not there: see the condition Accepted")
	}
	found := r.server()
	url := in.Plan.Config.Upstream.URL
	if since := ServesSince(in.ServerPods); found.State != statusz.ServerUnknown && found.At.Before(since) && found.State != statusz.ServerUnreachable {
		return unknown(mcpv1alpha1.ReasonNotVerified, "no sampler has looked since the server's pods were replaced; one does within seconds")
	}
	switch found.State {
	case statusz.ServerVerified:
		return yes(mcpv1alpha1.ReasonVerified, "the server speaks MCP")
	case statusz.ServerWrongEra:
		return no(mcpv1alpha1.ReasonWrongEra,
			fmt.Sprintf("the server at %s speaks MCP, but only in the stateless era of 2026-07-28 and later: remove spec.transport.protocolEra, which asks for sessions", url))
	case statusz.ServerUnauthorized:
		return unauthorized(in)
	case statusz.ServerUnreachable:
		if text := outdated(in, found.At); text != "" {
			return unknown(mcpv1alpha1.ReasonNotVerified, text)
		}
		return no(mcpv1alpha1.ReasonServerUnreachable,
			fmt.Sprintf("the server does not answer at %s%s: %s", url, detail(found.Detail), unreachableTodo(in)))
	case statusz.ServerNotMCP:
		return no(mcpv1alpha1.ReasonNotMCP,
			fmt.Sprintf("what answers at %s is no MCP server%s: %s", url, detail(found.Detail), notMCPTodo(in)))
	}
	if r.otherServer {
		return unknown(mcpv1alpha1.ReasonNotVerified, "no sampler has looked at the server that the spec names now; one does within seconds")
	}
	if in.Plan.Config.ResidentSession.Mode == config.ResidentOff {
		return unknown(mcpv1alpha1.ReasonResidentSessionOff, "samplers do not look whether the server speaks MCP, because spec.sampler.residentSession is Off")
	}
	if found.Detail != "" {
		return unknown(mcpv1alpha1.ReasonNotVerified, "no sampler can look now whether the server speaks MCP"+detail(found.Detail))
	}
	return unknown(mcpv1alpha1.ReasonNotVerified, "no sampler has looked yet whether the server speaks MCP")
}

// unauthorized: a server that gets a key by the spec refuses that one; another
// one wants its callers'.
func unauthorized(in ServerInput) verdict {
	for _, h := range in.Plan.Config.Upstream.Headers {
		if h.ValueFrom != nil {
			return no(mcpv1alpha1.ReasonCredentialRefused,
				fmt.Sprintf("the server refuses the credentials of spec.remote.headers: put a valid value for %s into %s; samplers pick it up by themselves",
					quote(h.Name), h.ValueFrom.Ref))
		}
	}
	return unknown(mcpv1alpha1.ReasonAuthorizationRequired,
		"the server wants credentials from its callers, so the sampler cannot look by itself; callers that send theirs are served")
}

func unreachableTodo(in ServerInput) string {
	switch {
	case in.Server.Spec.Remote != nil:
		return "check spec.remote.url, and that the sampler's pods may connect to it"
	case isStdio(in):
		return fmt.Sprintf("see why in the logs of the server, `kubectl logs -n %s deploy/%s`", in.Server.Namespace, resolve.ServerObject(in.Server.Name))
	default:
		return "check that it listens there on all addresses (0.0.0.0), and its logs"
	}
}

func notMCPTodo(in ServerInput) string {
	speaks := "Streamable HTTP"
	if in.Plan.Config.Upstream.Transport == config.TransportSSE {
		speaks = "HTTP+SSE"
	}
	switch {
	case in.Server.Spec.Remote != nil:
		return fmt.Sprintf("check spec.remote.url, and that the server speaks %s (spec.transport.type)", speaks)
	case isStdio(in):
		return fmt.Sprintf("check that spec.container.command starts an MCP server that speaks stdio, and `kubectl logs -n %s deploy/%s`",
			in.Server.Namespace, resolve.ServerObject(in.Server.Name))
	default:
		return fmt.Sprintf("check spec.transport.path and the port, and that the server speaks %s (spec.transport.type)", speaks)
	}
}

func isStdio(in ServerInput) bool {
	return in.Server.Spec.Transport.Type == mcpv1alpha1.TransportStdio
}

// ServesSince is when the first pod of the newest pod template became ready, so
// that what was found out about the server before is about another one; zero if
// none is.
func ServesSince(pods []corev1.Pod) time.Time {
	var since time.Time
	for _, pod := range newestPods(pods) {
		for _, c := range pod.Status.Conditions {
			if c.Type == corev1.PodReady && PodReady(pod) && (since.IsZero() || c.LastTransitionTime.Time.Before(since)) {
				since = c.LastTransitionTime.Time
			}
		}
	}
	return since
}
