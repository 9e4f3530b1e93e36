package sim

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
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
func (p *Program) RSS() (now, highest int64, err error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, 0, fmt.Errorf("read the memory of %s: %w", p.cmd.Path, err)
	}
	for line := range strings.Lines(string(data)) {
		fields := strings.Fields(line)
		if len(fields) != 3 || (fields[0] != "VmRSS:" && fields[0] != "VmHWM:") {
			continue
		}
		kib, err := strconv.ParseInt(fields[1], 10, 64)
		if err != nil {
			return 0, 0, fmt.Errorf("read the memory of %s: %w", p.cmd.Path, err)
		}
		if fields[0] == "VmRSS:" {
			now = kib << 10
		} else {
			highest = kib << 10
		}
	}
	return now, highest, nil
}

// ticks is how many of the kernel's clock ticks are a second, on every Linux.
const ticks = 100

// CPU returns the time that the process has used.
func (p *Program) CPU() (time.Duration, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0, fmt.Errorf("read the time of %s: %w", p.cmd.Path, err)
	}
	_, after, _ := strings.Cut(string(data), ") ")
	fields := strings.Fields(after)
	if len(fields) < 13 {
		return 0, fmt.Errorf("read the time of %s: %q", p.cmd.Path, after)
	}
	var sum time.Duration
	for _, field := range fields[11:13] {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("read the time of %s: %w", p.cmd.Path, err)
		}
		sum += time.Duration(n) * time.Second / ticks
	}
	return sum, nil
}
