package peer

import (
	"encoding/json"
	"net/http"
	"strconv"
	"sync"
)

// session is one session of the era that has them.
type session struct {
	id      string
	samples bool
	// out is what goes to the session's own stream.
	out   chan []byte
	over  chan struct{}
	ended sync.Once

	mu      sync.Mutex
	next    int
	pending map[string]chan message
}

func newSession(id string, samples bool) *session {
	return &session{
		id: id, samples: samples, out: make(chan []byte, 16), over: make(chan struct{}),
		pending: map[string]chan message{},
	}
}

func (s *session) end() { s.ended.Do(func() { close(s.over) }) }

// stream serves the session's own stream.
func (s *session) stream(w http.ResponseWriter, r *http.Request) {
	e := newEvents(w)
	_ = e.control.Flush() // the header at once
	for {
		select {
		case m := <-s.out:
			e.send(m)
		case <-s.over:
			return
		case <-r.Context().Done():
			return
		}
	}
}

func (s *session) call(w http.ResponseWriter, r *http.Request, m message) {
	var p callParams
	if err := json.Unmarshal(m.Params, &p); err != nil {
		writeError(w, http.StatusOK, m.ID, codeInvalidParams, "tools/call without parameters")
		return
	}
	switch p.Name {
	case "echo":
		newEvents(w).send(appendResult(nil, m.ID, toolResult("", p.Arguments.Text, false)))
	case "echo_json":
		writeJSON(w, http.StatusOK, appendResult(nil, m.ID, toolResult("", p.Arguments.Text, false)))
	case "ask", "ask_get":
		e := newEvents(w)
		ask := e.send
		if p.Name == "ask_get" {
			_ = e.control.Flush() // the header at once
			ask = func(m []byte) { s.out <- m }
		}
		text, isError := s.sample(r, p.Arguments.Text, ask)
		e.send(appendResult(nil, m.ID, toolResult("", text, isError)))
	default:
		writeError(w, http.StatusOK, m.ID, codeInvalidParams, "no such tool")
	}
}

// sample asks the caller, by the function given, and waits for the answer.
func (s *session) sample(r *http.Request, text string, ask func([]byte)) (answer string, isError bool) {
	if !s.samples {
		return "the caller has not declared sampling", true
	}
	answers := make(chan message, 1)
	s.mu.Lock()
	s.next++
	id := strconv.Itoa(s.next)
	s.pending[id] = answers
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.pending, id)
		s.mu.Unlock()
	}()
	request := append([]byte(`{"jsonrpc":"2.0","id":`+id+`,"method":"sampling/createMessage","params":`), samplingParams(text)...)
	ask(append(request, '}'))
	select {
	case m := <-answers:
		sampled, ok := sampledText(m.Result)
		if !ok {
			return "sampling failed: " + string(m.Error), true
		}
		return sampled, false
	case <-r.Context().Done():
		return "the caller left", true
	case <-s.over:
		return "the session is over", true
	}
}

func (s *session) answered(m message) {
	s.mu.Lock()
	answers := s.pending[string(m.ID)]
	delete(s.pending, string(m.ID))
	s.mu.Unlock()
	if answers != nil {
		answers <- m
	}
}
