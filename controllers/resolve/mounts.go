package resolve

import (
	"cmp"
	"fmt"
	"path"
	"slices"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/config"
)

// SecretsDir is where keys of Secrets are mounted into the sampler's container,
// each in a folder of its own: a sampler tells by the folder whether its pod can
// have the key at all, or has to be replaced by one that mounts it.
const SecretsDir = "/var/run/secrets/mcp-sampling.dev"

// SecretFile is the name of the file in such a folder.
const SecretFile = "value"

// SecretMount is a key of a Secret that the sampler needs.
type SecretMount struct {
	Name string `json:"name"`
	Key  string `json:"key"`
}

// Dir is the folder that the key is mounted at.
func (m SecretMount) Dir() string { return path.Join(SecretsDir, m.Name, m.Key) }

// credential is what the sampler's configuration says of the key.
func (m SecretMount) credential() *config.Credential {
	return &config.Credential{
		File: path.Join(m.Dir(), SecretFile),
		Ref:  fmt.Sprintf("Secret %s, key %s", m.Name, m.Key),
	}
}

const (
	// CABundleDir is where certificates of ConfigMaps are mounted.
	CABundleDir = "/var/run/configmaps/mcp-sampling.dev"
	// CABundleFile is the name of the file in a folder below it.
	CABundleFile = "ca.crt"
)

// ConfigMapMount is a key of a ConfigMap that the sampler needs.
type ConfigMapMount struct {
	Name string `json:"name"`
	Key  string `json:"key"`
}

// Dir is the folder that the key is mounted at; each has its own, as for a
// SecretMount.
func (m ConfigMapMount) Dir() string { return path.Join(CABundleDir, m.Name, m.Key) }

// File is where the sampler finds the certificates.
func (m ConfigMapMount) File() string { return path.Join(m.Dir(), CABundleFile) }

// mounts collects what a configuration names by files.
type mounts struct {
	secrets []SecretMount
	bundles []ConfigMapMount
}

func (m *mounts) secret(ref mcpv1alpha1.SecretKeyRef) *config.Credential {
	mount := SecretMount{Name: ref.Name, Key: ref.Key}
	m.secrets = append(m.secrets, mount)
	return mount.credential()
}

// credential is nil where there is none.
func (m *mounts) credential(c *mcpv1alpha1.Credential) *config.Credential {
	if c == nil {
		return nil
	}
	return m.secret(c.SecretKeyRef)
}

// bundle returns the file of a bundle; empty where there is none.
func (m *mounts) bundle(ref *mcpv1alpha1.ConfigMapKeyRef) string {
	if ref == nil {
		return ""
	}
	mount := ConfigMapMount{Name: ref.Name, Key: cmp.Or(ref.Key, "ca.crt")}
	m.bundles = append(m.bundles, mount)
	return mount.File()
}

func (m *mounts) headers(from []mcpv1alpha1.Header) []config.Header {
	var out []config.Header
	for _, h := range from {
		header := config.Header{Name: h.Name, Value: h.Value}
		if h.ValueFrom != nil {
			header.ValueFrom = m.secret(h.ValueFrom.SecretKeyRef)
		}
		out = append(out, header)
	}
	return out
}

// sorted returns what there is to mount, each once, in an order that depends on
// nothing else.
func (m *mounts) sorted() ([]SecretMount, []ConfigMapMount) {
	slices.SortFunc(m.secrets, func(a, b SecretMount) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Key, b.Key))
	})
	slices.SortFunc(m.bundles, func(a, b ConfigMapMount) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Key, b.Key))
	})
	return slices.Compact(m.secrets), slices.Compact(m.bundles)
}
