package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// startTime is how long a process may take until it says where it listens.
const startTime = time.Minute

// process is a running program that listens somewhere.
type process struct {
	cmd  *exec.Cmd
	addr string
	// metrics is the address of a sampler's metrics.
	metrics string
	// words are the last of what it wrote, for errors.
	words *tail
}

// start runs a program that writes host:port on its first line.
func start(ctx context.Context, program string, args ...string) (*process, error) {
	p := &process{cmd: exec.CommandContext(ctx, program, args...), words: &tail{}}
	p.cmd.Stderr = p.words
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", filepath.Base(program), err)
	}
	return p, p.await(out, func(line []byte) bool {
		p.addr = string(line)
		return true
	})
}

// startSelf runs this program in one of its other roles.
func startSelf(ctx context.Context, args ...string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	return start(ctx, self, append([]string{"role"}, args...)...)
}

// startSampler runs a sampler, whose log says where it listens.
func startSampler(ctx context.Context, program, config string) (*process, error) {
	p := &process{cmd: exec.CommandContext(ctx, program, "serve", "--config", config, "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"), words: &tail{}}
	out, err := p.cmd.StderrPipe()
	if err != nil {
		return nil, fmt.Errorf("start the sampler: %w", err)
	}
	return p, p.await(out, func(line []byte) bool {
		var record struct {
			Msg     string `json:"msg"`
			Listen  string `json:"listen"`
			Admin   string `json:"admin"`
			Metrics string `json:"metrics"`
		}
		if json.Unmarshal(line, &record) != nil || record.Listen == "" {
			return false
		}
		p.addr, p.metrics = record.Listen, record.Metrics
		return true
	})
}

// await starts the program and reads lines until one is what was waited for. The
// rest is read and kept as its last words.
func (p *process) await(out io.Reader, found func(line []byte) bool) error {
	name := filepath.Base(p.cmd.Path)
	// A role ends when this pipe closes, however this program ends.
	if _, err := p.cmd.StdinPipe(); err != nil {
		return fmt.Errorf("start %s: %w", name, err)
	}
	p.cmd.Cancel = func() error { return p.cmd.Process.Signal(syscall.SIGTERM) }
	p.cmd.WaitDelay = 5 * time.Second
	if err := p.cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", name, err)
	}
	ready := make(chan bool, 1)
	go func() {
		lines := bufio.NewScanner(out)
		lines.Buffer(nil, 1<<20)
		for seen := false; lines.Scan(); {
			_, _ = p.words.Write(append(lines.Bytes(), '\n'))
			if !seen && found(lines.Bytes()) {
				seen = true
				ready <- true
			}
		}
		close(ready)
	}()
	select {
	case ok := <-ready:
		if ok {
			return nil
		}
	case <-time.After(startTime):
	}
	p.stop()
	return fmt.Errorf("start %s: it does not say where it listens; its last words:\n%s", name, p.words)
}

// stop ends the process and waits for it.
func (p *process) stop() {
	if p == nil || p.cmd.Process == nil {
		return
	}
	// None of them has anything to save, and a sampler would wait for its callers.
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

// cpu is the time that the process has used on processors, by its threads: in
// nanoseconds, where /proc/PID/stat has hundredths of a second.
func (p *process) cpu() (time.Duration, error) {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", p.cmd.Process.Pid))
	if err != nil || len(threads) == 0 {
		return 0, fmt.Errorf("CPU time of %s: the process is gone, or this is not Linux", filepath.Base(p.cmd.Path))
	}
	var sum int64
	for _, thread := range threads {
		text, err := os.ReadFile(thread)
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			continue
		}
		if err != nil {
			return 0, fmt.Errorf("CPU time: %w", err)
		}
		first, _, _ := strings.Cut(string(text), " ")
		n, err := strconv.ParseInt(first, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("CPU time: %w", err)
		}
		sum += n
	}
	return time.Duration(sum), nil
}

// memory is what a process holds, in KiB.
type memory struct {
	RSS, Anon int
	// Threads and Files are how many it has.
	Threads, Files int
}

func (p *process) memory() (memory, error) {
	var m memory
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return m, fmt.Errorf("memory of %s: %w", filepath.Base(p.cmd.Path), err)
	}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, ":")
		number, _, _ := strings.Cut(strings.TrimSpace(value), " ")
		into := map[string]*int{"VmRSS": &m.RSS, "RssAnon": &m.Anon, "Threads": &m.Threads}[name]
		if into == nil {
			continue
		}
		if *into, err = strconv.Atoi(number); err != nil {
			return m, fmt.Errorf("memory: %w", err)
		}
	}
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.cmd.Process.Pid))
	if err != nil {
		return m, fmt.Errorf("open files: %w", err)
	}
	m.Files = len(files)
	return m, nil
}

// tail keeps the last of what is written to it.
type tail struct {
	mu  sync.Mutex
	end []byte
}

const tailBytes = 4 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.end = append(t.end, p...)
	if over := len(t.end) - tailBytes; over > 0 {
		t.end = bytes.Clone(t.end[over:])
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.end)
}
