package host

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"

	"golang.org/x/sys/unix"
)

// InNetwork calls do on a thread that is in the process's network: sockets that it makes stay there,
// whoever uses them. It must not make them in other goroutines.
func (p Process) InNetwork(do func() error) error {
	return p.inNamespace("net", unix.CLONE_NEWNET, do)
}

// StartBeside starts a command in the process's pid namespace and in no other of its namespaces. It
// ends with the first process of that pid namespace.
func (p Process) StartBeside(cmd *exec.Cmd) error {
	return p.inNamespace("pid", unix.CLONE_NEWPID, cmd.Start)
}

func (p Process) inNamespace(kind string, flag int, do func() error) error {
	namespace, err := os.Open(fmt.Sprintf("/proc/%d/ns/%s", p.PID, kind))
	if err != nil {
		return fmt.Errorf("finding the %s namespace: %w", kind, err)
	}
	defer namespace.Close()
	// It had that number when the file was opened, if it still has it.
	if !p.Alive() {
		return fmt.Errorf("finding the %s namespace: process %d has ended", kind, p.PID)
	}
	result := make(chan error, 1)
	go func() {
		// Never unlocked: a thread ends with the goroutine that it is locked to, and so nothing else
		// ever runs in the namespace.
		runtime.LockOSThread()
		if err := unix.Setns(int(namespace.Fd()), flag); err != nil {
			result <- fmt.Errorf("entering the %s namespace: %w", kind, err)
			return
		}
		result <- do()
	}()
	return <-result
}
