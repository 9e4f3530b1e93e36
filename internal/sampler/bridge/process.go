package bridge

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// errBusy says that a process does not read what was sent to it.
var errBusy = errors.New("the server does not read its messages")

// errEnded says that a process is gone or going.
var errEnded = errors.New("the server's process has ended")

// drainTime is how long the output of a process that has ended is read: what it
// left running in another process group can hold it open for ever.
const drainTime = time.Second

// process is one run of the command. It ends by itself or by stop; done is
// closed when it has ended and all that it wrote was handled.
type process struct {
	name string
	opts *Options
	cmd  *exec.Cmd
	done chan struct{}
	// marker is in its environment and in that of all that it starts.
	marker string
	// status is how it ended. It may be read when done is closed.
	status string

	stdin   *queue
	in      *os.File
	stopped chan struct{}
	once    sync.Once

	logs sync.Mutex
	// quiet holds back what the process writes to its standard error, in held;
	// dropped drops it.
	quiet, dropped bool
	held           []byte
}

// startProcess runs the command; onLine gets each line of its output. name
// stands before the lines of its standard error, which are held back if quiet.
func startProcess(o *Options, name string, quiet bool, onLine func(line []byte, tooLong bool)) (*process, error) {
	p := &process{
		name: name, opts: o, quiet: quiet,
		done: make(chan struct{}), stopped: make(chan struct{}),
		stdin:  newQueue(o.MaxMessageBytes),
		marker: markerEnv + "=" + newID(),
		cmd:    exec.Command(o.Command[0], o.Command[1:]...),
	}
	var theirs, ours []*os.File
	closeAll := func(files []*os.File) {
		for _, f := range files {
			_ = f.Close()
		}
	}
	for range 3 {
		r, w, err := os.Pipe()
		if err != nil {
			closeAll(theirs)
			closeAll(ours)
			return nil, fmt.Errorf("making a pipe to the server: %w", err)
		}
		if len(ours) == 0 { // standard input
			r, w = w, r
		}
		ours, theirs = append(ours, r), append(theirs, w)
	}
	p.in = ours[0]
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = theirs[0], theirs[1], theirs[2]
	// A group of its own, so that signals reach what it starts and not the bridge.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p.cmd.Env = append(os.Environ(), p.marker)
	err := children.start(p.cmd)
	closeAll(theirs)
	if err != nil {
		closeAll(ours)
		return nil, fmt.Errorf("starting the server: %w", err)
	}
	var reading sync.WaitGroup
	reading.Go(func() { p.readOutput(ours[1], onLine) })
	reading.Go(func() { p.readLog(ours[2]) })
	go p.writeInput()
	go p.escalate()
	go p.wait(&reading, ours)
	return p, nil
}

// send queues one message.
func (p *process) send(line []byte) error {
	if p.stdin.push(delivery{data: line}) {
		return nil
	}
	if p.ends() {
		return errEnded
	}
	return errBusy
}

// ends reports whether the process has ended or was told to.
func (p *process) ends() bool {
	select {
	case <-p.stopped:
		return true
	default:
		return false
	}
}

// stop ends the process, if need be by force, and does not wait for it.
func (p *process) stop() {
	p.once.Do(func() {
		p.stdin.close()
		close(p.stopped)
	})
}

func (p *process) writeInput() {
	defer p.in.Close()
	for range p.stdin.ready {
		for {
			d, ok, more := p.stdin.pop()
			if !more {
				return
			}
			if !ok {
				break
			}
			if _, err := p.in.Write(append(d.data[:len(d.data):len(d.data)], '\n')); err != nil {
				p.stop() // it reads no more, so no answer will come
				return
			}
		}
	}
}

func (p *process) readOutput(r *os.File, onLine func([]byte, bool)) {
	lines := newLineReader(r, p.opts.MaxMessageBytes)
	for {
		line, tooLong, err := lines.next()
		if err != nil {
			p.stop() // it writes no more: a server may say so that it ends
			return
		}
		if len(line) > 0 {
			onLine(line, tooLong)
		}
	}
}

// maxLogLine is what is kept of a line of standard error, maxHeldLog of what a
// process writes there while it is asked for the stateless era.
const (
	maxLogLine = 8 << 10
	maxHeldLog = 64 << 10
)

func (p *process) readLog(r io.Reader) {
	lines := newLineReader(r, maxLogLine)
	var out []byte
	for {
		line, tooLong, err := lines.next()
		if err != nil {
			return
		}
		out = append(append(append(append(out[:0], '['), p.name...), "] "...), line...)
		if tooLong {
			out = append(out, " [cut]"...)
		}
		p.logLine(append(out, '\n'))
	}
}

func (p *process) logLine(line []byte) {
	p.logs.Lock()
	defer p.logs.Unlock()
	switch {
	case p.dropped:
	case !p.quiet:
		_, _ = p.opts.Stderr.Write(line) // there is nobody to tell
	case len(p.held)+len(line) <= maxHeldLog:
		p.held = append(p.held, line...)
	}
}

// speak ends the quiet: what was held back is written, or dropped with all that
// comes.
func (p *process) speak(drop bool) {
	p.logs.Lock()
	defer p.logs.Unlock()
	if !drop && len(p.held) > 0 {
		_, _ = p.opts.Stderr.Write(p.held) // as above
	}
	p.quiet, p.dropped, p.held = false, drop, nil
}

// escalate ends a process that was told to and does not.
func (p *process) escalate() {
	select {
	case <-p.done:
		return
	case <-p.stopped:
	}
	for _, step := range []struct {
		grace  time.Duration
		signal syscall.Signal
	}{{p.opts.times.closeGrace, syscall.SIGTERM}, {p.opts.times.termGrace, syscall.SIGKILL}} {
		timer := time.NewTimer(step.grace)
		select {
		case <-p.done:
			timer.Stop()
			return
		case <-timer.C:
			p.signal(step.signal)
		}
		// A write that nobody reads ends here, so that the input is closed.
		_ = p.in.SetWriteDeadline(time.Now())
	}
}

// signal signals the group: the process and what it has started.
func (p *process) signal(s syscall.Signal) {
	if err := syscall.Kill(-p.cmd.Process.Pid, s); err != nil && !errors.Is(err, syscall.ESRCH) {
		p.opts.Log.Warn("a process cannot be signalled", "process", p.name, "signal", s.String(), "error", err)
	}
}

func (p *process) wait(reading *sync.WaitGroup, ours []*os.File) {
	err := children.wait(p.cmd)
	p.signal(syscall.SIGKILL) // what it has left behind in its group
	var sweeping sync.WaitGroup
	sweeping.Go(p.sweep)
	for _, f := range ours {
		_ = f.SetDeadline(time.Now().Add(drainTime))
	}
	reading.Wait()
	p.stop()
	for _, f := range ours[1:] {
		_ = f.Close()
	}
	p.status = "exit status 0"
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		p.status = exit.Error()
	case err != nil:
		p.status = "unknown"
		p.opts.Log.Warn("how a process ended is not known", "process", p.name, "error", err)
	}
	sweeping.Wait()
	close(p.done)
}

// sweep ends what the process has left behind in groups of its own.
func (p *process) sweep() {
	if left := sweep(p.marker, p.opts.times.orphanGrace); left > 0 {
		p.opts.Log.Warn("what a process has left behind cannot be ended", "process", p.name, "count", left)
	}
}

// rationed logs the first of many like events, and how many there were when it
// may log again.
type rationed struct {
	mu    sync.Mutex
	next  time.Time
	count int
}

const rationTime = time.Minute

func (r *rationed) warn(log *slog.Logger, text string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.count++
	if now := time.Now(); !now.Before(r.next) {
		log.With(args...).Warn(text, "count", r.count) //nolint:sloglint // the callers' texts are static
		r.next, r.count = now.Add(rationTime), 0
	}
}
