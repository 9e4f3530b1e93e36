package bridge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/loopback"
)

// Bridge is the HTTP handler of one stdio server.
type Bridge struct {
	opts Options
	// ctx ends when the bridge is closed.
	ctx    context.Context
	cancel context.CancelFunc
	// running are the goroutines that watch a process.
	running sync.WaitGroup

	modern modernEra
	shared sharedEra

	mu       sync.Mutex
	sessions map[string]*session
	room     room
	draining bool
	closed   bool
	// calls counts the exchanges that run; drained is closed when draining has
	// found none.
	calls   int
	drained chan struct{}
}

// maxSessions bounds the sessions of a shared process, which cost little.
const maxSessions = 10000

// New checks the options and finds the command. It starts nothing.
func New(o Options) (*Bridge, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	b := &Bridge{opts: o, sessions: map[string]*session{}, drained: make(chan struct{})}
	b.room = room{muxes: map[*mux]struct{}{}, freed: make(chan struct{})}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	return b, nil
}

const (
	readHeaderTimeout = 10 * time.Second
	idleConnTimeout   = 2 * time.Minute
	maxHeaderBytes    = 64 << 10
)

// Run serves until ctx ends, then lets running calls end within the shutdown
// timeout, and ends the processes.
func (b *Bridge) Run(ctx context.Context) error {
	listener, err := net.Listen("tcp", b.opts.Listen)
	if err != nil {
		return fmt.Errorf("listen for callers: %w", err)
	}
	return b.serve(ctx, listener)
}

func (b *Bridge) serve(ctx context.Context, listener net.Listener) error {
	defer reap()()
	server := &http.Server{
		Handler:           loopback.Only(listener, b),
		MaxHeaderBytes:    maxHeaderBytes,
		ReadHeaderTimeout: readHeaderTimeout,
		IdleTimeout:       idleConnTimeout,
		ErrorLog:          slog.NewLogLogger(b.opts.Log.Handler(), slog.LevelDebug),
	}
	server.Protocols = new(http.Protocols)
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetUnencryptedHTTP2(true)
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	b.opts.Log.Info("the bridge serves", "listen", listener.Addr().String(), "path", b.opts.Path,
		"command", b.opts.Command[0], "shared", b.opts.Shared)

	select {
	case err := <-failed:
		b.Close()
		return fmt.Errorf("serve %s: %w", listener.Addr(), err)
	case <-ctx.Done():
	}
	b.opts.Log.Info("draining", "timeout", b.opts.ShutdownTimeout)
	b.drain()
	// Streams end with their sessions, so connections are idle in a moment.
	ended := make(chan struct{})
	go func() { defer close(ended); b.Close() }()
	last, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := server.Shutdown(last); err != nil {
		_ = server.Close()
	}
	<-ended
	if err := <-failed; err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve %s: %w", listener.Addr(), err)
	}
	return nil
}

// drain waits for running calls, and takes no new sessions meanwhile. Calls in
// open sessions are taken, and so is what the server asks their callers.
func (b *Bridge) drain() {
	b.mu.Lock()
	b.draining = true
	b.settle()
	b.mu.Unlock()
	timer := time.NewTimer(b.opts.ShutdownTimeout)
	defer timer.Stop()
	select {
	case <-b.drained:
	case <-timer.C:
		b.opts.Log.Warn("calls were cut off at the end of the shutdown timeout")
	}
}

// settle notes that nothing runs any more. The mutex is held.
func (b *Bridge) settle() {
	if b.draining && b.calls == 0 {
		select {
		case <-b.drained:
		default:
			close(b.drained)
		}
	}
}

// begin counts an exchange until the function that it returns is called first.
func (b *Bridge) begin() (end func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.calls++
	return sync.OnceFunc(func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.calls--
		b.settle()
	})
}

// Close ends all sessions and processes, and returns when they have ended.
func (b *Bridge) Close() {
	b.mu.Lock()
	b.closed, b.draining = true, true
	b.mu.Unlock()
	b.cancel()
	b.running.Wait()
}

// Reasons why no process is started.
var (
	errDraining = errors.New("this server is shutting down: try again, another may answer")
	errFull     = errors.New("as many processes run as are allowed")
	errSessions = errors.New("as many sessions are open as are allowed: try again later")
)

// launch starts a process within the bound on their number. ended is called
// when it has ended, before its callers know; it may be nil.
func (b *Bridge) launch(ctx context.Context, k kind, ended func(*mux)) (*mux, error) {
	if err := b.take(ctx); err != nil {
		return nil, err
	}
	x, err := startMux(&b.opts, k)
	if err != nil {
		b.free(nil)
		b.running.Done()
		b.opts.Log.Error("a process could not be started", "process", k.name, "error", err)
		return nil, err
	}
	b.add(x)
	go func() {
		defer b.running.Done()
		select {
		case <-x.process.done:
		case <-b.ctx.Done():
			x.process.stop()
			<-x.process.done
		}
		b.free(x) // first: who waits for it may hold what is needed below
		if ended != nil {
			ended(x)
		}
		b.ended(x)
	}()
	return x, nil
}

// ended cleans up after a process.
func (b *Bridge) ended(x *mux) {
	for _, s := range x.end(x.reasonOfEnd()) {
		b.remove(s)
	}
	b.opts.Log.Info("a process has ended", "process", x.process.name, "status", x.process.status)
}

func (b *Bridge) remove(s *session) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.sessions, s.id)
}

func (b *Bridge) session(id string) *session {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.sessions[id]
}

// enter makes a session of the process x.
func (b *Bridge) enter(id string, x *mux) (*session, error) {
	s := &session{id: id, name: nameOf(id), mux: x, stream: newQueue(b.opts.MaxMessageBytes), running: 1}
	s.idle = time.AfterFunc(b.opts.IdleTimeout, func() { b.leaveIdle(s) })
	s.idle.Stop() // it runs when the session is released
	b.mu.Lock()
	if len(b.sessions) >= maxSessions {
		b.mu.Unlock()
		return nil, errSessions
	}
	b.sessions[id] = s
	b.mu.Unlock()
	if !x.join(s) {
		b.remove(s)
		return nil, errEnded
	}
	return s, nil
}

// leave ends a session, and its process if that has no other.
func (b *Bridge) leave(s *session) {
	b.remove(s)
	s.mux.mu.Lock()
	s.mux.leave(s)
	s.mux.stopIfRetired()
	s.mux.mu.Unlock()
	if !b.opts.Shared {
		s.mux.process.stop()
	}
}

func (b *Bridge) leaveIdle(s *session) {
	s.mux.mu.Lock()
	idle := s.running == 0
	s.mux.mu.Unlock()
	if idle {
		b.opts.Log.Info("a session was idle and ends", "session", s.name)
		b.leave(s)
	}
}
