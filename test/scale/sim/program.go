package sim

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/procfs"
)

// Program is a process.
type Program struct {
	cmd  *exec.Cmd
	log  *os.File
	done chan struct{}
}

func startProgram(log, path string, args ...string) (*Program, error) {
	file, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the log of %s: %w", path, err)
	}
	p := &Program{cmd: exec.Command(path, args...), log: file, done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = file, file
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("start %s: %w", path, err)
	}
	go func() {
		defer close(p.done)
		_ = p.cmd.Wait() // that it was killed is no news
	}()
	return p, nil
}

// Kill ends the process at once, and waits for its end.
func (p *Program) Kill() error {
	err := p.cmd.Process.Kill()
	<-p.done
	_ = p.log.Close()
	if err != nil && !strings.Contains(err.Error(), "already finished") {
		return fmt.Errorf("end %s: %w", p.cmd.Path, err)
	}
	return nil
}

// Ended says whether the process is over.
func (p *Program) Ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// LastWords returns the end of what the process printed.
func (p *Program) LastWords() string {
	data, err := os.ReadFile(p.log.Name())
	if err != nil {
		return err.Error()
	}
	return string(data[max(0, len(data)-2000):])
}

// RSS returns the resident memory now and at its highest, in bytes.
func (p *Program) RSS() (now, highest uint64, err error) {
	proc, err := procfs.NewProc(p.cmd.Process.Pid)
	if err != nil {
		return 0, 0, fmt.Errorf("read the memory of %s: %w", p.cmd.Path, err)
	}
	status, err := proc.NewStatus()
	if err != nil {
		return 0, 0, fmt.Errorf("read the memory of %s: %w", p.cmd.Path, err)
	}
	return status.VmRSS, status.VmHWM, nil
}

// CPU returns the time that this program and each that it has started have used, by
// their names, which Linux cuts after 15 letters.
func CPU() (map[string]time.Duration, error) {
	all, err := procfs.AllProcs()
	if err != nil {
		return nil, fmt.Errorf("read the times of the programs: %w", err)
	}
	self := os.Getpid()
	out := map[string]time.Duration{}
	for _, proc := range all {
		stat, err := proc.Stat()
		if err != nil || stat.PID != self && stat.PPID != self {
			continue // it has ended, or is none of ours
		}
		out[stat.Comm] += time.Duration(stat.CPUTime() * float64(time.Second))
	}
	return out, nil
}
