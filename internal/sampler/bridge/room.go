package bridge

import (
	"context"
	"fmt"
	"time"
)

// NoRoom is the Proxy-Status (RFC 9209) of a refusal because as many processes
// run as may. It says nothing else about the server.
const NoRoom = "mcp-bridge; error=connection_limit_reached"

// room bounds the processes. The mutex is the bridge's.
type room struct {
	// processes counts those that begin, run or end; muxes are without the first.
	processes int
	muxes     map[*mux]struct{}
	// freed is closed when a process has ended.
	freed chan struct{}
}

// take counts a process more, if need be when another has ended: it waits for
// those that end, and ends one that nobody uses.
func (b *Bridge) take(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, b.opts.times.room)
	defer cancel()
	for {
		freed, err := b.tryTake()
		if freed == nil {
			return err
		}
		select {
		case <-freed:
		case <-ctx.Done():
			return b.full()
		}
	}
}

// full is errFull in words that say what to do.
func (b *Bridge) full() error {
	if b.opts.Shared { // the bound is not for users to set
		return fmt.Errorf("%w (%d): try again later", errFull, b.opts.MaxProcesses)
	}
	return fmt.Errorf("%w (%d): try again later, or raise --max-processes (spec.transport.stdio.maxProcesses)",
		errFull, b.opts.MaxProcesses)
}

// tryTake returns what to wait for if there may be room soon, nil if there is
// room or won't be.
func (b *Bridge) tryTake() (freed <-chan struct{}, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.draining:
		return nil, errDraining
	case b.room.processes < b.opts.MaxProcesses:
		b.room.processes++
		b.running.Add(1)
		return nil, nil
	}
	for x := range b.room.muxes {
		if x.process.ends() {
			return b.room.freed, nil
		}
	}
	idle := b.longestIdle()
	if idle == nil {
		if x := b.idleStateless(); x != nil {
			x.process.stop()
			return b.room.freed, nil
		}
		return nil, b.full()
	}
	b.opts.Log.Info("a session was idle and ends, as another needs its process", "session", idle.name)
	delete(b.sessions, idle.id)
	idle.mux.mu.Lock()
	idle.mux.leave(idle)
	idle.mux.mu.Unlock()
	idle.mux.process.stop()
	return b.room.freed, nil
}

// longestIdle returns the session with a process of its own that is idle for the
// longest time, if that is long enough. The mutex is held.
func (b *Bridge) longestIdle() *session {
	if b.opts.Shared {
		return nil
	}
	var found *session
	since := time.Now().Add(-b.opts.times.makesRoom)
	for _, s := range b.sessions {
		s.mux.mu.Lock()
		if s.running == 0 && !s.ended && s.released.Before(since) && len(s.mux.calls) == 0 {
			found, since = s, s.released
		}
		s.mux.mu.Unlock()
	}
	return found
}

// idleStateless returns the process of the stateless era if nobody has used it
// for as long. The mutex is held.
func (b *Bridge) idleStateless() *mux {
	since := time.Now().Add(-b.opts.times.makesRoom)
	for x := range b.room.muxes {
		x.mu.Lock()
		idle := !x.unused.IsZero() && x.unused.Before(since)
		x.mu.Unlock()
		if idle {
			return x
		}
	}
	return nil
}

// add notes a process that was started.
func (b *Bridge) add(x *mux) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.room.muxes[x] = struct{}{}
}

// free gives back what take has taken; x is nil if nothing was started.
func (b *Bridge) free(x *mux) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.room.muxes, x)
	b.room.processes--
	close(b.room.freed)
	b.room.freed = make(chan struct{})
}
