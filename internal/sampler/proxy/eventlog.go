package proxy

import (
	"context"
	"slices"
	"sync"
	"time"
)

// eventLog holds what came on the server's GET stream for the caller's: events
// that no caller has read yet, and those read last, so that a caller can resume
// after them. It is bounded by bytes, and forgets the oldest first.
//
// A caller may open several streams. As the specification has it, each event
// goes to one of them: the one opened last.
type eventLog struct {
	max int
	// keepAlive is how long a stream of a caller may be silent.
	keepAlive time.Duration

	mu      sync.Mutex
	entries []entry
	bytes   int
	// next is the place in entries of the first one not delivered.
	next    int
	lost    int
	streams []*callerStream
	closed  bool
}

type entry struct {
	raw   []byte
	id    string
	hasID bool
}

// size counts the memory of an entry, also of one that has no bytes to speak of.
func (e entry) size() int { return len(e.raw) + len(e.id) + 64 }

// callerStream is one GET stream of a caller.
type callerStream struct {
	log *eventLog
	// wake holds a token when there may be something to do.
	wake chan struct{}
	// notify is called in place of that where it is set. It must not block.
	notify func()
	// ended is true where the stream is not to wait for more.
	ended bool
	// silent ticks when the stream was silent for too long.
	silent *time.Timer
	// commented is true where a comment was written last.
	commented bool
}

func newEventLog(limit int, keepAlive time.Duration) *eventLog {
	return &eventLog{max: limit, keepAlive: keepAlive}
}

// add appends an event. It is false where events were lost that no caller had
// read, the first time.
func (l *eventLog) add(raw []byte, id string, hasID bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return true
	}
	before := l.lost
	l.entries = append(l.entries, entry{raw: slices.Clone(raw), id: id, hasID: hasID})
	l.bytes += l.entries[len(l.entries)-1].size()
	l.trim()
	l.wakeNewest()
	return before > 0 || l.lost == 0
}

// addComment appends what only keeps a connection alive: nobody else needs it.
func (l *eventLog) addComment(raw []byte) {
	l.mu.Lock()
	attached := len(l.streams) > 0
	l.mu.Unlock()
	if attached {
		l.add(raw, "", false)
	}
}

func (l *eventLog) trim() {
	if l.bytes <= l.max {
		return
	}
	last := len(l.entries)
	if len(l.streams) > 0 {
		last-- // a caller that reads gets an event of any size
	}
	drop := 0
	for l.bytes > l.max/4*3 && drop < last { // in bulk, as moving the rest costs
		l.bytes -= l.entries[drop].size()
		drop++
	}
	if drop > l.next {
		l.lost += drop - l.next
	}
	l.next = max(0, l.next-drop)
	l.entries = slices.Delete(l.entries, 0, drop)
}

// has reports whether a caller can resume after the event id from here.
func (l *eventLog) has(id string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.find(id) >= 0
}

func (l *eventLog) find(id string) int {
	for i := len(l.entries) - 1; i >= 0; i-- {
		if l.entries[i].hasID && l.entries[i].id == id {
			return i
		}
	}
	return -1
}

// maxCallerStreams bounds the GET streams that one session's callers hold.
const maxCallerStreams = 8

// attach adds a stream of a caller, which resumes after the event lastID where
// that is not empty. It is nil where the log is closed or there are too many.
func (l *eventLog) attach(lastID string) *callerStream { return l.attachFunc(lastID, nil) }

// attachFunc is attach for a stream whose user does not wait in next, but is
// called when there may be something to pop.
func (l *eventLog) attachFunc(lastID string, notify func()) *callerStream {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || len(l.streams) >= maxCallerStreams {
		return nil
	}
	if i := l.find(lastID); lastID != "" && i >= 0 {
		l.next = i + 1
	}
	s := &callerStream{log: l, notify: notify}
	if notify == nil {
		s.wake, s.silent = make(chan struct{}, 1), time.NewTimer(l.keepAlive)
	}
	l.streams = append(l.streams, s)
	l.wakeNewest()
	return s
}

func (s *callerStream) detach() {
	l := s.log
	l.mu.Lock()
	defer l.mu.Unlock()
	if s.silent != nil {
		s.silent.Stop()
	}
	l.streams = slices.DeleteFunc(l.streams, func(other *callerStream) bool { return other == s })
	l.wakeNewest()
}

func (l *eventLog) wakeNewest() {
	if len(l.streams) == 0 {
		return
	}
	l.streams[len(l.streams)-1].signal()
}

func (s *callerStream) signal() {
	if s.notify != nil {
		s.notify()
		return
	}
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// endStreams ends the streams that are there once they have delivered what there
// is. Others may come.
func (l *eventLog) endStreams() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.streams {
		s.ended = true
		s.signal()
	}
}

// close ends all streams, and those to come.
func (l *eventLog) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for _, s := range l.streams {
		s.signal()
	}
}

// next waits for what the caller is to read next and gives it to write, which
// is done under no lock: an event, or the comment that keeps a silent stream
// alive. It is false when the stream has ended.
func (s *callerStream) next(ctx context.Context, write func(raw []byte) error) bool {
	for {
		raw, ended := s.pop()
		switch {
		case raw != nil && s.commented && string(raw) == "\n":
			continue // the rest of a line end, which the comment has parted
		case raw != nil:
			s.commented = false
			s.silent.Reset(s.log.keepAlive)
			return write(raw) == nil
		case ended:
			return false
		}
		select {
		case <-ctx.Done():
			return false
		case <-s.wake:
		case <-s.silent.C:
			s.commented = true
			s.silent.Reset(s.log.keepAlive)
			return write(keepAliveComment) == nil
		}
	}
}

// pop returns the first entry not delivered, if s is the stream it is for.
func (s *callerStream) pop() (raw []byte, ended bool) {
	l := s.log
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || len(l.streams) == 0 {
		return nil, true
	}
	if l.streams[len(l.streams)-1] != s || l.next >= len(l.entries) {
		return nil, s.ended
	}
	e := &l.entries[l.next]
	raw = e.raw
	if e.hasID {
		l.next++
	} else { // nobody can resume after it
		l.bytes -= e.size()
		l.entries = slices.Delete(l.entries, l.next, l.next+1)
	}
	return raw, false
}
