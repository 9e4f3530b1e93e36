package e2e

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/testing/pages"
)

// testFirstPages types what the first three pages say, word by word and in one
// shell, as a new user does. Where a page does not say how to go on, this fails.
func testFirstPages(t *testing.T) {
	if cmp.Or(os.Getenv("CLUSTER"), "own") != "own" {
		t.Skip("the first page is for a machine without a cluster")
	}
	if os.Getenv("E2E_SMALL_MODEL") == "skip" {
		t.Skip("E2E_SMALL_MODEL says so, and the third page is answered by it")
	}
	followPages(t, []string{"first-steps"}, "install.md", "first-server.md", "first-policy.md")
}

func testTenantsPage(t *testing.T) { followPages(t, []string{"team-a"}, "tenants.md") }

// followPages runs the commands of pages in one shell, in the folder that users
// have cloned. The namespaces that the pages make are gone afterwards.
func followPages(t *testing.T, namespaces []string, names ...string) {
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		for _, namespace := range namespaces {
			if _, err := theCluster.kubectl(ctx, "", "delete", "namespace", namespace, "--ignore-not-found", "--wait=false"); err != nil {
				t.Error(err)
			}
		}
	})
	sh := newShell(t)
	for _, name := range names {
		page, err := os.ReadFile(filepath.Join("../../docs", name))
		must(t, err)
		blocks, err := pages.Blocks(string(page))
		must(t, err)
		ran := 0
		for _, block := range pages.Commands(blocks) {
			if block.NotRun != "" {
				continue
			}
			ran++
			at := fmt.Sprintf("docs/%s:%d", name, block.Line)
			started := time.Now()
			if err := sh.follow(t, block); err != nil {
				t.Fatalf("%s: %v\nthe commands:\n%s", at, err, block.Text)
			}
			t.Logf("%s: %s", at, time.Since(started).Round(time.Millisecond))
		}
		if ran == 0 {
			t.Errorf("docs/%s: nothing to run", name)
		}
	}
}

// shell is a bash that keeps its variables and jobs from block to block.
type shell struct {
	stdin io.Writer
	lines chan string // closed at its end
	file  string
}

// blockDone is printed behind each block, with its exit code.
const blockDone = "::: block done "

func newShell(t *testing.T) *shell {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "bash", "--norc", "-s")
	cmd.Dir = "../.."
	cmd.Env = append(os.Environ(), "KUBECONFIG="+theCluster.kubeconfig, "MAKEFLAGS=", "NO_COLOR=1")
	if kubectl := os.Getenv("E2E_KUBECTL"); kubectl != "" {
		cmd.Env = append(cmd.Env, "PATH="+os.Getenv("PATH")+":"+filepath.Dir(kubectl))
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // with all that it starts
	stdin, err := cmd.StdinPipe()
	must(t, err)
	out, in, err := os.Pipe()
	must(t, err)
	cmd.Stdout, cmd.Stderr = in, in
	must(t, cmd.Start())
	must(t, in.Close())
	sh := &shell{stdin: stdin, lines: make(chan string), file: filepath.Join(t.TempDir(), "block.sh")}
	ended := make(chan struct{})
	go func() {
		defer close(sh.lines)
		scanner := bufio.NewScanner(out)
		scanner.Buffer(nil, 4<<20)
		for scanner.Scan() {
			select {
			case sh.lines <- scanner.Text():
			case <-ended:
				return
			}
		}
	}()
	t.Cleanup(func() {
		close(ended)
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // it may have ended
		_ = cmd.Wait()                                      // killed
		_ = out.Close()
	})
	return sh
}

// follow runs a block as its comments say.
func (sh *shell) follow(t *testing.T, block pages.Block) error {
	t.Helper()
	must(t, os.WriteFile(sh.file, []byte(block.Text), 0o600))
	if block.Eventually == "" {
		return sh.once(t, block)
	}
	var err error
	deadline := time.Now().Add(patience)
	for tick := time.NewTicker(time.Second); ; <-tick.C {
		if err = sh.once(t, block); err == nil || time.Now().After(deadline) {
			tick.Stop()
			return err
		}
	}
}

var forwardedTo = regexp.MustCompile(`port-forward .* (\d+):\d+`)

func (sh *shell) once(t *testing.T, block pages.Block) error {
	t.Helper()
	// What may fail runs in a shell below this one, which the failure ends.
	line := `set -eo pipefail; . "%s" </dev/null; set +e; echo; echo "` + blockDone + `0"` + "\n"
	if block.Fails != "" || block.Eventually != "" {
		line = `(set -eo pipefail; . "%s") </dev/null; code=$?; echo; echo "` + blockDone + `$code"` + "\n"
	}
	if _, err := fmt.Fprintf(sh.stdin, line, sh.file); err != nil {
		return fmt.Errorf("the shell has ended: %w", err)
	}
	out, code, err := sh.read(5 * patience)
	switch {
	case err != nil:
		return fmt.Errorf("%w; printed:\n%s", err, out)
	case block.Fails != "" && code == "0":
		return fmt.Errorf("this has to fail (%s) and did not; printed:\n%s", block.Fails, out)
	case block.Fails == "" && code != "0":
		return fmt.Errorf("exit code %s; printed:\n%s", code, out)
	}
	for _, want := range block.Prints {
		if !strings.Contains(out, want) {
			return fmt.Errorf("this has to print %q and printed:\n%s", want, out)
		}
	}
	if m := forwardedTo.FindStringSubmatch(block.Text); m != nil {
		eventually(t, patience, "port-forward", func(ctx context.Context) error {
			conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", "127.0.0.1:"+m[1])
			if err != nil {
				return err
			}
			return conn.Close()
		})
	}
	return nil
}

// read returns what was printed up to the end of a block, and its exit code.
func (sh *shell) read(limit time.Duration) (out, code string, err error) {
	var printed strings.Builder
	timeout := time.After(limit)
	for {
		select {
		case line, ok := <-sh.lines:
			if !ok {
				return printed.String(), "", errors.New("a command failed")
			}
			if code, ok := strings.CutPrefix(line, blockDone); ok {
				return printed.String(), code, nil
			}
			printed.WriteString(line + "\n")
		case <-timeout:
			return printed.String(), "", fmt.Errorf("no end after %s", limit)
		}
	}
}
