package proxy

import (
	"bytes"
	"encoding/json"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

// holdBack keeps from the server what a caller sends as the answer to a request
// that was taken off: else it could answer in the model's place, past the
// policy, by guessing an id. Every session counts that the server may take the
// message to be in. It reports whether it did; the caller has then been answered.
func (h *Handler) holdBack(w http.ResponseWriter, r *http.Request, m wire.Message, body []byte) bool {
	answersTaken := slices.ContainsFunc(r.Header[wire.HeaderSession], func(id string) bool {
		s := h.sessions.get(id)
		return s != nil && s.answersTaken(m, body)
	})
	if !answersTaken {
		return false
	}
	h.heldBack(w, body)
	return true
}

// answersTaken reports whether a message answers a request that was taken off.
// What needs little is asked first: nearly every message is a call.
func (s *session) answersTaken(m wire.Message, body []byte) bool {
	if !s.hasTaken() || !maybeResponse(m, body) {
		return false
	}
	keys := responseKeys(m, body)
	if len(keys) == 0 {
		return false
	}
	taken := s.allTaken()
	return slices.ContainsFunc(keys, func(key string) bool {
		return taken[shorten(key)] || taken[looseKey(key)]
	})
}

// hasTaken reports whether any sampling request was taken off.
func (s *session) hasTaken() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.taken.keys) > 0
}

// maybeResponse is false for a body in which responseKeys finds nothing: it has
// a method, and no name that can be read as result or error. A backslash may
// spell anything, and some readers take the long s for an s.
func maybeResponse(m wire.Message, body []byte) bool {
	if m.Method == "" || bytes.IndexByte(body, '\\') >= 0 || bytes.Contains(body, []byte("ſ")) {
		return true
	}
	const result, failure = "result", "error"
	for i, b := range body {
		rest := body[i:]
		switch b {
		case 'r', 'R':
			if len(rest) >= len(result) && strings.EqualFold(string(rest[:len(result)]), result) {
				return true
			}
		case 'e', 'E':
			if len(rest) >= len(failure) && strings.EqualFold(string(rest[:len(failure)]), failure) {
				return true
			}
		}
	}
	return false
}

// heldBack tells a caller that its answer went no further.
func (h *Handler) heldBack(w http.ResponseWriter, body []byte) {
	h.opts.Logger.Debug("a caller answered a sampling request that it did not get")
	if isBatch(body) {
		fail(w, http.StatusBadRequest, nil, codeInvalidRequest, "the batch answers a request that was not sent to this caller: leave that answer out")
		return
	}
	w.WriteHeader(http.StatusAccepted)
}

// responseKeys returns the keys of the ids under which a server may find
// responses in a body. It reads as loosely as any server does: there are some
// that take "ID" for "id", or a message with a method for a response.
func responseKeys(m wire.Message, body []byte) (keys []string) {
	if m.IsResponse() {
		keys = append(keys, m.Key())
	}
	// What follows the first value is not read by all servers, so it is no
	// reason to read nothing.
	reader := json.NewDecoder(bytes.NewReader(body))
	var messages []map[string]json.RawMessage
	if isBatch(body) {
		if reader.Decode(&messages) != nil {
			return keys
		}
	} else {
		var message map[string]json.RawMessage
		if reader.Decode(&message) != nil {
			return keys
		}
		messages = append(messages, message)
	}
	for _, message := range messages {
		var ids []string
		isResponse := false
		for name, value := range message {
			switch {
			case strings.EqualFold(name, "id"):
				ids = append(ids, wire.Message{ID: value}.Key())
			case strings.EqualFold(name, "result"), strings.EqualFold(name, "error"):
				isResponse = true
			}
		}
		if isResponse {
			keys = append(keys, ids...)
		}
	}
	return keys
}

func isBatch(body []byte) bool { return bytes.HasPrefix(bytes.TrimLeft(body, " \t\r\n"), []byte("[")) }

// looseKey gives keys one spelling that some server takes for the same id: 9,
// 9.0, "9" and "0x9" are one to a server that makes a number of what it gets.
func looseKey(key string) string {
	text := strings.TrimSpace(strings.Trim(key, `"`))
	if text == "" {
		return "0"
	}
	for _, base := range []int{10, 0} {
		if n, err := strconv.ParseInt(text, base, 64); err == nil {
			return strconv.FormatInt(n, 10)
		}
	}
	if f, err := strconv.ParseFloat(text, 64); err == nil && math.Abs(f) < 1<<62 {
		return strconv.FormatInt(int64(f), 10)
	}
	return text
}
