package proxy

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"go.opentelemetry.io/otel/trace"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

// serveSSEPost carries one message of a caller to the endpoint of its session.
func (h *Handler) serveSSEPost(w *operation, r *http.Request, m wire.Message, body []byte, held *holding) {
	isCall := m.IsRequest()
	names := r.URL.Query()[sessionParameter]
	switch len(names) {
	case 1:
	case 0:
		// A client of the newer transport tries this one when it reads the status.
		w.Header().Set("Allow", http.MethodGet)
		fail(w, http.StatusMethodNotAllowed, m.ID, codeInvalidRequest,
			"this MCP server speaks the HTTP+SSE transport of 2024-11-05: open its stream with GET, and post to the endpoint that the stream names")
		return
	default:
		fail(w, http.StatusBadRequest, m.ID, codeInvalidRequest, "the request names several sessions: post to the endpoint that the stream named")
		return
	}
	if !keepable(w, r, m.ID) {
		return
	}
	s := h.sessions.use(names[0])
	if s == nil {
		h.serveSSEElsewhere(w, r, m, names[0], body)
		return
	}
	defer s.release()
	if s.answersTaken(m, body) {
		h.heldBack(w, body)
		return
	}
	if isCall && isModern(m, r.Header) && h.opts.Sampling.Declare(noCapability).Declared {
		// The stateless era is not defined for this transport, but there are peers
		// that would agree on it, and then sampling has no way to come.
		refusal := wire.AppendError(nil, m.ID, wire.UnsupportedVersion(wire.ReadStateless(m).Version))
		if s.sse.write(refusal) {
			w.WriteHeader(http.StatusAccepted)
			return
		}
	}
	h.serveSSEMessage(w, r, s, m, body, isCall, held)
}

// serveSSEElsewhere serves a message of a session that is not held here. Only
// the sampler that holds the stream can; without the stream there is no session.
func (h *Handler) serveSSEElsewhere(w http.ResponseWriter, r *http.Request, m wire.Message, name string, body []byte) {
	token, err := h.opts.Sealer.OpenName(name)
	if err != nil || token.Owner == h.opts.Self || isForwarded(r) {
		sseEnded(w, m)
		return
	}
	if h.forward(w, r, token.Owner, body) {
		return
	}
	if h.replicas.mayReturn(r.Context(), token.Owner) {
		w.Header().Set("Retry-After", "5")
		fail(w, http.StatusServiceUnavailable, m.ID, codeUnavailable, "the sampler that holds the stream of this session cannot be reached just now: try again")
		return
	}
	sseEnded(w, m)
}

func sseEnded(w http.ResponseWriter, m wire.Message) {
	fail(w, http.StatusNotFound, m.ID, codeUnavailable, "there is no such session, or its stream has ended: open a new one with GET")
}

// serveSSEMessage carries a message in its session.
func (h *Handler) serveSSEMessage(w *operation, r *http.Request, s *session, m wire.Message, body []byte, isCall bool, held *holding) {
	header := endToEnd(r.Header)
	header.Del(wire.HeaderSession)
	w.in(s)
	w.ask(header)
	if isCall && m.Method == wire.MethodInitialize {
		if !held.take(int64(len(body))) { // it is copied
			h.noMemory(w, m.ID)
			return
		}
		patched, caller, declared := h.declare(m, body)
		body = patched
		s.declare(caller, declared)
	}
	// The answer may come on the stream before the server's to this request.
	finish := func() {}
	var c *call
	if isCall {
		var err error
		switch c, err = h.beginSSECall(s, m, header, w.span.Context()); {
		case errors.Is(err, errLeaving):
			sseEnded(w, m)
			return
		case errors.Is(err, errNoMemory):
			h.noMemory(w, m.ID)
			return
		case err != nil:
			w.Header().Set("Retry-After", "1")
			fail(w, http.StatusServiceUnavailable, m.ID, codeUnavailable, err.Error()+": try again later")
			return
		}
		finish = func() { s.sse.finish(c) }
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	resp, err := h.sendTo(ctx, s.sse.target(r.URL.RawQuery), http.MethodPost, header, body)
	if err != nil {
		w.unreachable()
		finish()
		if s.ctx.Err() != nil {
			sseEnded(w, m)
			return
		}
		h.postFailed(w, r, s, m, err)
		return
	}
	defer resp.Body.Close()
	defer w.told(resp.StatusCode, resp.ProtoMajor)
	if resp.StatusCode >= http.StatusBadRequest {
		finish() // nothing will come on the stream
	} else {
		s.accept(header)
	}
	if key := m.CancelledKey(); key != "" {
		s.cancelCall(key)
		if cancelled := s.sse.find(key); cancelled != nil {
			s.sse.finish(cancelled) // a server does not answer it
		}
	}
	h.relay(w, r, resp, &inspector{
		handler: h, session: s, call: c,
		onResponse: func(wire.Message) { finish() }, // of a server that answers in the newer way
	}).finish()
}

// beginSSECall notes a call that ends when its answer has passed on the stream,
// or when none can come any more. The handler does not end before it. It is an
// error where it cannot begin.
func (h *Handler) beginSSECall(s *session, m wire.Message, header http.Header, place trace.SpanContext) (*call, error) {
	// What is left of the request when its body is not held any more.
	m = wire.Message{ID: slices.Clone(m.ID), Method: m.Method}
	held := h.newHold()
	if !held.take(int64(2*len(m.ID) + len(m.Method) + headerBytes(header))) {
		return nil, errNoMemory
	}
	c := s.beginCall(m, header)
	c.place = place
	h.mu.Lock()
	h.posts++
	h.mu.Unlock()
	over := func() {
		s.endCall(c, true)
		held.end()
		h.endPost()
	}
	if err := s.sse.begin(c, over); err != nil {
		over()
		return nil, err
	}
	return c, nil
}

// declare notes what the caller declared, and what the server is told.
func (s *session) declare(caller, declared wire.SamplingCapability) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.caller, s.declared = caller, declared
}
