package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"github.com/mcp-sampling/mcp-sampling-operator/hack/release/internal/archive"
	"github.com/mcp-sampling/mcp-sampling-operator/hack/release/internal/changelog"
	"github.com/mcp-sampling/mcp-sampling-operator/hack/release/internal/chart"
	"github.com/mcp-sampling/mcp-sampling-operator/hack/release/internal/image"
	"github.com/mcp-sampling/mcp-sampling-operator/hack/release/internal/install"
	"github.com/mcp-sampling/mcp-sampling-operator/hack/release/internal/krew"
	"github.com/mcp-sampling/mcp-sampling-operator/hack/release/internal/program"
	"github.com/mcp-sampling/mcp-sampling-operator/hack/release/internal/sbom"
)

const (
	registry = "ghcr.io/mcp-sampling/"
	source   = "https://github.com/mcp-sampling/mcp-sampling-operator"
	chartDir = "charts/mcp-sampling-operator"
	krewDir  = "hack/krew"

	completionFile = "kubectl_complete-mcp"
)

// product is one of the project's programs, and what it comes as.
type product struct {
	name string
	// image is the name of its image, and value the key of the chart's values that
	// names it; empty for a program without one.
	image, value string
	ports        []string
	about        string
	// plugin says that it is one of kubectl, for all platforms.
	plugin bool
}

var products = []product{
	{name: "manager", image: "mcp-sampling-operator", value: "image", ports: []string{"8080", "8081"}, about: "The operator of MCP servers and their sampling"},
	{name: "sampler", image: "mcp-sampler", value: "samplerImage", ports: []string{"8080", "9090", "9464"}, about: "Answers the sampling requests of an MCP server"},
	{name: "kubectl-mcp", plugin: true},
}

// release is one being made.
type release struct {
	root, out       string
	version, commit string
	platforms       []program.Platform
	at              time.Time
}

// built is a program for one platform.
type built struct {
	product  product
	platform program.Platform
	binary   []byte
	sha256   string
	modules  []program.Module
	notices  []byte
}

func (r release) make(ctx context.Context) error {
	about, err := chart.Read(filepath.Join(r.root, chartDir))
	if err != nil {
		return err
	}
	if r.version == "" {
		r.version = about.AppVersion
	}
	if err := about.IsFor(r.version); err != nil {
		return err
	}
	notes, err := r.notes()
	if err != nil {
		return err
	}
	if err := r.empty(); err != nil {
		return err
	}
	if err := r.write("RELEASE_NOTES.md", []byte(notes)); err != nil {
		return err
	}
	all, err := r.build(ctx)
	if err != nil {
		return err
	}
	if err := r.archives(all); err != nil {
		return err
	}
	digests := map[string]string{}
	for _, p := range products {
		if p.image == "" {
			continue
		}
		digest, err := r.image(p, all)
		if err != nil {
			return err
		}
		digests[p.value] = digest.String()
	}
	if err := r.installation(ctx, about, digests); err != nil {
		return err
	}
	return r.sums()
}

// notes is what the changelog says of the version.
func (r release) notes() (string, error) {
	data, err := os.ReadFile(filepath.Join(r.root, "CHANGELOG.md"))
	if err != nil {
		return "", fmt.Errorf("read the changelog: %w", err)
	}
	return changelog.Section(string(data), r.version)
}

// empty makes the folder, without what an earlier release has left in it.
func (r release) empty() error {
	entries, err := os.ReadDir(r.out)
	if err == nil && len(entries) > 0 {
		if _, err := os.Stat(filepath.Join(r.out, "RELEASE_NOTES.md")); err != nil {
			return fmt.Errorf("%s holds other things than a release: delete it, or name another folder", r.out)
		}
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("look into the folder of the release: %w", err)
	}
	if err := os.RemoveAll(r.out); err != nil {
		return fmt.Errorf("empty the folder of the release: %w", err)
	}
	return os.MkdirAll(r.out, 0o755)
}

// build builds every program for every platform that it runs on.
func (r release) build(ctx context.Context) ([]*built, error) {
	dir, err := os.MkdirTemp("", "release-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	var all []*built
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(2) // go build itself uses every processor
	for _, platform := range r.platforms {
		for _, p := range products {
			if platform.OS == "windows" && !p.plugin {
				continue
			}
			b := &built{product: p, platform: platform}
			all = append(all, b)
			group.Go(func() error {
				r.say("building %s for %s", p.name, platform)
				return r.buildOne(ctx, b, filepath.Join(dir, strings.ReplaceAll(p.name+"-"+platform.String(), "/", "-")))
			})
		}
	}
	return all, group.Wait()
}

func (r release) buildOne(ctx context.Context, b *built, file string) error {
	err := program.Build{Root: r.root, Package: "./cmd/" + b.product.name, Version: r.version, Commit: r.commit}.Run(ctx, b.platform, file)
	if err != nil {
		return err
	}
	if b.binary, err = os.ReadFile(file); err != nil {
		return fmt.Errorf("read what was built: %w", err)
	}
	b.sha256 = sum(b.binary)
	if b.modules, err = program.Modules(ctx, r.root, file); err != nil {
		return err
	}
	b.notices = program.Notices(b.modules)
	return os.Remove(file)
}

// file is the name of the program in archives.
func (b *built) file() string {
	if b.platform.OS == "windows" {
		return b.product.name + ".exe"
	}
	return b.product.name
}

// archives writes an archive and a bill of materials for each program, and the
// manifest for krew.
func (r release) archives(all []*built) error {
	licence, err := os.ReadFile(filepath.Join(r.root, "LICENSE"))
	if err != nil {
		return err
	}
	completion, err := os.ReadFile(filepath.Join(r.root, krewDir, completionFile))
	if err != nil {
		return fmt.Errorf("read the plugin's completion: %w", err)
	}
	template, err := os.ReadFile(filepath.Join(r.root, krewDir, "mcp.yaml.tmpl"))
	if err != nil {
		return fmt.Errorf("read krew's manifest: %w", err)
	}
	var plugin []krew.Archive
	for _, b := range all {
		name := fmt.Sprintf("%s_%s_%s_%s", b.product.name, r.version, b.platform.OS, b.platform.Arch)
		files := []archive.File{
			{Name: b.file(), Content: b.binary, Executable: true},
			{Name: "LICENSE", Content: licence},
			{Name: "THIRD-PARTY-NOTICES", Content: b.notices},
		}
		if b.product.plugin && b.platform.OS != "windows" { // it is a shell script
			files = append(files, archive.File{Name: completionFile, Content: completion, Executable: true})
		}
		data, err := archive.TarGz(files, r.at)
		if err != nil {
			return fmt.Errorf("make %s: %w", name, err)
		}
		if err := r.write(name+".tar.gz", data); err != nil {
			return err
		}
		bill, err := sbom.Document(sbom.Subject{Name: b.file(), Version: r.version, SHA256: b.sha256, Created: r.at}, b.modules)
		if err != nil {
			return err
		}
		if err := r.write(name+".spdx.json", bill); err != nil {
			return err
		}
		if b.product.plugin {
			plugin = append(plugin, krew.Archive{OS: b.platform.OS, Arch: b.platform.Arch, SHA256: sum(data)})
		}
	}
	manifest, err := krew.Manifest(template, r.version, plugin)
	if err != nil {
		return err
	}
	return r.write("mcp.krew.yaml", manifest)
}

// image writes the image of a program, for all platforms of Linux, with its bill of
// materials.
func (r release) image(p product, all []*built) (v1.Hash, error) {
	licence, err := os.ReadFile(filepath.Join(r.root, "LICENSE"))
	if err != nil {
		return v1.Hash{}, err
	}
	labels := map[string]string{
		"org.opencontainers.image.title":       p.image,
		"org.opencontainers.image.description": p.about,
		"org.opencontainers.image.version":     r.version,
		"org.opencontainers.image.revision":    r.commit,
		"org.opencontainers.image.source":      source,
		"org.opencontainers.image.licenses":    "Apache-2.0",
		"org.opencontainers.image.created":     r.at.Format(time.RFC3339),
	}
	var specs []image.Spec
	var modules []program.Module
	for _, b := range all {
		if b.product.name != p.name || b.platform.OS != "linux" {
			continue
		}
		if modules != nil && !program.Same(modules, b.modules) {
			return v1.Hash{}, fmt.Errorf("%s is made of other modules for %s: its image needs more than one bill of materials", p.name, b.platform)
		}
		modules = b.modules
		specs = append(specs, image.Spec{
			Platform: b.platform, Entrypoint: "/" + p.name, Ports: p.ports, Labels: labels, Created: r.at,
			Files: []archive.File{
				{Name: p.name, Content: b.binary, Executable: true},
				{Name: "licenses/LICENSE", Content: licence},
				{Name: "licenses/THIRD-PARTY-NOTICES", Content: b.notices},
			},
		})
	}
	if len(specs) == 0 {
		return v1.Hash{}, errors.New("no platform of Linux to make images for: name one in -platforms")
	}
	r.say("making the image %s", p.image)
	index, err := image.Index(specs, labels)
	if err != nil {
		return v1.Hash{}, err
	}
	digest, err := index.Digest()
	if err != nil {
		return v1.Hash{}, fmt.Errorf("read the digest of %s: %w", p.image, err)
	}
	name := p.image + "_" + r.version
	if err := image.Write(filepath.Join(r.out, name+".oci.tar"), index, registry+p.image, r.version, r.at); err != nil {
		return v1.Hash{}, err
	}
	bill, err := sbom.Document(sbom.Subject{Name: p.image, Image: registry + p.image, Version: r.version, SHA256: digest.Hex, Created: r.at}, modules)
	if err != nil {
		return v1.Hash{}, err
	}
	return digest, r.write(name+".oci.spdx.json", bill)
}

// installation writes the chart, and the manifest for those who use no Helm.
func (r release) installation(ctx context.Context, about chart.About, digests map[string]string) error {
	r.say("packaging the chart, rendering the manifest")
	data, err := chart.Package(filepath.Join(r.root, chartDir), digests, r.at)
	if err != nil {
		return err
	}
	if err := r.write(fmt.Sprintf("%s-%s.tgz", about.Name, about.Version), data); err != nil {
		return err
	}
	var refs []string
	for _, p := range products {
		if p.image != "" {
			refs = append(refs, fmt.Sprintf("%s%s:%s@%s", registry, p.image, r.version, digests[p.value]))
		}
	}
	manifest, err := install.Manifest(ctx, r.root, refs[0], refs[1])
	if err != nil {
		return err
	}
	return r.write("install.yaml", manifest)
}

// sums writes the checksums of all files, as sha256sum reads them.
func (r release) sums() error {
	entries, err := os.ReadDir(r.out)
	if err != nil {
		return err
	}
	var out bytes.Buffer
	for _, entry := range entries {
		data, err := os.ReadFile(filepath.Join(r.out, entry.Name()))
		if err != nil {
			return fmt.Errorf("sum up: %w", err)
		}
		fmt.Fprintf(&out, "%s  %s\n", sum(data), entry.Name())
	}
	if err := r.write("SHA256SUMS", out.Bytes()); err != nil {
		return err
	}
	fmt.Println(r.out)
	return nil
}

func (r release) write(name string, data []byte) error {
	if err := os.WriteFile(filepath.Join(r.out, name), data, 0o644); err != nil {
		return fmt.Errorf("write the release: %w", err)
	}
	return nil
}

func (r release) say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "release: "+format+"\n", args...)
}

func sum(data []byte) string {
	hash := sha256.Sum256(data)
	return hex.EncodeToString(hash[:])
}
