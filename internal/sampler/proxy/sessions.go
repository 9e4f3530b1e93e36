package proxy

import (
	"slices"
	"sync"
	"time"
)

// sessions holds the sessions by the names that callers have for them.
type sessions struct {
	max func() int

	mu     sync.Mutex
	byName map[string]*session
}

func newSessions(limit func() int) *sessions {
	return &sessions{max: limit, byName: map[string]*session{}}
}

func (t *sessions) len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.byName)
}

func (t *sessions) all() []*session {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := make([]*session, 0, len(t.byName))
	for _, s := range t.byName {
		all = append(all, s)
	}
	return all
}

// get returns the session of that name; nil if there is none.
func (t *sessions) get(name string) *session {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.byName[name]
}

// use returns the session of that name with one more user; nil if there is none.
func (t *sessions) use(name string) *session {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.byName[name]
	if s != nil {
		s.use()
	}
	return s
}

// adopt stores s, or finds the session that has its name, and counts a user of
// it. gone is a session that had to give room; the caller must end it. There may
// be no room; then the result is nil.
func (t *sessions) adopt(s *session) (held, gone *session) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if known := t.byName[s.name]; known != nil {
		known.use()
		return known, nil
	}
	gone, ok := t.makeRoom()
	if !ok {
		return nil, nil
	}
	s.use()
	t.byName[s.name] = s
	return s, gone
}

// put stores s and counts a user of it. gone are a session that had its name and
// one that had to give room; the caller must end them.
func (t *sessions) put(s *session) (gone []*session, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if before := t.byName[s.name]; before != nil {
		delete(t.byName, s.name)
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
	t.byName[s.name] = s
	return gone, true
}

// full reports whether a new session would be refused.
func (t *sessions) full() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.byName) < t.max() {
		return false
	}
	return t.longIdle() == nil
}

const (
	// sampledIdle is how many idle sessions are looked at for the one that is idle
	// for longest, and sampledSessions how many in all.
	sampledIdle     = 32
	sampledSessions = 4096
)

// longIdle returns a session that is idle, and longer than most; nil where there
// is none. It looks at a random part of a large table, as every other request
// waits for it.
func (t *sessions) longIdle() (longest *session) {
	var oldest time.Time
	looked, found := 0, 0
	for _, s := range t.byName { // in random order
		if looked++; found == sampledIdle || looked > sampledSessions {
			break
		}
		since, idle := s.idleFrom()
		if !idle {
			continue
		}
		found++
		if longest == nil || since.Before(oldest) {
			longest, oldest = s, since
		}
	}
	return longest
}

// makeRoom takes a session out that is idle for long where the table is full.
func (t *sessions) makeRoom() (evicted *session, ok bool) {
	if len(t.byName) < t.max() {
		return nil, true
	}
	if evicted = t.longIdle(); evicted == nil {
		return nil, false
	}
	delete(t.byName, evicted.name)
	return evicted, true
}

func (t *sessions) remove(s *session) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byName[s.name] == s {
		delete(t.byName, s.name)
	}
}

// takeOut takes out a session in which nothing is under way but GET streams.
func (t *sessions) takeOut(s *session) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byName[s.name] != s {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.busy() {
		return false
	}
	delete(t.byName, s.name)
	return true
}

// idleSince takes out the sessions that nobody has used since then.
func (t *sessions) idleSince(then time.Time) []*session {
	t.mu.Lock()
	defer t.mu.Unlock()
	var expired []*session
	for name, s := range t.byName {
		if since, idle := s.idleFrom(); idle && since.Before(then) {
			delete(t.byName, name)
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
