package config

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"sigs.k8s.io/yaml"
)

// header is the first line of every encoded file.
const header = "# Effective configuration of a sampler, written by the operator: changes made here are lost.\n"

// Encode writes the configuration, with its defaults, as YAML that Decode
// reads. Equal configurations give equal bytes.
func (e Effective) Encode() ([]byte, error) {
	body, err := yaml.Marshal(e.WithDefaults())
	if err != nil {
		return nil, fmt.Errorf("encode the effective configuration: %w", err)
	}
	return append([]byte(header), body...), nil
}

// Hash identifies what a sampler does: two configurations that mean the same
// have the same hash, also if one of them leaves out defaults. It is 16 bytes
// of SHA-256 in hex, and empty for a value that has no JSON form (a
// temperature that is no number), which Validate refuses.
func (e Effective) Hash() string { return hashOf(e.WithDefaults()) }

// Hash tells one server, and one way to it, from another.
func (u Upstream) Hash() string {
	return hashOf(Effective{Upstream: u}.WithDefaults().Upstream)
}

func hashOf(value any) string {
	canonical, err := json.Marshal(value)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(canonical)
	return hex.EncodeToString(sum[:16])
}
