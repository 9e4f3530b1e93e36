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
	"fmt"
	"log/slog"
	"time"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/config"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/statusz"
)

// Limiter counts for one server. Its methods may be called concurrently.
type Limiter struct{}

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

// Exceeded is the error of a request that a limit leaves no room for.
type Exceeded struct {
	Limit Name
	Max   int64
	// RetryAfter is when there may be room; 0 where that is not known.
	RetryAfter time.Duration
}

func (e *Exceeded) Error() string {
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
}

// New makes a limiter. It connects to nobody yet.
func New(Options) (*Limiter, error) { return &Limiter{}, nil }

// Configure takes other limits into use; what has been used stays counted.
func (l *Limiter) Configure(config.SamplingLimits) error { return nil }

// Acquire takes a place, waiting for it at most as long as the policy says. The
// error is an *Exceeded, an *Unavailable, or that of ctx. A lease has to be
// given back by Done.
func (l *Limiter) Acquire(context.Context, Ask) (*Lease, error) { return &Lease{}, nil }

// Done gives the place back. used is how many tokens it took: 0 where no
// provider was asked, below 0 where nobody knows, so that what was likely counts.
// It must be called exactly once; it does not block for the store.
func (l *Lease) Done(used int64) {}

// Status says how the store is; nil where there is none.
func (l *Limiter) Status() *statusz.Store { return nil }

// Run keeps Status fresh and the store's leases alive until ctx ends, then
// closes connections.
func (l *Limiter) Run(ctx context.Context) { <-ctx.Done() }
