// Package krew makes the manifest by which krew, the manager of kubectl's plugins,
// installs "kubectl mcp".
package krew

import (
	"bytes"
	_ "embed"
	"fmt"
	"text/template"
)

// Archive is the plugin for a platform.
type Archive struct {
	OS, Arch, File, SHA256, Bin string
}

//go:embed mcp.yaml.tmpl
var text string

var manifest = template.Must(template.New("mcp.yaml").Option("missingkey=error").Parse(text))

// Manifest names the archives of a version.
func Manifest(version string, archives []Archive) ([]byte, error) {
	var out bytes.Buffer
	err := manifest.Execute(&out, struct {
		Version  string
		Archives []Archive
	}{version, archives})
	if err != nil {
		return nil, fmt.Errorf("make krew's manifest: %w", err)
	}
	return out.Bytes(), nil
}
