package proxy

import (
	"context"
	"io"
	"net/http"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

// sessionOf returns the session that a request names, with one more user, which
// release takes back. A name that is not known here (from before a restart, or
// from another replica) is taken over, and kept if the server knows it. Where
// the result is false the caller has been answered.
func (h *Handler) sessionOf(w http.ResponseWriter, r *http.Request, m wire.Message) (*session, bool) {
	none := wire.SamplingCapability{}
	id, ok := h.sessionNamed(w, r, m)
	if !ok {
		return nil, false
	}
	if id == "" {
		s := h.newSession("", "", none, h.opts.Sampling.Declare(none))
		s.callerUnknown = true
		s.use()
		return s, true
	}
	if s := h.sessions.use(id); s != nil {
		return s, true
	}
	s, ok := h.unknownSession(w, r, m, id)
	if !ok {
		return nil, false
	}
	adopted := h.sessions.adopt(s)
	if adopted != s {
		s.end()
	}
	if adopted == nil {
		h.noRoom(w, m)
		return nil, false
	}
	return adopted, true
}

// unknownSession returns a session that began elsewhere, with the address of the
// server that holds it. What the caller declared is not known any more, so it
// counts as nothing. Where the result is false the caller has been answered.
func (h *Handler) unknownSession(w http.ResponseWriter, r *http.Request, m wire.Message, id string) (*session, bool) {
	none := wire.SamplingCapability{}
	s := h.newSession(id, "", none, h.opts.Sampling.Declare(none))
	header := inSession(r.Header, s)
	s.header, s.callerUnknown = header, true
	address, err := h.find(r.Context(), s, header)
	if err != nil {
		s.end()
		h.unreachable(w, r, m.ID, err)
		return nil, false
	}
	s.address = address
	return s, true
}

// sessionNamed returns the id of the session that a request is in; empty where
// it is in none. So is what belongs to the stateless era, whatever it names: a
// server of both eras accepts it without a look at the session, so its answer
// says nothing about that. Where the result is false the caller has been
// answered.
func (h *Handler) sessionNamed(w http.ResponseWriter, r *http.Request, m wire.Message) (id string, ok bool) {
	if len(r.Header[headerSession]) > 1 {
		// The server may read another one than is read here.
		fail(w, http.StatusBadRequest, m.ID, codeInvalidRequest, "the request has several "+headerSession+" headers: send one")
		return "", false
	}
	if isModern(m, r.Header) {
		return "", true
	}
	return r.Header.Get(headerSession), true
}

// inSession returns what of a caller's header goes on to the server in a
// session. The caller cannot have its id taken off on the way, by Connection:
// the server must judge the very session that its answer is held for here.
func inSession(caller http.Header, s *session) http.Header {
	out := endToEnd(caller)
	if s.id != "" {
		out.Set(headerSession, s.id)
	}
	return out
}

// callerHeader puts into out what of a server's response header goes on to the
// caller.
func callerHeader(out, server http.Header, _ *session) {
	for name, values := range server {
		out[name] = values
	}
	removeHopByHop(out)
}

// find returns the address of the server that holds a session. Where there are
// several it asks them one by one; if none says that it does, any will say so
// to the caller. One that hangs does not hold up the sessions of the others.
func (h *Handler) find(ctx context.Context, s *session, header http.Header) (string, error) {
	addresses, err := h.addresses(ctx)
	if err != nil {
		return "", err
	}
	found := ""
	for _, address := range addresses {
		if len(addresses) == 1 {
			return address, nil
		}
		status, err := h.probe(ctx, s, address, header)
		if err != nil {
			continue
		}
		if found = address; status != http.StatusNotFound && status != http.StatusBadRequest {
			break
		}
	}
	return found, nil
}

// probe returns the status of a server's answer to ping, which it must begin
// within the time for a connection.
func (h *Handler) probe(ctx context.Context, s *session, address string, header http.Header) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, h.opts.DialTimeout)
	defer cancel()
	resp, err := h.ping(ctx, s, address, header)
	if err != nil {
		return 0, err
	}
	resp.Body.Close()
	return resp.StatusCode, nil
}

// ping asks a server in the caller's name whether it accepts that caller in
// that session.
func (h *Handler) ping(ctx context.Context, s *session, address string, caller http.Header) (*http.Response, error) {
	header := ownHeader(caller, s)
	header.Set("Content-Type", "application/json")
	header.Set("Accept", "application/json, text/event-stream")
	return h.send(ctx, address, http.MethodPost, "", header,
		[]byte(`{"jsonrpc":"2.0","id":"mcp-sampling-ping","method":"ping"}`))
}

// verify asks the server whether it accepts a caller that identifies itself in
// another way than before. Where it does not, the caller has got the server's
// refusal.
func (h *Handler) verify(w http.ResponseWriter, r *http.Request, s *session, header http.Header) bool {
	resp, err := h.ping(r.Context(), s, s.address, header)
	if err != nil {
		h.postFailed(w, r, s, wire.Message{}, err)
		return false
	}
	defer resp.Body.Close()
	h.learn(s, header, resp)
	if resp.StatusCode >= http.StatusMultipleChoices {
		h.relay(w, r, resp, &inspector{handler: h, session: s}).finish()
		return false
	}
	if !isEventStream(resp.Header) { // which a server may keep open
		// Read so that the connection can be used again.
		_, _ = io.CopyN(io.Discard, resp.Body, 64<<10)
	}
	return true
}

// release ends the use of a session. One that the server has not confirmed is
// not kept: anybody can make up names.
func (h *Handler) release(s *session) {
	s.release()
	if s.id == "" || s.isProven() {
		return
	}
	if _, idle := s.idleFrom(); idle {
		h.end(s)
	}
}

// learn draws from a response what it says about the session.
func (h *Handler) learn(s *session, header http.Header, resp *http.Response) {
	if s.id == "" {
		return
	}
	s.noteCORS(header, resp.Header)
	switch status := resp.StatusCode; {
	case status == http.StatusNotFound, status == http.StatusBadRequest && !s.isProven():
		h.end(s)
	case status < http.StatusBadRequest:
		if s.accept(header) {
			s.listener.retry()
		}
	}
}
