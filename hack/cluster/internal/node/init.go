package node

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/mcp-sampling/mcp-sampling-operator/hack/cluster/internal/layout"
)

// Init is the work of the first process in the namespaces. It returns when the supervisor ends,
// and with it end all processes of the cluster.
func Init(c layout.Cluster, supervisor []string) error {
	if os.Getpid() != 1 {
		return errors.New("this command is started by 'devcluster up', as the first process of a pid namespace")
	}
	if err := unix.Sethostname([]byte(c.Node())); err != nil {
		return fmt.Errorf("naming the node: %w", err)
	}
	if err := mountAll(c); err != nil {
		return err
	}
	return superviseAndReap(supervisor)
}

// mountAll makes a file system in which the node can write where it always writes, and the host
// sees none of it.
func mountAll(c layout.Cluster) error {
	// First of all: from here on no mount reaches the host.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("cutting the mounts off from the host's: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mounting /proc: %w", err)
	}
	for _, dir := range []string{"/run", "/var/lib"} {
		if err := unix.Mount("devcluster", dir, "tmpfs", 0, "mode=755"); err != nil {
			return fmt.Errorf("mounting an empty %s: %w", dir, err)
		}
	}
	for source, target := range map[string]string{
		c.Path("kubelet"):   "/var/lib/kubelet",
		c.Path("cni-state"): "/var/lib/cni",
		c.Path("varlog"):    "/var/log",
	} {
		for _, dir := range []string{source, target} {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return fmt.Errorf("making the folder for %s: %w", target, err)
			}
		}
		if err := unix.Mount(source, target, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("mounting %s on %s: %w", source, target, err)
		}
	}
	if err := os.MkdirAll(filepath.Join("/run", "lock"), 0o755); err != nil {
		return fmt.Errorf("making /run/lock: %w", err)
	}
	// Volumes that the kubelet mounts have to appear in containers that already run.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SHARED, ""); err != nil {
		return fmt.Errorf("sharing the mounts among the node's own namespaces: %w", err)
	}
	return nil
}

// superviseAndReap starts the supervisor and waits for every process that ends, since all orphans
// of the namespace become children of the first process.
func superviseAndReap(supervisor []string) error {
	inherited := []*os.File{
		os.NewFile(listenerFD, "listener"), os.NewFile(progressFD, "progress"), os.NewFile(lifelineFD, "lifeline"),
	}
	child, err := os.StartProcess("/proc/self/exe", supervisor, &os.ProcAttr{
		Env:   os.Environ(),
		Files: append([]*os.File{os.Stdin, os.Stdout, os.Stderr}, inherited...),
	})
	if err != nil {
		return fmt.Errorf("starting the supervisor: %w", err)
	}
	// Our copies would keep the pipes open after the supervisor has closed its own.
	for _, f := range inherited {
		_ = f.Close()
	}
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			return fmt.Errorf("waiting for processes: %w", err)
		case pid == child.Pid:
			return fmt.Errorf("the supervisor ended with status %d", status.ExitStatus())
		}
	}
}
