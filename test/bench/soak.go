package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mcp-sampling/mcp-sampling-operator/test/bench/load"
	"github.com/mcp-sampling/mcp-sampling-operator/test/bench/peer"
)

const (
	minSoak      = 30 * time.Second
	soakSessions = 1000
	soakWorkers  = 16
	// soakSpare is the room for sessions that nobody ended: without such a limit
	// they stay for half an hour, and the sampler would grow for as long.
	soakSpare = 40
	// soakGap is the time between two calls: a modest rate.
	soakGap = 5 * time.Millisecond
	// churn is how many calls there are for each session that ends.
	churn = 100
	// maxGrowth is by how much the last third may be above the one before it.
	maxGrowth = 1.05
)

// point is what was seen at one moment of a soak.
type point struct {
	memory
	goroutines int
}

// runSoak keeps many sessions busy for a long time and watches what the sampler
// holds meanwhile.
func runSoak(ctx context.Context, o options, to io.Writer) (int, error) {
	if o.length < minSoak {
		return 0, fmt.Errorf("-for %s is too short to tell a trend: at least %s", o.length, minSoak)
	}
	s, err := newSetup(ctx, o.sampler, fmt.Sprintf("limits: {sessions: %d}\n", soakSessions+soakSpare))
	if err != nil {
		return 0, err
	}
	defer s.close()
	p, err := s.startSampler(ctx)
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	soaking := &soak{target: load.Target{Addr: p.addr, Path: peer.Path}, free: make(chan *load.Caller, soakSessions), fail: cancel}
	for range soakSessions {
		c, err := soaking.open()
		if err != nil {
			return 0, err
		}
		soaking.free <- c
	}
	var workers sync.WaitGroup
	ticks := time.NewTicker(soakGap)
	defer ticks.Stop()
	for range soakWorkers {
		workers.Go(func() { soaking.work(ctx, ticks.C) })
	}
	points, err := soaking.watch(ctx, p, o.length, os.Stderr)
	cancel(errSoakOver)
	workers.Wait()
	for range len(soaking.free) {
		(<-soaking.free).Drop()
	}
	if err != nil {
		return 0, err
	}
	fmt.Fprintf(to, "%s with %d sessions and their streams open: %d calls, %d of which sampled; %d sessions ended and others began.\n\n",
		o.length, soakSessions, soaking.calls.Load(), soaking.asked.Load(), soaking.ended.Load())
	return writeVerdicts(to, judgeSoak(points)), nil
}

var errSoakOver = errors.New("the time is over")

// soak is the callers of a soak.
type soak struct {
	target              load.Target
	free                chan *load.Caller
	fail                context.CancelCauseFunc
	count, calls, asked atomic.Int64
	ended               atomic.Int64
}

// open begins a session and its stream.
func (s *soak) open() (*load.Caller, error) {
	c := load.NewCaller(s.target, load.Legacy, int(s.count.Add(1)))
	if err := c.Open(); err != nil {
		c.Drop()
		return nil, fmt.Errorf("open a session: %w", err)
	}
	if err := c.Listen(func(err error) { s.fail(err) }); err != nil {
		c.Drop()
		return nil, err
	}
	return c, nil
}

// work calls tools of one session after the other.
func (s *soak) work(ctx context.Context, ticks <-chan time.Time) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticks:
		}
		c := <-s.free
		next, err := s.once(c)
		if err != nil {
			s.fail(err)
			c.Drop()
			return
		}
		s.free <- next
	}
}

// once makes one call, and replaces the session from time to time.
func (s *soak) once(c *load.Caller) (*load.Caller, error) {
	tool := []string{"echo", "echo", "echo_json", "ask", "ask_get"}[rand.IntN(5)]
	if err := c.Call(tool); err != nil {
		return nil, err
	}
	s.calls.Add(1)
	if strings.HasPrefix(tool, "ask") {
		s.asked.Add(1)
	}
	if rand.IntN(churn) != 0 {
		return c, nil
	}
	s.ended.Add(1)
	if rand.IntN(4) == 0 {
		c.Drop() // one in four leaves without a word
	} else if err := c.Close(); err != nil {
		return nil, err
	}
	return s.open()
}

// watch looks at the sampler at intervals until the time is over.
func (s *soak) watch(ctx context.Context, p *process, length time.Duration, progress io.Writer) ([]point, error) {
	every := min(5*time.Second, length/24)
	var points []point
	for begin := time.Now(); time.Since(begin) < length; {
		if err := sleep(ctx, every); err != nil {
			return nil, fmt.Errorf("after %s and %d calls: %w", time.Since(begin).Round(time.Second), s.calls.Load(), context.Cause(ctx))
		}
		at, err := look(ctx, p)
		if err != nil {
			return nil, err
		}
		points = append(points, at)
		if len(points)%12 == 0 {
			fmt.Fprintf(progress, "%s: RSS %.1f MiB, %d goroutines, %d files, %d calls\n",
				time.Since(begin).Round(time.Second), mib(at.RSS), at.goroutines, at.Files, s.calls.Load())
		}
	}
	return points, nil
}

func look(ctx context.Context, p *process) (point, error) {
	var at point
	var err error
	if at.memory, err = p.memory(); err != nil {
		return at, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.metrics+"/metrics", nil)
	if err != nil {
		return at, fmt.Errorf("metrics: %w", err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return at, fmt.Errorf("metrics: %w", err)
	}
	defer resp.Body.Close()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), "go_goroutines "); ok {
			at.goroutines, err = strconv.Atoi(value)
			if err != nil {
				return at, fmt.Errorf("metrics: %w", err)
			}
			return at, nil
		}
	}
	return at, errors.New("the metrics have no go_goroutines")
}

// judgeSoak sets the last third against the one before it.
func judgeSoak(points []point) []verdict {
	return []verdict{
		judgeGrowth("RSS, KiB", points, func(p point) int { return p.RSS }),
		judgeGrowth("RssAnon, KiB", points, func(p point) int { return p.Anon }),
		judgeGrowth("goroutines", points, func(p point) int { return p.goroutines }),
		judgeGrowth("open files", points, func(p point) int { return p.Files }),
		judgeGrowth("threads", points, func(p point) int { return p.Threads }),
	}
}

func judgeGrowth(name string, points []point, of func(point) int) verdict {
	values := make([]int, len(points))
	for i, p := range points {
		values[i] = of(p)
	}
	third := len(values) / 3
	before, last := median(values[third:2*third]), median(values[2*third:])
	// One thread more is no trend.
	return verdict{
		bar:      fmt.Sprintf("%s do not grow: the last third at most %.0f %% above the second", name, 100*(maxGrowth-1)),
		measured: fmt.Sprintf("%d, then %d", before, last),
		ok:       last <= before+1 || float64(last) <= maxGrowth*float64(before),
	}
}
