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
	// leaving are the sessions that were taken out and whose stream the server has
	// not ended yet.
	leaving map[string]*session
}

func newSessions(limit func() int) *sessions {
	return &sessions{max: limit, byName: map[string]*session{}, leaving: map[string]*session{}}
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
// it. gone is a session that had to give room; the caller must let go of it. There
// may be no room; then the result is nil.
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
// one that had to give room; the caller must let go of them.
func (t *sessions) put(s *session) (gone []*session, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if before := t.byName[s.name]; before != nil {
		t.part(before)
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
	t.part(evicted)
	return evicted, true
}

// part takes a session out that the caller must let go of. t.mu is held.
func (t *sessions) part(s *session) {
	delete(t.byName, s.name)
	s.gone = make(chan struct{})
	t.leaving[s.name] = s
}

// left notes that the server has ended the stream of a session that was taken out.
func (t *sessions) left(s *session) {
	t.mu.Lock()
	defer t.mu.Unlock()
	close(s.gone)
	if t.leaving[s.name] == s {
		delete(t.leaving, s.name)
	}
}

// whenLeft returns a channel that is closed once nothing is held any more of a
// session that was taken out; nil where there is nothing to wait for.
func (t *sessions) whenLeft(name string) <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.leaving[name]; s != nil {
		return s.gone
	}
	return nil
}

// allLeaving is whenLeft for all sessions that were taken out.
func (t *sessions) allLeaving() (left []<-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range t.leaving {
		left = append(left, s.gone)
	}
	return left
}

// takeAll takes all sessions out in which no exchange has begun just now.
func (t *sessions) takeAll() []*session {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := make([]*session, 0, len(t.byName))
	for _, s := range t.byName {
		s.mu.Lock()
		quiet := s.users == s.streams
		s.mu.Unlock()
		if quiet {
			t.part(s)
			all = append(all, s)
		}
	}
	return all
}

func (t *sessions) remove(s *session) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byName[s.name] == s {
		delete(t.byName, s.name)
	}
}

// takeOut takes out a session in which nothing is under way but GET streams. asked
// is whether another replica wants it; then it is kept for that one while it is
// busy.
func (t *sessions) takeOut(s *session, asked bool) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byName[s.name] != s {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.busy() {
		if asked { // both hold it now, and each asks the other one
			s.wanted, s.unsure = true, true
		}
		return false
	}
	if (s.wanted || s.unsure) && !asked { // calls of it may run there
		return false
	}
	t.part(s)
	return true
}

// idleSince takes out the sessions that nobody has used since then.
func (t *sessions) idleSince(then time.Time) []*session {
	t.mu.Lock()
	defer t.mu.Unlock()
	var expired []*session
	for _, s := range t.byName {
		if since, idle := s.idleFrom(); idle && since.Before(then) {
			t.part(s)
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
