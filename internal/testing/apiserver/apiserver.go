// Package apiserver gives tests a real Kubernetes API server and etcd with this
// project's CRDs installed. There is no kubelet and no controller: what a test
// wants to happen to an object it does itself.
//
// The binaries come from the folder that KUBEBUILDER_ASSETS names, else from
// hack/cluster/build.sh, which builds them from source into a cache (minutes
// the first time, nothing later). Without them tests fail, they do not skip.
package apiserver

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

// startTimeout is generous: a cold machine with two busy cores needs it.
const startTimeout = 90 * time.Second

// Server is an API server that the tests of one package share. It starts when
// the first test asks for it. The zero value is ready to use.
type Server struct {
	once sync.Once
	env  *envtest.Environment
	cfg  *rest.Config
	err  error
}

// Main runs the tests of a package and stops the server after them. Use it as
//
//	var server apiserver.Server
//
//	func TestMain(m *testing.M) { os.Exit(server.Main(m)) }
func (s *Server) Main(m *testing.M) int {
	code := m.Run()
	if err := s.stop(); err != nil {
		fmt.Fprintf(os.Stderr, "stop the test API server: %v\n", err)
		return max(code, 1)
	}
	return code
}

// Config returns how to reach the server as cluster administrator. Each caller
// gets its own copy.
func (s *Server) Config(tb testing.TB) *rest.Config {
	tb.Helper()
	s.once.Do(s.start)
	if s.err != nil {
		tb.Fatalf("this test needs a real API server: %v", s.err)
	}
	return rest.CopyConfig(s.cfg)
}

// Assets returns the root of the module, and the folder with the binaries.
func Assets() (root, assets string, err error) {
	if root, err = moduleRoot(); err != nil {
		return "", "", err
	}
	assets, err = assetsDirectory(root)
	return root, assets, err
}

func (s *Server) start() {
	root, assets, err := Assets()
	if err != nil {
		s.err = err
		return
	}
	env := &envtest.Environment{
		BinaryAssetsDirectory:    assets,
		CRDDirectoryPaths:        []string{filepath.Join(root, "config", "crd", "bases")},
		ErrorIfCRDPathMissing:    true,
		ControlPlaneStartTimeout: startTimeout,
		ControlPlaneStopTimeout:  startTimeout,
	}
	s.cfg, s.err = env.Start()
	if s.err != nil {
		s.err = errors.Join(fmt.Errorf("start it from %s: %w", assets, s.err), env.Stop())
		return
	}
	s.env = env
}

func (s *Server) stop() error {
	if s.env == nil {
		return nil
	}
	return s.env.Stop()
}

// moduleRoot is the folder of go.mod above the working directory, which `go
// test` sets to the folder of the package.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("no go.mod above the working directory")
		}
		dir = parent
	}
}

// assetsDirectory is where kube-apiserver and etcd are.
func assetsDirectory(root string) (string, error) {
	if dir := os.Getenv("KUBEBUILDER_ASSETS"); dir != "" {
		return dir, complete(dir)
	}
	script := filepath.Join(root, "hack", "cluster", "build.sh")
	var stdout, stderr bytes.Buffer
	cmd := exec.Command(script, "--print", "envtest")
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s --print envtest: %w\n%s\nrun it by hand to see why, or set KUBEBUILDER_ASSETS to a folder with kube-apiserver and etcd",
			script, err, lastLines(stderr.String(), 20))
	}
	dir := strings.TrimSpace(stdout.String())
	return dir, complete(dir)
}

func complete(dir string) error {
	for _, name := range []string{"kube-apiserver", "etcd"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			return fmt.Errorf("%s is not in %s: run hack/cluster/build.sh, or set KUBEBUILDER_ASSETS to a folder with kube-apiserver and etcd: %w", name, dir, err)
		}
	}
	return nil
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	if len(lines) > n {
		lines = lines[len(lines)-n:]
	}
	return strings.Join(lines, "\n")
}
