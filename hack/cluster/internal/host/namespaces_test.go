package host

import (
	"os/exec"
	"strings"
	"testing"
)

func TestNamespacesOfAProcessThatHasEndedAreNotEntered(t *testing.T) {
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	process, err := FindProcess(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	// Its number may be in use again.
	other := Process{PID: process.PID, Start: process.Start + 1}
	entered := false
	err = other.InNetwork(func() error { entered = true; return nil })
	if err == nil || !strings.Contains(err.Error(), "has ended") {
		t.Errorf("InNetwork() error = %v, want one that says that the process has ended", err)
	}
	_ = process.Kill(t.Context())
	_ = cmd.Wait()
	if err := process.StartBeside(exec.Command("true")); err == nil {
		t.Error("a process was started beside one that is gone")
	}
	if entered {
		t.Error("something was done in the network of another process")
	}
}
