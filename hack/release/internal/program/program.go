// Package program builds the project's programs for other platforms, with the same
// bytes wherever that is done, and says which modules a program is made of.
package program

import (
	"bytes"
	"context"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
)

// Platform is an operating system and an architecture, as Go names them.
type Platform struct{ OS, Arch string }

func (p Platform) String() string { return p.OS + "/" + p.Arch }

// Parse reads "linux/amd64".
func Parse(s string) (Platform, error) {
	system, arch, ok := strings.Cut(s, "/")
	if !ok || system == "" || arch == "" || strings.Contains(arch, "/") {
		return Platform{}, fmt.Errorf("platform %q: write it as linux/amd64", s)
	}
	return Platform{OS: system, Arch: arch}, nil
}

// Build says what to build and from where.
type Build struct {
	Root    string // of the project
	Package string // ./cmd/…
	Version string
	Commit  string
}

const versions = "github.com/mcp-sampling/mcp-sampling-operator/internal/version"

// Run builds the program for a platform and writes it to a file.
func (b Build) Run(ctx context.Context, p Platform, file string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-tags", "grpcnotrace",
		"-ldflags", fmt.Sprintf("-s -w -buildid= -X %[1]s.version=%[2]s -X %[1]s.commit=%[3]s", versions, b.Version, b.Commit),
		"-o", file, b.Package)
	cmd.Dir = b.Root
	where, err := whereModulesAre(ctx, b.Root)
	if err != nil {
		return err
	}
	// What a user has set for builds of his own, also by `go env -w`, must not show
	// in a release.
	cmd.Env = slices.Concat(os.Environ(), where, []string{
		"CGO_ENABLED=0", "GOOS=" + p.OS, "GOARCH=" + p.Arch,
		"GOAMD64=v1", "GOARM64=v8.0", "GOFLAGS=", "GOEXPERIMENT=", "GOFIPS140=off", "GOWORK=off", "GOENV=off",
	})
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("build %s for %s: %w: %s", b.Package, p, err, stderr.String())
	}
	return nil
}

// whereModulesAre are the settings by which modules are found. They do not show in
// what is built.
func whereModulesAre(ctx context.Context, root string) ([]string, error) {
	cmd := exec.CommandContext(ctx, "go", "env", "-json", "GOPROXY", "GOSUMDB", "GONOSUMDB", "GONOPROXY", "GOPRIVATE", "GOMODCACHE", "GOCACHE")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go env: %w", err)
	}
	settings := map[string]string{}
	if err := json.Unmarshal(out, &settings); err != nil {
		return nil, fmt.Errorf("go env: %w", err)
	}
	var env []string
	for name, value := range settings {
		env = append(env, name+"="+value)
	}
	return env, nil
}

// Module is what a program is made of: the project, or something it depends on.
type Module struct {
	Path, Version string
	// Texts are its licences and notices, by the names of their files.
	Texts []Text
}

// Text is a file that must come with what it is about.
type Text struct {
	Name    string
	Content []byte
}

// GoModule stands for the standard library and the runtime.
const GoModule = "std"

// Modules reads from a built program which modules are in it, with their licences
// from Go's module cache. The project itself is left out, Go is the first one.
func Modules(ctx context.Context, root, file string) ([]Module, error) {
	info, err := buildinfo.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read what %s is made of: %w", file, err)
	}
	goroot, err := output(ctx, root, "env", "GOROOT")
	if err != nil {
		return nil, err
	}
	texts, err := licences(strings.TrimSpace(string(goroot)))
	if err != nil {
		return nil, err
	}
	if len(texts) == 0 {
		return nil, fmt.Errorf("no licence of Go in %s: build with a Go from go.dev", goroot)
	}
	modules := []Module{{Path: GoModule, Version: strings.TrimPrefix(info.GoVersion, "go"), Texts: texts}}
	folders, err := folders(ctx, root, info.Deps)
	if err != nil {
		return nil, err
	}
	for _, dep := range info.Deps {
		dep = used(dep)
		dir := folders[dep.Path+"@"+dep.Version]
		if dir == "" {
			return nil, fmt.Errorf("module %s@%s is not in Go's cache", dep.Path, dep.Version)
		}
		texts, err := licences(dir)
		if err != nil {
			return nil, err
		}
		if len(texts) == 0 {
			return nil, fmt.Errorf("module %s@%s has no licence: may it be distributed?", dep.Path, dep.Version)
		}
		modules = append(modules, Module{Path: dep.Path, Version: dep.Version, Texts: texts})
	}
	return modules, nil
}

// used is the module that stands in for another one.
func used(m *debug.Module) *debug.Module {
	if m.Replace != nil {
		return m.Replace
	}
	return m
}

// folders is where Go's cache holds modules, by PATH@VERSION.
func folders(ctx context.Context, root string, modules []*debug.Module) (map[string]string, error) {
	args := []string{"mod", "download", "-json"}
	for _, m := range modules {
		args = append(args, used(m).Path+"@"+used(m).Version)
	}
	out, err := output(ctx, root, args...)
	if err != nil {
		return nil, err
	}
	found := map[string]string{}
	for stream := json.NewDecoder(bytes.NewReader(out)); ; {
		var m struct{ Path, Version, Dir string }
		err := stream.Decode(&m)
		if errors.Is(err, io.EOF) {
			return found, nil
		}
		if err != nil {
			return nil, fmt.Errorf("find modules in Go's cache: %w", err)
		}
		found[m.Path+"@"+m.Version] = m.Dir
	}
}

var licence = regexp.MustCompile(`(?i)^((un)?licen[cs]e|copying|notice|patents|copyright)([-._].*)?$`)

func licences(dir string) ([]Text, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("look for licences: %w", err)
	}
	var texts []Text
	for _, entry := range entries {
		if !entry.Type().IsRegular() || !licence.MatchString(entry.Name()) || strings.HasSuffix(entry.Name(), ".go") {
			continue
		}
		content, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		if err != nil {
			return nil, fmt.Errorf("read a licence: %w", err)
		}
		texts = append(texts, Text{Name: entry.Name(), Content: content})
	}
	return texts, nil
}

// Notices is the text that comes with a program: the licences of all that is in it.
func Notices(modules []Module) []byte {
	var out bytes.Buffer
	out.WriteString("This program contains the following works, under their own licences.\n")
	for _, m := range modules {
		name := m.Path + " " + m.Version
		if m.Path == GoModule {
			name = "The Go runtime and standard library " + m.Version
		}
		for _, text := range m.Texts {
			fmt.Fprintf(&out, "\n%s\n%s, %s\n\n", strings.Repeat("=", 80), name, text.Name)
			out.Write(bytes.TrimSpace(text.Content))
			out.WriteByte('\n')
		}
	}
	return out.Bytes()
}

// Same reports whether two programs are made of the same modules.
func Same(a, b []Module) bool {
	return slices.EqualFunc(a, b, func(a, b Module) bool { return a.Path == b.Path && a.Version == b.Version })
}

func output(ctx context.Context, dir string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	out, err := cmd.Output()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return nil, fmt.Errorf("%s: %w: %s", cmd, err, exit.Stderr)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", cmd, err)
	}
	return out, nil
}
