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
	// unreadable says that a ready pod gave none.
	unreadable bool
	// readyPods is the number of ready pods.
	readyPods int
	// replacing says that pods of an earlier pod template are left, which cannot
	// have Secrets that only the newest one mounts.
	replacing bool
}

func gatherReports(in ServerInput) reports {
	out := reports{wanted: in.Plan.Config.Hash(), replacing: replacing(in.SamplerDeployment)}
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
		}
	}
	return out
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

// provider returns the newest that samplers know about a provider.
func (r reports) provider(name string) statusz.Provider {
	newest := statusz.Provider{Name: name, State: statusz.ProviderUnknown}
	for _, report := range r.ready {
		for _, p := range report.Providers {
			if p.Name != name || p.State == statusz.ProviderUnknown || p.State == "" {
				continue
			}
			if newest.State == statusz.ProviderUnknown || p.At.After(newest.At) {
				newest = p
			}
		}
	}
	return newest
}

// server returns the newest that samplers found out about the server.
func (r reports) server() statusz.Server {
	newest := statusz.Server{State: statusz.ServerUnknown}
	var at time.Time
	for _, report := range r.ready {
		s := report.Server
		if s.State == statusz.ServerUnknown || s.State == "" {
			continue
		}
		if newest.State == statusz.ServerUnknown || s.At.After(at) {
			newest, at = s, s.At
		}
	}
	return newest
}

func serverInfo(r reports) *mcpv1alpha1.ServerInfo {
	found := r.server()
	info := mcpv1alpha1.ServerInfo{
		Name:            statusz.Clean(found.Name),
		Version:         statusz.Clean(found.Version),
		ProtocolVersion: statusz.Clean(found.ProtocolVersion),
		Tools:           found.Tools,
	}
	if info == (mcpv1alpha1.ServerInfo{}) {
		return nil
	}
	return &info
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
