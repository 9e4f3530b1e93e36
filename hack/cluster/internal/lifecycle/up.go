package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/mcp-sampling/mcp-sampling-operator/hack/cluster/internal/host"
	"github.com/mcp-sampling/mcp-sampling-operator/hack/cluster/internal/layout"
	"github.com/mcp-sampling/mcp-sampling-operator/hack/cluster/internal/progress"
)

// Options of a start.
type Options struct {
	// PauseProgram is the path of the program that holds a pod's namespaces.
	PauseProgram string
	// InitArgs are the arguments with which this program becomes the first process of the cluster's
	// namespaces.
	InitArgs []string
	// Egress asks for a way out of the cluster, which a cluster that runs gets too.
	Egress bool
	// EgressArgs are the arguments with which this program starts the way out and ends.
	EgressArgs []string
	// Progress takes a line for each part that has started.
	Progress io.Writer
}

// Up starts the cluster, unless it runs and is healthy. A failed start leaves nothing but logs.
func Up(ctx context.Context, c layout.Cluster, o Options) error {
	if err := checkMachine(); err != nil {
		return err
	}
	unlock, err := lock(ctx, c, o.Progress)
	if err != nil {
		return err
	}
	defer unlock()

	entry, registered, err := lookup(c)
	if err != nil {
		return err
	}
	if registered && entry.Init.Alive() {
		sick := Healthy(ctx, c)
		if sick == nil {
			fmt.Fprintf(o.Progress, "cluster %s is running already\n", c.Name)
			if o.Egress {
				return ensureEgress(ctx, c, o)
			}
			return nil
		}
		fmt.Fprintf(o.Progress, "cluster %s runs but is not healthy (%v): it is started anew\n", c.Name, sick)
	}
	if err := tearDown(ctx, c, ""); err != nil {
		return fmt.Errorf("cleaning up what an earlier start has left: %w", err)
	}

	began := time.Now()
	if err := start(ctx, c, o); err != nil {
		return errors.Join(err, tearDown(ctx, c, filepath.Base(c.Logs())))
	}
	fmt.Fprintf(o.Progress, "cluster %s is up after %s\n", c.Name, rounded(time.Since(began)))
	return nil
}

func start(ctx context.Context, c layout.Cluster, o Options) error {
	// The socket is made here, in the host's network, and used inside the cluster's.
	listener, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return fmt.Errorf("reserving a port of 127.0.0.1 for the API server: %w", err)
	}
	defer listener.Close()
	if err := prepare(c, o.PauseProgram, listener.Addr().(*net.TCPAddr).Port); err != nil {
		return err
	}
	loadModules(ctx)
	cgroups, err := host.FindCgroups()
	if err != nil {
		return err
	}
	if err := cgroups.Create(c.Cgroup()); err != nil {
		return err
	}
	socket, err := listener.File()
	if err != nil {
		return fmt.Errorf("passing the API server's socket on: %w", err)
	}
	defer socket.Close()

	namespaces, err := launch(ctx, c, o.InitArgs, socket)
	if err != nil {
		return err
	}
	// Closing the lifeline after the cluster is up changes nothing; before, it ends the start.
	defer namespaces.lifeline.Close()
	defer namespaces.progress.Close()
	stop := context.AfterFunc(ctx, func() { namespaces.lifeline.Close() })
	defer stop()

	if err := follow(namespaces.progress, o.Progress, c); err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("the start was interrupted: %w", context.Cause(ctx))
		}
		return err
	}
	if o.Egress {
		return ensureEgress(ctx, c, o)
	}
	return nil
}

// launched are our ends of the pipes to the first process of the namespaces.
type launched struct {
	progress *os.File
	lifeline *os.File
}

// launch starts the first process in its namespaces and notes it, so that it can be found again.
func launch(ctx context.Context, c layout.Cluster, initArgs []string, socket *os.File) (launched, error) {
	progressRead, progressWrite, err := os.Pipe()
	if err != nil {
		return launched{}, fmt.Errorf("making a pipe for progress: %w", err)
	}
	defer progressWrite.Close()
	lifelineRead, lifelineWrite, err := os.Pipe()
	if err != nil {
		return launched{}, fmt.Errorf("making a lifeline: %w", err)
	}
	defer lifelineRead.Close()
	log, err := os.Create(c.Log("node"))
	if err != nil {
		return launched{}, fmt.Errorf("making the node's log: %w", err)
	}
	defer log.Close()

	cmd := exec.Command("/proc/self/exe", initArgs...)
	cmd.Dir = c.Dir
	cmd.Env = environment(c)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = []*os.File{socket, progressWrite, lifelineRead}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Setsid:     true,
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC | syscall.CLONE_NEWNET,
	}
	if err := cmd.Start(); err != nil {
		return launched{}, fmt.Errorf("making the cluster's namespaces: %w", err)
	}
	// Reaps it if it ends while we are here; afterwards it is the machine's first process that does.
	go func() { _ = cmd.Wait() }()
	process, err := host.FindProcess(cmd.Process.Pid)
	if err == nil {
		err = host.OpenRegistry().Add(ctx, c.Name, host.Entry{Dir: c.Dir, Init: process})
	}
	if err != nil {
		_ = cmd.Process.Kill()
		return launched{}, fmt.Errorf("noting the cluster's first process: %w", err)
	}
	return launched{progress: progressRead, lifeline: lifelineWrite}, nil
}

// environment is what the parts get: nothing of the user's but the path, and no proxy, since they
// reach nothing outside.
func environment(c layout.Cluster) []string {
	return []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME=" + c.Path("tmp"),
		"TMPDIR=" + c.Path("tmp"),
	}
}

// follow prints what the node reports until it is up.
func follow(events io.Reader, out io.Writer, c layout.Cluster) error {
	err := progress.Follow(events, func(e progress.Event) error {
		if e.Error != "" {
			return startError(e.Part, e.Error, e.Log)
		}
		_, err := fmt.Fprintf(out, "  %-25s %6s\n", e.Part, rounded(e.Took))
		return err
	})
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return startError("node", "its first process ended", c.Log("node"))
	}
	return err
}

func startError(part, reason, log string) error {
	if log == "" {
		return fmt.Errorf("%s did not start: %s", part, reason)
	}
	return fmt.Errorf("%s did not start: %s\n%s\nthe whole log: %s", part, reason, tail(log, 25), log)
}

// tail returns the last lines of a file, indented.
func tail(path string, n int) string {
	raw, err := os.ReadFile(path)
	if err != nil {
		return "  (" + err.Error() + ")"
	}
	text := strings.TrimRight(string(raw), "\n")
	if text == "" {
		return "  (its log is empty)"
	}
	lines := strings.Split(text, "\n")
	lines = lines[max(0, len(lines)-n):]
	return "  " + strings.Join(lines, "\n  ")
}

func rounded(d time.Duration) time.Duration { return d.Round(100 * time.Millisecond) }

// loadModules asks for the kernel modules that parts of a cluster use without asking. A kernel that
// has them built in needs none, and one that lacks them makes the part fail that needs them.
func loadModules(ctx context.Context) {
	for _, module := range []string{"overlay", "br_netfilter", "nf_conntrack", "nf_tables"} {
		_ = exec.CommandContext(ctx, "modprobe", "--quiet", module).Run()
	}
}
