// Package limits holds sampling to what a policy allows one server and each of
// its sessions: how many requests at the same time, how many of them and of
// tokens in a time. Requests that have to wait get their turns alike, whichever
// session they are of.
//
// Samplers of one server count together where the policy names a store;
// otherwise each has its share.
package limits

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/config"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/limits/store"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/statusz"
)

// Options configure a Limiter.
type Options struct {
	// Server is what counts are kept for in the store.
	Server config.Server
	// Limits has its defaults.
	Limits config.SamplingLimits
	Logger *slog.Logger
}

// Ask is a request that wants to go.
type Ask struct {
	// Session is what limits on sessions count for.
	Session string
	// Likely and Most are how many tokens it may use, question and answer: what is
	// to be expected, and what is certain to be enough.
	Likely, Most int64
}

// Name is the limit's field in the policy ("requestsPerMinute",
// "perSession.concurrent").
type Name string

// Names of limits.
const (
	Concurrent        Name = "concurrent"
	RequestsPerMinute Name = "requestsPerMinute"
	TokensPerMinute   Name = "tokensPerMinute"
	TokensPerDay      Name = "tokensPerDay"

	SessionConcurrent        Name = "perSession.concurrent"
	SessionRequestsPerMinute Name = "perSession.requestsPerMinute"
	SessionTokensPerMinute   Name = "perSession.tokensPerMinute"
	SessionTokensPerDay      Name = "perSession.tokensPerDay"
)

// Exceeded is the error of a request that a limit leaves no room for.
type Exceeded struct {
	Limit Name
	// Max is what the policy says, also where this sampler has only a share of it.
	Max int64
	// Needs is how many tokens the request is likely to use if that alone is more
	// than Max, so that it will never go; 0 otherwise.
	Needs int64
	// RetryAfter is when there may be room; 0 where that is not known.
	RetryAfter time.Duration
}

func (e *Exceeded) Error() string {
	if e.Needs > 0 {
		return fmt.Sprintf("the limit %s of %d is less than the %d tokens that the request may use", e.Limit, e.Max, e.Needs)
	}
	return fmt.Sprintf("the limit %s of %d is used up", e.Limit, e.Max)
}

// Unavailable is the error of a request while the store does not answer and the
// policy says FailClosed.
type Unavailable struct{ Cause error }

func (e *Unavailable) Error() string { return "the store of the limits does not answer" }

// Unwrap makes errors.Is work on the cause.
func (e *Unavailable) Unwrap() error { return e.Cause }

// Lease is the place that a request has taken.
type Lease struct {
	// Waited is how long it took to get it.
	Waited time.Duration

	limiter *Limiter
	session *session
	ask     Ask
	cost    float64
	pace    time.Duration
	// link and place are of the store that has counted it; nil where none has.
	link  *link
	place store.Lease
	done  bool
}

// New makes a limiter. It connects to nobody yet.
func New(o Options) (*Limiter, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	l := &Limiter{
		server: o.Server, log: o.Logger, base: time.Now(),
		use: newUsage(), sessions: map[string]*session{}, leases: map[*Lease]struct{}{},
		kick: make(chan struct{}, 1), timing: defaultTiming,
	}
	l.ready.before, l.parked.before = byTurn, byTime
	if err := l.Configure(o.Limits); err != nil {
		return nil, err
	}
	return l, nil
}

// Configure takes other limits into use; what has been used stays counted.
func (l *Limiter) Configure(limits config.SamplingLimits) error {
	if limits.Store != nil && limits.Store.Address == "" {
		return errors.New("the store of the limits has no address")
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	l.limits = limits
	l.wait = defaultQueueTimeout
	if limits.QueueTimeout != nil {
		l.wait = max(time.Duration(*limits.QueueTimeout), 0)
	}
	l.relink(limits.Store)
	l.recalculate(now)
	return nil
}

// Acquire takes a place, waiting for it at most as long as the policy says. The
// error is an *Exceeded, an *Unavailable, or that of ctx. A lease has to be
// given back by Done.
func (l *Limiter) Acquire(ctx context.Context, ask Ask) (*Lease, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	ask.Likely = max(ask.Likely, 0)
	ask.Most = max(ask.Most, ask.Likely)
	w, err := l.enter(ask)
	if err != nil {
		return nil, err
	}
	for {
		if err := l.await(ctx, w); err != nil {
			return nil, err
		}
		lease, err := l.confirm(ctx, w)
		if lease != nil || err != nil {
			return lease, err
		}
	}
}

// Done gives the place back. used is how many tokens it took: 0 where no
// provider was asked, below 0 where nobody knows, so that what was likely counts.
// It must be called exactly once; it does not block for the store.
func (l *Lease) Done(used int64) {
	if used < 0 {
		used = l.ask.Likely
	}
	m := l.limiter
	m.mu.Lock()
	defer m.mu.Unlock()
	if l.done {
		return
	}
	l.done = true
	now := m.now()
	delete(m.leases, l)
	m.use.settle(now, l.ask, used)
	l.session.use.settle(now, l.ask, used)
	m.refund(l, used)
	told := m.tell(l, now, used)
	m.unpark(l.session)
	if went := m.pump(now); told && !went {
		m.wakeRun() // else whoever asks next tells it on the way
	}
	m.leave(l.session, now)
}

// Status says how the store is; nil where there is none.
func (l *Limiter) Status() *statusz.Store {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.link == nil {
		return nil
	}
	s := l.link.state
	s.FailsClosed = l.failsClosed()
	return &s
}

// Run keeps Status fresh and the store's leases alive until ctx ends, then
// closes connections.
func (l *Limiter) Run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			l.shut()
			return
		case <-timer.C:
		case <-l.kick:
		}
		timer.Reset(l.upkeep(ctx))
	}
}
