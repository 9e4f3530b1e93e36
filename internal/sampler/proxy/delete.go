package proxy

import (
	"net/http"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

// serveDelete carries the caller's goodbye and forgets the session, unless the
// server says that it was not the caller's to end.
func (h *Handler) serveDelete(w http.ResponseWriter, r *http.Request) {
	name, ok := h.sessionNamed(w, r, wire.Message{})
	if !ok {
		return
	}
	s := h.sessions.get(name)
	switch {
	case s != nil:
	case name == "":
		s = h.newSession("", "", wire.SamplingCapability{}, wire.SamplingCapability{})
	default:
		// It is over before it would have to be kept.
		if s, ok = h.sessionElsewhere(w, r, wire.Message{}, name, nil); !ok {
			return
		}
		defer s.end()
	}
	resp, err := h.send(r.Context(), s.address, http.MethodDelete, r.URL.RawQuery, inSession(r.Header, s), nil)
	if err != nil {
		h.postFailed(w, r, s, wire.Message{}, err)
		return
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode < http.StatusBadRequest,
		resp.StatusCode == http.StatusNotFound,
		resp.StatusCode == http.StatusMethodNotAllowed: // it knows no DELETE; the caller leaves all the same
		h.end(s)
	}
	h.relay(w, r, resp, &inspector{handler: h, session: s}).finish()
}
