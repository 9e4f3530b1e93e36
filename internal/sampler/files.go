package sampler

import (
	"crypto/x509"
	"os"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/config"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/secret"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/statusz"
)

// filesOf looks at the files that the configuration names for the server. It is
// asked for rarely, and what is mounted changes at any time.
func filesOf(u *config.Upstream) []statusz.File {
	var out []statusz.File
	add := func(path string, good bool) {
		state := statusz.CredentialLoaded
		if !good {
			state = statusz.CredentialMissing
		}
		out = append(out, statusz.File{Path: path, State: state})
	}
	for _, h := range u.Headers {
		if h.ValueFrom != nil && h.ValueFrom.File != "" {
			_, err := secret.Read(h.ValueFrom, "value")
			add(h.ValueFrom.File, err == nil)
		}
	}
	if u.CAFile != "" {
		pem, err := os.ReadFile(u.CAFile)
		add(u.CAFile, err == nil && x509.NewCertPool().AppendCertsFromPEM(pem))
	}
	return out
}
