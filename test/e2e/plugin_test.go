package e2e

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
)

// mcpPlugin runs the plugin as users do: kubectl finds it on the PATH.
type mcpPlugin struct {
	*space
	path string
}

func newPlugin(t *testing.T, s *space) *mcpPlugin {
	t.Helper()
	dir := t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-o", filepath.Join(dir, "kubectl-mcp"), "../../cmd/kubectl-mcp")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the plugin: %v\n%s", err, out)
	}
	script, err := os.ReadFile("../../hack/krew/kubectl_complete-mcp")
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, "kubectl_complete-mcp"), script, 0o700)) //nolint:gosec // it is run
	return &mcpPlugin{space: s, path: dir}
}

// run returns the exit code and what was written.
func (p *mcpPlugin) run(ctx context.Context, args ...string) (code int, stdout, stderr string) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, cmp.Or(os.Getenv("E2E_KUBECTL"), "kubectl"), args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+p.kubeconfig, "PATH="+p.path+":"+os.Getenv("PATH"))
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exited *exec.ExitError
	switch {
	case errors.As(err, &exited):
		code = exited.ExitCode()
	case err != nil:
		return -1, out.String(), err.Error()
	}
	return code, out.String(), errs.String()
}

// mcp runs kubectl mcp in the test's namespace, and checks what comes.
func (p *mcpPlugin) mcp(t *testing.T, wantCode int, wantOut, wantErr string, args ...string) {
	t.Helper()
	if err := p.try(t.Context(), wantCode, wantOut, wantErr, args...); err != nil {
		t.Error(err)
	}
}

func (p *mcpPlugin) try(ctx context.Context, wantCode int, wantOut, wantErr string, args ...string) error {
	code, stdout, stderr := p.run(ctx, append([]string{"mcp", "-n", p.name}, args...)...)
	if code != wantCode || !strings.Contains(stdout, wantOut) || !strings.Contains(stderr, wantErr) {
		return fmt.Errorf("kubectl mcp %s: exit code %d, want %d\n%s\nwant in it %q\nstderr\n%s\nwant in it %q", strings.Join(args, " "), code, wantCode, stdout, wantOut, stderr, wantErr)
	}
	return nil
}

// A new user's day with kubectl mcp: a first server, a broken key, a good one.
func testPlugin(t *testing.T) {
	s := newSpace(t)
	s.runFakeModel(t, "--key="+rightKey)
	p := newPlugin(t, s)
	p.mcp(t, 0, "", "There are no MCPServers", "status")

	p.mcp(t, 0, "samplingpolicy.mcp-sampling.dev/notes applied", "kubectl create secret generic model-key", "init", "--name=notes", "--image="+image("summarizer-fastmcp", "dev"),
		"--provider=OpenAI", "--model=fast-1", "--base-url=http://"+fakeModel+":8080/v1", "--secret=model-key", "--apply")
	p.mcp(t, 3, "", "begin with a letter", "init", "--name=1", "--image=x", "--apply")
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "model-key"}, StringData: map[string]string{"api-key": wrongKey}}
	s.create(t, secret)
	server := &mcpv1alpha1.MCPServer{ObjectMeta: metav1.ObjectMeta{Name: "notes"}}
	policy := &mcpv1alpha1.SamplingPolicy{ObjectMeta: metav1.ObjectMeta{Name: "notes"}}
	s.await(t, server, samplingNotReady(mcpv1alpha1.ReasonCredentialRefused, "model-key"),
		wantCondition{conditionType: mcpv1alpha1.ConditionAvailable, status: metav1.ConditionTrue})

	// What is wrong, and how to mend it, is the last line, and one line.
	const mend = `put a valid key into Secret model-key, key api-key`
	p.mcp(t, 0, mend, "", "status")
	eventually(t, patience, "the broken key to be named", func(ctx context.Context) error {
		return p.try(ctx, 1, "", "kubectl-mcp: sampling failed: provider \"openai\" refuses the key (HTTP 401): "+mend, "call", "notes", "summarize", "text=Boats float.")
	})

	patch(t, s, secret, func(secret *corev1.Secret) { secret.Data = map[string][]byte{"api-key": []byte(rightKey)} })
	s.awaitReady(t, server, policy)
	p.mcp(t, 0, "✓ Ready", "", "status", "notes")
	p.mcp(t, 0, "summarize", "", "tools", "notes")
	p.mcp(t, 0, "text      string", "", "tools", "notes", "summarize")
	p.mcp(t, 0, "Boats float.", "sampling answered: fast-1 at openai", "call", "notes", "summarize", "text=Boats float.")
	p.mcp(t, 2, "", `the tool has no argument "txt"`, "call", "notes", "summarize", "txt=x")
	p.mcp(t, 2, "", `has no tool "nothing"`, "call", "notes", "nothing")
	p.mcp(t, 3, "", `there is no MCPServer "nobody" in namespace`, "call", "nobody", "summarize")
	p.mcp(t, 3, "", "you may not get mcpservers", "call", "notes", "summarize", "text=x", "--as=nobody")

	p.mcp(t, 0, "answered  fast-1 at openai", "", "logs", "notes")
	p.mcp(t, 0, "Unauthorized", "", "logs", "notes", "-o=json")
	p.mcp(t, 0, "Failed: ", "", "usage", "notes")
	p.mcp(t, 0, "mcp-sampling-operator", "", "version")

	for _, tc := range []struct {
		want string
		args []string
	}{{"notes", []string{"call", ""}}, {"summarize", []string{"call", "notes", ""}}, {"text=", []string{"call", "notes", "summarize", ""}}} {
		// The way that kubectl's own completion goes.
		args := append([]string{"__complete", "mcp", "-n", s.name}, tc.args...)
		if code, out, stderr := p.run(t.Context(), args...); code != 0 || !strings.Contains(out, tc.want+"\n") {
			t.Errorf("kubectl %v: exit code %d, completes\n%s\nwant %s\n%s", args, code, out, tc.want, stderr)
		}
	}

	before := s.labelled(t, "app.kubernetes.io/instance=notes,app.kubernetes.io/component=server")
	p.mcp(t, 0, "mcpserver.mcp-sampling.dev/notes restarted", "", "restart", "notes")
	eventually(t, patience, "another pod of the server", func(ctx context.Context) error {
		pods := s.labelled(t, "app.kubernetes.io/instance=notes,app.kubernetes.io/component=server")
		if len(before) != 1 || len(pods) != 1 || pods[0].Name == before[0].Name {
			return fmt.Errorf("%d pods", len(pods))
		}
		return nil
	})
	s.awaitReady(t, server, policy)
	followed(t, p)
}

// followed waits for a record that comes while logs -f runs.
func followed(t *testing.T, p *mcpPlugin) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	cmd := exec.CommandContext(ctx, cmp.Or(os.Getenv("E2E_KUBECTL"), "kubectl"), "mcp", "-n", p.name, "logs", "notes", "-f", "-o=json", "--since=1s")
	cmd.Env = append(os.Environ(), "KUBECONFIG="+p.kubeconfig, "PATH="+p.path+":"+os.Getenv("PATH"))
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	lines := make(chan string, 1)
	go func() {
		buffer := make([]byte, 1)
		if n, _ := out.Read(buffer); n > 0 {
			lines <- string(buffer)
		}
	}()
	deadline := time.After(patience)
	for {
		p.mcp(t, 0, "Boats", "sampling answered", "call", "notes", "summarize", "text=Boats float.")
		select {
		case <-lines:
			stop()
			_ = cmd.Wait() // it was interrupted
			return
		case <-deadline:
			t.Fatal("logs -f shows no record")
		case <-time.After(poll):
		}
	}
}
