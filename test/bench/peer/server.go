package peer

import (
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strconv"
	"sync"
)

// Path is where the MCP server is.
const Path = "/mcp"

// Modern is the version without sessions, Legacy the newest one with them.
const (
	Modern = "2026-07-28"
	Legacy = "2025-11-25"
)

var legacyVersions = []string{"2024-11-05", "2025-03-26", "2025-06-18", Legacy}

// Codes of JSON-RPC errors.
const (
	codeInvalidRequest = -32600
	codeNoMethod       = -32601
	codeInvalidParams  = -32602
	codeHeaderMismatch = -32020
	codeNoCapability   = -32021
)

// message is a JSON-RPC message as far as the server reads it.
type message struct {
	ID     json.RawMessage `json:"id"`
	Method string          `json:"method"`
	Params json.RawMessage `json:"params"`
	Result json.RawMessage `json:"result"`
	Error  json.RawMessage `json:"error"`
}

// Server is an MCP server with these tools, each with one argument text:
//
//   - echo gives it back on an event stream, as most servers do;
//   - echo_json gives it back as JSON;
//   - ask samples with it on the stream of the call, or by input_required where
//     there are no sessions;
//   - ask_get samples with it on the session's own stream.
//
// Its zero value is ready.
type Server struct {
	mu       sync.Mutex
	sessions map[string]*session
	count    int
}

func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != Path {
		http.NotFound(w, r)
		return
	}
	switch r.Method {
	case http.MethodPost:
		s.post(w, r)
	case http.MethodGet:
		if found := s.find(w, r); found != nil {
			found.stream(w, r)
		}
	case http.MethodDelete:
		if found := s.find(w, r); found != nil {
			s.mu.Lock()
			delete(s.sessions, found.id)
			s.mu.Unlock()
			found.end()
		}
	default:
		w.WriteHeader(http.StatusMethodNotAllowed)
	}
}

// Sessions returns how many sessions there are.
func (s *Server) Sessions() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.sessions)
}

func (s *Server) post(w http.ResponseWriter, r *http.Request) {
	body, err := readBody(r)
	if err != nil {
		return // the caller left
	}
	var m message
	if err := json.Unmarshal(body, &m); err != nil {
		writeError(w, http.StatusBadRequest, nil, codeInvalidRequest, "not a JSON-RPC message")
		return
	}
	if r.Header.Get("Mcp-Protocol-Version") == Modern {
		modern(w, r, m)
		return
	}
	if m.Method == "initialize" {
		s.initialize(w, m)
		return
	}
	found := s.find(w, r)
	if found == nil {
		return
	}
	switch {
	case m.Method == "" && len(m.ID) > 0:
		found.answered(m)
		w.WriteHeader(http.StatusAccepted)
	case len(m.ID) == 0:
		w.WriteHeader(http.StatusAccepted)
	case m.Method == "ping":
		writeJSON(w, http.StatusOK, appendResult(nil, m.ID, []byte("{}")))
	case m.Method == "tools/list":
		writeJSON(w, http.StatusOK, appendResult(nil, m.ID, toolList(false)))
	case m.Method == "tools/call":
		found.call(w, r, m)
	default:
		writeError(w, http.StatusOK, m.ID, codeNoMethod, "no such method")
	}
}

func readBody(r *http.Request) ([]byte, error) {
	if r.ContentLength < 0 {
		return io.ReadAll(r.Body)
	}
	body := make([]byte, r.ContentLength)
	_, err := io.ReadFull(r.Body, body)
	return body, err
}

func (s *Server) initialize(w http.ResponseWriter, m message) {
	var asked struct {
		Version      string `json:"protocolVersion"`
		Capabilities struct {
			Sampling *struct{} `json:"sampling"`
		} `json:"capabilities"`
	}
	if err := json.Unmarshal(m.Params, &asked); err != nil {
		writeError(w, http.StatusBadRequest, m.ID, codeInvalidParams, "initialize without parameters")
		return
	}
	if !slices.Contains(legacyVersions, asked.Version) {
		asked.Version = Legacy
	}
	s.mu.Lock()
	s.count++
	begun := newSession("bench-"+strconv.Itoa(s.count), asked.Capabilities.Sampling != nil)
	if s.sessions == nil {
		s.sessions = map[string]*session{}
	}
	s.sessions[begun.id] = begun
	s.mu.Unlock()
	w.Header().Set("Mcp-Session-Id", begun.id)
	writeJSON(w, http.StatusOK, appendResult(nil, m.ID, []byte(
		`{"protocolVersion":"`+asked.Version+`","capabilities":{"tools":{}},"serverInfo":{"name":"bench","version":"1.0.0"}}`)))
}

// find returns the session of a request, or answers that there is none.
func (s *Server) find(w http.ResponseWriter, r *http.Request) *session {
	id := r.Header.Get("Mcp-Session-Id")
	if id == "" {
		writeError(w, http.StatusBadRequest, nil, codeInvalidRequest, "Mcp-Session-Id is missing")
		return nil
	}
	s.mu.Lock()
	found := s.sessions[id]
	s.mu.Unlock()
	if found == nil {
		writeError(w, http.StatusNotFound, nil, codeInvalidRequest, "no such session")
	}
	return found
}

// callParams are the part of the parameters of tools/call that all tools need.
type callParams struct {
	Name      string `json:"name"`
	Arguments struct {
		Text string `json:"text"`
	} `json:"arguments"`
}

func toolList(isModern bool) []byte {
	tools := []string{"echo", "echo_json", "ask"}
	list := []byte(`{"tools":[`)
	if isModern {
		list = []byte(`{"resultType":"complete","ttlMs":0,"cacheScope":"private","tools":[`)
	} else {
		tools = append(tools, "ask_get")
	}
	for i, name := range tools {
		if i > 0 {
			list = append(list, ',')
		}
		list = append(list, `{"name":"`+name+`","inputSchema":{"type":"object","properties":{"text":{"type":"string"}},"required":["text"]}}`...)
	}
	return append(list, "]}"...)
}

// toolResult is the result of a call, with what comes first in it.
func toolResult(first, text string, isError bool) []byte {
	quoted, _ := json.Marshal(text) // a string always can
	out := make([]byte, 0, len(quoted)+len(first)+64)
	out = append(append(append(out, '{'), first...), `"content":[{"type":"text","text":`...)
	out = append(append(out, quoted...), "}]"...)
	if isError {
		out = append(out, `,"isError":true`...)
	}
	return append(out, '}')
}

// samplingParams are the parameters of a sampling request.
func samplingParams(text string) []byte {
	quoted, _ := json.Marshal(text) // a string always can
	out := append([]byte(`{"messages":[{"role":"user","content":{"type":"text","text":`), quoted...)
	return append(out, `}}],"systemPrompt":"Answer in one sentence.","maxTokens":100}`...)
}

// sampledText is the text of a sampling result; ok is false where it has none.
func sampledText(result []byte) (text string, ok bool) {
	var sampled struct {
		Content struct {
			Text string `json:"text"`
		} `json:"content"`
	}
	if err := json.Unmarshal(result, &sampled); err != nil {
		return "", false
	}
	return sampled.Content.Text, sampled.Content.Text != ""
}

func appendResult(dst, id, result []byte) []byte {
	dst = append(append(append(dst, `{"jsonrpc":"2.0","id":`...), id...), `,"result":`...)
	return append(append(dst, result...), '}')
}

func writeJSON(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

func writeError(w http.ResponseWriter, status int, id json.RawMessage, code int, text string) {
	if len(id) == 0 {
		id = json.RawMessage("null")
	}
	writeJSON(w, status, []byte(`{"jsonrpc":"2.0","id":`+string(id)+`,"error":{"code":`+strconv.Itoa(code)+`,"message":"`+text+`"}}`))
}

// events writes an event stream, each event sent at once.
type events struct {
	w       http.ResponseWriter
	control *http.ResponseController
	buf     []byte
}

func newEvents(w http.ResponseWriter) *events {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-cache")
	return &events{w: w, control: http.NewResponseController(w)}
}

func (e *events) send(message []byte) {
	e.buf = append(append(append(e.buf[:0], "event: message\ndata: "...), message...), "\n\n"...)
	_, _ = e.w.Write(e.buf)
	_ = e.control.Flush() // a reader that left ends the request's context
}
