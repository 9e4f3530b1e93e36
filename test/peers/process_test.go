package peers

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// nextPort begins below the range that systems give to outgoing connections, so
// that a port that was free is still free when its server listens; another run
// at the same time begins elsewhere.
var nextPort atomic.Int32

func init() { nextPort.Store(20000 + int32(os.Getpid()%500)*20) }

// freePort returns a port on which nobody listens.
func freePort(t testing.TB) int {
	t.Helper()
	for range 1000 {
		port := int(nextPort.Add(1))
		// On all addresses, as some of the servers do.
		if l, err := net.Listen("tcp", fmt.Sprintf(":%d", port)); err == nil {
			_ = l.Close()
			return port
		}
	}
	t.Fatal("no free port")
	return 0
}

// output keeps the end of what a process says.
type output struct {
	mu   sync.Mutex
	said bytes.Buffer
}

const kept = 16 << 10

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.said.Write(p)
	if extra := o.said.Len() - kept; extra > 0 {
		o.said.Next(extra)
	}
	return len(p), nil
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.said.String()
}

// command is a program in a process group of its own, which ends with its
// context and with this process.
func command(ctx context.Context, env []string, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = lab.scratch
	cmd.Env = append(os.Environ(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	endWithParent(cmd.SysProcAttr)
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// startOn runs a server until the test ends, and waits until it listens on the
// port.
func startOn(t testing.TB, port int, env []string, program string, args ...string) {
	t.Helper()
	cmd := command(context.Background(), env, program, args...)
	said := &output{}
	cmd.Stdout, cmd.Stderr = said, said
	if err := cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", program, err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // it is killed in the end
	}()
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
		late := time.AfterFunc(3*time.Second, func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
		<-ended
		late.Stop()
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // children that it left
		if t.Failed() {
			t.Logf("%s %s said last:\n%s", program, strings.Join(args, " "), said)
		}
	})

	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ended:
			t.Fatalf("%s ended before it listened:\n%s", program, said)
		case <-deadline.C:
			t.Fatalf("%s does not listen on port %d:\n%s", program, port, said)
		case <-tick.C:
		}
		if conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			_ = conn.Close()
			return
		}
	}
}

// runProgram runs a program to its end and returns what it printed.
func runProgram(ctx context.Context, program string, args ...string) (string, error) {
	cmd := command(ctx, nil, program, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%w: %s%s", err, stdout.String(), stderr.String())
	}
	return strings.TrimSpace(stdout.String()), nil
}
