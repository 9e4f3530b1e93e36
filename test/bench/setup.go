package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/mcp-sampling/mcp-sampling-operator/test/bench/load"
	"github.com/mcp-sampling/mcp-sampling-operator/test/bench/peer"
)

// setup is what all measurements need: a server, a model, and the programs.
type setup struct {
	dir     string
	sampler string // the binary
	config  string
	server  *process
	model   *process
	started []*process
}

// samplerConfig is a whole configuration, with a policy that answers from the
// fake model.
const samplerConfig = `apiVersion: sampler.mcp-sampling.dev/v1alpha1
server: {name: bench}
upstream: {url: "http://%s%s"}
policy:
  name: bench
  providers: [{name: fake, type: OpenAI, baseURL: "http://%s/v1"}]
  models: {default: small, allowed: [{name: small, provider: fake}]}
`

// newSetup starts what is needed beside the targets. more is added to the
// sampler's configuration.
func newSetup(ctx context.Context, samplerBinary, more string) (_ *setup, err error) {
	s := &setup{sampler: samplerBinary}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if s.dir, err = os.MkdirTemp("", "bench-"); err != nil {
		return nil, fmt.Errorf("make a folder: %w", err)
	}
	if s.sampler == "" {
		s.sampler = filepath.Join(s.dir, "sampler")
		build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-tags", "grpcnotrace", "-ldflags=-s -w", "-o", s.sampler, "./cmd/sampler")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("build the sampler (from the root of the checkout): %w\n%s", err, out)
		}
	}
	if s.server, err = s.startSelf(ctx, "server"); err != nil {
		return nil, err
	}
	if s.model, err = s.startSelf(ctx, "model"); err != nil {
		return nil, err
	}
	s.config = filepath.Join(s.dir, "sampler.yaml")
	text := fmt.Sprintf(samplerConfig, s.server.addr, peer.Path, s.model.addr) + more
	if err := os.WriteFile(s.config, []byte(text), 0o600); err != nil {
		return nil, fmt.Errorf("write the sampler's configuration: %w", err)
	}
	return s, nil
}

func (s *setup) startSelf(ctx context.Context, args ...string) (*process, error) {
	p, err := startSelf(ctx, args...)
	return s.keep(p, err)
}

func (s *setup) startSampler(ctx context.Context) (*process, error) {
	p, err := startSampler(ctx, s.sampler, s.config)
	return s.keep(p, err)
}

func (s *setup) startReverse(ctx context.Context) (*process, error) {
	return s.startSelf(ctx, "reverse", "http://"+s.server.addr)
}

func (s *setup) keep(p *process, err error) (*process, error) {
	if err != nil {
		return nil, err
	}
	s.started = append(s.started, p)
	return p, nil
}

func (s *setup) close() {
	for _, p := range s.started {
		p.stop()
	}
	if s.dir != "" {
		_ = os.RemoveAll(s.dir)
	}
}

// Names of targets.
const (
	direct         = "direct"
	reverseProxy   = "ReverseProxy"
	theSampler     = "sampler"
	fastMCPSession = "FastMCP, session kept"
	fastMCPFresh   = "FastMCP, as shipped"
)

// target is one way to the server.
type target struct {
	name string
	load.Target
	// proxy is the process between; nil for none.
	proxy *process
	slow  bool
}

// targets starts everything that is compared. Without python there is no
// FastMCP.
func (s *setup) targets(ctx context.Context, python string) ([]*target, error) {
	var all []*target
	add := func(name string, p *process, answers, slow bool) {
		t := &target{name: name, proxy: p, slow: slow}
		t.Target = load.Target{Path: peer.Path, Samples: answers, Addr: s.server.addr}
		if p != nil {
			t.Addr = p.addr
		}
		all = append(all, t)
	}
	add(direct, nil, true, false)
	reverse, err := s.startReverse(ctx)
	if err != nil {
		return nil, err
	}
	add(reverseProxy, reverse, true, false)
	sampler, err := s.startSampler(ctx)
	if err != nil {
		return nil, err
	}
	add(theSampler, sampler, false, false)
	if python == "" {
		return all, nil
	}
	for _, kind := range []struct{ arg, name string }{{"session", fastMCPSession}, {"fresh", fastMCPFresh}} {
		p, err := start(ctx, python, "test/bench/fastmcp_proxy.py", kind.arg, "http://"+s.server.addr+peer.Path)
		if p, err = s.keep(p, err); err != nil {
			return nil, err
		}
		add(kind.name, p, false, true)
	}
	return all, nil
}

// fastMCPPython returns the interpreter of an environment with FastMCP 3.4,
// which is made where there is none.
func fastMCPPython(ctx context.Context) (string, error) {
	cmd := exec.CommandContext(ctx, "hack/python.sh")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, os.Stderr
	if err := cmd.Run(); err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return "", errors.New("run this from the root of the checkout")
		}
		return "", fmt.Errorf("make a Python with FastMCP (-fastmcp=false leaves it out): %w", err)
	}
	return filepath.Join(strings.TrimSpace(out.String()), "bin", "python"), nil
}
