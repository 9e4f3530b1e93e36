package limits

import (
	"math/rand/v2"
	"testing"
	"time"
)

// TestWindowForgetsNothingTooEarly compares with a list of all that was added.
func TestWindowForgetsNothingTooEarly(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, test := range map[string]struct {
		window window
		time   time.Duration
	}{
		"a minute": {newMinute(), time.Minute},
		"a day":    {newDay(), 24 * time.Hour},
	} {
		type event struct {
			at time.Duration
			n  int64
		}
		var events []event
		var now time.Duration
		w := test.window
		for range 5000 {
			now += time.Duration(random.Int64N(int64(test.time / 100)))
			var least, most int64
			for _, e := range events {
				if now-e.at < test.time {
					least += e.n
				}
				if now-e.at <= test.time+w.width {
					most += e.n
				}
			}
			if got := w.used(now); got < least || got > most {
				t.Fatalf("at %s it counts %d, want %d to %d", now, got, least, most)
			}
			if wait, ok := w.room(now, least/2); ok && wait > 0 {
				if got := copied(w).used(now + wait - 1); got <= least/2 {
					t.Fatalf("there was room for more before %s", wait)
				}
				if got := copied(w).used(now + wait); got > least/2 {
					t.Fatalf("after %s there are still %d, want at most %d", wait, got, least/2)
				}
			}
			n := random.Int64N(20)
			events = append(events, event{now, n})
			w.add(now, n)
			if len(w.buckets) > int(w.keep) {
				t.Fatalf("%d buckets, want at most %d", len(w.buckets), w.keep)
			}
		}
	}
}

func copied(w window) *window {
	w.buckets = append([]bucket(nil), w.buckets...)
	return &w
}
