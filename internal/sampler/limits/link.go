package limits

import (
	"context"
	"math/rand/v2"
	"reflect"
	"time"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/config"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/limits/store"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/statusz"
)

// timing is how often the store is asked what.
type timing struct {
	// timeout bounds each step: a store that hangs must not hang sampling.
	timeout time.Duration
	// lease is how long the place of a sampler that is gone stays taken; renew is
	// when the places of one that is not are renewed.
	lease, renew time.Duration
	// ping is how old Status gets.
	ping time.Duration
	// poll is how soon a place is asked for again that others have to give back.
	poll time.Duration
	// backoff and maxBackoff are how long a store is left alone that fails.
	backoff, maxBackoff time.Duration
}

var defaultTiming = timing{
	timeout: 500 * time.Millisecond,
	lease:   30 * time.Second, renew: 8 * time.Second,
	ping:    20 * time.Second,
	poll:    50 * time.Millisecond,
	backoff: 250 * time.Millisecond, maxBackoff: 5 * time.Second,
}

const (
	// maxPending bounds what is remembered for a store that does not answer.
	maxPending = 4096
	// batch is what is told at once.
	batch = 128
)

// link is the way to one store, and what has to be told there. The limiter's lock
// guards it.
type link struct {
	config config.Store
	client *store.Client
	state  statusz.Store

	// down is true from a failure on, until Run reached the store again at tryAt
	// or later.
	down     bool
	cause    error
	failures int
	tryAt    time.Duration

	contactAt, renewAt time.Duration

	// contended is true while the server's limits leave no room in the store: then
	// only one request at a time asks, and not before pollAt.
	contended, polling bool
	pollAt             time.Duration
	held               refusal
	heldUntil          time.Duration

	pending []store.Settlement
	// unreported is what went without the store.
	unreported usage
}

// relink makes to the store in use; nil is none.
func (l *Limiter) relink(to *config.Store) {
	if to != nil && l.link != nil {
		same := *to
		same.OnUnavailable = l.link.config.OnUnavailable
		if reflect.DeepEqual(same, l.link.config) {
			return
		}
	}
	if l.link != nil {
		l.old = append(l.old, l.link.client)
		clear(l.leases)
	}
	l.link = nil
	if to != nil {
		l.link = &link{
			config: *to, state: statusz.Store{State: statusz.StoreUnknown}, unreported: newUsage(),
			client: store.New(store.Options{
				Server: l.server, Store: *to, Timeout: l.timing.timeout, Lease: l.timing.lease,
			}),
		}
	}
	l.wakeRun()
}

func (l *Limiter) asksStore() bool { return l.link != nil && !l.link.down }

func (l *Limiter) failsClosed() bool {
	return l.limits.Store != nil && l.limits.Store.OnUnavailable == config.FailClosed
}

// closed says why nothing may go; nil where it may.
func (l *Limiter) closed() error {
	if l.link != nil && l.link.down && l.failsClosed() {
		return l.link.cause
	}
	return nil
}

// heldBack says why the store is not asked now.
func (l *Limiter) heldBack(now time.Duration) *refusal {
	k := l.link
	if k == nil || k.down || !k.contended || !k.polling && now >= k.pollAt {
		return nil
	}
	r := k.held
	r.earliest = max(k.heldUntil-now, 0)
	r.again = max(k.pollAt-now, 0)
	return &r
}

// confirm makes a lease of w's turn. Neither lease nor error means that w waits
// again.
func (l *Limiter) confirm(ctx context.Context, w *waiter) (*Lease, error) {
	l.mu.Lock()
	k := l.link
	if !l.asksStore() {
		defer l.mu.Unlock()
		now := l.now()
		if cause := l.closed(); cause != nil {
			return nil, l.giveUp(now, w, &Unavailable{Cause: cause})
		}
		if k != nil {
			k.unreported.requests.used(now)
			k.unreported.requests.add(now, 1)
		}
		return l.lease(now, w), nil
	}
	place := store.Lease{ID: store.NewID(), Likely: w.ask.Likely, Most: w.ask.Most}
	if l.each.any() {
		place.Session, place.Daily = w.session.name, l.each.daily > 0
	}
	whole, each := l.whole.forStore(), l.each.forStore()
	settled := k.takePending()
	l.mu.Unlock()

	// It takes a moment at most. Cut off halfway, nobody would know what counts.
	verdict, err := k.client.Acquire(context.WithoutCancel(ctx), settled, place, whole, each)

	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	if err != nil {
		k.unsettled(now, settled)
		// It may have been counted though nobody heard.
		k.unsettled(now, []store.Settlement{{Lease: place}})
		if k == l.link {
			if !k.down { // else one of many at once has said so
				l.failed(now, err)
			}
			if cause := l.closed(); cause != nil {
				return nil, l.giveUp(now, w, &Unavailable{Cause: cause})
			}
		}
		l.undo(w)
		l.rejoin(now, w)
		return nil, nil
	}
	k.reached(now)
	if !verdict.Granted {
		return nil, l.turnedDown(now, k, w, verdict)
	}
	lease := l.lease(now, w)
	lease.link, lease.place = k, place
	if k == l.link {
		l.leases[lease] = struct{}{}
	}
	if w.polled {
		k.polling, k.pollAt = false, 0
	}
	k.contended = k.contended && l.ready.Len() > 0
	l.pump(now)
	return lease, nil
}

func (l *Limiter) lease(now time.Duration, w *waiter) *Lease {
	return &Lease{Waited: now - w.since, limiter: l, session: w.session, ask: w.ask, cost: w.cost, pace: w.pace}
}

// giveUp ends a request that has its turn.
func (l *Limiter) giveUp(now time.Duration, w *waiter, err error) error {
	l.undo(w)
	l.pump(now)
	l.leave(w.session, now)
	return err
}

// rejoin has w wait before all others of its session.
func (l *Limiter) rejoin(now time.Duration, w *waiter) {
	w.turn = make(chan struct{})
	l.push(w, 0)
	l.pump(now)
}

// turnedDown has w wait as long as the store says, or refuses it.
func (l *Limiter) turnedDown(now time.Duration, k *link, w *waiter, v store.Verdict) error {
	l.undo(w)
	r := refusal{limit: limitName(v), max: l.maximum(v), earliest: v.Earliest}
	wait := v.Earliest + time.Millisecond // both clocks count in whole ones
	if v.Limit != store.Requests {
		// What others have under way may end at any time. All samplers wait alike,
		// so that none of them is always first.
		wait = max(wait, l.timing.poll/2+rand.N(l.timing.poll))
	}
	if v.PerSession {
		w.session.held, w.session.heldSince, w.session.heldUntil = &r, now, now+wait
	} else {
		k.contended, k.held, k.pollAt, k.heldUntil = true, r, now+wait, now+v.Earliest
	}
	if l.wait == 0 || hopeless(&r, now, w) {
		l.pump(now)
		l.leave(w.session, now)
		return r.exceeded()
	}
	l.rejoin(now, w)
	return nil
}

func limitName(v store.Verdict) Name {
	names := map[store.Limit][2]Name{
		store.Concurrent: {Concurrent, SessionConcurrent},
		store.Requests:   {RequestsPerMinute, SessionRequestsPerMinute},
		store.Tokens:     {TokensPerMinute, SessionTokensPerMinute},
		store.Daily:      {TokensPerDay, SessionTokensPerDay},
	}[v.Limit]
	if v.PerSession {
		return names[1]
	}
	return names[0]
}

func (l *Limiter) maximum(v store.Verdict) int64 {
	c := l.whole
	if v.PerSession {
		c = l.each
	}
	switch v.Limit {
	case store.Concurrent:
		return c.concurrent
	case store.Requests:
		return c.requests
	case store.Tokens:
		return c.tokens
	default:
		return c.daily
	}
}

// tell notes for the store what a lease took, and reports whether there is
// somebody to be told.
func (l *Limiter) tell(lease *Lease, now time.Duration, used int64) bool {
	k := l.link
	switch {
	case k == nil:
		return false
	case lease.link == k && !k.down:
		k.pending = append(k.pending, store.Settlement{Lease: lease.place, Used: used})
	case lease.link == k:
		k.unsettled(now, []store.Settlement{{Lease: lease.place, Used: used}})
	default:
		k.unreported.spend(now, used)
	}
	return !k.down
}

// takePending returns what is to be told, a batch at most.
func (k *link) takePending() []store.Settlement {
	n := min(len(k.pending), batch)
	taken := k.pending[:n:n]
	if k.pending = k.pending[n:]; len(k.pending) == 0 {
		k.pending = nil
	}
	return taken
}

// unsettled is for what could not be told: what was used is reported as of now,
// and the places are given back later unless they have ended by then.
func (k *link) unsettled(now time.Duration, settled []store.Settlement) {
	for _, s := range settled {
		k.unreported.spend(now, s.Used)
		if s.Used = 0; len(k.pending) < maxPending {
			k.pending = append(k.pending, s)
		}
	}
}
