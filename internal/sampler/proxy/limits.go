package proxy

import (
	"sync"
	"sync/atomic"
	"time"
)

// Refusal is which limit a sampling request met that nobody was asked to
// answer. The set is closed, so that it can be a metric's label.
type Refusal string

// Refusals.
const (
	// TooManyInSession: as many of the session are being answered as may be.
	TooManyInSession Refusal = "TooManyInSession"
	// TooManyInSampler: as many are being answered as MaxAnswers.
	TooManyInSampler Refusal = "TooManyInSampler"
	// TooManyBytes: those that are being answered hold MaxAnswerBytes.
	TooManyBytes Refusal = "TooManyBytes"
)

// budget bounds the memory of what runs at the same time.
type budget struct {
	max  int64
	held atomic.Int64
}

// take is false where there is not that much left.
func (b *budget) take(n int64) bool {
	for {
		held := b.held.Load()
		if n > b.max-held {
			return false
		}
		if b.held.CompareAndSwap(held, held+n) {
			return true
		}
	}
}

func (b *budget) give(n int64) { b.held.Add(-n) }

// complaints bound the log records about one session, or about everything that
// is in none: a server can be the cause of any number.
type complaints struct {
	refused, undelivered, misplaced ration
}

// rationTime is how often one kind of complaint is logged.
const rationTime = time.Minute

// ration lets one record through in each rationTime, and counts the others.
type ration struct {
	mu    sync.Mutex
	last  time.Time
	count int
}

// take returns how many records there would have been since the last one, with
// this one; or false where this one must wait.
func (r *ration) take(now time.Time) (count int, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.count++
	if !r.last.IsZero() && now.Sub(r.last) < rationTime {
		return 0, false
	}
	count = r.count
	r.last, r.count = now, 0
	return count, true
}
