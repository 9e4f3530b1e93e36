// Package image makes and loads container images without a registry.
package image

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os/exec"
	"runtime"
	"strings"
)

// namespace is where containerd keeps what Kubernetes uses.
const namespace = "k8s.io"

// Import loads a docker-archive or OCI archive into the containerd at the socket, and returns what
// ctr says about it.
func Import(ctx context.Context, socket, archive string) (string, error) {
	cmd := exec.CommandContext(ctx, "ctr", "--address", socket, "--namespace", namespace, "images", "import", archive)
	out, err := cmd.CombinedOutput()
	text := strings.TrimSpace(string(out))
	if err != nil {
		return "", fmt.Errorf("loading the image %s: %w: %s", archive, err, text)
	}
	return text, nil
}

// Single returns a docker-archive of an image that holds nothing but one program, which it runs as
// a user without rights.
func Single(name string, program []byte) ([]byte, error) {
	layer, err := tarOf(file{name: "program", mode: 0o755, data: program})
	if err != nil {
		return nil, fmt.Errorf("packing the layer of %s: %w", name, err)
	}
	config, err := json.Marshal(map[string]any{
		"architecture": runtime.GOARCH,
		"os":           "linux",
		"config":       map[string]any{"Entrypoint": []string{"/program"}, "User": "65535:65535"},
		"rootfs":       map[string]any{"type": "layers", "diff_ids": []string{fmt.Sprintf("sha256:%x", sha256.Sum256(layer))}},
	})
	if err != nil {
		return nil, fmt.Errorf("encoding the configuration of %s: %w", name, err)
	}
	manifest, err := json.Marshal([]map[string]any{{
		"Config": "config.json", "RepoTags": []string{name}, "Layers": []string{"layer.tar"},
	}})
	if err != nil {
		return nil, fmt.Errorf("encoding the manifest of %s: %w", name, err)
	}
	return tarOf(
		file{name: "manifest.json", mode: 0o644, data: manifest},
		file{name: "config.json", mode: 0o644, data: config},
		file{name: "layer.tar", mode: 0o644, data: layer},
	)
}

type file struct {
	name string
	mode int64
	data []byte
}

func tarOf(files ...file) ([]byte, error) {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, f := range files {
		if err := w.WriteHeader(&tar.Header{Name: f.name, Mode: f.mode, Size: int64(len(f.data))}); err != nil {
			return nil, err
		}
		if _, err := w.Write(f.data); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}
