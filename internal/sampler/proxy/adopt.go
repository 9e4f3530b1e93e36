package proxy

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/seal"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

// sessionOf returns the session that a request names, with one more user, which
// release takes back. One that is not held here (from before a restart, or from
// another replica) is served by the replica that it belongs to, and taken over
// where that is this one. Where the result is false the caller has been answered.
func (h *Handler) sessionOf(w http.ResponseWriter, r *http.Request, m wire.Message, body []byte) (*session, bool) {
	name, ok := h.sessionNamed(w, r, m)
	if !ok {
		return nil, false
	}
	if name == "" {
		none := wire.SamplingCapability{}
		s := h.newSession("", "", none, h.opts.Sampling.Declare(none))
		s.callerUnknown = true
		s.use()
		return s, true
	}
	if !keepable(w, r, m.ID) {
		return nil, false
	}
	if s := h.sessions.use(name); s != nil {
		h.gather(r.Context(), s)
		return s, true
	}
	s, ok := h.sessionElsewhere(w, r, m, name, body)
	if !ok {
		return nil, false
	}
	adopted, gone := h.sessions.adopt(s)
	if gone != nil {
		h.letGo(gone)
	}
	if adopted != s {
		s.end()
	}
	if adopted == nil {
		h.noRoom(w, m)
		return nil, false
	}
	h.gather(r.Context(), adopted)
	return adopted, true
}

// sessionElsewhere has the replica that a session belongs to serve a request. If
// that is this one, or no other is there, it returns the session as its name
// tells of it. Where the result is false the caller has been answered.
func (h *Handler) sessionElsewhere(w http.ResponseWriter, r *http.Request, m wire.Message, name string, body []byte) (*session, bool) {
	sealed, err := h.opts.Sealer.OpenName(name)
	if err != nil {
		fail(w, http.StatusNotFound, m.ID, codeUnavailable, "the session is not known: initialize again")
		return nil, false
	}
	if isForwarded(r) && h.leaving.Err() != nil {
		// Who has forwarded it can go on with the session, and will not have to stop.
		w.Header().Set(headerHop, hopLeaving)
		shuttingDown(w, m.ID)
		return nil, false
	}
	for range maxForwards {
		owner := h.ownerOf(r.Context(), name, sealed.Owner)
		if h.forward(w, r, owner, body) {
			return nil, false
		}
		if owner == h.replicas.self || isForwarded(r) {
			break
		}
	}
	switch there, err := h.isThere(r.Context(), sealed.Address); {
	case err != nil:
		h.unreachable(w, r, m.ID, err)
		return nil, false
	case !there:
		h.serverGone(w, m, digestOf(sealed.ID), nil)
		return nil, false
	}
	s := h.newSession(sealed.ID, sealed.Address,
		wire.SamplingCapability{Declared: sealed.CallerSampling, Tools: sealed.CallerTools},
		wire.SamplingCapability{Declared: sealed.DeclaredSampling, Tools: sealed.DeclaredTools})
	s.name, s.owner, s.version = name, sealed.Owner, sealed.Version
	s.adopted, s.unsure = sealed.Owner != h.replicas.self, true
	s.header = inSession(r.Header, s)
	return s, true
}

// maxForwards bounds how many replicas are tried for one request.
const maxForwards = 8

// isThere reports whether the server still has an address. What has it otherwise
// is somebody else, whom a caller's request must not reach.
func (h *Handler) isThere(ctx context.Context, address string) (bool, error) {
	if address == "" {
		return true, nil
	}
	addresses, err := h.addresses(ctx)
	if err != nil && !noAddress(err) {
		return false, err
	}
	return slices.Contains(addresses, address), nil
}

// nameSession seals the name of a session that has begun here.
func (h *Handler) nameSession(s *session) error {
	name, err := h.opts.Sealer.SealName(seal.Session{
		ID: s.id, Address: s.address, Owner: h.replicas.self, Version: s.version,
		CallerSampling: s.caller.Declared, CallerTools: s.caller.Tools,
		DeclaredSampling: s.declared.Declared, DeclaredTools: s.declared.Tools,
	})
	if err != nil {
		return fmt.Errorf("naming the session: %w", err)
	}
	s.name, s.owner = name, h.replicas.self
	return nil
}

// sessionNamed returns the name of the session that a request is in; empty where
// it is in none. So is what belongs to the stateless era, whatever it names: a
// server of both eras accepts it without a look at the session, so its answer
// says nothing about that. Where the result is false the caller has been
// answered.
func (h *Handler) sessionNamed(w http.ResponseWriter, r *http.Request, m wire.Message) (name string, ok bool) {
	if len(r.Header[wire.HeaderSession]) > 1 {
		// Each reader would take another one.
		fail(w, http.StatusBadRequest, m.ID, codeInvalidRequest, "the request has several "+wire.HeaderSession+" headers: send one")
		return "", false
	}
	if isModern(m, r.Header) {
		return "", true
	}
	return r.Header.Get(wire.HeaderSession), true
}

// inSession returns what of a caller's header goes on to the server in a
// session. The caller cannot have its id taken off on the way, by Connection:
// the server must judge the very session that its answer is held for here.
func inSession(caller http.Header, s *session) http.Header {
	out := endToEnd(caller)
	setSession(out, s.id)
	return out
}

// setSession puts the id of a session into a header, or none if it is empty.
func setSession(header http.Header, id string) {
	if id == "" {
		header.Del(wire.HeaderSession)
		return
	}
	header.Set(wire.HeaderSession, id)
}

// callerHeader puts into out what of a server's response header goes on to the
// caller, who knows the session by its name only.
func callerHeader(out, server http.Header, s *session) {
	for name, values := range server {
		out[name] = values
	}
	removeHopByHop(out)
	out.Del(headerHop)
	out.Del(wire.HeaderAudit)
	if _, named := out[wire.HeaderSession]; named {
		setSession(out, s.name)
		if s.digest != "" {
			out.Set(wire.HeaderAudit, s.digest)
		}
	}
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
// not kept.
func (h *Handler) release(s *session) {
	s.release()
	if h.leaving.Err() != nil {
		h.quiesce(s)
	}
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
