// Package resolve turns a snapshot of objects into decisions: which policy
// governs a server, what its samplers are to do, and what is wrong with the
// specs, each with a reason and a message for users.
//
// Everything here is a pure function of its input: no client, no clock. What
// cannot be done is a Refusal and not an error, and one thing that is refused
// never holds back the rest: a server whose policy is invalid still runs,
// without sampling.
package resolve

import (
	"fmt"
	"net"
	"path"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/config"
)

// DefaultClusterDomain is the DNS domain of most clusters.
const DefaultClusterDomain = "cluster.local"

// Input is everything that the plan of one server depends on.
type Input struct {
	// Server is the MCPServer.
	Server *mcpv1alpha1.MCPServer
	// Policies are all SamplingPolicies of the server's namespace, in any order.
	Policies []mcpv1alpha1.SamplingPolicy
	// Service is the Service that spec.service names; nil if there is none.
	Service *corev1.Service
	// ClusterDomain is the DNS domain of the cluster; empty means
	// DefaultClusterDomain.
	ClusterDomain string
}

// Plan is what is to be done for one server.
type Plan struct {
	// Config is what the samplers are to do. It passes its own Validate unless
	// a refusal says otherwise.
	Config config.Effective `json:"config"`
	// URL is where callers reach the server.
	URL string `json:"url"`
	// Policy is the SamplingPolicy that governs the server; nil without one.
	Policy *Attachment `json:"policy,omitempty"`
	// Losers are the names of the policies that target the server in vain.
	Losers []string `json:"losers,omitempty"`
	// Secrets are mounted into the sampler's pods, sorted by name.
	Secrets []SecretMount `json:"secrets,omitempty"`
	// CABundles are mounted there too, sorted by name.
	CABundles []ConfigMapMount `json:"caBundles,omitempty"`
	// Refusals say what cannot be done.
	Refusals []Refusal `json:"refusals,omitempty"`
}

// Attachment is the policy that governs a server.
type Attachment struct {
	Name       string    `json:"name"`
	UID        types.UID `json:"uid,omitempty"`
	Generation int64     `json:"generation"`
}

// Refusal says why a condition cannot be met.
type Refusal struct {
	// Condition is the type of the condition that it makes false.
	Condition string `json:"condition"`
	Reason    string `json:"reason"`
	// Message says what is wrong and what to do about it.
	Message string `json:"message"`
}

// Server plans one server.
func Server(in Input) Plan {
	server := in.Server
	from := source(server, in.Service, in.ClusterDomain)
	plan := Plan{
		URL: "http://" + host(server.Name, server.Namespace, in.ClusterDomain) + from.path,
		Config: config.Effective{
			APIVersion: config.APIVersion,
			Server:     config.Server{Name: server.Name, Namespace: server.Namespace},
			Upstream:   from.upstream,
			ResidentSession: config.ResidentSession{
				Mode:     config.ResidentMode(server.Spec.Sampler.ResidentSession),
				Interval: residentInterval(server.Spec.Transport),
			},
			Sessions: config.Sessions{
				KeyFile:  path.Join(SessionDir, SessionKey),
				Replicas: net.JoinHostPort(host(PeersService(server.Name), server.Namespace, in.ClusterDomain), strconv.Itoa(int(SamplerPort))),
			},
			AllowedOrigins: origins(server.Spec.AllowedOrigins),
			Limits:         limits(server.Spec.Limits),
		}.WithDefaults(),
	}
	plan.Secrets, plan.CABundles = from.mounts.sorted()
	if err := plan.Config.Validate(); err != nil {
		plan.refuse(mcpv1alpha1.ConditionAccepted, mcpv1alpha1.ReasonInvalidTransport,
			"correct the spec: "+inSpec(server, oneLine(err)))
	}
	if refusal := checkService(server, in.Service); refusal != nil {
		plan.Refusals = append(plan.Refusals, *refusal)
	}

	winner, losers := Governing(server, in.Policies)
	plan.Losers = losers
	if winner == nil {
		return plan
	}
	plan.Policy = &Attachment{Name: winner.Name, UID: winner.UID, Generation: winner.Generation}
	policy, needs, err := effectivePolicy(winner)
	if err != nil {
		plan.refuse(mcpv1alpha1.ConditionSamplingReady, mcpv1alpha1.ReasonInvalidPolicy,
			fmt.Sprintf("SamplingPolicy %q is invalid, so the server runs without sampling; correct it: %s", winner.Name, err))
		return plan
	}
	policy.Limits.Shares = max(1, int(SamplerReplicas(server)))
	plan.Config.Policy = policy
	needs.secrets = append(needs.secrets, from.mounts.secrets...)
	needs.bundles = append(needs.bundles, from.mounts.bundles...)
	plan.Secrets, plan.CABundles = needs.sorted()
	return plan
}

// SamplerReplicas is how many samplers a server has.
func SamplerReplicas(server *mcpv1alpha1.MCPServer) int32 {
	if n := server.Spec.Sampler.Replicas; n != nil {
		return *n
	}
	return 1
}

// stdioInterval is that of looks which start a process each.
const stdioInterval = config.Duration(10 * time.Minute)

// residentInterval is 0 where the default is right.
func residentInterval(t mcpv1alpha1.Transport) config.Duration {
	shared := t.Stdio != nil && t.Stdio.Process == mcpv1alpha1.StdioShared
	if t.Type == mcpv1alpha1.TransportStdio && !shared {
		return stdioInterval
	}
	return 0
}

func (p *Plan) refuse(condition, reason, message string) {
	p.Refusals = append(p.Refusals, Refusal{Condition: condition, Reason: reason, Message: message})
}

// Refused returns the first refusal of a condition, nil if there is none.
func (p Plan) Refused(condition string) *Refusal {
	for i := range p.Refusals {
		if p.Refusals[i].Condition == condition {
			return &p.Refusals[i]
		}
	}
	return nil
}

// oneLine puts the lines of a joined error behind each other.
func oneLine(err error) string {
	const most = 512
	text := strings.ReplaceAll(err.Error(), "\n", "; ")
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}
