package bridge

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// markerEnv tells the processes of one run of the command from all others: what
// made a session of its own, as browsers do, is in no group that could be
// signalled, and its parent is gone.
const markerEnv = "MCP_BRIDGE_PROCESS"

// sweepTime bounds how long what a process has left behind is looked for, after
// the time that it has to end by itself; sweepPause is between two looks.
const (
	sweepTime  = 2 * time.Second
	sweepPause = 20 * time.Millisecond
)

// sweep ends the processes whose environment has the marker, and reports how many
// are still there. They get SIGTERM, and SIGKILL after grace, as do those that
// begin meanwhile.
func sweep(marker string, grace time.Duration) (left int) {
	begin := time.Now()
	asked := map[int]bool{}
	for {
		found := marked(marker)
		since := time.Since(begin)
		if len(found) == 0 || since > grace+sweepTime {
			return len(found)
		}
		for _, pid := range found {
			switch {
			case since >= grace:
				signalMarked(pid, marker, syscall.SIGKILL)
			case !asked[pid]:
				asked[pid] = true
				signalMarked(pid, marker, syscall.SIGTERM)
			}
		}
		time.Sleep(sweepPause)
	}
}

// marked returns the processes that run and have the marker. Where there is no
// /proc there is no telling.
func marked(marker string) []int {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var found []int
	for _, entry := range entries {
		if pid, err := strconv.Atoi(entry.Name()); err == nil && hasMarker(pid, marker) {
			found = append(found, pid)
		}
	}
	return found
}

// hasMarker reads the environment with which a process began. That of another
// user cannot be read, and one that has ended has none.
func hasMarker(pid int, marker string) bool {
	environ, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "environ"))
	return err == nil && bytes.Contains(environ, []byte(marker))
}

// signalMarked signals a process that still has the marker once it is held: its
// number may be another's by now.
func signalMarked(pid int, marker string, s syscall.Signal) {
	p, err := os.FindProcess(pid)
	if err != nil {
		return // it has ended
	}
	defer func() { _ = p.Release() }()
	if hasMarker(pid, marker) {
		_ = p.Signal(s) // if it has ended or may not be signalled, the next look shows
	}
}
