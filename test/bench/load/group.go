package load

import (
	"fmt"
	"slices"
	"sync"
	"time"
)

// Group is a number of callers that call at the same time.
type Group struct {
	target  Target
	era     Era
	callers []*Caller
	times   [][]time.Duration
}

// NewGroup returns a group without callers.
func NewGroup(t Target, era Era) *Group { return &Group{target: t, era: era} }

// Grow opens sessions until there are n.
func (g *Group) Grow(n int) error {
	for len(g.callers) < n {
		c := NewCaller(g.target, g.era, len(g.callers))
		if err := c.Open(); err != nil {
			c.Drop()
			return fmt.Errorf("session %d: %w", len(g.callers), err)
		}
		g.callers = append(g.callers, c)
		g.times = append(g.times, nil)
	}
	return nil
}

// Close ends all sessions.
func (g *Group) Close() {
	for _, c := range g.callers {
		_ = c.Close() // a server that is gone has no sessions to end
	}
	g.callers = nil
}

// Drop closes all connections and leaves the sessions to the server.
func (g *Group) Drop() {
	for _, c := range g.callers {
		c.Drop()
	}
	g.callers = nil
}

// Slice is what a group did in one go.
type Slice struct {
	Calls   int
	Elapsed time.Duration
	// P50 and P99 are of the time a call took.
	P50, P99 time.Duration
}

// PerSecond is the number of calls in a second.
func (s Slice) PerSecond() float64 { return float64(s.Calls) / s.Elapsed.Seconds() }

// Run has n callers call the tool one time after the other, until d is over and
// every call that had begun has ended. The first error ends it.
func (g *Group) Run(tool string, n int, d time.Duration) (Slice, error) {
	if err := g.Grow(n); err != nil {
		return Slice{}, err
	}
	var (
		group  sync.WaitGroup
		begin  = make(chan struct{})
		errs   = make([]error, n)
		start  time.Time
		result Slice
	)
	for i := range n {
		group.Go(func() {
			<-begin
			times, last := g.times[i][:0], start
			for last.Sub(start) < d {
				if errs[i] = g.callers[i].Call(tool); errs[i] != nil {
					g.callers[i].Rest() // an answer that comes later is for nobody
					break
				}
				now := time.Now()
				times = append(times, now.Sub(last))
				last = now
			}
			g.times[i] = times
		})
	}
	start = time.Now()
	close(begin)
	group.Wait()
	result.Elapsed = time.Since(start)
	for i, err := range errs {
		if err != nil {
			return result, fmt.Errorf("session %d: %w", i, err)
		}
	}
	var all []time.Duration
	for _, times := range g.times[:n] {
		all = append(all, times...)
	}
	slices.Sort(all)
	result.Calls = len(all)
	result.P50, result.P99 = Quantile(all, 0.5), Quantile(all, 0.99)
	return result, nil
}

// Quantile returns the value that a part q of the sorted ones does not exceed;
// zero if there are none.
func Quantile[T any](sorted []T, q float64) T {
	var zero T
	if len(sorted) == 0 {
		return zero
	}
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}
