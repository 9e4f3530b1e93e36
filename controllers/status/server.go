package status

import (
	"fmt"
	"path"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
	"github.com/mcp-sampling/mcp-sampling-operator/controllers/resolve"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/config"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/statusz"
)

// serverFile is what a remote server needs besides its URL.
type serverFile struct {
	path    string // in the samplers
	missing verdict
}

func serverFilesOf(plan resolve.Plan) []serverFile {
	var out []serverFile
	for _, h := range plan.Config.Upstream.Headers {
		if from := h.ValueFrom; from != nil {
			out = append(out, serverFile{from.File, no(mcpv1alpha1.ReasonSecretNotFound,
				fmt.Sprintf("%s is not there or empty: create it, or correct header %s in spec.remote.headers; samplers pick it up by themselves",
					from.Ref, quote(h.Name)))})
		}
	}
	if bundle := plan.CABundle; bundle != nil {
		out = append(out, serverFile{path.Join(bundle.Dir(), resolve.CABundleFile), no(mcpv1alpha1.ReasonConfigMapNotFound,
			fmt.Sprintf("ConfigMap %s, key %s is not there or holds no certificate (PEM): create it, or correct spec.remote.caBundleRef; samplers pick it up by themselves",
				bundle.Name, bundle.Key))})
	}
	return out
}

// serverFiles says what a server lacks; nil if nothing.
func serverFiles(in ServerInput, r reports) *verdict {
	files := serverFilesOf(in.Plan)
	for i := range files {
		if r.file(files[i].path, statusz.CredentialMissing) {
			if r.replacing {
				v := unknown(mcpv1alpha1.ReasonPending, beingReplaced)
				return &v
			}
			return &files[i].missing
		}
	}
	for i := range files {
		if r.file(files[i].path, statusz.CredentialLoaded) {
			continue
		}
		v := unknown(mcpv1alpha1.ReasonPending, "no sampler has looked yet whether what spec.remote refers to is there")
		if r.unreadable {
			v = unreadable()
		}
		return &v
	}
	return nil
}

func verified(in ServerInput, r reports) verdict {
	found := r.server()
	url := in.Plan.Config.Upstream.URL
	switch found.State {
	case statusz.ServerVerified:
		return yes(mcpv1alpha1.ReasonVerified, "the server speaks MCP")
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
