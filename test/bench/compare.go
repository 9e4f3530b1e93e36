package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"github.com/mcp-sampling/mcp-sampling-operator/test/bench/load"
)

// workload is what is called, and by how many.
type workload struct {
	era      load.Era
	tool     string
	sessions int
}

func (w workload) String() string {
	return fmt.Sprintf("%s %s, %d sessions", w.era, w.tool, w.sessions)
}

// pace is how long a comparison measures.
type pace struct {
	slice      time.Duration
	rounds     int
	slowRounds int // of these, the ones with targets that are slow
}

var (
	fullPace  = pace{slice: 300 * time.Millisecond, rounds: 12, slowRounds: 2}
	quickPace = pace{slice: 150 * time.Millisecond, rounds: 5, slowRounds: 1}
)

// sample is one slice of one target.
type sample struct {
	load.Slice
	round int
	// cpu is what the proxy's process used meanwhile.
	cpu time.Duration
}

// cell is all of one target at one workload.
type cell struct {
	samples []sample
	memory  memory
	err     error
}

// comparison is everything measured.
type comparison struct {
	pace    pace
	targets []*target
	order   []workload
	cells   map[workload]map[string]*cell
}

var errNoEra = errors.New("speaks sessions only")

// workloads are in an order in which sessions only become more.
func workloads() []workload {
	var all []workload
	for _, era := range []load.Era{load.Legacy, load.Modern} {
		for _, sessions := range []int{1, 16, 64, 256} {
			all = append(all, workload{era, "echo", sessions}, workload{era, "ask", sessions})
			if sessions == 16 || sessions == 64 {
				all = append(all, workload{era, "echo_json", sessions})
			}
		}
	}
	return all
}

// compare measures all targets at all workloads: in each round every target has
// a short slice, in an order drawn anew, so that whatever else the machine does
// meets all of them.
func compare(ctx context.Context, targets []*target, list []workload, p pace, progress io.Writer) (*comparison, error) {
	c := &comparison{pace: p, targets: targets, order: list, cells: map[workload]map[string]*cell{}}
	groups := map[load.Era]map[string]*load.Group{}
	for _, era := range []load.Era{load.Legacy, load.Modern} {
		groups[era] = map[string]*load.Group{}
		for _, t := range targets {
			groups[era][t.name] = load.NewGroup(t.Target, era)
		}
	}
	defer func() {
		for _, byName := range groups {
			for _, g := range byName {
				g.Drop() // their servers end with this program
			}
		}
	}()
	for _, w := range list {
		began := time.Now()
		if err := c.measure(ctx, w, groups[w.era]); err != nil {
			return nil, err
		}
		fmt.Fprintf(progress, "%s: %s\n", w, time.Since(began).Round(time.Second))
	}
	return c, nil
}

func (c *comparison) measure(ctx context.Context, w workload, groups map[string]*load.Group) error {
	cells := map[string]*cell{}
	c.cells[w] = cells
	for _, t := range c.targets {
		cells[t.name] = &cell{}
		switch {
		case t.slow && w.tool == "echo_json": // one tool call is enough to compare these
		case t.slow && w.era == load.Modern:
			cells[t.name].err = errNoEra
		case t.slow: // its calls take long, and enough of them
			cells[t.name].err = groups[t.name].Grow(w.sessions)
		default: // opens the sessions and warms up
			_, cells[t.name].err = groups[t.name].Run(w.tool, w.sessions, c.pace.slice/4)
		}
	}
	for round := range c.pace.rounds {
		for _, i := range rand.Perm(len(c.targets)) {
			t := c.targets[i]
			in := cells[t.name]
			if in.err != nil || t.slow && (round >= c.pace.slowRounds || w.tool == "echo_json") {
				continue
			}
			if err := ctx.Err(); err != nil {
				return fmt.Errorf("measure %s: %w", w, err)
			}
			in.err = in.add(t, w, groups[t.name], round, c.pace.slice)
		}
	}
	for _, t := range c.targets {
		if in := cells[t.name]; t.proxy != nil && in.err == nil {
			var err error
			if in.memory, err = t.proxy.memory(); err != nil {
				return err
			}
		}
	}
	return nil
}

// add measures one slice.
func (in *cell) add(t *target, w workload, g *load.Group, round int, d time.Duration) error {
	var before, after time.Duration
	var err error
	if t.proxy != nil {
		if before, err = t.proxy.cpu(); err != nil {
			return err
		}
	}
	slice, err := g.Run(w.tool, w.sessions, d)
	if err != nil {
		return fmt.Errorf("%s, %s: %w", t.name, w, err)
	}
	if t.proxy != nil {
		if after, err = t.proxy.cpu(); err != nil {
			return err
		}
	}
	in.samples = append(in.samples, sample{Slice: slice, round: round, cpu: after - before})
	return nil
}
