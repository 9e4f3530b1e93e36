// Package image makes container images that hold one static program and its
// licences, for several architectures, as an OCI layout in a tar archive.
package image

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/mcp-sampling/mcp-sampling-operator/hack/release/internal/archive"
	"github.com/mcp-sampling/mcp-sampling-operator/hack/release/internal/program"
)

// user is that of the Dockerfile. Both ids: with the user alone the process would
// run in group 0.
const user = "65532:65532"

// Spec is an image of one architecture.
type Spec struct {
	Platform program.Platform
	// Entrypoint is the path of the program.
	Entrypoint string
	Ports      []string
	Labels     map[string]string
	Files      []archive.File
	Created    time.Time
}

// Build makes the image of one architecture: one layer on nothing.
func Build(spec Spec) (v1.Image, error) {
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		var content bytes.Buffer
		if err := archive.Tar(&content, spec.Files, spec.Created); err != nil {
			return nil, err
		}
		return io.NopCloser(&content), nil
	}, tarball.WithMediaType(types.OCILayer))
	if err != nil {
		return nil, fmt.Errorf("make the layer for %s: %w", spec.Platform, err)
	}
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	image, err = mutate.Append(image, mutate.Addendum{
		Layer:   layer,
		History: v1.History{Created: v1.Time{Time: spec.Created}, CreatedBy: "make release"},
	})
	if err != nil {
		return nil, fmt.Errorf("add the layer for %s: %w", spec.Platform, err)
	}
	file, err := image.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("read the configuration for %s: %w", spec.Platform, err)
	}
	file = file.DeepCopy()
	file.OS, file.Architecture = spec.Platform.OS, spec.Platform.Arch
	file.Created = v1.Time{Time: spec.Created}
	file.Config = v1.Config{User: user, Entrypoint: []string{spec.Entrypoint}, Labels: spec.Labels, ExposedPorts: map[string]struct{}{}}
	for _, port := range spec.Ports {
		file.Config.ExposedPorts[port+"/tcp"] = struct{}{}
	}
	image, err = mutate.ConfigFile(image, file)
	if err != nil {
		return nil, fmt.Errorf("write the configuration for %s: %w", spec.Platform, err)
	}
	return image, nil
}

// Index puts images of several architectures together; annotations tell about
// them.
func Index(specs []Spec, annotations map[string]string) (v1.ImageIndex, error) {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, spec := range specs {
		image, err := Build(spec)
		if err != nil {
			return nil, err
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add: image, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: spec.Platform.OS, Architecture: spec.Platform.Arch}},
		})
	}
	annotated, ok := mutate.Annotations(index, annotations).(v1.ImageIndex)
	if !ok {
		return nil, fmt.Errorf("annotate the index of images: it is none any more")
	}
	return annotated, nil
}

// Write writes the index as an OCI layout in a tar archive, under the name that it
// is to have, REPOSITORY:TAG.
func Write(file string, index v1.ImageIndex, repository, tag string, at time.Time) error {
	dir, err := os.MkdirTemp("", "oci-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	path, err := layout.Write(dir, empty.Index)
	if err != nil {
		return fmt.Errorf("begin an OCI layout: %w", err)
	}
	// The first is the standard's, the second is what containerd reads.
	names := map[string]string{"org.opencontainers.image.ref.name": tag, "io.containerd.image.name": repository + ":" + tag}
	if err := path.AppendIndex(index, layout.WithAnnotations(names)); err != nil {
		return fmt.Errorf("write the OCI layout: %w", err)
	}
	files, err := archive.Read(dir, "", nil)
	if err != nil {
		return err
	}
	var out bytes.Buffer
	if err := archive.Tar(&out, files, at); err != nil {
		return err
	}
	if err := os.WriteFile(file, out.Bytes(), 0o644); err != nil {
		return fmt.Errorf("write the image: %w", err)
	}
	return nil
}
