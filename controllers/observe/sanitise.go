package observe

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/statusz"
)

// maxProviders is more than a policy can have.
const maxProviders = 64

// sanitise cuts every text of a report that somebody may show, and takes
// control characters out of it.
func sanitise(r *statusz.Report) {
	for _, text := range []*string{
		&r.ConfigHash, &r.ConfigError, &r.Policy,
		&r.Server.Name, &r.Server.Version, &r.Server.ProtocolVersion, &r.Server.Detail,
	} {
		*text = clean(*text)
	}
	r.Server.State = statusz.ServerState(clean(string(r.Server.State)))
	if t := r.Server.Tools; t != nil && *t < 0 {
		r.Server.Tools = nil
	}
	if len(r.Providers) > maxProviders {
		r.Providers = r.Providers[:maxProviders]
	}
	for i := range r.Providers {
		p := &r.Providers[i]
		p.Name, p.CredentialRef, p.Detail = clean(p.Name), clean(p.CredentialRef), clean(p.Detail)
		p.Credential = statusz.CredentialState(clean(string(p.Credential)))
		p.State = statusz.ProviderState(clean(string(p.State)))
	}
}

// clean returns text as one printable line of at most statusz.MaxText bytes.
func clean(text string) string {
	text = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case r == utf8.RuneError, !unicode.IsPrint(r):
			return -1
		default:
			return r
		}
	}, text)
	text = strings.TrimSpace(text)
	if len(text) <= statusz.MaxText {
		return text
	}
	cut := statusz.MaxText
	for !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut]
}
