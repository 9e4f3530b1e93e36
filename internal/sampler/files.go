package sampler

import (
	"crypto/x509"
	"os"
	"slices"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/config"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/secret"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/statusz"
)

// filesOf looks at the files that the configuration names beside the keys of
// providers. It is asked for rarely, and what is mounted changes at any time.
func filesOf(c *config.Effective) []statusz.File {
	var out []statusz.File
	add := func(path string, good bool) {
		if slices.ContainsFunc(out, func(f statusz.File) bool { return f.Path == path }) {
			return
		}
		state := statusz.CredentialLoaded
		if !good {
			state = statusz.CredentialMissing
		}
		out = append(out, statusz.File{Path: path, State: state})
	}
	headers := func(list []config.Header) {
		for _, h := range list {
			if h.ValueFrom != nil && h.ValueFrom.File != "" {
				_, err := secret.Read(h.ValueFrom, "value")
				add(h.ValueFrom.File, err == nil)
			}
		}
	}
	certificates := func(path string) {
		if path != "" {
			pem, err := os.ReadFile(path)
			add(path, err == nil && x509.NewCertPool().AppendCertsFromPEM(pem))
		}
	}
	headers(c.Upstream.Headers)
	certificates(c.Upstream.CAFile)
	if c.Policy == nil {
		return out
	}
	for i := range c.Policy.Providers {
		headers(c.Policy.Providers[i].Headers)
		certificates(c.Policy.Providers[i].CAFile)
	}
	if store := c.Policy.Limits.Store; store != nil {
		certificates(store.CAFile)
		if store.Credential != nil && store.Credential.File != "" {
			_, err := secret.Read(store.Credential, "password")
			add(store.Credential.File, err == nil)
		}
	}
	return out
}
