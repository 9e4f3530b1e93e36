package proxy

import (
	"net/http"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

// servePost carries one message (or batch) of the caller to the server.
func (h *Handler) servePost(w http.ResponseWriter, r *http.Request) {
	body, ok := h.readBody(w, r)
	if !ok {
		return
	}
	// What cannot be read is the server's to refuse.
	m, err := wire.ParseMessage(body)
	isRequest := err == nil && m.IsRequest()
	if !h.beginPost(isRequest) {
		w.Header().Set("Retry-After", "1")
		w.Header().Set("Connection", "close")
		fail(w, http.StatusServiceUnavailable, m.ID, codeUnavailable, "the sampler is shutting down: try again")
		return
	}
	defer h.endPost()
	if isRequest && m.Method == wire.MethodInitialize {
		h.serveInitialize(w, r, m, body)
		return
	}
	if h.steer(w, r, m) {
		return
	}
	h.serveMessage(w, r, m, body)
}

// serveMessage carries anything but initialize.
func (h *Handler) serveMessage(w http.ResponseWriter, r *http.Request, m wire.Message, body []byte) {
	s, ok := h.sessionOf(w, r, m)
	if !ok {
		return
	}
	defer s.release()
	header := endToEnd(r.Header)

	var c *call
	over := true
	if m.IsRequest() {
		c = s.beginCall(m, header)
		defer func() { s.endCall(c, over) }()
		if s.listener != nil && m.Method != wire.MethodPing {
			// Some servers drop what they ask where nobody listens yet.
			s.listener.awaitHeader(r.Context())
		}
	}
	resp, err := h.send(r.Context(), s.address, http.MethodPost, r.URL.RawQuery, header, body)
	if err != nil {
		h.postFailed(w, r, s, m, err)
		return
	}
	defer resp.Body.Close()
	h.learn(s, header, resp.StatusCode)
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
		h.Logger.Info("the server of a session is gone", "session", s.digest, "error", err)
		h.end(s)
		fail(w, http.StatusNotFound, m.ID, codeUnavailable, "the server of this session is gone: initialize again")
		return
	}
	h.unreachable(w, r, m.ID, err)
}

// sessionOf returns the session that a request names, with one more user. A
// name that is not known here (from before a restart, or from another replica)
// is taken over: the server decides whether it is good. Where the result is
// false the caller has been answered.
func (h *Handler) sessionOf(w http.ResponseWriter, r *http.Request, m wire.Message) (*session, bool) {
	id := r.Header.Get(headerSession)
	if id == "" {
		s := h.newSession("", "", wire.SamplingCapability{}, h.Sampling.Declare(wire.SamplingCapability{}))
		s.use()
		return s, true
	}
	s, evicted := h.sessions.use(id, func() *session {
		none := wire.SamplingCapability{}
		s := h.newSession(id, "", none, h.Sampling.Declare(none))
		s.header = endToEnd(r.Header)
		return s
	})
	if evicted != nil {
		evicted.end()
	}
	if s == nil {
		h.noRoom(w, m)
		return nil, false
	}
	return s, true
}

func (h *Handler) noRoom(w http.ResponseWriter, m wire.Message) {
	w.Header().Set("Retry-After", "10")
	fail(w, http.StatusServiceUnavailable, m.ID, codeUnavailable, "the sampler holds as many sessions as it may: try again later")
}

// learn draws from a response what it says about the session.
func (h *Handler) learn(s *session, header http.Header, status int) {
	switch {
	case s.id == "":
	case status == http.StatusNotFound, status == http.StatusBadRequest && !s.isProven():
		h.end(s)
	case status < http.StatusBadRequest:
		if s.accept(header) {
			s.listener.retry()
		}
	}
}
