package limits

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func queueTimeout(d time.Duration) *config.Duration {
	v := config.Duration(d)
	return &v
}

func newLimiter(t testing.TB, limits config.SamplingLimits) *Limiter {
	t.Helper()
	l, err := New(Options{Server: config.Server{Name: "files", Namespace: "tools"}, Limits: limits})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func acquire(t testing.TB, l *Limiter, ask Ask) *Lease {
	t.Helper()
	lease, err := l.Acquire(t.Context(), ask)
	if err != nil {
		t.Fatalf("the request of %q was refused: %v", ask.Session, err)
	}
	return lease
}

func TestARequestIsRefusedWithTheLimitAndTheTime(t *testing.T) {
	// What happens before the request that is refused: took of the requests end
	// at once, the others stay.
	type before struct {
		ask  Ask
		took int64
		stay bool
	}
	session := Ask{Session: "a"}
	for name, test := range map[string]struct {
		limits config.SamplingLimits
		before []before
		pass   time.Duration
		ask    Ask
		want   *Exceeded
	}{
		"no limits": {ask: Ask{Session: "a", Likely: 1 << 40, Most: 1 << 50}},
		"concurrent, full": {
			limits: config.SamplingLimits{Concurrent: 1}, before: []before{{ask: session, stay: true}},
			ask: Ask{Session: "b"}, want: &Exceeded{Limit: Concurrent, Max: 1},
		},
		"concurrent, given back": {
			limits: config.SamplingLimits{Concurrent: 1}, before: []before{{ask: session}}, ask: session,
		},
		"concurrent of another session": {
			limits: config.SamplingLimits{PerSession: config.SessionLimits{Concurrent: 1}},
			before: []before{{ask: session, stay: true}}, ask: Ask{Session: "b"},
		},
		"concurrent of the session": {
			limits: config.SamplingLimits{PerSession: config.SessionLimits{Concurrent: 1}},
			before: []before{{ask: session, stay: true}}, ask: session, want: &Exceeded{Limit: SessionConcurrent, Max: 1},
		},
		"requests of a minute": {
			limits: config.SamplingLimits{RequestsPerMinute: 2}, before: []before{{ask: session}, {ask: session}}, pass: 20 * time.Second,
			ask: session, want: &Exceeded{Limit: RequestsPerMinute, Max: 2, RetryAfter: 41 * time.Second},
		},
		"requests of the minute before": {
			limits: config.SamplingLimits{RequestsPerMinute: 2}, before: []before{{ask: session}, {ask: session}}, pass: 61 * time.Second,
			ask: session,
		},
		"requests of the session": {
			limits: config.SamplingLimits{RequestsPerMinute: 9, PerSession: config.SessionLimits{RequestsPerMinute: 1}},
			before: []before{{ask: session}}, pass: time.Second,
			ask: session, want: &Exceeded{Limit: SessionRequestsPerMinute, Max: 1, RetryAfter: 60 * time.Second},
		},
		"a share of the requests, rounded up": {
			limits: config.SamplingLimits{RequestsPerMinute: 4, Shares: 3}, before: []before{{ask: session}, {ask: session}},
			ask: session, want: &Exceeded{Limit: RequestsPerMinute, Max: 4, RetryAfter: 61 * time.Second},
		},
		"limits on sessions are not divided": {
			limits: config.SamplingLimits{Shares: 3, PerSession: config.SessionLimits{RequestsPerMinute: 3}},
			before: []before{{ask: session}, {ask: session}}, ask: session,
		},
		"tokens that others have reserved": {
			limits: config.SamplingLimits{TokensPerMinute: 100}, before: []before{{ask: Ask{Most: 60}, stay: true}},
			ask: Ask{Most: 50}, want: &Exceeded{Limit: TokensPerMinute, Max: 100},
		},
		"tokens that others have used instead of reserved": {
			limits: config.SamplingLimits{TokensPerMinute: 100}, before: []before{{ask: Ask{Most: 60}, took: 50}}, ask: Ask{Most: 50},
		},
		"tokens that are only likely, with nothing under way": {
			limits: config.SamplingLimits{TokensPerMinute: 100}, before: []before{{ask: Ask{Most: 60}, took: 50}}, ask: Ask{Likely: 50, Most: 5000},
		},
		"tokens that are used up": {
			limits: config.SamplingLimits{TokensPerMinute: 100}, before: []before{{ask: Ask{Most: 60}, took: 60}}, pass: 11 * time.Second,
			ask: Ask{Likely: 41, Most: 41}, want: &Exceeded{Limit: TokensPerMinute, Max: 100, RetryAfter: 50 * time.Second},
		},
		"what was likely counts where nobody knows": {
			limits: config.SamplingLimits{TokensPerMinute: 100}, before: []before{{ask: Ask{Likely: 60, Most: 90}, took: -1}},
			ask: Ask{Likely: 41, Most: 41}, want: &Exceeded{Limit: TokensPerMinute, Max: 100, RetryAfter: 61 * time.Second},
		},
		"more tokens than there ever are": {
			limits: config.SamplingLimits{TokensPerMinute: 100}, ask: Ask{Likely: 101, Most: 101},
			want: &Exceeded{Limit: TokensPerMinute, Max: 100, Needs: 101},
		},
		"more tokens than a share has go alone": {
			limits: config.SamplingLimits{TokensPerMinute: 100, Shares: 4}, ask: Ask{Likely: 99, Most: 120},
		},
		"tokens of a day": {
			limits: config.SamplingLimits{TokensPerDay: 100}, before: []before{{took: 90}}, pass: 24*time.Hour - time.Second,
			ask: Ask{Likely: 20, Most: 20}, want: &Exceeded{Limit: TokensPerDay, Max: 100, RetryAfter: 5*time.Minute + time.Second},
		},
		"tokens of a day of a session": {
			limits: config.SamplingLimits{PerSession: config.SessionLimits{TokensPerDay: 100}}, before: []before{{ask: session, took: 90}},
			pass: 2 * time.Hour,
			ask:  Ask{Session: "a", Likely: 20, Most: 20}, want: &Exceeded{Limit: SessionTokensPerDay, Max: 100, RetryAfter: 22*time.Hour + 5*time.Minute},
		},
		"the limit that lasts longer is named": {
			limits: config.SamplingLimits{RequestsPerMinute: 1, TokensPerDay: 100}, before: []before{{took: 100}},
			ask: Ask{Likely: 1, Most: 1}, want: &Exceeded{Limit: TokensPerDay, Max: 100, RetryAfter: 24*time.Hour + 5*time.Minute},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				test.limits.QueueTimeout = queueTimeout(0)
				l := newLimiter(t, test.limits)
				for _, b := range test.before {
					if lease := acquire(t, l, b.ask); !b.stay {
						lease.Done(b.took)
						lease.Done(b.took) // counts once
					}
				}
				time.Sleep(test.pass)
				_, err := l.Acquire(t.Context(), test.ask)
				got, _ := errors.AsType[*Exceeded](err)
				if diff := cmp.Diff(test.want, got); diff != "" {
					t.Errorf("refusal (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestARequestWaitsForItsTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(t, config.SamplingLimits{RequestsPerMinute: 1})
		acquire(t, l, Ask{}).Done(0)
		time.Sleep(52 * time.Second)
		lease := acquire(t, l, Ask{})
		if want := 9 * time.Second; lease.Waited != want {
			t.Errorf("waited %s, want %s", lease.Waited, want)
		}
		start := time.Now()
		_, err := l.Acquire(t.Context(), Ask{})
		if exceeded, ok := errors.AsType[*Exceeded](err); !ok || exceeded.RetryAfter != 61*time.Second || time.Since(start) != 0 {
			t.Errorf("got %v after %s, want a refusal at once", err, time.Since(start))
		}
		lease.Done(0)
	})
}

func TestWaitingEndsWhenTheQueueTimeoutIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(t, config.SamplingLimits{Concurrent: 1, QueueTimeout: queueTimeout(3 * time.Second)})
		lease := acquire(t, l, Ask{})
		start := time.Now()
		_, err := l.Acquire(t.Context(), Ask{Session: "b"})
		if _, ok := errors.AsType[*Exceeded](err); !ok || time.Since(start) != 3*time.Second {
			t.Errorf("got %v after %s, want a refusal after 3s", err, time.Since(start))
		}
		lease.Done(0)
		acquire(t, l, Ask{}).Done(0)
	})
}

func TestWaitingEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(t, config.SamplingLimits{Concurrent: 1})
		lease := acquire(t, l, Ask{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := l.Acquire(ctx, Ask{}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want that of the context", err)
		}
		lease.Done(0)
		acquire(t, l, Ask{}).Done(0)
		if l.use.running != 0 || l.ready.Len() != 0 {
			t.Errorf("%d are under way and %d sessions wait, want none", l.use.running, l.ready.Len())
		}
	})
}

func TestWhoHasHadLessGoesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(t, config.SamplingLimits{Concurrent: 1})
		lease := acquire(t, l, Ask{Session: "hog"})
		var order []string
		for _, session := range []string{"hog", "hog", "hog", "a", "b", "a"} {
			go func() {
				lease, err := l.Acquire(t.Context(), Ask{Session: session})
				if err != nil {
					t.Error(err)
					return
				}
				order = append(order, session)
				lease.Done(0)
			}()
			synctest.Wait() // in this order
		}
		lease.Done(0)
		synctest.Wait()
		if diff := cmp.Diff([]string{"a", "b", "hog", "a", "hog", "hog"}, order); diff != "" {
			t.Errorf("order (-want +got):\n%s", diff)
		}
	})
}

func TestASessionAtItsOwnLimitKeepsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(t, config.SamplingLimits{Concurrent: 3, PerSession: config.SessionLimits{Concurrent: 1}})
		lease := acquire(t, l, Ask{Session: "a"})
		waiting := make(chan *Lease)
		go func() {
			second, _ := l.Acquire(t.Context(), Ask{Session: "a"})
			waiting <- second
		}()
		synctest.Wait()
		acquire(t, l, Ask{Session: "b"}).Done(0)
		lease.Done(0)
		(<-waiting).Done(0)
	})
}

func TestALargeRequestIsNotOvertakenForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(t, config.SamplingLimits{TokensPerMinute: 100_000})
		stop := make(chan struct{})
		for i := range 4 {
			go func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					lease, err := l.Acquire(t.Context(), Ask{Session: fmt.Sprint(i), Likely: 100, Most: 20_000})
					if err != nil {
						t.Error(err)
						return
					}
					time.Sleep(time.Second + time.Duration(i)*100*time.Millisecond)
					lease.Done(10)
				}
			}()
		}
		time.Sleep(5 * time.Second)
		acquire(t, l, Ask{Session: "large", Likely: 50_000, Most: 500_000}).Done(100)
		close(stop)
		time.Sleep(5 * time.Second)
	})
}

func TestOtherLimitsCountWhatWasUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(t, config.SamplingLimits{QueueTimeout: queueTimeout(0)})
		for range 5 {
			acquire(t, l, Ask{Session: "a", Likely: 10, Most: 10}).Done(10)
		}
		running := acquire(t, l, Ask{Session: "a"})
		for _, test := range []struct {
			limits config.SamplingLimits
			want   Name
		}{
			{config.SamplingLimits{RequestsPerMinute: 6}, RequestsPerMinute},
			{config.SamplingLimits{RequestsPerMinute: 7}, ""},
			{config.SamplingLimits{RequestsPerMinute: 7}, RequestsPerMinute},
			{config.SamplingLimits{TokensPerMinute: 59}, TokensPerMinute},
			{config.SamplingLimits{TokensPerDay: 59}, TokensPerDay},
			{config.SamplingLimits{PerSession: config.SessionLimits{TokensPerDay: 59}}, SessionTokensPerDay},
			{config.SamplingLimits{Concurrent: 1}, Concurrent},
			{config.SamplingLimits{}, ""},
		} {
			test.limits.QueueTimeout = queueTimeout(0)
			if err := l.Configure(test.limits); err != nil {
				t.Fatal(err)
			}
			lease, err := l.Acquire(t.Context(), Ask{Session: "a", Likely: 10, Most: 10})
			var got Name
			if exceeded, ok := errors.AsType[*Exceeded](err); ok {
				got = exceeded.Limit
			} else {
				lease.Done(0)
			}
			if got != test.want {
				t.Errorf("with %+v: refused for %q, want %q", test.limits, got, test.want)
			}
		}
		running.Done(0)
	})
}

func TestAHigherLimitLetsGoWhatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(t, config.SamplingLimits{Concurrent: 1})
		lease := acquire(t, l, Ask{})
		waited := make(chan time.Duration)
		go func() {
			lease, err := l.Acquire(t.Context(), Ask{})
			if err != nil {
				t.Error(err)
				return
			}
			lease.Done(0)
			waited <- lease.Waited
		}()
		time.Sleep(2 * time.Second)
		if err := l.Configure(config.SamplingLimits{Concurrent: 2}); err != nil {
			t.Fatal(err)
		}
		if got := <-waited; got != 2*time.Second {
			t.Errorf("waited %s, want until the limit was raised", got)
		}
		lease.Done(0)
	})
}

func TestSessionsAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(t, config.SamplingLimits{RequestsPerMinute: 1e9})
		for i := range 2 * maxIdle {
			acquire(t, l, Ask{Session: fmt.Sprint(i), Most: 100}).Done(10)
		}
		if got := len(l.sessions); got > maxIdle {
			t.Errorf("%d sessions are remembered, want at most %d", got, maxIdle)
		}
		time.Sleep(memory)
		l.upkeep(t.Context())
		if got := len(l.sessions); got != 0 {
			t.Errorf("%d sessions are remembered though nothing of them counts", got)
		}
	})
}

func TestSessionsTakeLittleMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(t, config.SamplingLimits{PerSession: config.SessionLimits{TokensPerDay: 1000}})
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		for i := range 100_000 {
			acquire(t, l, Ask{Session: fmt.Sprint(i), Most: 100}).Done(10)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		if got := after.HeapAlloc - before.HeapAlloc; got > 24<<20 {
			t.Errorf("they take %d KiB", got>>10)
		} else {
			t.Logf("%d sessions take %d KiB", len(l.sessions), got>>10)
		}
		runtime.KeepAlive(l)
	})
}

// What the store said of a session holds from when it said it.
func TestWhatTheStoreSaidOfASessionGrowsOld(t *testing.T) {
	l := newLimiter(t, config.SamplingLimits{RequestsPerMinute: 100})
	s := l.session("a")
	s.held, s.heldSince, s.heldUntil = &refusal{limit: SessionRequestsPerMinute, max: 1, earliest: 6 * time.Second}, 0, 6*time.Second
	got := l.ofSession(5*time.Second, s, Ask{Session: "a"}, 0)
	if got == nil || got.earliest != time.Second || got.again != time.Second {
		t.Errorf("after 5 s the session waits for %+v, want 1 s", got)
	}
}
