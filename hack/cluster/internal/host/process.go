package host

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Process names a process for longer than it lives: its start time tells it from a later process
// with the same number.
type Process struct {
	PID int `json:"pid"`
	// Start is in clock ticks since the machine's start.
	Start uint64 `json:"start"`
}

// FindProcess returns the process that has that number now.
func FindProcess(pid int) (Process, error) {
	stat, err := readStat("/proc", pid)
	if err != nil {
		return Process{}, err
	}
	return Process{PID: pid, Start: stat.start}, nil
}

// Alive tells whether the process runs. One that has ended and waits to be reaped does not.
func (p Process) Alive() bool {
	stat, err := readStat("/proc", p.PID)
	return err == nil && stat.start == p.Start && stat.state != "Z" && stat.state != "X"
}

// Kill ends the process at once and waits until it has ended. For the first process of a pid
// namespace that is after all others in it.
func (p Process) Kill(ctx context.Context) error {
	if !p.Alive() {
		return nil
	}
	if err := unix.Kill(p.PID, unix.SIGKILL); err != nil && err != unix.ESRCH {
		return fmt.Errorf("killing process %d: %w", p.PID, err)
	}
	for p.Alive() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for process %d to end: %w", p.PID, context.Cause(ctx))
		case <-time.After(10 * time.Millisecond):
		}
	}
	return nil
}

type stat struct {
	state string
	start uint64
}

func readStat(proc string, pid int) (stat, error) {
	raw, err := os.ReadFile(filepath.Join(proc, strconv.Itoa(pid), "stat"))
	if err != nil {
		return stat{}, fmt.Errorf("reading the state of process %d: %w", pid, err)
	}
	return parseStat(string(raw))
}

// parseStat reads /proc/PID/stat. The second field is the program's name in brackets and may hold
// anything, brackets and spaces too.
func parseStat(raw string) (stat, error) {
	afterName := strings.LastIndexByte(raw, ')') + 1
	fields := strings.Fields(raw[afterName:])
	// These begin with the third field; the start time is the 22nd.
	if afterName == 0 || len(fields) < 20 {
		return stat{}, fmt.Errorf("process state %q has too few fields", raw)
	}
	start, err := strconv.ParseUint(fields[19], 10, 64)
	if err != nil {
		return stat{}, fmt.Errorf("process state %q has no start time: %w", raw, err)
	}
	return stat{state: fields[0], start: start}, nil
}
