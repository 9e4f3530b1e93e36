package proxy

import (
	"maps"
	"net/http"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

// serveGet gives a caller its GET stream: a share in the one that the proxy
// holds, or one of its own where the server must decide, that is for resuming
// the stream of a call, for a server without sessions, and for a server that
// has refused the proxy's.
func (h *Handler) serveGet(w http.ResponseWriter, r *http.Request) {
	s, ok := h.sessionOf(w, r, wire.Message{}, nil)
	if !ok {
		return
	}
	defer h.release(s)
	header := inSession(r.Header, s)
	lastID := r.Header.Get(headerLastEventID)
	if s.id == "" || lastID != "" && !s.listener.log.has(lastID) {
		h.passStream(w, r, s, header, lastID != "")
		return
	}
	if refused := s.listener.awaitHeader(r.Context()); refused != 0 {
		h.passStream(w, r, s, header, lastID != "")
		return
	}
	// The share is given without asking the server, so the caller must be the
	// one that the server knows.
	if !s.accepted(header) && !h.verify(w, r, s, header) {
		return
	}
	header = w.Header()
	maps.Copy(header, s.corsFor(r.Header.Get("Origin")))
	header.Set("Content-Type", "text/event-stream")
	header.Set("Cache-Control", "no-cache, no-transform")
	header.Set("X-Accel-Buffering", "no")
	header.Set(wire.HeaderSession, s.name)
	if h.share(w, r, s, lastID, header) {
		return
	}
	stream := s.listener.log.attach(lastID)
	if stream == nil {
		fail(w, http.StatusConflict, nil, codeUnavailable, "the session has ended or has too many GET streams")
		return
	}
	defer stream.detach()
	s.beginStream()
	defer s.endStream()
	out := newCallerWriter(w, h.opts.WriteTimeout)
	defer out.end()
	w.WriteHeader(http.StatusOK)
	out.dirty = true
	out.flush()
	for stream.next(r.Context(), func(raw []byte) error {
		_, err := out.Write(raw)
		out.flush()
		return err
	}) {
	}
}

// passStream carries a GET to the server and its stream back.
func (h *Handler) passStream(w http.ResponseWriter, r *http.Request, s *session, header http.Header, resumed bool) {
	resp, err := h.send(r.Context(), s.address, http.MethodGet, r.URL.RawQuery, header, nil)
	if err != nil {
		h.postFailed(w, r, s, wire.Message{}, err)
		return
	}
	defer resp.Body.Close()
	// A server without a GET stream may answer 404 to one of a good session;
	// what it says to a message counts.
	if resp.StatusCode != http.StatusNotFound || !s.isProven() {
		h.learn(s, header, resp)
	}
	h.relay(w, r, resp, &inspector{handler: h, session: s, resumed: resumed}).finish()
}
