package status

import (
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
	"github.com/mcp-sampling/mcp-sampling-operator/controllers/observe"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/config"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/statusz"
)

// reports is what the samplers of one server say.
type reports struct {
	// wanted is the hash that all are to have loaded.
	wanted string
	// all are the reports of all pods that gave one.
	all []*statusz.Report
	// ready are those of ready pods; only these serve callers.
	ready []*statusz.Report
	// upstream is the config.Upstream.Hash of what they are to have looked at, and
	// otherServer says that one has looked at another one.
	upstream    string
	otherServer bool
	// unreadable says that a ready pod gave none.
	unreadable bool
	// readyPods is the number of ready pods.
	readyPods int
	// replacing says that pods of an earlier pod template are left, which cannot
	// have Secrets that only the newest one mounts.
	replacing bool
}

func gatherReports(in ServerInput) reports {
	out := reports{wanted: in.Plan.Config.Hash(), upstream: in.Plan.Config.Upstream.Hash(), replacing: replacing(in.SamplerDeployment)}
	for i := range in.SamplerPods {
		pod := &in.SamplerPods[i]
		if !pod.DeletionTimestamp.IsZero() {
			continue
		}
		isReady := PodReady(pod)
		if isReady {
			out.readyPods++
		}
		at := slices.IndexFunc(in.Findings, func(f observe.Finding) bool { return f.Pod == pod.Name })
		if at < 0 || in.Findings[at].Report == nil {
			out.unreadable = out.unreadable || isReady
			continue
		}
		out.all = append(out.all, in.Findings[at].Report)
		if isReady {
			out.ready = append(out.ready, in.Findings[at].Report)
			out.otherServer = out.otherServer || !out.about(in.Findings[at].Report)
		}
	}
	return out
}

// about says whether a report is about the server that the spec names now. A sampler
// of an earlier release does not say which one it looked at.
func (r reports) about(report *statusz.Report) bool {
	return report.Server.Upstream == "" || report.Server.Upstream == r.upstream
}

// keysDiffer says whether samplers that serve callers hold different keys, so
// that none opens what another has sealed. While pods are replaced that is how a
// key is changed.
func (r reports) keysDiffer() bool {
	keys := map[string]bool{}
	for _, report := range r.ready {
		if report.SessionKey != "" {
			keys[report.SessionKey] = true
		}
	}
	return len(keys) > 1 && !r.replacing
}

func replacing(d *appsv1.Deployment) bool {
	return d != nil && (d.Status.ObservedGeneration < d.Generation || d.Status.UpdatedReplicas < d.Status.Replicas)
}

// programmed says whether every ready sampler has loaded what it is to load. It
// takes at least one.
func (r reports) programmed() bool {
	return r.readyPods > 0 && !r.unreadable && !slices.ContainsFunc(r.ready, r.stale)
}

func (r reports) stale(report *statusz.Report) bool { return report.ConfigHash != r.wanted }

// refusal returns what a sampler says against its configuration, "" if nothing.
func (r reports) refusal() string {
	for _, report := range r.all {
		if r.stale(report) && report.ConfigError != "" {
			return report.ConfigError
		}
	}
	return ""
}

// credentialMissing says whether a sampler does not find a provider's key.
func (r reports) credentialMissing(provider string) bool {
	return slices.ContainsFunc(r.ready, func(report *statusz.Report) bool {
		return slices.ContainsFunc(report.Providers, func(p statusz.Provider) bool {
			return p.Name == provider && p.Credential == statusz.CredentialMissing
		})
	})
}

// credentialKnown says whether a sampler has looked for a provider's key at that
// place.
func (r reports) credentialKnown(provider *config.Provider) bool {
	return provider.Credential == nil || slices.ContainsFunc(r.ready, func(report *statusz.Report) bool {
		return slices.ContainsFunc(report.Providers, func(p statusz.Provider) bool {
			return p.Name == provider.Name && p.CredentialRef == provider.Credential.Ref
		})
	})
}

// file says whether a sampler found a file in that state.
func (r reports) file(path string, state statusz.CredentialState) bool {
	return slices.ContainsFunc(r.ready, func(report *statusz.Report) bool {
		return slices.Contains(report.Files, statusz.File{Path: path, State: state})
	})
}

// providerStates, storeStates and serverStates go from the best to the worst. A state that
// says nothing is in neither.
var (
	providerStates = []statusz.ProviderState{
		statusz.ProviderHealthy, statusz.ProviderFailing, statusz.ProviderUnreachable, statusz.ProviderRefused,
	}
	storeStates  = []statusz.StoreState{statusz.StoreHealthy, statusz.StoreUnreachable, statusz.StoreRefused}
	serverStates = []statusz.ServerState{
		statusz.ServerVerified, statusz.ServerUnauthorized, statusz.ServerUnreachable, statusz.ServerWrongEra, statusz.ServerNotMCP,
	}
)

// outweighs says whether one sampler's finding counts instead of another's: the
// worse one, since its callers are served no better, and of two that are the
// same the newer one. If the newer one always counted, a status would go back and
// forth as long as samplers disagree.
func outweighs[S comparable](states []S, state, than S, at, thanAt time.Time) bool {
	if by := slices.Index(states, state) - slices.Index(states, than); by != 0 {
		return by > 0
	}
	return at.After(thanAt)
}

// provider returns the worst that samplers know about a provider.
func (r reports) provider(name string) statusz.Provider {
	worst := statusz.Provider{Name: name, State: statusz.ProviderUnknown}
	for _, report := range r.ready {
		for _, p := range report.Providers {
			if p.Name == name && outweighs(providerStates, p.State, worst.State, p.At, worst.At) {
				worst = p
			}
		}
	}
	return worst
}

// store returns the worst that samplers know about the store of the limits.
func (r reports) store() statusz.Store {
	worst := statusz.Store{State: statusz.StoreUnknown}
	for _, report := range r.ready {
		if s := report.Store; s != nil && outweighs(storeStates, s.State, worst.State, s.At, worst.At) {
			worst = *s
		}
	}
	return worst
}

// server returns the worst that samplers found out about the server.
func (r reports) server() statusz.Server {
	worst := statusz.Server{State: statusz.ServerUnknown}
	for _, report := range r.ready {
		if s := report.Server; r.about(report) && outweighs(serverStates, s.State, worst.State, s.At, worst.At) {
			worst = s
		}
	}
	return worst
}

// serverInfo is what the server said of itself to the sampler that reached it
// last, nil if none did.
func serverInfo(r reports) *mcpv1alpha1.ServerInfo {
	var newest *mcpv1alpha1.ServerInfo
	var at time.Time
	for _, report := range r.ready {
		s := report.Server
		info := mcpv1alpha1.ServerInfo{
			Name:            statusz.Clean(s.Name),
			Version:         statusz.Clean(s.Version),
			ProtocolVersion: statusz.Clean(s.ProtocolVersion),
			Era:             statusz.Clean(s.Era),
			Tools:           s.Tools,
		}
		if r.about(report) && info != (mcpv1alpha1.ServerInfo{}) && (newest == nil || s.At.After(at)) {
			newest, at = &info, s.At
		}
	}
	return newest
}

// PodReady says whether a pod takes traffic.
func PodReady(pod *corev1.Pod) bool {
	if !pod.DeletionTimestamp.IsZero() {
		return false
	}
	return slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}
