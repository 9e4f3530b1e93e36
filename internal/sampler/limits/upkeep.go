package limits

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/limits/store"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/statusz"
)

// reached notes that the store has answered.
func (k *link) reached(now time.Duration) {
	k.contactAt, k.failures, k.cause = now, 0, nil
	if !k.down {
		k.state = statusz.Store{State: statusz.StoreHealthy, At: time.Now()}
	}
}

// failed leaves the store alone for a while.
func (l *Limiter) failed(now time.Duration, err error) {
	k := l.link
	before := k.state
	state, detail := store.Classify(err)
	k.state = statusz.Store{State: state, Detail: detail, At: time.Now()}
	wait := min(l.timing.backoff<<min(k.failures, 16), l.timing.maxBackoff)
	k.failures++
	k.cause = err
	k.tryAt = now + wait/2 + rand.N(wait/2)
	if before.State != state || before.Detail != detail {
		l.log.LogAttrs(context.Background(), slog.LevelWarn, "the store of the limits does not answer",
			slog.String("detail", detail), slog.Bool("failsClosed", l.failsClosed()))
	}
	if k.down {
		return
	}
	k.down, k.contended, k.polling = true, false, false
	if l.failsClosed() {
		l.refuseAll(&Unavailable{Cause: err})
	}
	l.recalculate(now)
	l.wakeRun()
}

func (l *Limiter) refuseAll(err error) {
	for _, heap := range []*sessionHeap{&l.ready, &l.parked} {
		for heap.Len() > 0 {
			l.refuse(heap.items[0].waiting[0], err)
		}
	}
}

// recovered takes the store into use again.
func (l *Limiter) recovered(now time.Duration) {
	k := l.link
	again := k.down
	k.down = false
	k.reached(now)
	if again {
		l.log.LogAttrs(context.Background(), slog.LevelInfo, "the store of the limits answers again")
		l.recalculate(now)
	}
}

func (l *Limiter) wakeRun() {
	select {
	case l.kick <- struct{}{}:
	default:
	}
}

// upkeep does what is due and returns when there is more.
func (l *Limiter) upkeep(ctx context.Context) time.Duration {
	// Each step is bounded by itself, and none may be cut off halfway.
	ctx = context.WithoutCancel(ctx)
	l.mu.Lock()
	now := l.now()
	l.forget(now, len(l.sessions))
	old := l.old
	l.old = nil
	k := l.link
	var wait time.Duration
	if k != nil && k.down {
		wait = k.tryAt - now
	}
	l.mu.Unlock()
	for _, c := range old {
		_ = c.Close()
	}
	if k == nil {
		return time.Minute
	}
	if wait > 0 {
		return wait
	}
	err := l.visit(ctx, k)
	l.mu.Lock()
	defer l.mu.Unlock()
	now = l.now()
	switch {
	case k != l.link:
		return 0
	case err != nil:
		l.failed(now, err)
		return max(k.tryAt-now, time.Millisecond)
	}
	l.recovered(now)
	if len(k.pending) > 0 {
		return 0
	}
	return min(l.timing.renew, l.timing.ping)
}

// visit tells the store what it has to know, in this order: a store that comes
// back is asked only when it knows all.
func (l *Limiter) visit(ctx context.Context, k *link) error {
	l.mu.Lock()
	now := l.now()
	back := k.down
	var leases []store.Lease
	if back || now >= k.renewAt {
		for lease := range l.leases {
			leases = append(leases, lease.place)
		}
		k.renewAt = now + l.timing.renew/2
	}
	ping := back || k.state.State != statusz.StoreHealthy || now >= k.contactAt+l.timing.ping
	l.mu.Unlock()

	if ping {
		if err := k.client.Ping(ctx); err != nil {
			return err
		}
	}
	if err := l.report(ctx, k); err != nil {
		return err
	}
	for len(leases) > 0 {
		n := min(len(leases), batch)
		if err := k.client.Renew(ctx, leases[:n]); err != nil {
			return err
		}
		leases = leases[n:]
	}
	return l.settle(ctx, k)
}

// report tells what went without the store.
func (l *Limiter) report(ctx context.Context, k *link) error {
	l.mu.Lock()
	now := l.now()
	requests, tokens, daily := k.unreported.requests.used(now), k.unreported.tokens.used(now), k.unreported.daily.used(now)
	told := k.unreported
	k.unreported = newUsage()
	l.mu.Unlock()
	err := k.client.Report(ctx, requests, tokens, daily)
	if err != nil {
		l.mu.Lock()
		meanwhile := k.unreported
		k.unreported = told
		k.unreported.merge(l.now(), meanwhile)
		l.mu.Unlock()
	}
	return err
}

// settle tells what became of leases.
func (l *Limiter) settle(ctx context.Context, k *link) error {
	for {
		l.mu.Lock()
		settled := k.takePending()
		l.mu.Unlock()
		if len(settled) == 0 {
			return nil
		}
		if err := k.client.Settle(ctx, settled); err != nil {
			l.mu.Lock()
			k.unsettled(l.now(), settled)
			l.mu.Unlock()
			return err
		}
	}
}

// shut tells the store the last things and closes connections.
func (l *Limiter) shut() {
	l.mu.Lock()
	k, old := l.link, l.old
	l.old = nil
	tells := l.asksStore()
	l.mu.Unlock()
	if tells {
		_ = l.settle(context.Background(), k) // else the places end by themselves
	}
	if k != nil {
		_ = k.client.Close()
	}
	for _, c := range old {
		_ = c.Close()
	}
}
