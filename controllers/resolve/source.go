package resolve

import (
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/config"
)

const (
	// SamplerPort is where a sampler serves callers.
	SamplerPort int32 = 8080
	// SessionDir is where the key that seals names of sessions is mounted, and
	// SessionKey the file there and the key in its Secret. It is not below
	// SecretsDir, where a user's Secret may have any name.
	SessionDir = "/var/run/secrets/session.mcp-sampling.dev"
	// SessionKey is the key of the Secret.
	SessionKey = "session-key"
)

// ServerPort is where the server's container listens.
func ServerPort(server *mcpv1alpha1.MCPServer) int32 {
	if p := server.Spec.Transport.Port; p != nil {
		return *p
	}
	return mcpv1alpha1.DefaultServerPort
}

// ServerPath is the path of the MCP endpoint of a server that is not remote.
func ServerPath(server *mcpv1alpha1.MCPServer) string {
	t := server.Spec.Transport
	switch {
	case t.Path != nil && *t.Path != "":
		return *t.Path
	case t.Type == mcpv1alpha1.TransportSSE:
		return "/sse"
	default:
		return "/mcp"
	}
}

// ServerObject is the name of the Deployment and of the Service that run the
// server of an MCPServer.
func ServerObject(server string) string { return server + "-server" }

// PeersService is the name of the Service by which the samplers of an MCPServer
// find each other.
func PeersService(server string) string { return server + "-peers" }

// found is where the server is, for its samplers.
type found struct {
	upstream config.Upstream
	path     string // the endpoint's, at the server and for callers
	mounts   mounts
}

func source(server *mcpv1alpha1.MCPServer, service *corev1.Service, domain string) found {
	out := found{path: ServerPath(server)}
	out.upstream = config.Upstream{
		Transport:   config.TransportStreamableHTTP, // which the bridge speaks for Stdio
		ProtocolEra: config.ProtocolEra(server.Spec.Transport.ProtocolEra),
	}
	if server.Spec.Transport.Type == mcpv1alpha1.TransportSSE {
		out.upstream.Transport = config.TransportSSE
	}
	if server.Spec.Remote != nil {
		remote(server.Spec.Remote, &out)
		return out
	}
	name, port := ServerObject(server.Name), ServerPort(server)
	if s := server.Spec.Service; s != nil {
		name, port = s.Name, s.Port
		// The addresses behind an alias are not those of pods.
		out.upstream.External = service != nil && service.Spec.Type == corev1.ServiceTypeExternalName
	}
	out.upstream.URL = "http://" + net.JoinHostPort(host(name, server.Namespace, domain), strconv.Itoa(int(port))) + out.path
	return out
}

func remote(from *mcpv1alpha1.RemoteServer, out *found) {
	out.upstream.URL, out.upstream.External = from.URL, true
	out.path = "/"
	if u, err := url.Parse(from.URL); err == nil && u.Path != "" {
		out.path = u.Path
	}
	out.upstream.Headers = out.mounts.headers(from.Headers)
	out.upstream.CAFile = out.mounts.bundle(from.CABundleRef)
}

func origins(from []mcpv1alpha1.Origin) []string {
	out := make([]string, 0, len(from))
	for _, o := range from {
		out = append(out, string(o))
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

func limits(from mcpv1alpha1.Limits) config.Limits {
	return config.Limits{
		RequestBytes:       from.RequestBytes,
		EventBytes:         from.EventBytes,
		Sessions:           int(from.Sessions),
		Streams:            int(from.Streams),
		SamplingPerSession: int(from.SamplingPerSession),
	}
}

// inSpec puts the names that users know into what is wrong with a configuration.
func inSpec(server *mcpv1alpha1.MCPServer, text string) string {
	upstream := "spec.transport"
	if server.Spec.Remote != nil {
		upstream = "spec.remote"
	}
	return strings.NewReplacer(
		"upstream.protocolEra", "spec.transport.protocolEra",
		"upstream.caFile", "spec.remote.caBundleRef",
		"upstream.", upstream+".",
		"allowedOrigins", "spec.allowedOrigins",
		"limits.", "spec.limits.",
	).Replace(text)
}

func host(service, namespace, domain string) string {
	if domain == "" {
		domain = DefaultClusterDomain
	}
	return fmt.Sprintf("%s.%s.svc.%s", service, namespace, domain)
}

func checkService(server *mcpv1alpha1.MCPServer, service *corev1.Service) *Refusal {
	source := server.Spec.Service
	if source == nil {
		return nil
	}
	refusal := &Refusal{Condition: mcpv1alpha1.ConditionResolvedRefs, Reason: mcpv1alpha1.ReasonServiceNotFound}
	if service == nil {
		refusal.Message = fmt.Sprintf("Service %q is not in this namespace: create it, or correct spec.service.name", source.Name)
		return refusal
	}
	// An ExternalName is only an alias: it needs no ports.
	if service.Spec.Type == corev1.ServiceTypeExternalName {
		return nil
	}
	ports := make([]string, 0, len(service.Spec.Ports))
	for _, p := range service.Spec.Ports {
		if p.Protocol != "" && p.Protocol != corev1.ProtocolTCP {
			continue
		}
		if p.Port == source.Port {
			return nil
		}
		ports = append(ports, strconv.Itoa(int(p.Port)))
	}
	has := "it has no TCP port"
	if len(ports) > 0 {
		has = "it has " + strings.Join(ports, ", ")
	}
	refusal.Message = fmt.Sprintf("Service %q has no TCP port %d (%s): correct spec.service.port", source.Name, source.Port, has)
	return refusal
}
