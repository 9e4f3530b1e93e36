package proxy

import (
	"context"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// handOverTime is how often it is looked for sessions that another replica is to
	// serve.
	handOverTime = 2 * time.Second
	// letGoTime is how long another replica may take to let go of a session.
	letGoTime = leaveTime + noticeTime + time.Second
	// letGoSealed is how long such a request is good: more than clocks differ.
	letGoSealed = 5 * time.Minute
)

// letGoBound is what the name of a session and the address of who wants it are sealed
// with.
var letGoBound = []byte("let go of this session")

// handOver lets go of sessions that began at another replica and went on here,
// when that one is back or more replicas have come. Till then they are served
// here by whoever gets their requests.
func (h *Handler) handOver() {
	tick := time.NewTicker(handOverTime)
	defer tick.Stop()
	for {
		// Who is there now is asked for sessions later, when its name is gone.
		h.replicas.all(h.ctx)
		select {
		case <-h.ctx.Done():
			return
		case <-tick.C:
			h.replicas.forgetEnded(h.ctx)
			h.handOverIdle()
		}
	}
}

func (h *Handler) handOverIdle() {
	reached := map[string]bool{h.replicas.self: false}
	for _, s := range h.sessions.all() {
		if !s.adopted {
			continue
		}
		owner := h.ownerOf(h.ctx, s.name, s.owner)
		reachable, asked := reached[owner]
		if !asked {
			reachable = h.replicas.reachable(h.ctx, owner)
			reached[owner] = reachable
		}
		if reachable && h.sessions.takeOut(s, false) {
			h.letGo(s)
			h.opts.Logger.Debug("a session goes on at its own replica", "session", s.digest, "replica", owner)
		}
	}
}

// quiesce lets go of a session if nothing waits for what comes on its GET streams.
func (h *Handler) quiesce(s *session) {
	if s.listener != nil && h.sessions.takeOut(s, false) {
		h.letGo(s)
	}
}

// letGo ends what is held of a session that was taken out and goes on elsewhere, or
// here with its next request. Nothing is lost of what comes before the server has
// noticed.
func (h *Handler) letGo(s *session) {
	over := func() { s.end(); h.sessions.left(s) }
	if s.listener == nil {
		over()
		return
	}
	ended := s.listener.leave()
	if !h.spawn(func() {
		<-ended
		h.sessions.left(s)
		s.listener.log.endStreams()
		select {
		case <-s.whenUnused():
		case <-h.ctx.Done():
		}
		s.end()
	}) {
		over()
	}
}

// letGoOfAll lets go of all sessions and waits until the server has noticed.
func (h *Handler) letGoOfAll(ctx context.Context) {
	for _, s := range h.sessions.takeAll() {
		h.letGo(s)
	}
	for _, left := range h.sessions.allLeaving() {
		select {
		case <-left:
		case <-ctx.Done():
			return
		}
	}
}

// gather has every other replica let go of a session that was taken over, before a
// call of it reaches the server: else the server could ask on the stream of another
// one that is just giving it up. While calls of it run there, both serve it.
func (h *Handler) gather(ctx context.Context, s *session) {
	s.mu.Lock()
	done, first := s.gathering, false
	if done == nil {
		if !s.unsure || len(s.calls) > 0 || len(s.answers) > 0 {
			s.mu.Unlock()
			return
		}
		done, first = make(chan struct{}), true
		s.gathering = done
	}
	s.mu.Unlock()
	if !first {
		select {
		case <-done:
		case <-ctx.Done():
		}
		return
	}
	if left := h.sessions.whenLeft(s.name); left != nil {
		<-left
	}
	all := h.takeFromBefore(h.ctx, s.name) && h.takeFromOthers(s.name, s.owner)
	s.mu.Lock()
	s.unsure, s.gathering = !all, nil
	s.mu.Unlock()
	close(done)
}

// takeFromOthers asks all other replicas to let go of a session. It is false where
// one will not do that yet.
func (h *Handler) takeFromOthers(name, owner string) bool {
	ctx, cancel := context.WithTimeout(h.ctx, letGoTime)
	defer cancel()
	others := h.replicas.others(ctx)
	if h.leaving.Err() != nil && owner != h.replicas.self && !slices.Contains(others, owner) {
		others = append(others, owner) // which has come when this one was to end
	}
	if len(others) == 0 {
		return true
	}
	mark := h.opts.Sealer.SealState([]byte(h.replicas.self+"\n"+name), letGoBound, time.Now().Add(letGoSealed))
	var busy atomic.Bool
	var asked sync.WaitGroup
	for _, address := range others {
		asked.Go(func() {
			if h.takeFrom(ctx, address, mark) {
				busy.Store(true)
			}
		})
	}
	asked.Wait()
	return !busy.Load()
}

// takeFrom asks another replica to let go of a session. It is true where calls of it
// run there, and where there is no answer.
func (h *Handler) takeFrom(ctx context.Context, address, mark string) (busy bool) {
	target := *h.opts.Upstream
	target.Scheme, target.Host, target.RawQuery = "http", address, ""
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, target.String(), nil)
	if err != nil {
		return false
	}
	r.Header.Set(headerHop, mark)
	resp, err := h.replicas.transport.RoundTrip(r)
	if err != nil {
		if h.ctx.Err() != nil {
			return false
		}
		h.opts.Logger.Info("a replica does not let go of a session", "replica", address, "error", err)
		if notReached(err) {
			h.replicas.lost(address)
			return false
		}
		return true
	}
	defer resp.Body.Close()
	_, _ = io.CopyN(io.Discard, resp.Body, 4<<10)
	return resp.StatusCode == http.StatusConflict
}

// takeFromBefore is takeFromOthers for the handler that was here before.
func (h *Handler) takeFromBefore(ctx context.Context, name string) bool {
	before := h.before.Load()
	if before == nil {
		return true
	}
	if before.ctx.Err() != nil { // it holds nothing any more
		h.before.Store(nil)
		return true
	}
	return before.giveUp(ctx, name)
}

// giveUp lets go of a session that somebody else wants, and waits until the server
// has noticed. It is false while calls of it run.
func (h *Handler) giveUp(ctx context.Context, name string) bool {
	if s := h.sessions.get(name); s != nil && s.listener != nil {
		if h.sessions.takeOut(s, true) {
			h.letGo(s)
		} else if h.sessions.get(name) == s {
			return false
		}
	}
	if left := h.sessions.whenLeft(name); left != nil {
		select {
		case <-left:
		case <-ctx.Done():
		}
	}
	return h.takeFromBefore(ctx, name)
}

// serveLetGo lets go of a session that another replica wants. wanted are both.
func (h *Handler) serveLetGo(w http.ResponseWriter, r *http.Request, wanted string) {
	unread(w, r, http.NewResponseController(w))
	address, name, _ := strings.Cut(wanted, "\n")
	h.replicas.met(address)
	if !h.giveUp(r.Context(), name) {
		w.WriteHeader(http.StatusConflict)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}
