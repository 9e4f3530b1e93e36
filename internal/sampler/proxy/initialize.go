package proxy

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

// maxInitializeResult bounds an initialize result that is read for its version.
// A larger one passes, and its version stays unknown.
const maxInitializeResult = 1 << 20

// maxServerSession is what callers' names of sessions have room for.
const maxServerSession = 4 << 10

// serveInitialize carries an initialize request with the sampling capability
// put in, and begins the session that the server opens.
func (h *Handler) serveInitialize(w *operation, r *http.Request, m wire.Message, body []byte, held *holding) {
	if !keepable(w, r, m.ID) {
		return
	}
	if h.sessions.full() {
		h.noRoom(w, m)
		return
	}
	if !held.take(int64(len(body))) { // it is copied
		h.noMemory(w, m.ID)
		return
	}
	body, caller, declared := h.declare(m, body)
	header := endToEnd(r.Header)
	setSession(header, "") // of a session that it may be to replace
	w.ask(header)
	resp, address, err := h.sendFirst(r.Context(), http.MethodPost, r.URL.RawQuery, header, body)
	if err != nil {
		w.unreachable()
		h.unreachable(w, r, m.ID, err)
		return
	}
	defer resp.Body.Close()
	defer w.told(resp.StatusCode, resp.ProtoMajor)
	answered := resp.Header

	id := answered.Get(wire.HeaderSession)
	if id == "" || resp.StatusCode >= http.StatusBadRequest {
		id = ""
	}
	s := h.newSession(id, address, caller, declared)
	s.name = ""
	begun := false
	begin := func() {
		begun = true
		w.in(s)
		s.noteCORS(header, answered)
		h.begin(s, header)
	}
	defer func() {
		if !begun {
			s.end()
		}
	}()
	in := &inspector{handler: h, session: s, call: s.beginCall(m, header)}
	in.call.op, in.call.place = w, w.span.Context()
	defer s.endCall(in.call, true)
	if isEventStream(resp.Header) {
		// The name is in the header, before the version is known.
		if s.id != "" && !h.named(w, r, m, s) {
			return
		}
		in.onResponse = func(result wire.Message) {
			if s.id != "" && result.Error == nil {
				s.setVersion(wire.ResultProtocolVersion(result.Result))
				begin()
			}
		}
		h.relay(w, r, resp, in).finish()
		return
	}
	// The session must be known here before the caller learns of it.
	head, err := io.ReadAll(io.LimitReader(resp.Body, maxInitializeResult))
	if err != nil {
		h.unreachable(w, r, m.ID, fmt.Errorf("reading the initialize result: %w", err))
		return
	}
	result, err := wire.ParseMessage(head)
	if err != nil {
		result = wire.Message{} // too long to be read whole
	}
	if s.id != "" && result.Error == nil {
		s.setVersion(wire.ResultProtocolVersion(result.Result))
		if !h.named(w, r, m, s) {
			return
		}
		begin()
	}
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(head), resp.Body), resp.Body}
	h.relay(w, r, resp, in).finish()
}

// named gives a session its name. Where it cannot have one the caller has been
// answered.
func (h *Handler) named(w http.ResponseWriter, r *http.Request, m wire.Message, s *session) bool {
	err := h.nameSession(s)
	if err == nil {
		return true
	}
	h.opts.Logger.Warn("a session cannot be named", "session", s.digest, "error", err)
	fail(w, http.StatusBadGateway, m.ID, codeUnavailable,
		fmt.Sprintf("the MCP server %s gave a session id that is too long: use one of at most %d bytes", h.opts.ServerName, maxServerSession))
	return false
}

// declare puts the sampling capability into an initialize request. It returns
// what the caller declares and what the server is told.
func (h *Handler) declare(m wire.Message, body []byte) (patched []byte, caller, declared wire.SamplingCapability) {
	caller = wire.InitializeSampling(m.Params)
	declared = h.opts.Sampling.Declare(caller)
	if declared == caller {
		return body, caller, declared
	}
	patched, err := wire.DeclareSampling(body, declared)
	if err != nil {
		// Not what the specification says, so the server is to refuse it.
		h.opts.Logger.Debug("initialize goes on as it came", "error", err)
		return body, caller, caller
	}
	return patched, caller, declared
}

// sendFirst sends the first request of a session to one of the server's
// addresses, and to another one where that cannot be reached. The session stays
// where it began.
func (h *Handler) sendFirst(ctx context.Context, method, query string, header http.Header, body []byte) (*http.Response, string, error) {
	addresses, err := h.addresses(ctx)
	if err != nil {
		return nil, "", err
	}
	for _, address := range addresses {
		var resp *http.Response
		resp, err = h.send(ctx, address, method, query, header, body)
		if err == nil {
			return resp, address, nil
		}
		if !notReached(err) {
			break
		}
	}
	return nil, "", err
}

// begin stores a session that the server has opened and begins to listen.
func (h *Handler) begin(s *session, header http.Header) {
	s.accept(header)
	gone, ok := h.sessions.put(s)
	for _, other := range gone {
		h.letGo(other)
	}
	if !ok {
		// The room was taken since it was looked for. The session goes on, taken
		// over again with the caller's next request.
		s.end()
		return
	}
	s.release() // the exchange under way is over before the caller's next
	s.listener.start()
}
