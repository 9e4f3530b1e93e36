package bridge

import (
	"encoding/json"
	"sync"
)

// delivery is a message on its way.
type delivery struct {
	data []byte
	// answer marks what completes a call, last what comes without an answer after
	// which the stream is over.
	answer, last bool
	// asked is the id of a request of the process.
	asked json.RawMessage
}

// queue hands messages from one goroutine to another, and never makes the first
// one wait.
type queue struct {
	maxItems, maxBytes int
	// ready has an element when there may be something to pop.
	ready chan struct{}

	mu     sync.Mutex
	items  []delivery
	bytes  int
	closed bool
	lost   int
}

const maxQueued = 1000

func newQueue(maxBytes int) *queue {
	return &queue{maxItems: maxQueued, maxBytes: maxBytes, ready: make(chan struct{}, 1)}
}

// push adds d if there is room: an empty queue takes anything.
func (q *queue) push(d delivery) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return false
	}
	// An answer is taken always: there is one for a call, and its caller waits.
	full := len(q.items) >= q.maxItems || q.bytes+len(d.data) > q.maxBytes
	if full && len(q.items) > 0 && !d.answer && !d.last {
		q.lost++
		return false
	}
	q.items = append(q.items, d)
	q.bytes += len(d.data)
	q.signal()
	return true
}

// unpop gives back what was popped last and not delivered.
func (q *queue) unpop(d delivery) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.items = append([]delivery{d}, q.items...)
	q.bytes += len(d.data)
	q.signal()
}

// pop returns the next message; more is false when none will come any more.
func (q *queue) pop() (d delivery, ok, more bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.items) == 0 {
		q.items = nil // what was sliced off is not kept
		return delivery{}, false, !q.closed
	}
	d = q.items[0]
	q.items[0] = delivery{}
	q.items = q.items[1:]
	q.bytes -= len(d.data)
	if len(q.items) > 0 || q.closed {
		q.signal()
	}
	return d, true, true
}

// close lets what is queued be popped, and takes nothing more.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.signal()
}

// takeLost returns how many messages found no room since it was asked last.
func (q *queue) takeLost() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	lost := q.lost
	q.lost = 0
	return lost
}

func (q *queue) signal() {
	select {
	case q.ready <- struct{}{}:
	default:
	}
}
