package proxy

import (
	"context"
	"sync"
	"time"
)

const (
	// lookTime is how often the server's addresses are looked up while sessions are
	// used.
	lookTime = 3 * time.Second
	// freshTime is how long what was found counts.
	freshTime = 3 * lookTime
	// settleTime is how long a new address is not judged: a DNS server may give an
	// answer that is five seconds old.
	settleTime = 5*time.Second + freshTime
	// mostPlaces bounds what is remembered.
	mostPlaces = 1024
)

// places remembers where the server has been found. An address that is found no
// more is of a pod that is going: it still serves, but not for long. The calls
// that run there may end; what comes next had better begin elsewhere, while there
// is time.
type places struct {
	mu      sync.Mutex
	seen    map[string]sighting
	looking bool
	asked   time.Time
	// last and before are when the two newest lookups began that found anything;
	// zero where there is none, or where one has failed since.
	last, before time.Time
}

// sighting is the first and the last time that an address was found.
type sighting struct{ first, last time.Time }

// sight notes that addresses are the server's.
func (p *places) sight(now time.Time, addresses ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.seen == nil || len(p.seen) > mostPlaces {
		p.seen = map[string]sighting{}
	}
	for _, address := range addresses {
		s, known := p.seen[address]
		if !known || now.Sub(s.last) > time.Minute {
			s.first = now // the address may be another pod's by now
		}
		s.last = now
		p.seen[address] = s
	}
}

// left reports whether the two newest lookups found the server at other addresses
// only, and whether it is time to look again; the caller then does.
func (p *places) left(now time.Time, address string) (left, look bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	look = !p.looking && now.Sub(p.asked) >= lookTime
	p.looking = p.looking || look
	s, known := p.seen[address]
	left = known && now.Sub(s.first) > settleTime &&
		!p.before.IsZero() && s.last.Before(p.before) && now.Sub(p.last) < freshTime
	return left, look
}

// looked notes a lookup that began then. Its addresses have been sighted.
func (p *places) looked(began time.Time, found bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.looking, p.asked = false, began
	if !found {
		p.last, p.before = time.Time{}, time.Time{}
		return
	}
	p.last, p.before = began, p.last
}

// isLeaving reports whether the server is no longer to be found where a session
// is, but elsewhere.
func (h *Handler) isLeaving(s *session) bool {
	if s.address == "" {
		return false
	}
	left, look := h.places.left(time.Now(), s.address)
	if look && !h.spawn(h.look) {
		h.places.looked(time.Now(), false)
	}
	return left
}

// look finds the server's addresses, for the next one who asks.
func (h *Handler) look() {
	ctx, cancel := context.WithTimeout(h.ctx, lookTime)
	defer cancel()
	began := time.Now()
	addresses, err := h.addresses(ctx)
	h.places.looked(began, err == nil && addresses[0] != "")
}
