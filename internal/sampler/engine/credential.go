package engine

import (
	"strings"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/config"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/secret"
)

// credential finds a provider's key. It is read for each request, so that a
// rotated key counts at once.
type credential struct{ config *config.Credential }

// read returns the key, or a *provider.Error of kind KindMissingKey whose detail
// says why there is none. No error quotes what was found.
func (c credential) read() (string, error) {
	if c.config == nil {
		return "", nil
	}
	key, err := secret.Read(c.config, "key")
	if err != nil {
		return "", &provider.Error{Kind: provider.KindMissingKey, Detail: err.Error(), Cause: err}
	}
	if strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return "", &provider.Error{Kind: provider.KindMissingKey, Detail: "the key holds white space or other characters that no key has"}
	}
	return key, nil
}
