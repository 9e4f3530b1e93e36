// Package fakegemini is a model server for tests: it speaks Google's Gemini API
// (generateContent and the list of models), refuses what the real one is
// documented or known to refuse, records what it is asked and answers what it is
// told to. It holds no model, so nothing it says is more than a fake.
package fakegemini

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
)

// What every answer reports as its use of tokens.
const (
	PromptTokens    = 11
	CandidateTokens = 7
	ThoughtTokens   = 5
)

// Request is one recorded request.
type Request struct {
	Method string
	Path   string
	Query  string
	// Model is the name in the path, without "models/".
	Model  string
	Header http.Header
	Body   json.RawMessage
}

// Server is an http.Handler that answers below any path that ends in
// /models/NAME:generateContent or /models.
type Server struct {
	// Key, where it is set, is the only key that is not refused.
	Key string

	mu       sync.Mutex
	script   []Reply
	fallback Reply
	requests []Request
	broken   []string
	changed  chan struct{} // closed and replaced at each request
}

// New makes a server that gives the replies in their order, one a request for
// content, and says "ok" after them.
func New(script ...Reply) *Server { return &Server{script: script} }

// Then adds replies to the script.
func (s *Server) Then(replies ...Reply) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.script = append(s.script, replies...)
}

// Always gives one reply to every request that the script has none for.
func (s *Server) Always(reply Reply) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fallback = reply
}

// Requests returns what was asked for content so far.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Request(nil), s.requests...)
}

// Broken says which of the API's rules requests broke so far. Those were
// answered with an error and not by the script.
func (s *Server) Broken() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.broken...)
}

// Await waits until n requests for content have come in.
func (s *Server) Await(ctx context.Context, n int) error {
	for {
		s.mu.Lock()
		got := len(s.requests)
		if s.changed == nil {
			s.changed = make(chan struct{})
		}
		changed := s.changed
		s.mu.Unlock()
		if got >= n {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("wait for request %d at the fake Gemini server, %d came: %w", n, got, ctx.Err())
		}
	}
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if key := r.Header.Get("X-Goog-Api-Key"); s.Key != "" && key != s.Key {
		// The shape and the words of the real one, with the key in them: nobody may
		// pass them on.
		WrongKey("API key not valid: "+key)(w, r, Request{})
		return
	}
	model, isContent := strings.CutSuffix(r.URL.Path, ":generateContent")
	switch {
	case strings.HasSuffix(r.URL.Path, "/models") && r.Method == http.MethodGet:
		writeJSON(w, http.StatusOK, map[string]any{"models": []any{map[string]any{"name": "models/fake"}}, "nextPageToken": "more"})
	case isContent && r.Method == http.MethodPost:
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		_, model, _ = strings.Cut(model, "/models/")
		req := Request{
			Method: r.Method, Path: r.URL.Path, Query: r.URL.RawQuery, Model: model,
			Header: r.Header.Clone(), Body: body,
		}
		s.record(req)(w, r, req)
	default:
		Error(http.StatusNotFound, "NOT_FOUND", "no such method")(w, r, Request{})
	}
}

func (s *Server) record(req Request) Reply {
	broken := Rules(req)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, req)
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
	if broken != nil {
		s.broken = append(s.broken, broken...)
		return Error(http.StatusBadRequest, "INVALID_ARGUMENT", strings.Join(broken, "; "))
	}
	if len(s.script) > 0 {
		reply := s.script[0]
		s.script = s.script[1:]
		return reply
	}
	if s.fallback != nil {
		return s.fallback
	}
	return Text("ok")
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // a client that left is no concern of a fake
}
