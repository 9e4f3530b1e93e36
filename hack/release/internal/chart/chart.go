// Package chart packages the Helm chart, with its images named by digest.
package chart

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/mcp-sampling/mcp-sampling-operator/hack/release/internal/archive"
)

// About is what Chart.yaml says of the chart.
type About struct {
	Name       string `yaml:"name"`
	Version    string `yaml:"version"`
	AppVersion string `yaml:"appVersion"`
}

// Read reads the Chart.yaml of a folder.
func Read(dir string) (About, error) {
	var about About
	data, err := os.ReadFile(filepath.Join(dir, "Chart.yaml"))
	if err != nil {
		return about, fmt.Errorf("read the chart: %w", err)
	}
	if err := yaml.Unmarshal(data, &about); err != nil {
		return about, fmt.Errorf("read the chart: %w", err)
	}
	return about, nil
}

// IsFor reports an error if the chart is not that of a version, v1.2.3.
func (a About) IsFor(version string) error {
	if a.AppVersion != version || "v"+a.Version != version {
		return fmt.Errorf("the chart is of version %s and appVersion %s: set %s and %s in its Chart.yaml, or give its version",
			a.Version, a.AppVersion, strings.TrimPrefix(version, "v"), version)
	}
	return nil
}

// Package returns the chart of a folder as `helm package` makes it. The digests are
// those of images, by the key of values.yaml that names the image.
func Package(dir string, digests map[string]string, at time.Time) ([]byte, error) {
	about, err := Read(dir)
	if err != nil {
		return nil, err
	}
	files, err := archive.Read(dir, about.Name+"/", ignored)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(files, func(f archive.File) bool { return f.Name == about.Name+"/values.yaml" })
	if i < 0 {
		return nil, errors.New("the chart has no values.yaml")
	}
	if files[i].Content, err = pin(files[i].Content, digests); err != nil {
		return nil, err
	}
	return archive.TarGz(files, at)
}

// ignored are files that editors and systems leave behind.
func ignored(name string) bool {
	return name != ".helmignore" && strings.HasPrefix(name, ".") ||
		slices.Contains([]string{".swp", ".bak", ".tmp", ".orig"}, filepath.Ext(name)) || strings.HasSuffix(name, "~")
}

// pin writes the digests into the text of values.yaml, which keeps its comments.
func pin(values []byte, digests map[string]string) ([]byte, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(values, &doc); err != nil {
		return nil, fmt.Errorf("read the chart's values: %w", err)
	}
	if len(doc.Content) != 1 {
		return nil, errors.New("the chart's values are empty")
	}
	lines := strings.Split(string(values), "\n")
	for key, digest := range digests {
		node := at(at(doc.Content[0], key), "digest")
		if node == nil || node.Value != "" {
			return nil, fmt.Errorf("the chart's values have no empty %s.digest to fill", key)
		}
		line := lines[node.Line-1]
		lines[node.Line-1] = line[:node.Column-1] + strconv.Quote(digest)
	}
	return []byte(strings.Join(lines, "\n")), nil
}

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
