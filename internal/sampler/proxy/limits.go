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
func (b *budget) take(n int64) bool { return b.takeOf(b.max, n) }

// takeOf is take with another maximum.
func (b *budget) takeOf(most, n int64) bool {
	for {
		held := b.held.Load()
		if n > most-held {
			return false
		}
		if b.held.CompareAndSwap(held, held+n) {
			return true
		}
	}
}

func (b *budget) give(n int64) { b.held.Add(-n) }

// holding is what one request has of a budget, which end gives back.
type holding struct {
	budget  *budget
	most, n int64
}

func (d *holding) take(n int64) bool {
	if !d.budget.takeOf(d.most, n) {
		return false
	}
	d.n += n
	return true
}

// left is how much there is to take, just now.
func (d *holding) left() int64 { return d.most - d.budget.held.Load() }

// owe takes what is there already, be it too much: then others get nothing.
func (d *holding) owe(n int64) {
	d.budget.give(-n)
	d.n += n
}

func (d *holding) give(n int64) {
	d.budget.give(n)
	d.n -= n
}

// end may be called again.
func (d *holding) end() { d.give(d.n) }

// complaints bound the log records about one session, or about everything that
// is in none: a server can be the cause of any number.
type complaints struct {
	refused, undelivered, misplaced, endless ration
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
