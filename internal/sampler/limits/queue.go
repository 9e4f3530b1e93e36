package limits

import (
	"container/heap"
	"container/list"
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/config"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/limits/store"
)

const (
	defaultQueueTimeout = 10 * time.Second

	// maxIdle bounds the sessions that are remembered though they do nothing. In
	// the stateless era each call is one. The longest idle one makes room.
	maxIdle = 1 << 15
)

// Limiter counts for one server. Its methods may be called concurrently.
//
// Waiting sessions are served by start-time fair queuing: a session's next
// request begins, in virtual time, where its last one ended, but not before what
// is served now; the earliest goes first. How long a request is in virtual time
// is what it takes of the scarcest limit.
type Limiter struct {
	server config.Server
	log    *slog.Logger
	base   time.Time
	kick   chan struct{}
	timing timing

	mu       sync.Mutex
	limits   config.SamplingLimits
	wait     time.Duration
	whole    ceilings // on the server, or this sampler's share of them
	each     ceilings // on a session
	use      usage
	sessions map[string]*session
	idle     list.List // of *session, the longest idle first
	// ready sessions wait for the server's limits, parked ones for their own.
	ready, parked sessionHeap
	virtual       float64
	turns         uint64
	timer         *time.Timer
	// recent sessions have asked within a minute, the longest ago first.
	recent list.List // of *session
	// paceAt is when the next session may have more than its part of a minute.
	paceAt time.Duration

	link   *link
	leases map[*Lease]struct{} // those that the store has counted
	old    []*store.Client     // to be closed
}

// session is what is known of one session.
type session struct {
	name string
	use  usage
	// start is when its next request begins in virtual time.
	start   float64
	waiting []*waiter
	// turn orders sessions that begin at the same time.
	turn uint64
	heap *sessionHeap // that it is in; nil where nothing waits, or the first one has its turn
	at   int
	// again is when a parked session is looked at.
	again time.Duration
	// held is what its store said, until then.
	held                 *refusal
	heldSince, heldUntil time.Duration
	// using counts requests from Acquire to Done.
	using     int
	recent    *list.Element
	asked     time.Duration
	idle      *list.Element
	idleSince time.Duration
}

// waiter is a request between Acquire and its lease.
type waiter struct {
	ask             Ask
	session         *session
	since, deadline time.Duration
	// turn is closed when it may go or cannot any more; err says which.
	turn chan struct{}
	err  error
	// took is when it was counted; only then it has its turn.
	took time.Duration
	has  bool
	cost float64
	pace time.Duration
	// link is the store's when it got its turn; polled says that nobody else asks
	// it meanwhile.
	link   *link
	polled bool
}

func (l *Limiter) now() time.Duration { return time.Since(l.base) }

// enter lets a request in: it has its turn, or waits for it.
func (l *Limiter) enter(ask Ask) (*waiter, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if cause := l.closed(); cause != nil {
		return nil, &Unavailable{Cause: cause}
	}
	now := l.now()
	l.forget(now, 2)
	s := l.session(ask.Session)
	l.seen(s, now)
	w := &waiter{ask: ask, session: s, since: now, deadline: now + l.wait}
	if len(s.waiting) == 0 {
		// Refused ones are not owed everything, but their part of a minute.
		s.start = max(s.start, l.virtual-1/float64(l.recent.Len()))
	}
	r := l.check(now, w)
	switch {
	case r == nil:
		l.take(now, w)
	case r.needs > 0 || l.wait == 0 || r.earliest > l.wait:
		l.leave(s, now)
		return nil, r.exceeded()
	default:
		w.turn = make(chan struct{})
		l.push(w, len(s.waiting))
		l.pump(now)
	}
	return w, nil
}

// check says why a new request has to wait; nil where it has not.
func (l *Limiter) check(now time.Duration, w *waiter) *refusal {
	s := w.session
	own := int64(len(s.waiting))
	r := l.ofSession(now, s, w.ask, own)
	if whole := l.whole.check(&l.use, now, w.ask, l.ahead(s), false); whole != nil {
		r = r.later(whole)
	}
	if held := l.heldBack(now); held != nil {
		r = r.later(held)
	}
	if r == nil && (own > 0 || l.ready.Len() > 0) {
		r = &refusal{limit: Concurrent, max: l.whole.concurrent}
		if first := l.first(now); first != nil {
			r = &refusal{limit: first.limit, max: first.max}
		}
	}
	return r
}

// first says what the first one waits for.
func (l *Limiter) first(now time.Duration) *refusal {
	if l.ready.Len() == 0 {
		return nil
	}
	if r := l.whole.check(&l.use, now, l.ready.items[0].waiting[0].ask, 0, false); r != nil {
		return r
	}
	return l.heldBack(now)
}

func (l *Limiter) ofSession(now time.Duration, s *session, ask Ask, ahead int64) *refusal {
	r := l.each.check(&s.use, now, ask, ahead, true)
	if limit, most := l.over(now, s, ask); limit != "" && now < l.paceAt {
		wait := l.paceAt - now
		r = r.later(&refusal{limit: limit, max: most, earliest: wait, again: wait})
	}
	if s.held != nil && now < s.heldUntil {
		held := *s.held
		held.again = s.heldUntil - now
		held.earliest = max(held.earliest-(now-s.heldSince), 0)
		r = r.later(&held)
	}
	return r
}

// ahead is how many that wait are served before a new request of s, as far as can
// be told: those that come later may still overtake it.
func (l *Limiter) ahead(s *session) int64 {
	if len(s.waiting) == 0 && l.ready.Len() == 0 {
		return 0
	}
	unit := l.whole.cost(0)
	begins := s.start + float64(len(s.waiting))*unit
	var n int64
	for _, other := range l.ready.items {
		if other != s && other.start <= begins {
			n += min(int64(len(other.waiting)), int64((begins-other.start)/unit)+1)
		}
	}
	return n + int64(len(s.waiting))
}

// take gives w its turn.
func (l *Limiter) take(now time.Duration, w *waiter) {
	s := w.session
	limit, _ := l.over(now, s, w.ask)
	paced := limit != ""
	l.use.take(now, w.ask)
	s.use.take(now, w.ask)
	w.took, w.has, w.cost = now, true, l.whole.cost(w.ask.Most)
	if w.pace = 0; paced {
		w.pace = l.whole.pace(w.ask.Likely)
		l.paceAt = max(l.paceAt, now) + w.pace
	}
	l.virtual = max(l.virtual, s.start)
	s.start += w.cost
	if w.link = l.link; l.asksStore() && l.link.contended {
		w.polled, l.link.polling = true, true
	}
	if w.turn != nil {
		close(w.turn)
	}
}

// undo takes the turn away again.
func (l *Limiter) undo(w *waiter) {
	l.use.undo(w.took, w.ask)
	w.session.use.undo(w.took, w.ask)
	l.shift(w.session, -w.cost)
	l.paceAt -= w.pace
	w.has, w.turn = false, nil
	if w.polled {
		w.polled, w.link.polling = false, false
	}
}

// shift moves the virtual time of s.
func (l *Limiter) shift(s *session, by float64) {
	s.start += by
	if s.heap != nil {
		heap.Fix(s.heap, s.at)
	}
}

// refund makes up for what a request was expected to take. A part stays: what is
// reserved keeps others out as long as it lasts.
func (l *Limiter) refund(lease *Lease, used int64) {
	if lease.pace > 0 {
		l.paceAt += l.whole.pace(used) - lease.pace
	}
	used = max(used, lease.ask.Most/16)
	l.shift(lease.session, min(l.whole.cost(used), lease.cost)-lease.cost)
}

// push has w wait, with so many of its session before it.
func (l *Limiter) push(w *waiter, before int) {
	s := w.session
	s.waiting = slices.Insert(s.waiting, before, w)
	if s.heap == nil {
		l.turns++
		s.turn = l.turns
		heap.Push(&l.ready, s)
	}
}

// drop takes w out of the queue.
func (l *Limiter) drop(w *waiter) {
	s := w.session
	i := slices.Index(s.waiting, w)
	if i < 0 {
		return
	}
	s.waiting = slices.Delete(s.waiting, i, i+1)
	if len(s.waiting) == 0 && s.heap != nil {
		heap.Remove(s.heap, s.at)
	}
}

// refuse ends the wait of w.
func (l *Limiter) refuse(w *waiter, err error) {
	l.drop(w)
	w.err = err
	close(w.turn)
}

// pump gives turns to whoever may go, and reports whether anybody did.
func (l *Limiter) pump(now time.Duration) bool {
	for l.parked.Len() > 0 && l.parked.items[0].again <= now {
		l.unpark(l.parked.items[0])
	}
	var next time.Duration
	went := false
	for l.ready.Len() > 0 {
		s := l.ready.items[0]
		w := s.waiting[0]
		if r := l.ofSession(now, s, w.ask, 0); r != nil {
			if hopeless(r, now, w) {
				l.refuse(w, r.exceeded())
				continue
			}
			l.park(s, now, r.again)
			continue
		}
		r := l.whole.check(&l.use, now, w.ask, 0, false)
		if r == nil {
			r = l.heldBack(now)
		}
		if r == nil {
			l.drop(w)
			l.take(now, w)
			l.again(s)
			went = true
			continue
		}
		if hopeless(r, now, w) {
			l.refuse(w, r.exceeded())
			continue
		}
		next = r.again
		break
	}
	if l.parked.Len() > 0 && l.parked.items[0].again < never {
		if wait := l.parked.items[0].again - now; next == 0 || wait < next {
			next = wait
		}
	}
	l.lookIn(next)
	return went
}

// again puts a session that was served behind those that begin as early.
func (l *Limiter) again(s *session) {
	if s.heap == nil {
		return
	}
	l.turns++
	s.turn = l.turns
	heap.Fix(s.heap, s.at)
}

func hopeless(r *refusal, now time.Duration, w *waiter) bool {
	return r.needs > 0 || now+r.earliest > w.deadline
}

const never = time.Duration(1<<63 - 1)

// park has s wait for its own limits, so that it keeps nobody.
func (l *Limiter) park(s *session, now, again time.Duration) {
	heap.Remove(s.heap, s.at)
	s.again = never
	if again > 0 {
		s.again = now + again
	}
	heap.Push(&l.parked, s)
}

func (l *Limiter) unpark(s *session) {
	if s.heap == &l.parked {
		heap.Remove(&l.parked, s.at)
		heap.Push(&l.ready, s)
	}
}

// lookIn has the queue looked at after a time; 0 is never.
func (l *Limiter) lookIn(wait time.Duration) {
	switch {
	case wait <= 0 && l.timer != nil:
		l.timer.Stop()
	case wait <= 0:
	case l.timer == nil:
		l.timer = time.AfterFunc(wait, l.look)
	default:
		l.timer.Reset(wait)
	}
}

func (l *Limiter) look() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pump(l.now())
}

// await returns when w has its turn, or why it gets none.
func (l *Limiter) await(ctx context.Context, w *waiter) error {
	l.mu.Lock()
	has, turn, left := w.has, w.turn, w.deadline-l.now()
	l.mu.Unlock()
	if has {
		return nil
	}
	timer := time.NewTimer(left)
	defer timer.Stop()
	select {
	case <-turn:
	case <-timer.C:
	case <-ctx.Done():
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	switch {
	case w.err != nil:
	case w.has && ctx.Err() == nil:
		return nil
	case w.has:
		l.undo(w)
		w.err = ctx.Err()
	case ctx.Err() != nil:
		l.drop(w)
		w.err = ctx.Err()
	default:
		l.drop(w)
		w.err = l.late(now, w).exceeded()
	}
	l.pump(now)
	l.leave(w.session, now)
	return w.err
}

// late says what a request has waited for in vain.
func (l *Limiter) late(now time.Duration, w *waiter) *refusal {
	if r := l.check(now, w); r != nil {
		return r
	}
	return &refusal{limit: Concurrent, max: l.whole.concurrent}
}

// recalculate follows other limits, or another share of them.
func (l *Limiter) recalculate(now time.Duration) {
	shares := max(l.limits.Shares, 1)
	if l.asksStore() {
		shares = 1 // the store counts; one's own count is never above it
	}
	whole, each := serverCeilings(l.limits, shares), sessionCeilings(l.limits.PerSession)
	if whole != l.whole {
		// Virtual time had another unit.
		l.virtual = 0
		for _, s := range l.sessions {
			s.start = 0
		}
		heap.Init(&l.ready)
	}
	l.whole, l.each = whole, each
	for l.parked.Len() > 0 {
		l.unpark(l.parked.items[0])
	}
	for _, s := range l.sessions {
		s.held = nil
	}
	l.pump(now)
}

func (c ceilings) forStore() store.Ceilings {
	return store.Ceilings{Concurrent: c.concurrent, Requests: c.requests, Tokens: c.tokens, Daily: c.daily}
}
