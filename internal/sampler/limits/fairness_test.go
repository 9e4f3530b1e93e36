package limits

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/config"
)

// event is a request that went, or tokens that were used.
type event struct {
	at      time.Duration
	session string
	n       int64
}

// peak is the most within any time of that length, both ends included.
func peak(events []event, length time.Duration) int64 {
	var most, sum int64
	first := 0
	for _, e := range events {
		for sum += e.n; e.at-events[first].at > length; first++ {
			sum -= events[first].n
		}
		most = max(most, sum)
	}
	return most
}

const sessions = 64

// TestManySessionsHammer has sessions ask again and again, one of them a
// thousand times at once.
func TestManySessionsHammer(t *testing.T) {
	for name, test := range map[string]struct {
		limits config.SamplingLimits
		// takes is how long a request takes; most is what it reserves; it uses any
		// part of that.
		takes time.Duration
		most  int64
		// hog is how many requests one more session has at the same time.
		hog int
		// wait has refused ones wait as long as they were told.
		wait bool
	}{
		"requests":                         {limits: config.SamplingLimits{RequestsPerMinute: 600}},
		"requests, with a hog":             {limits: config.SamplingLimits{RequestsPerMinute: 600}, hog: 1000},
		"requests, refused at once":        {limits: config.SamplingLimits{RequestsPerMinute: 600, QueueTimeout: queueTimeout(0)}},
		"requests, when they were told to": {limits: config.SamplingLimits{RequestsPerMinute: 600}, wait: true},
		"fewer requests than sessions":     {limits: config.SamplingLimits{RequestsPerMinute: 30}, hog: 20},
		"concurrent":                       {limits: config.SamplingLimits{Concurrent: 4}, takes: 100 * time.Millisecond},
		"concurrent, with a hog":           {limits: config.SamplingLimits{Concurrent: 4}, takes: 100 * time.Millisecond, hog: 300},
		"tokens":                           {limits: config.SamplingLimits{TokensPerMinute: 200_000}, takes: time.Second, most: 4000},
		"tokens, with a hog":               {limits: config.SamplingLimits{TokensPerMinute: 200_000}, takes: time.Second, most: 4000, hog: 300},
		"all of them, with a hog": {
			limits: config.SamplingLimits{Concurrent: 20, RequestsPerMinute: 600, TokensPerMinute: 1_000_000, TokensPerDay: 1e9},
			takes:  time.Second, most: 4000, hog: 300,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				lasts := 4 * time.Minute
				if test.most > 0 || test.limits.RequestsPerMinute == 30 {
					lasts = 12 * time.Minute // few go in a minute
				}
				l := newLimiter(t, test.limits)
				ctx, cancel := context.WithTimeout(t.Context(), lasts)
				defer cancel()
				h := &hammer{limiter: l, takes: test.takes, most: test.most, wait: test.wait, start: time.Now()}
				for range test.hog {
					go h.hammer(ctx, "hog")
				}
				for i := range sessions {
					go h.hammer(ctx, fmt.Sprint(i))
				}
				<-ctx.Done()
				time.Sleep(time.Minute)
				synctest.Wait()

				h.check(t, test.limits)
				// A session is owed a share of requests or of tokens, whichever are scarce.
				events, all := h.requests, sessions
				if test.limits.TokensPerMinute > 0 && test.limits.RequestsPerMinute == 0 {
					events = h.tokens
				}
				if test.hog > 0 {
					all++
				}
				unluckiest, fair := shares(events, all)
				t.Logf("the unluckiest session had %.2f of its share of %.0f", float64(unluckiest)/fair, fair)
				if float64(unluckiest) < fair/2 {
					t.Errorf("the unluckiest session had %d, want at least half of %.0f", unluckiest, fair)
				}
				if got := l.use.running; got != 0 {
					t.Errorf("%d requests still count as under way", got)
				}
			})
		})
	}
}

type hammer struct {
	limiter *Limiter
	takes   time.Duration
	most    int64
	wait    bool
	start   time.Time

	requests, tokens []event
	running, peak    int
}

func (h *hammer) hammer(ctx context.Context, session string) {
	for ctx.Err() == nil {
		likely := h.most / 8
		lease, err := h.limiter.Acquire(ctx, Ask{Session: session, Likely: likely, Most: h.most})
		if err != nil {
			pause := 20 * time.Millisecond // at once: without it, no time would pass here
			if session == "hog" {
				pause = time.Second // there are enough of them
			}
			if exceeded, ok := errors.AsType[*Exceeded](err); ok && h.wait {
				pause = max(pause, exceeded.RetryAfter)
			}
			time.Sleep(pause)
			continue
		}
		now := time.Since(h.start)
		h.limiter.mu.Lock()
		h.requests = append(h.requests, event{now, session, 1})
		h.running++
		h.peak = max(h.peak, h.running)
		h.limiter.mu.Unlock()
		time.Sleep(h.takes)
		var used int64
		if h.most > 0 {
			used = rand.Int64N(h.most)
		}
		h.limiter.mu.Lock()
		h.tokens = append(h.tokens, event{time.Since(h.start), session, used})
		h.running--
		h.limiter.mu.Unlock()
		lease.Done(used)
	}
}

func (h *hammer) check(t *testing.T, limits config.SamplingLimits) {
	t.Helper()
	if limit := limits.RequestsPerMinute; limit > 0 {
		if got := peak(h.requests, time.Minute); got > limit {
			t.Errorf("%d requests within a minute, the limit is %d", got, limit)
		}
	}
	if limit := limits.TokensPerMinute; limit > 0 {
		if got := peak(h.tokens, time.Minute); got > limit+h.most { // by one request
			t.Errorf("%d tokens within a minute, the limit is %d", got, limit)
		}
	}
	if limit := limits.Concurrent; limit > 0 && h.peak > limit {
		t.Errorf("%d at the same time, the limit is %d", h.peak, limit)
	}
}

// shares returns what the unluckiest session had, and what each is owed.
func shares(events []event, all int) (unluckiest int64, fair float64) {
	had := map[string]int64{}
	var sum int64
	for _, e := range events {
		had[e.session] += e.n
		sum += e.n
	}
	var each []int64
	for i := range sessions {
		each = append(each, had[fmt.Sprint(i)])
	}
	return slices.Min(each), float64(sum) / float64(all)
}
