// Package fakeanthropic is a model server for tests: it speaks Anthropic's
// Messages API, records what it is asked and answers what it is told to. What the
// live API would refuse it refuses too (see Check). It holds no model, so nothing
// it says is more than a fake.
package fakeanthropic

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
)

// What every answer reports as its use of tokens.
const (
	InputTokens   = 11
	CacheCreation = 2
	CacheRead     = 3
	OutputTokens  = 7
)

// Request is one recorded request.
type Request struct {
	Method string
	Path   string
	Query  string
	Header http.Header
	Body   json.RawMessage
}

// Server is an http.Handler that answers below any path that ends in /messages or
// /models. Its zero value answers "ok".
type Server struct {
	// Key, where it is set, is the only key that is not refused.
	Key string

	mu       sync.Mutex
	script   []Reply
	requests []Request
	probes   []Request
	problems []string
}

// New makes a server that gives the replies in their order, one a request for a
// message, and "ok" after them.
func New(script ...Reply) *Server {
	return &Server{script: script}
}

// Requests returns what was asked for messages so far.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Request(nil), s.requests...)
}

// Probes returns the requests for the list of models so far.
func (s *Server) Probes() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Request(nil), s.probes...)
}

// Problems says what the live API would have refused so far.
func (s *Server) Problems() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.problems...)
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.Key != "" && r.Header.Get("X-Api-Key") != s.Key {
		// The words of a real provider could hold the key: nobody may pass them on.
		Error(http.StatusUnauthorized, "authentication_error", "invalid x-api-key: "+r.Header.Get("X-Api-Key"))(w, r, Request{})
		return
	}
	req := Request{Method: r.Method, Path: r.URL.Path, Query: r.URL.RawQuery, Header: r.Header.Clone()}
	switch {
	case strings.HasSuffix(r.URL.Path, "/v1/models") && r.Method == http.MethodGet:
		s.mu.Lock()
		s.probes = append(s.probes, req)
		s.mu.Unlock()
		writeJSON(w, http.StatusOK, map[string]any{"data": []any{}, "has_more": false})
	case strings.HasSuffix(r.URL.Path, "/v1/messages") && r.Method == http.MethodPost:
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		req.Body = body
		problems := Check(body)
		if r.Header.Get("Anthropic-Version") == "" {
			problems = append(problems, "anthropic-version: header is required")
		}
		if r.Header.Get("Content-Type") != "application/json" {
			problems = append(problems, "content-type: must be application/json")
		}
		reply := s.record(req, problems)
		if problems != nil {
			reply = Error(http.StatusBadRequest, "invalid_request_error", strings.Join(problems, "; "))
		}
		reply(w, r, req)
	default:
		Error(http.StatusNotFound, "not_found_error", "Not found")(w, r, req)
	}
}

func (s *Server) record(req Request, problems []string) Reply {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, req)
	s.problems = append(s.problems, problems...)
	if len(s.script) == 0 {
		return Text("ok")
	}
	reply := s.script[0]
	s.script = s.script[1:]
	return reply
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // a client that left is no concern of a fake
}
