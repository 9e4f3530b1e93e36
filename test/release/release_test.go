package release

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

const (
	root   = "../.."
	commit = "0123456789abcdef0123456789abcdef01234567"
	// epoch is the time of the release's files.
	epoch = "1700000000"
)

// platforms are those that images are made for. The others take minutes more:
// RELEASE_PLATFORMS names them.
func platforms() string {
	if p := os.Getenv("RELEASE_PLATFORMS"); p != "" {
		return p
	}
	return "linux/amd64,linux/arm64"
}

func TestRelease(t *testing.T) {
	dir := makeRelease(t, root)
	version := appVersion(t)
	sums := checksums(t, dir)

	t.Run("holds what it promises", func(t *testing.T) {
		want := []string{
			"RELEASE_NOTES.md", "install.yaml", "mcp.krew.yaml", "mcp-sampling-operator-" + strings.TrimPrefix(version, "v") + ".tgz",
			"mcp-sampling-operator_" + version + ".oci.tar", "mcp-sampling-operator_" + version + ".oci.spdx.json",
			"mcp-sampler_" + version + ".oci.tar", "mcp-sampler_" + version + ".oci.spdx.json",
		}
		for platform := range strings.SplitSeq(platforms(), ",") {
			for _, program := range []string{"manager", "sampler", "kubectl-mcp"} {
				if strings.HasPrefix(platform, "windows/") && program != "kubectl-mcp" {
					continue
				}
				name := program + "_" + version + "_" + strings.ReplaceAll(platform, "/", "_")
				want = append(want, name+".tar.gz", name+".spdx.json")
			}
		}
		for _, name := range want {
			if sums[name] == "" {
				t.Errorf("lacks %s", name)
			}
		}
		if len(sums) != len(want) {
			t.Errorf("holds %d files, want %d", len(sums), len(want))
		}
	})
	t.Run("its programs say what they are", func(t *testing.T) {
		for _, program := range []string{"manager", "sampler", "kubectl-mcp"} {
			files := untar(t, gunzip(t, read(t, dir, program+"_"+version+"_linux_"+runtime.GOARCH+".tar.gz")))
			path := filepath.Join(t.TempDir(), program)
			if err := os.WriteFile(path, files[program], 0o755); err != nil {
				t.Fatal(err)
			}
			out, err := exec.Command(path, "--version").CombinedOutput()
			if err != nil {
				t.Fatalf("%s --version: %v: %s", program, err, out)
			}
			for _, want := range []string{version, commit, runtime.Version()} {
				if !strings.Contains(string(out), want) {
					t.Errorf("%s --version says %q, which lacks %s", program, out, want)
				}
			}
			if len(files["LICENSE"]) == 0 || !bytes.Contains(files["THIRD-PARTY-NOTICES"], []byte("The Go Authors")) {
				t.Errorf("%s comes without the licences of what is in it", program)
			}
		}
	})
	t.Run("chart and manifest name the images by their digests", func(t *testing.T) {
		var values map[string]map[string]any
		chart := untar(t, gunzip(t, read(t, dir, "mcp-sampling-operator-"+strings.TrimPrefix(version, "v")+".tgz")))
		// Only the images are maps of this kind; the rest is of no interest.
		var all map[string]any
		if err := yaml.Unmarshal(chart["mcp-sampling-operator/values.yaml"], &all); err != nil {
			t.Fatal(err)
		}
		values = map[string]map[string]any{}
		for _, key := range []string{"image", "samplerImage"} {
			values[key], _ = all[key].(map[string]any)
		}
		manifest := string(read(t, dir, "install.yaml"))
		for key, name := range map[string]string{"image": "mcp-sampling-operator", "samplerImage": "mcp-sampler"} {
			digest := imageDigest(t, untar(t, read(t, dir, name+"_"+version+".oci.tar")))
			if values[key]["digest"] != digest {
				t.Errorf("the chart's %s.digest is %v, the image's %s", key, values[key]["digest"], digest)
			}
			if ref := "ghcr.io/mcp-sampling/" + name + ":" + version + "@" + digest; !strings.Contains(manifest, ref) {
				t.Errorf("the manifest does not name %s", ref)
			}
		}
	})
	t.Run("helm takes the chart", func(t *testing.T) {
		tools, err := exec.Command(filepath.Join(root, "hack/cluster/build.sh"), "--print", "tools").Output()
		if err != nil {
			t.Fatalf("find helm: %v", err)
		}
		helm := filepath.Join(strings.TrimSpace(string(tools)), "helm")
		chart := filepath.Join(dir, "mcp-sampling-operator-"+strings.TrimPrefix(version, "v")+".tgz")
		for _, args := range [][]string{{"lint", chart}, {"template", "x", chart}} {
			if out, err := exec.Command(helm, args...).CombinedOutput(); err != nil {
				t.Errorf("helm %s: %v: %s", args, err, out)
			}
		}
	})
	t.Run("krew is told the checksums of the archives", func(t *testing.T) {
		var plugin struct {
			Spec struct {
				Version   string
				Platforms []struct{ URI, SHA256, Bin string }
			}
		}
		if err := yaml.Unmarshal(read(t, dir, "mcp.krew.yaml"), &plugin); err != nil {
			t.Fatal(err)
		}
		if plugin.Spec.Version != version || len(plugin.Spec.Platforms) != len(strings.Split(platforms(), ",")) {
			t.Errorf("version %s, %d platforms", plugin.Spec.Version, len(plugin.Spec.Platforms))
		}
		for _, p := range plugin.Spec.Platforms {
			if name := p.URI[strings.LastIndex(p.URI, "/")+1:]; sums[name] != p.SHA256 {
				t.Errorf("%s: %s, want %s", name, p.SHA256, sums[name])
			}
		}
	})
	t.Run("bills of materials name modules and licences", func(t *testing.T) {
		checkBill(t, read(t, dir, "mcp-sampler_"+version+".oci.spdx.json"), "github.com/openai/openai-go/v3")
		checkBill(t, read(t, dir, "manager_"+version+"_linux_amd64.spdx.json"), "sigs.k8s.io/controller-runtime")
	})
	t.Run("is the same when made elsewhere", func(t *testing.T) {
		again := makeRelease(t, copyOf(t, root))
		if diff := cmp.Diff(sums, checksums(t, again)); diff != "" {
			t.Errorf("checksums (-first +second):\n%s", diff)
		}
	})
}

func checkBill(t *testing.T, data []byte, module string) {
	t.Helper()
	var bill struct {
		SPDXVersion string `json:"spdxVersion"`
		Packages    []struct {
			Name            string `json:"name"`
			LicenseDeclared string `json:"licenseDeclared"`
		} `json:"packages"`
	}
	if err := json.Unmarshal(data, &bill); err != nil {
		t.Fatal(err)
	}
	licences := map[string]string{}
	unknown := 0
	for _, p := range bill.Packages {
		licences[p.Name] = p.LicenseDeclared
		if p.LicenseDeclared == "NOASSERTION" {
			unknown++
		}
	}
	if bill.SPDXVersion != "SPDX-2.3" || licences[module] != "Apache-2.0" || licences["std"] != "BSD-3-Clause" {
		t.Errorf("%s, %s under %q, Go under %q", bill.SPDXVersion, module, licences[module], licences["std"])
	}
	if unknown*5 > len(bill.Packages) {
		t.Errorf("%d of %d licences are not known: %v", unknown, len(bill.Packages), licences)
	}
}

// imageDigest is the digest that an OCI layout gives its one index, whose manifests,
// configurations and layers must all be there.
func imageDigest(t *testing.T, files map[string][]byte) string {
	t.Helper()
	type descriptor struct {
		Digest   string
		Platform struct{ OS, Architecture string }
	}
	blob := func(digest string, into any) {
		t.Helper()
		data := files["blobs/"+strings.Replace(digest, ":", "/", 1)]
		if got := "sha256:" + sum(data); got != digest {
			t.Fatalf("blob %s has the checksum %s", digest, got)
		}
		if into == nil {
			return
		}
		if err := json.Unmarshal(data, into); err != nil {
			t.Fatal(err)
		}
	}
	var top, index struct{ Manifests []descriptor }
	if err := json.Unmarshal(files["index.json"], &top); err != nil || len(top.Manifests) != 1 {
		t.Fatalf("index.json has %d images, want one: %v", len(top.Manifests), err)
	}
	blob(top.Manifests[0].Digest, &index)
	var got []string
	for _, m := range index.Manifests {
		got = append(got, m.Platform.OS+"/"+m.Platform.Architecture)
		var manifest struct {
			Config descriptor
			Layers []descriptor
		}
		blob(m.Digest, &manifest)
		var config struct {
			OS, Architecture string
			Config           struct{ User string }
		}
		blob(manifest.Config.Digest, &config)
		if config.Architecture != m.Platform.Architecture || config.Config.User != "65532:65532" {
			t.Errorf("image for %s: %+v", m.Platform, config)
		}
		for _, layer := range manifest.Layers {
			blob(layer.Digest, nil)
		}
	}
	if diff := cmp.Diff([]string{"linux/amd64", "linux/arm64"}, got); diff != "" {
		t.Errorf("platforms of the image (-want +got):\n%s", diff)
	}
	return top.Manifests[0].Digest
}

// makeRelease makes a release of a folder and returns where it is.
func makeRelease(t *testing.T, project string) string {
	t.Helper()
	project, err := filepath.Abs(project)
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "release")
	cmd := exec.CommandContext(t.Context(), "go", "run", "-C", filepath.Join(project, "hack/release"), ".",
		"-root", project, "-out", out, "-commit", commit, "-platforms", platforms())
	cmd.Env = append(os.Environ(), "SOURCE_DATE_EPOCH="+epoch)
	if output, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", cmd, err, output)
	}
	return out
}

// copyOf is another folder with the same sources, and no history.
func copyOf(t *testing.T, project string) string {
	t.Helper()
	cmd := exec.Command("git", "ls-files", "--cached", "--others", "--exclude-standard", "-z")
	cmd.Dir = project
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v", cmd, err)
	}
	dir := filepath.Join(t.TempDir(), "elsewhere", "of-another-length")
	for name := range strings.SplitSeq(strings.TrimRight(string(out), "\x00"), "\x00") {
		from, to := filepath.Join(project, name), filepath.Join(dir, name)
		info, err := os.Lstat(from)
		if errors.Is(err, os.ErrNotExist) {
			continue // deleted, and not committed yet
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, data, info.Mode().Perm()); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// checksums reads SHA256SUMS, and holds the files to it.
func checksums(t *testing.T, dir string) map[string]string {
	t.Helper()
	sums := map[string]string{}
	for line := range strings.Lines(string(read(t, dir, "SHA256SUMS"))) {
		want, name, _ := strings.Cut(strings.TrimSpace(line), "  ")
		if got := sum(read(t, dir, name)); got != want {
			t.Errorf("%s has the checksum %s, SHA256SUMS says %s", name, got, want)
		}
		sums[name] = want
	}
	return sums
}

func sum(data []byte) string {
	hash := sha256.Sum256(data)
	return hex.EncodeToString(hash[:])
}

func read(t *testing.T, path ...string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func gunzip(t *testing.T, data []byte) []byte {
	t.Helper()
	in, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(in)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func untar(t *testing.T, data []byte) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	for in := tar.NewReader(bytes.NewReader(data)); ; {
		header, err := in.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		if at := fmt.Sprint(header.ModTime.Unix()); at != epoch {
			t.Errorf("%s is of %s, want %s", header.Name, header.ModTime, epoch)
		}
		if files[header.Name], err = io.ReadAll(in); err != nil {
			t.Fatal(err)
		}
	}
}

func appVersion(t *testing.T) string {
	t.Helper()
	return chartFile(t).AppVersion
}

type chartYAML struct{ AppVersion, KubeVersion string }

func chartFile(t *testing.T) chartYAML {
	t.Helper()
	var chart chartYAML
	if err := yaml.Unmarshal(read(t, root, "charts/mcp-sampling-operator/Chart.yaml"), &chart); err != nil {
		t.Fatal(err)
	}
	return chart
}

func TestChangelogTellsOfTheChartsVersion(t *testing.T) {
	changelog := string(read(t, root, "CHANGELOG.md"))
	version := strings.TrimPrefix(appVersion(t), "v")
	if !regexp.MustCompile(`(?m)^## \[` + regexp.QuoteMeta(version) + `\] - \d{4}-\d{2}-\d{2}$`).MatchString(changelog) {
		t.Errorf("the chart's appVersion is v%s, and CHANGELOG.md has no \"## [%s] - DATE\"", version, version)
	}
}

// What the chart asks for, what the docs say and what is tested are one version.
func TestOldestKubernetesIsTheOneThatIsTested(t *testing.T) {
	tested := regexp.MustCompile(`k8s\.io/kubernetes v(1\.\d+)\.`).FindSubmatch(read(t, root, "hack/cluster/oldest/go.mod"))
	if tested == nil {
		t.Fatal("hack/cluster/oldest/go.mod names no Kubernetes")
	}
	oldest := string(tested[1])
	if got, want := chartFile(t).KubeVersion, ">="+oldest+".0-0"; got != want {
		t.Errorf("the chart's kubeVersion is %s, want %s", got, want)
	}
	for _, page := range []string{"docs/install.md", "docs/release.md"} {
		if !strings.Contains(string(read(t, root, page)), "Kubernetes "+oldest) {
			t.Errorf("%s does not say that Kubernetes %s is the oldest", page, oldest)
		}
	}
}
