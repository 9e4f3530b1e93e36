package main

import (
	"cmp"
	"slices"
	"time"

	"github.com/mcp-sampling/mcp-sampling-operator/test/bench/load"
)

// figures are what a table says of one target at one workload. Ratios are of
// slices of the same round; what is not known is zero.
type figures struct {
	perSecond, ofReverse float64
	p50, p99             time.Duration
	addedP50, addedP99   time.Duration
	cpu                  time.Duration // of the proxy, for a call
	rss, anon            int
	lowest, highest      float64 // the quartiles of ofReverse
}

func median[T cmp.Ordered](values []T) T { return quartile(values, 0.5) }

func quartile[T cmp.Ordered](values []T, q float64) T {
	return load.Quantile(slices.Sorted(slices.Values(values)), q)
}

// of works the figures of a target out.
func (c *comparison) of(w workload, name string) (figures, error) {
	in := c.cells[w][name]
	if in == nil || in.err != nil {
		if in == nil {
			return figures{}, nil
		}
		return figures{}, in.err
	}
	var f figures
	var perSecond []float64
	var p50, p99 []time.Duration
	var cpu time.Duration
	calls := 0
	for _, s := range in.samples {
		perSecond = append(perSecond, s.PerSecond())
		p50, p99 = append(p50, s.P50), append(p99, s.P99)
		cpu += s.cpu
		calls += s.Calls
	}
	f.perSecond, f.p50, f.p99 = median(perSecond), median(p50), median(p99)
	if calls > 0 {
		f.cpu = cpu / time.Duration(calls)
	}
	f.rss, f.anon = in.memory.RSS, in.memory.Anon
	ratios := pairsOf(c, w, name, reverseProxy, func(a, b sample) float64 { return a.PerSecond() / b.PerSecond() })
	f.ofReverse, f.lowest, f.highest = median(ratios), quartile(ratios, 0.25), quartile(ratios, 0.75)
	f.addedP50 = median(pairsOf(c, w, name, direct, func(a, b sample) time.Duration { return a.P50 - b.P50 }))
	f.addedP99 = median(pairsOf(c, w, name, direct, func(a, b sample) time.Duration { return a.P99 - b.P99 }))
	return f, nil
}

// pairsOf sets slices of a target against those of another one in the same
// rounds.
func pairsOf[T any](c *comparison, w workload, name, base string, f func(a, b sample) T) []T {
	var out []T
	other := c.cells[w][base]
	if other == nil || c.cells[w][name] == nil {
		return nil
	}
	for _, a := range c.cells[w][name].samples {
		for _, b := range other.samples {
			if a.round == b.round {
				out = append(out, f(a, b))
			}
		}
	}
	return out
}
