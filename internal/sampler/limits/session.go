package limits

import "time"

// session returns the session of that name, in use until leave.
func (l *Limiter) session(name string) *session {
	s := l.sessions[name]
	if s == nil {
		s = &session{name: name, use: newUsage(), start: l.virtual}
		l.sessions[name] = s
	}
	s.using++
	if s.idle != nil {
		l.idle.Remove(s.idle)
		s.idle = nil
	}
	return s
}

// leave ends one use of s.
func (l *Limiter) leave(s *session, now time.Duration) {
	if s.using--; s.using > 0 {
		return
	}
	s.idleSince = now
	s.idle = l.idle.PushBack(s)
	for l.idle.Len() > maxIdle {
		l.remove(l.idle.Front().Value.(*session))
	}
}

// forget drops at most n sessions of which nothing counts any more.
func (l *Limiter) forget(now time.Duration, n int) {
	keep := (minuteKeep) * minuteWidth
	if l.each.daily > 0 {
		keep = dayKeep * dayWidth
	}
	for ; n > 0 && l.idle.Len() > 0; n-- {
		s := l.idle.Front().Value.(*session)
		if now-s.idleSince < keep {
			return
		}
		l.remove(s)
	}
}

func (l *Limiter) remove(s *session) {
	l.idle.Remove(s.idle)
	delete(l.sessions, s.name)
}

// sessionHeap has the session first that is before all others.
type sessionHeap struct {
	items  []*session
	before func(a, b *session) bool
}

func byTurn(a, b *session) bool {
	if a.start != b.start {
		return a.start < b.start
	}
	return a.turn < b.turn
}

func byTime(a, b *session) bool { return a.again < b.again }

func (h *sessionHeap) Len() int           { return len(h.items) }
func (h *sessionHeap) Less(i, j int) bool { return h.before(h.items[i], h.items[j]) }
func (h *sessionHeap) Swap(i, j int) {
	h.items[i], h.items[j] = h.items[j], h.items[i]
	h.items[i].at, h.items[j].at = i, j
}

// Push and Pop are for container/heap.
func (h *sessionHeap) Push(x any) {
	s := x.(*session)
	s.heap, s.at = h, len(h.items)
	h.items = append(h.items, s)
}

// Pop removes the last one.
func (h *sessionHeap) Pop() any {
	last := len(h.items) - 1
	s := h.items[last]
	h.items[last] = nil
	h.items = h.items[:last]
	s.heap = nil
	return s
}
