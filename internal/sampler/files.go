package sampler

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/config"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/secret"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/statusz"
)

// file is one that a configuration names.
type file struct {
	// what users call what is in it.
	what, path string
	// good reports whether something of use is in it; nil where others report
	// that.
	good func() bool
}

// filesIn returns the files that a configuration names.
func filesIn(c *config.Effective) []file {
	var out []file
	add := func(what, path string, good func() bool) {
		if path != "" {
			out = append(out, file{what, path, good})
		}
	}
	certificates := func(whose, path string) {
		add("the CA bundle of "+whose, path, func() bool {
			pem, err := os.ReadFile(path)
			return err == nil && x509.NewCertPool().AppendCertsFromPEM(pem)
		})
	}
	headers := func(whose string, list []config.Header) {
		for _, h := range list {
			if h.ValueFrom != nil {
				add("the header "+h.Name+" for "+whose, h.ValueFrom.File, func() bool { return readable(h.ValueFrom) })
			}
		}
	}
	add("the key of sessions", c.Sessions.KeyFile, nil)
	certificates("the server", c.Upstream.CAFile)
	headers("the server", c.Upstream.Headers)
	if c.Policy == nil {
		return out
	}
	for _, p := range c.Policy.Providers {
		whose := "provider " + p.Name
		if p.Credential != nil {
			add("the key of "+whose, p.Credential.File, nil)
		}
		certificates(whose, p.CAFile)
		headers(whose, p.Headers)
	}
	if store := c.Policy.Limits.Store; store != nil {
		const whose = "the store of the limits"
		certificates(whose, store.CAFile)
		if store.Credential != nil {
			add("the password of "+whose, store.Credential.File, func() bool { return readable(store.Credential) })
		}
	}
	return out
}

func readable(c *config.Credential) bool {
	_, err := secret.Read(c, "value")
	return err == nil
}

// filesOf looks at the files that the configuration names beside the keys of
// sessions and of providers. It is asked for rarely, and what is mounted changes
// at any time.
func filesOf(c *config.Effective) []statusz.File {
	var out []statusz.File
	for _, f := range filesIn(c) {
		if f.good == nil || slices.ContainsFunc(out, func(seen statusz.File) bool { return seen.Path == f.path }) {
			continue
		}
		state := statusz.CredentialLoaded
		if !f.good() {
			state = statusz.CredentialMissing
		}
		out = append(out, statusz.File{Path: f.path, State: state})
	}
	return out
}

// mounted says whether all files that a configuration names can be here. A pod
// that does not mount one will be replaced by one that does; until then it serves
// best with the configuration that it has.
func mounted(c *config.Effective) error {
	for _, f := range filesIn(c) {
		if _, err := os.Stat(filepath.Dir(f.path)); errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("the folder of %s, %s, is not there: the sampler has to be started anew with it", f.what, filepath.Dir(f.path))
		}
	}
	return nil
}

// verifies reports whether a configuration has connections that are verified
// with the system's root certificates.
func verifies(c *config.Effective) bool {
	// A server elsewhere may be behind an HTTP proxy that speaks TLS.
	if c.Upstream.External || strings.HasPrefix(strings.ToLower(c.Upstream.URL), "https:") {
		return true
	}
	if c.Policy != nil && c.Policy.Limits.Store != nil && c.Policy.Limits.Store.TLS {
		return true
	}
	return c.Policy != nil && slices.ContainsFunc(c.Policy.Providers, func(p config.Provider) bool {
		return p.BaseURL == "" || strings.HasPrefix(strings.ToLower(p.BaseURL), "https:")
	})
}
