// Package krew fills in the manifest by which krew, the manager of kubectl's plugins,
// installs "kubectl mcp".
package krew

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Archive is the plugin for a platform.
type Archive struct{ OS, Arch, SHA256 string }

// Manifest fills ${VERSION} and ${SHA256_OS_ARCH} in a template. Platforms that have
// no archive are left out; an archive that the template does not know is an error.
func Manifest(template []byte, version string, archives []Archive) ([]byte, error) {
	values := map[string]string{"VERSION": version}
	for _, a := range archives {
		values[variable(a)] = a.SHA256
	}
	used := map[string]bool{}
	text := os.Expand(string(template), func(name string) string {
		used[name] = true
		return values[name]
	})
	for _, a := range archives {
		if !used[variable(a)] {
			return nil, fmt.Errorf("the template of krew's manifest has no ${%s}: give it the platform %s/%s", variable(a), a.OS, a.Arch)
		}
	}
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
		return nil, fmt.Errorf("read krew's manifest: %w", err)
	}
	if len(doc.Content) != 1 {
		return nil, errors.New("the template of krew's manifest is empty")
	}
	// The head says how to fill in what is filled in now.
	doc.Content[0].HeadComment, doc.HeadComment = "", ""
	if len(doc.Content[0].Content) > 0 {
		doc.Content[0].Content[0].HeadComment = ""
	}
	platforms := at(at(doc.Content[0], "spec"), "platforms")
	if platforms == nil {
		return nil, errors.New("the template of krew's manifest has no spec.platforms")
	}
	var kept []*yaml.Node
	for _, platform := range platforms.Content {
		if sum := at(platform, "sha256"); sum != nil && sum.Value != "" {
			sum.Tag, sum.Style = "!!str", yaml.DoubleQuotedStyle // one of digits only is no number
			kept = append(kept, platform)
		}
	}
	platforms.Content = kept
	var out bytes.Buffer
	encoder := yaml.NewEncoder(&out)
	encoder.SetIndent(2)
	if err := encoder.Encode(&doc); err != nil {
		return nil, fmt.Errorf("write krew's manifest: %w", err)
	}
	return out.Bytes(), nil
}

func variable(a Archive) string { return strings.ToUpper("SHA256_" + a.OS + "_" + a.Arch) }

// at is the value of a key, nil if there is none.
func at(node *yaml.Node, key string) *yaml.Node {
	if node == nil || node.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		if node.Content[i].Value == key {
			return node.Content[i+1]
		}
	}
	return nil
}
