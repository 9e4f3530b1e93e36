package observe

import "github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/statusz"

// maxProviders is more than a policy can have, and maxFiles more than a server
// and its policy.
const (
	maxProviders = 64
	maxFiles     = 512
)

// sanitise cuts every text of a report that somebody may show, and takes
// control characters out of it.
func sanitise(r *statusz.Report) {
	for _, text := range []*string{
		&r.ConfigHash, &r.ConfigError, &r.SessionKey, &r.Policy,
		&r.Server.Name, &r.Server.Version, &r.Server.ProtocolVersion, &r.Server.Detail, &r.Server.Upstream,
	} {
		*text = statusz.Clean(*text)
	}
	r.Server.State = statusz.ServerState(statusz.Clean(string(r.Server.State)))
	if t := r.Server.Tools; t != nil && *t < 0 {
		r.Server.Tools = nil
	}
	r.Server.Era = statusz.Clean(r.Server.Era)
	// Of the files nothing is ever shown: they are compared with known ones.
	if len(r.Files) > maxFiles {
		r.Files = r.Files[:maxFiles]
	}
	if len(r.Providers) > maxProviders {
		r.Providers = r.Providers[:maxProviders]
	}
	if s := r.Store; s != nil {
		s.State, s.Detail = statusz.StoreState(statusz.Clean(string(s.State))), statusz.Clean(s.Detail)
	}
	for i := range r.Providers {
		p := &r.Providers[i]
		p.Name, p.CredentialRef, p.Detail = statusz.Clean(p.Name), statusz.Clean(p.CredentialRef), statusz.Clean(p.Detail)
		p.Model = statusz.Clean(p.Model)
		p.Credential = statusz.CredentialState(statusz.Clean(string(p.Credential)))
		p.State = statusz.ProviderState(statusz.Clean(string(p.State)))
	}
}
