package bridge

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"time"
)

// Options of a Bridge. Zero values mean the defaults of DefaultOptions, but for
// Command, which must be there.
type Options struct {
	// Command is the program and its arguments.
	Command []string
	// Listen is the address for callers, Path that of the endpoint.
	Listen, Path string
	// Shared runs one process for all sessions, not one for each.
	Shared bool
	// MaxProcesses bounds the processes that run at a time.
	MaxProcesses int
	// IdleTimeout ends a session that nobody used for so long.
	IdleTimeout time.Duration
	// MaxMessageBytes bounds a message, both ways.
	MaxMessageBytes int
	// InitializeTimeout is how long a process may take to answer initialize.
	InitializeTimeout time.Duration
	// ShutdownTimeout is how long running calls may take to end.
	ShutdownTimeout time.Duration

	Log *slog.Logger
	// Stderr takes what processes write to theirs; os.Stderr if nil.
	Stderr io.Writer

	times times
}

// times are what a test may want to be short.
type times struct {
	// closeGrace is how long a process may take to end by itself when its input
	// is closed, termGrace how long after SIGTERM.
	closeGrace, termGrace time.Duration
	// orphanGrace is how long what a process has left behind may take to end after
	// SIGTERM.
	orphanGrace time.Duration
	// probe bounds the question for the stateless era, the start of the process
	// included.
	probe time.Duration
	// doubt is how long no answer to that question counts as one, at first.
	doubt time.Duration
	// room is how long a process is waited for that ends, makesRoom how long a
	// session is idle that ends when another needs its process.
	room, makesRoom time.Duration
	// keepAlive is how long a stream is silent before a comment is written.
	keepAlive time.Duration
}

// DefaultOptions returns the defaults.
func DefaultOptions() Options {
	return Options{
		Listen:            ":8000",
		Path:              "/mcp",
		MaxProcesses:      64,
		IdleTimeout:       30 * time.Minute,
		MaxMessageBytes:   16 << 20,
		InitializeTimeout: time.Minute,
		ShutdownTimeout:   10 * time.Second,
	}
}

const minMessageBytes = 1 << 10

func (o *Options) complete() error {
	if len(o.Command) == 0 {
		return errors.New("no command: write the server's program and its arguments after --")
	}
	program, err := exec.LookPath(o.Command[0])
	if err != nil {
		return fmt.Errorf("the server cannot be run: %w: check the command and the image", err)
	}
	o.Command = append([]string{program}, o.Command[1:]...)
	d := DefaultOptions()
	setDefault(&o.Listen, d.Listen)
	setDefault(&o.Path, d.Path)
	setDefault(&o.MaxProcesses, d.MaxProcesses)
	setDefault(&o.IdleTimeout, d.IdleTimeout)
	setDefault(&o.MaxMessageBytes, d.MaxMessageBytes)
	setDefault(&o.InitializeTimeout, d.InitializeTimeout)
	setDefault(&o.ShutdownTimeout, d.ShutdownTimeout)
	setDefault(&o.times.closeGrace, 2*time.Second)
	setDefault(&o.times.termGrace, 3*time.Second)
	setDefault(&o.times.orphanGrace, time.Second)
	setDefault(&o.times.probe, 15*time.Second)
	setDefault(&o.times.doubt, time.Minute)
	setDefault(&o.times.room, 5*time.Second)
	setDefault(&o.times.makesRoom, time.Minute)
	setDefault(&o.times.keepAlive, 15*time.Second)
	switch {
	case !strings.HasPrefix(o.Path, "/"):
		return fmt.Errorf("the path %q must begin with a slash", o.Path)
	case o.MaxProcesses < 0:
		return fmt.Errorf("the number of processes must be 1 or more, not %d", o.MaxProcesses)
	case o.IdleTimeout < 0 || o.ShutdownTimeout < 0 || o.InitializeTimeout < 0:
		return errors.New("a timeout must be more than 0")
	case o.MaxMessageBytes < minMessageBytes:
		return fmt.Errorf("a message must be allowed %d bytes or more, not %d", minMessageBytes, o.MaxMessageBytes)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Stderr == nil {
		o.Stderr = os.Stderr
	}
	return nil
}

func setDefault[T comparable](value *T, to T) {
	var zero T
	if *value == zero {
		*value = to
	}
}
