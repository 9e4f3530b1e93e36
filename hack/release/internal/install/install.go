// Package install makes the one file by which the operator is installed without
// Helm: what config/default holds, with the images of the release.
package install

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// overlay changes the images. They are given with tag and digest, which kustomize's
// own images field cannot do for both places.
const overlay = `resources:
- %s
patches:
- patch: |
    apiVersion: apps/v1
    kind: Deployment
    metadata:
      name: mcp-sampling-manager
      namespace: mcp-sampling-system
    spec:
      template:
        spec:
          containers:
          - name: manager
            image: %s
            env:
            - name: SAMPLER_IMAGE
              value: %s
`

// Manifest renders the file.
func Manifest(ctx context.Context, root, manager, sampler string) ([]byte, error) {
	dir, err := os.MkdirTemp("", "install-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	// kustomize takes a relative path only, and looks behind symbolic links.
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return nil, err
	}
	base, err := filepath.EvalSymlinks(filepath.Join(root, "config", "default"))
	if err != nil {
		return nil, fmt.Errorf("find what is installed: %w", err)
	}
	if base, err = filepath.Rel(real, base); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(real, "kustomization.yaml"), fmt.Appendf(nil, overlay, filepath.ToSlash(base), manager, sampler), 0o600); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, "go", "tool", "-modfile=hack/tools/go.mod", "kustomize", "build", real)
	cmd.Dir = root
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("render config/default: %w: %s", err, stderr.String())
	}
	for _, image := range []string{manager, sampler} {
		if n := strings.Count(string(out), image); n != 1 {
			return nil, fmt.Errorf("%s stands %d times in the manifest, want once", image, n)
		}
	}
	return out, nil
}
