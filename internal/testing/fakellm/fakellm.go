// Package fakellm is a model server for tests: it speaks the chat completions
// API, OpenAI's way and Azure's, records what it is asked and answers what it is told to. It holds no
// model, so nothing it says is more than a fake.
package fakellm

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// What every answer reports as its use of tokens.
const (
	PromptTokens     = 11
	CompletionTokens = 7
)

// Request is one recorded request.
type Request struct {
	Method string          `json:"method"`
	Path   string          `json:"path"`
	Query  string          `json:"query,omitempty"`
	Header http.Header     `json:"-"`
	Body   json.RawMessage `json:"body,omitempty"`
}

// Server is an http.Handler that answers below any path that ends in
// /chat/completions or /models. Its zero value echoes.
type Server struct {
	// Key, where it is set, is the only key that is not refused.
	Key string
	// Models, where there are any, are the only ones that it knows.
	Models []string

	mu       sync.Mutex
	script   []Reply
	fallback Reply
	requests []Request
	changed  chan struct{} // closed and replaced at each request
}

// New makes a server that gives the replies in their order, one a request for
// chat completions, and echoes (see Echo) after them.
func New(script ...Reply) *Server {
	return &Server{script: script}
}

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

// Requests returns what was asked for chat completions so far.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Request(nil), s.requests...)
}

// Await waits until n requests for chat completions have come in.
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
			return fmt.Errorf("wait for request %d at the fake model server, %d came: %w", n, got, ctx.Err())
		}
	}
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.Key != "" && r.Header.Get("Authorization") != "Bearer "+s.Key && r.Header.Get("Api-Key") != s.Key {
		// The words of a real provider, with the key in them: nobody may pass
		// them on.
		Error(http.StatusUnauthorized, "invalid_api_key",
			"Incorrect API key provided: "+r.Header.Get("Authorization")+r.Header.Get("Api-Key"))(w, r, Request{})
		return
	}
	switch {
	case strings.HasSuffix(r.URL.Path, "/models"):
		writeJSON(w, http.StatusOK, map[string]any{"object": "list", "data": []any{}})
	case strings.HasSuffix(r.URL.Path, "/chat/completions") && r.Method == http.MethodPost:
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		req := Request{Method: r.Method, Path: r.URL.Path, Query: r.URL.RawQuery, Header: r.Header.Clone(), Body: body}
		s.replyTo(req)(w, r, req)
	default:
		http.NotFound(w, r)
	}
}

// replyTo refuses a model that is not known as OpenAI does.
func (s *Server) replyTo(req Request) Reply {
	var asked struct {
		Model string `json:"model"`
	}
	reply := s.record(req)
	if err := json.Unmarshal(req.Body, &asked); err == nil && len(s.Models) > 0 && !slices.Contains(s.Models, asked.Model) {
		return Error(http.StatusNotFound, "model_not_found", "The model `"+asked.Model+"` does not exist or you do not have access to it.")
	}
	return reply
}

func (s *Server) record(req Request) Reply {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, req)
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
	if len(s.script) > 0 {
		reply := s.script[0]
		s.script = s.script[1:]
		return reply
	}
	if s.fallback != nil {
		return s.fallback
	}
	return Echo()
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // a client that left is no concern of a fake
}
