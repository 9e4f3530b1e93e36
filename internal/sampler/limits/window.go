package limits

import "time"

// A window counts what happened within a time up to now. It counts in buckets,
// and a bucket is forgotten only when its newest moment is that long ago: a
// count is never too low, and too high by at most one bucket.
type window struct {
	width time.Duration
	// keep is how many buckets count, that of now included.
	keep    int64
	buckets []bucket // the oldest first; those without a count are left out
	sum     int64
}

type bucket struct {
	number int64
	n      int64
}

const (
	minuteWidth = time.Second
	minuteKeep  = 61
	dayWidth    = 5 * time.Minute
	dayKeep     = 24*12 + 1
)

func newMinute() window { return window{width: minuteWidth, keep: minuteKeep} }
func newDay() window    { return window{width: dayWidth, keep: dayKeep} }

// used is what counts at now, which never goes back.
func (w *window) used(now time.Duration) int64 {
	oldest := int64(now/w.width) - w.keep + 1
	gone := 0
	for gone < len(w.buckets) && w.buckets[gone].number < oldest {
		w.sum -= w.buckets[gone].n
		gone++
	}
	switch {
	case gone == len(w.buckets):
		w.buckets = w.buckets[:0]
	case gone > 0:
		w.buckets = w.buckets[:copy(w.buckets, w.buckets[gone:])]
	}
	return w.sum
}

// add counts n more. A negative n takes back what was counted at the same
// moment.
func (w *window) add(at time.Duration, n int64) {
	if n == 0 {
		return
	}
	number := int64(at / w.width)
	for i := len(w.buckets) - 1; i >= 0 && w.buckets[i].number >= number; i-- {
		if w.buckets[i].number == number {
			w.buckets[i].n += n
			w.sum += n
			return
		}
	}
	if n < 0 {
		return // forgotten by now
	}
	w.buckets = append(w.buckets, bucket{number: number, n: n})
	w.sum += n
}

// room is how long it takes until no more than most is counted if nothing is
// added; false for never.
func (w *window) room(now time.Duration, most int64) (time.Duration, bool) {
	left := w.used(now)
	if left <= most {
		return 0, true
	}
	for _, b := range w.buckets {
		if left -= b.n; left <= most {
			return time.Duration(b.number+w.keep)*w.width - now, true
		}
	}
	return 0, false
}
