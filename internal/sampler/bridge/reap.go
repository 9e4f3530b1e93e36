package bridge

import (
	"bytes"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"sync"
	"syscall"
)

// children are the processes that this one has started, so that reaping takes
// none of their statuses. The known libraries wait for any child, and so race
// with exec.Cmd.Wait, or fork once more to be apart from it.
var children = &family{own: map[int]bool{}}

type family struct {
	mu  sync.Mutex
	own map[int]bool
}

func (f *family) start(cmd *exec.Cmd) error {
	f.mu.Lock() // also over what a start that fails leaves behind for a moment
	defer f.mu.Unlock()
	if err := cmd.Start(); err != nil {
		return err
	}
	f.own[cmd.Process.Pid] = true
	return nil
}

func (f *family) wait(cmd *exec.Cmd) error {
	err := cmd.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.own, cmd.Process.Pid)
	return err
}

// reap takes the statuses of orphans, which become children of this process if
// it is process 1 or can be a subreaper. It returns at once where it is neither,
// and else the function that ends it.
func reap() (stop func()) {
	if os.Getpid() != 1 && !adoptOrphans() {
		return func() {}
	}
	died := make(chan os.Signal, 1) // one is enough: each looks for all
	signal.Notify(died, syscall.SIGCHLD)
	quit := make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() {
		for {
			select {
			case <-died:
				children.reapOrphans()
			case <-quit:
				return
			}
		}
	})
	return func() {
		signal.Stop(died)
		close(quit)
		running.Wait()
	}
}

func (f *family) reapOrphans() {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return // without /proc there is no telling whose they are
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil || f.own[pid] {
			continue
		}
		stat, err := os.ReadFile("/proc/" + entry.Name() + "/stat")
		if err != nil || !isOrphanedZombie(stat, os.Getpid()) {
			continue
		}
		var status syscall.WaitStatus
		_, _ = syscall.Wait4(pid, &status, syscall.WNOHANG, nil) // if it is no child, it is not ours to reap
	}
}

// isOrphanedZombie reports whether a process has ended and is a child of parent,
// by /proc/PID/stat: "pid (name) state ppid ...", where the name can hold
// anything.
func isOrphanedZombie(stat []byte, parent int) bool {
	end := bytes.LastIndexByte(stat, ')')
	if end < 0 {
		return false
	}
	fields := bytes.Fields(stat[end+1:])
	return len(fields) > 1 && string(fields[0]) == "Z" && string(fields[1]) == strconv.Itoa(parent)
}
