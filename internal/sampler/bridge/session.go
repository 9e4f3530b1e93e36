package bridge

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"time"
)

// session is a caller's session of the legacy era. All but its id, name and mux
// is guarded by the mutex of the mux.
type session struct {
	id, name string
	mux      *mux

	// version is what was negotiated; empty before.
	version string
	// stream holds what belongs to no call until the caller's GET reads it, which
	// it does while streaming is true.
	stream    *queue
	streaming bool
	// running counts the requests and answers of the caller that are handled.
	running int
	idle    *time.Timer
	// released is when running became 0.
	released time.Time
	ended    bool
}

// newID returns 128 random bits.
func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// nameOf returns what a session is called in logs. Its id is for its caller
// alone.
func nameOf(id string) string {
	sum := sha256.Sum256([]byte(id))
	return hex.EncodeToString(sum[:4])
}

// use keeps a session from being idle until release; false if it has ended.
func (s *session) use() bool {
	s.mux.mu.Lock()
	defer s.mux.mu.Unlock()
	if s.ended {
		return false
	}
	s.running++
	s.idle.Stop()
	return true
}

func (s *session) release() {
	s.mux.mu.Lock()
	defer s.mux.mu.Unlock()
	if s.running--; s.running == 0 && !s.ended {
		s.released = time.Now()
		s.idle.Reset(s.mux.opts.IdleTimeout)
	}
}

// open makes the caller the reader of the session's stream; false if there is
// one.
func (s *session) open() bool {
	s.mux.mu.Lock()
	defer s.mux.mu.Unlock()
	if s.streaming {
		return false
	}
	s.streaming = true
	return true
}

func (s *session) close() {
	s.mux.mu.Lock()
	defer s.mux.mu.Unlock()
	s.streaming = false
}

// allowsBatches reports whether the session's version has them.
func (s *session) allowsBatches() bool {
	s.mux.mu.Lock()
	defer s.mux.mu.Unlock()
	return s.version == versionWithBatches
}

const versionWithBatches = "2025-03-26"
