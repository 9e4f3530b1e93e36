package proxy

import (
	"errors"
	"net/http"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

// servePost carries one message (or batch) of the caller to the server.
func (h *Handler) servePost(w http.ResponseWriter, r *http.Request) {
	// Before the body is there: the handler does not end while one comes.
	if !h.beginPost() {
		shuttingDown(w, nil)
		return
	}
	defer h.endPost()
	held := h.newHold()
	defer held.end()
	body, ok := h.readBody(w, r, held)
	if !ok {
		return
	}
	// What cannot be read is the server's to refuse.
	m, err := wire.ParseMessage(body)
	op, r := h.operate(w, r, m)
	defer op.end()
	if h.opts.SSE {
		h.serveSSEPost(op, r, m, body, held)
		return
	}
	isCall := m.IsRequest() || errors.Is(err, wire.ErrBatch)
	if h.holdBack(op, r, m, body) {
		return
	}
	if m.IsRequest() && m.Method == wire.MethodInitialize {
		h.serveInitialize(op, r, m, body, held)
		return
	}
	if h.steer(op, r, m) {
		return
	}
	if m.IsRequest() && isModern(m, r.Header) {
		h.serveModern(op, r, m, body, held)
		return
	}
	h.serveMessage(op, r, m, body, isCall)
}

// serveMessage carries anything but initialize. isCall is whether the caller
// waits for a response.
func (h *Handler) serveMessage(w *operation, r *http.Request, m wire.Message, body []byte, isCall bool) {
	s, ok := h.sessionOf(w, r, m, body)
	if !ok {
		return
	}
	defer h.release(s)
	if isCall && h.isLeaving(s) && s.hasNoCalls() {
		h.end(s)
		h.serverGone(w, m, s.digest, nil)
		return
	}
	header := inSession(r.Header, s)
	w.in(s)
	w.ask(header)

	var c *call
	over := true
	if isCall {
		c = s.beginCall(m, header)
		c.op, c.place = w, w.span.Context()
		defer func() { s.endCall(c, over) }()
		if s.listener != nil && m.Method != wire.MethodPing {
			// Some servers drop what they ask where nobody listens yet.
			s.listener.awaitHeader(r.Context())
		}
	}
	resp, err := h.send(r.Context(), s.address, http.MethodPost, r.URL.RawQuery, header, body)
	if err != nil {
		w.unreachable()
		h.postFailed(w, r, s, m, err)
		return
	}
	defer w.told(resp.StatusCode, resp.ProtoMajor)
	defer resp.Body.Close()
	h.learn(s, header, resp)
	switch m.Method {
	case wire.MethodCancelled:
		s.cancelCall(m.CancelledKey())
	case wire.MethodInitialized:
		if s.listener != nil && resp.StatusCode < http.StatusBadRequest {
			s.listener.retry()
		}
	}
	// A server may end the stream of a call early and let the caller resume
	// it: then the call is not over.
	end := h.relay(w, r, resp, &inspector{handler: h, session: s, call: c})
	over = end.over
	end.finish()
}

// postFailed answers a caller whose message did not get through.
func (h *Handler) postFailed(w http.ResponseWriter, r *http.Request, s *session, m wire.Message, err error) {
	if s.address != "" && notReached(err) && r.Context().Err() == nil {
		// The server that held the session is gone, and the session with it.
		h.end(s)
		h.serverGone(w, m, s.digest, err)
		return
	}
	h.unreachable(w, r, m.ID, err)
}

// serverGone tells a caller that its session is over, as the server that held it
// is no more (specification, Streamable HTTP, session management).
func (h *Handler) serverGone(w http.ResponseWriter, m wire.Message, session string, err error) {
	h.opts.Logger.Info("the server of a session is gone", "session", session, "error", err)
	fail(w, http.StatusNotFound, m.ID, codeUnavailable, "the server of this session is gone: initialize again")
}

// NoRoom is the Proxy-Status (RFC 9209) of a refusal because as many sessions,
// requests or bytes are held as may be. It tells the sampler's own word from a server's 503.
const NoRoom = "mcp-sampler; error=connection_limit_reached"

func (h *Handler) noRoom(w http.ResponseWriter, m wire.Message) {
	w.Header().Set("Proxy-Status", NoRoom)
	w.Header().Set("Retry-After", "10")
	fail(w, http.StatusServiceUnavailable, m.ID, codeUnavailable, "the sampler holds as many sessions as it may: try again later")
}
