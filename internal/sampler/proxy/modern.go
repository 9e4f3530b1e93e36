package proxy

import (
	"fmt"
	"net/http"
	"slices"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

// serveModern carries one request of the stateless era. It is in no session, so
// it says itself what the caller can do, and what the server asks for comes as
// the result of the request.
func (h *Handler) serveModern(w *operation, r *http.Request, m wire.Message, body []byte, held *holding) {
	said := wire.ReadStateless(m)
	if contradiction := contradicts(r.Header, m, said); contradiction != "" {
		fail(w, http.StatusBadRequest, m.ID, wire.CodeHeaderMismatch, contradiction)
		return
	}
	declared := said.Sampling
	if said.Capable { // else the server is to refuse it
		declared = h.opts.Sampling.Declare(said.Sampling)
	}
	if declared != said.Sampling {
		if !held.take(int64(len(body))) { // it is copied
			h.noMemory(w, m.ID)
			return
		}
		patched, err := wire.DeclareStateless(body, declared)
		if err != nil {
			// Not what the specification says, so the server is to refuse it.
			h.opts.Logger.Debug("a request goes on as it came", "error", err)
			declared = said.Sampling
		} else {
			body = patched
		}
	}
	s := h.newSession("", "", said.Sampling, declared)
	s.setVersion(said.Version)
	w.in(s)
	header := endToEnd(r.Header)
	// The name of a session of the other era means nothing here, and is nothing
	// that a server knows.
	header.Del(wire.HeaderSession)
	x := &exchange{
		handler: h, w: w, r: r, op: w, session: s, said: said, params: m.Params, held: held,
		call: &call{id: m.ID, key: m.Key(), method: m.Method, header: header, op: w, place: w.span.Context()},
		id:   m.ID, key: m.Key(),
		// Without a policy nothing is done in the caller's place.
		helps: h.opts.Sampling.Declare(wire.SamplingCapability{}).Declared,
	}
	x.run(body)
}

// contradicts says where the header of a request is not what its body says,
// which the specification has everybody refuse who acts upon the body: else one
// who reads headers could be told something else. What is missing is the
// server's to judge.
func contradicts(header http.Header, m wire.Message, said wire.Stateless) string {
	differs := func(name, body string, same func(string) bool) string {
		if slices.ContainsFunc(header[name], func(value string) bool { return !same(value) }) {
			return fmt.Sprintf("header mismatch: the header %s is not %q, which the body says", name, cut(body))
		}
		return ""
	}
	if said.Version != "" {
		if text := differs(wire.HeaderVersion, said.Version, func(v string) bool { return v == said.Version }); text != "" {
			return text
		}
	}
	if text := differs(wire.HeaderMethod, m.Method, func(v string) bool { return v == m.Method }); text != "" {
		return text
	}
	if said.HasName {
		return differs(wire.HeaderName, said.Name, func(v string) bool {
			decoded, err := wire.DecodeHeader(v)
			return v == said.Name || err == nil && decoded == said.Name
		})
	}
	return ""
}
