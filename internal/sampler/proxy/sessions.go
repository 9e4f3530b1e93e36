package proxy

import (
	"slices"
	"sync"
	"time"
)

// sessions holds the sessions by the server's id.
type sessions struct {
	max func() int

	mu   sync.Mutex
	byID map[string]*session
}

func newSessions(limit func() int) *sessions {
	return &sessions{max: limit, byID: map[string]*session{}}
}

func (t *sessions) len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.byID)
}

func (t *sessions) all() []*session {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := make([]*session, 0, len(t.byID))
	for _, s := range t.byID {
		all = append(all, s)
	}
	return all
}

// get returns the session called id; nil if there is none.
func (t *sessions) get(id string) *session {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.byID[id]
}

// use returns the session called id with one more user; nil if there is none.
func (t *sessions) use(id string) *session {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.byID[id]
	if s != nil {
		s.use()
	}
	return s
}

// adopt stores s, or finds the session that has its id, and counts a user of
// it. It is nil where there is no room: as the server has not confirmed s, no
// other session makes room for it.
func (t *sessions) adopt(s *session) *session {
	t.mu.Lock()
	defer t.mu.Unlock()
	if known := t.byID[s.id]; known != nil {
		known.use()
		return known
	}
	if len(t.byID) >= t.max() {
		return nil
	}
	s.use()
	t.byID[s.id] = s
	return s
}

// put stores s and counts a user of it. replaced is a session that had its id,
// evicted one that had to give room; the caller must end both.
func (t *sessions) put(s *session) (gone []*session, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if before := t.byID[s.id]; before != nil {
		delete(t.byID, s.id)
		gone = append(gone, before)
	}
	evicted, ok := t.makeRoom()
	if !ok {
		return gone, false
	}
	if evicted != nil {
		gone = append(gone, evicted)
	}
	s.use()
	t.byID[s.id] = s
	return gone, true
}

// full reports whether a new session would be refused.
func (t *sessions) full() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.byID) < t.max() {
		return false
	}
	for _, s := range t.byID {
		if _, idle := s.idleFrom(); idle {
			return false
		}
	}
	return true
}

// makeRoom takes the longest idle session out where the table is full.
func (t *sessions) makeRoom() (evicted *session, ok bool) {
	if len(t.byID) < t.max() {
		return nil, true
	}
	var oldest time.Time
	for _, s := range t.byID {
		if since, idle := s.idleFrom(); idle && (evicted == nil || since.Before(oldest)) {
			evicted, oldest = s, since
		}
	}
	if evicted == nil {
		return nil, false
	}
	delete(t.byID, evicted.id)
	return evicted, true
}

func (t *sessions) remove(s *session) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byID[s.id] == s {
		delete(t.byID, s.id)
	}
}

// idleSince takes out the sessions that nobody has used since then.
func (t *sessions) idleSince(then time.Time) []*session {
	t.mu.Lock()
	defer t.mu.Unlock()
	var expired []*session
	for id, s := range t.byID {
		if since, idle := s.idleFrom(); idle && since.Before(then) {
			delete(t.byID, id)
			expired = append(expired, s)
		}
	}
	return expired
}

// recent is a set of the strings that were added last.
type recent struct {
	keys []string
}

const maxRecent = 512

func (r *recent) has(key string) bool { return slices.Contains(r.keys, shorten(key)) }

func (r *recent) add(key string) {
	r.remove(key)
	if len(r.keys) >= maxRecent {
		r.keys = slices.Delete(r.keys, 0, maxRecent/4)
	}
	r.keys = append(r.keys, shorten(key))
}

func (r *recent) remove(key string) {
	if i := slices.Index(r.keys, shorten(key)); i >= 0 {
		r.keys = slices.Delete(r.keys, i, i+1)
	}
}
