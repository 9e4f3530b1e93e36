package bridge

import (
	"errors"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

func (b *Bridge) post(w http.ResponseWriter, r *http.Request) {
	body, ok := b.readBody(w, r)
	if !ok {
		return
	}
	if isBatch(body) {
		b.postBatch(w, r, body)
		return
	}
	m, err := wire.ParseMessage(body)
	if err != nil || !m.IsRequest() && !m.IsNotification() && !m.IsResponse() {
		fail(w, http.StatusBadRequest, nil, codeInvalidRequest, "the body is no JSON-RPC message")
		return
	}
	end := b.begin()
	defer end()
	if m.Method == methodListen {
		end() // it has no end that could be waited for
	}
	switch {
	case isModern(m, r.Header):
		b.postModern(w, r, m, body)
	case m.IsRequest() && m.Method == wire.MethodInitialize && b.opts.Shared:
		b.initializeShared(w, r, m, body)
	case m.IsRequest() && m.Method == wire.MethodInitialize:
		b.initialize(w, r, m, body)
	default:
		b.postMessage(w, r, m, body)
	}
}

// postMessage serves a message in a session.
func (b *Bridge) postMessage(w http.ResponseWriter, r *http.Request, m wire.Message, body []byte) {
	s := b.sessionOf(w, r, m.ID)
	if s == nil {
		return
	}
	if !s.use() {
		refuse(w, m.ID, errEnded)
		return
	}
	defer s.release()
	if !m.IsRequest() {
		if err := s.pass(m, body); err != nil {
			refuse(w, nil, err)
			return
		}
		w.WriteHeader(http.StatusAccepted)
		return
	}
	ex := &exchange{bridge: b, mux: s.mux, out: newQueue(b.opts.MaxMessageBytes)}
	if err := ex.send(s, m, body, nil); err != nil {
		refuse(w, m.ID, err)
		return
	}
	ex.respond(w, r)
}

// pass sends what asks for no answer.
func (s *session) pass(m wire.Message, body []byte) error {
	if m.IsResponse() {
		return s.mux.answer(s, m, body)
	}
	return s.mux.notify(s, m, body)
}

// initialize begins a session with a process of its own.
func (b *Bridge) initialize(w http.ResponseWriter, r *http.Request, m wire.Message, body []byte) {
	id := newID()
	x, err := b.launch(r.Context(), kind{name: nameOf(id)}, nil)
	if err != nil {
		refuse(w, m.ID, err)
		return
	}
	s, err := b.enter(id, x)
	if err != nil {
		x.process.stop()
		refuse(w, m.ID, atStart(err))
		return
	}
	defer s.release()
	var failed, late atomic.Bool
	ex := &exchange{bridge: b, mux: x, out: newQueue(b.opts.MaxMessageBytes)}
	ex.header = func(h http.Header) {
		if !failed.Load() {
			h.Set(wire.HeaderSession, s.id)
		}
	}
	ex.status = func(answer []byte) int {
		if late.Load() {
			return http.StatusGatewayTimeout
		}
		return statusOfInitialize(m, answer)
	}
	err = ex.send(s, m, body, func(answer wire.Message) {
		s.version = wire.ResultProtocolVersion(answer.Result)
		failed.Store(answer.Error != nil)
	})
	if err != nil {
		b.leave(s)
		refuse(w, m.ID, atStart(err))
		return
	}
	limit := time.AfterFunc(b.opts.InitializeTimeout, func() {
		x.expire(ex.calls[0], b.notInitialized().Error(), func() { late.Store(true) })
	})
	defer limit.Stop()
	// Without the answer nobody knows the session or wants it.
	if answered := ex.respond(w, r); !answered || failed.Load() {
		b.leave(s)
	}
}

// errAtStart says that a process ended before its session began.
var errAtStart = errors.New("the server's process ended at once")

func atStart(err error) error {
	if errors.Is(err, errEnded) {
		return errAtStart
	}
	return err
}

// postBatch serves the messages of a batch, where the session's version has
// batches.
func (b *Bridge) postBatch(w http.ResponseWriter, r *http.Request, body []byte) {
	messages, err := splitBatch(body)
	if err != nil {
		fail(w, http.StatusBadRequest, nil, codeInvalidRequest, err.Error())
		return
	}
	s := b.sessionOf(w, r, nil)
	if s == nil {
		return
	}
	if !s.allowsBatches() {
		fail(w, http.StatusBadRequest, nil, codeInvalidRequest,
			"this session's version of the protocol has no batches: send one message a request")
		return
	}
	parsed := make([]wire.Message, len(messages))
	for i, message := range messages {
		m, err := wire.ParseMessage(message)
		if err != nil || !m.IsRequest() && !m.IsNotification() && !m.IsResponse() || m.Method == wire.MethodInitialize {
			fail(w, http.StatusBadRequest, nil, codeInvalidRequest, "the batch holds something that is no JSON-RPC message, or initialize")
			return
		}
		parsed[i] = m
	}
	defer b.begin()()
	if !s.use() {
		refuse(w, nil, errEnded)
		return
	}
	defer s.release()
	ex := &exchange{bridge: b, mux: s.mux, out: newQueue(b.opts.MaxMessageBytes), batch: true}
	for i, m := range parsed {
		if m.IsRequest() {
			if err := ex.send(s, m, messages[i], nil); err != nil {
				ex.refuse(m.ID, err)
			}
			continue
		}
		if err := s.pass(m, messages[i]); err != nil && ex.expected == 0 {
			refuse(w, nil, err)
			return
		}
	}
	if ex.expected == 0 {
		w.WriteHeader(http.StatusAccepted)
		return
	}
	ex.respond(w, r)
}
