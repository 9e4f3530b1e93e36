package limits

import "time"

// memory is how long a session is remembered at least: two windows, since those
// that are refused come back after one.
const memory = 2 * minuteKeep * minuteWidth

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

// seen notes that s has asked.
func (l *Limiter) seen(s *session, now time.Duration) {
	s.asked = now
	if s.recent == nil {
		s.recent = l.recent.PushBack(s)
	} else {
		l.recent.MoveToBack(s.recent)
	}
	for first := l.recent.Front().Value.(*session); now-first.asked >= memory; first = l.recent.Front().Value.(*session) {
		l.recent.Remove(first.recent)
		first.recent = nil
	}
}

// over names the limit of which s would have more than its part, if all that have
// asked within a minute are owed alike. It may have more, but at the pace of the
// limit only: whoever asks for much at once, just when there is room, would else
// leave nothing to those who ask for one thing after the other.
func (l *Limiter) over(now time.Duration, s *session, ask Ask) (Name, int64) {
	all := float64(l.recent.Len())
	if all < 2 {
		return "", 0
	}
	c := l.whole
	if used := s.use.requests.used(now); c.requests > 0 && used > 0 && float64(used+1)*all > float64(c.share(c.requests)) {
		return RequestsPerMinute, c.requests
	}
	used := s.use.tokens.used(now) + s.use.reserved
	if c.tokens > 0 && used > 0 && float64(used+ask.Most)*all > float64(c.share(c.tokens)) {
		return TokensPerMinute, c.tokens
	}
	return "", 0
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
	keep := memory
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
	if s.recent != nil {
		l.recent.Remove(s.recent)
	}
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
