package proxy

import (
	"net/http"
	"slices"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

// steer answers a request of the stateless era so that the caller falls back to
// initialize, where that is configured for a server that asks for sampling in
// sessions only. It reports whether it did.
func (h *Handler) steer(w http.ResponseWriter, r *http.Request, m wire.Message) bool {
	if !h.opts.SteerToSessions || !m.IsRequest() || !isModern(m, r.Header) {
		return false
	}
	if !h.opts.Sampling.Declare(wire.SamplingCapability{}).Declared {
		return false
	}
	unsupported := wire.UnsupportedVersion(r.Header.Get(wire.HeaderVersion))
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusBadRequest)
	_, _ = w.Write(wire.AppendError(nil, m.ID, unsupported)) // a caller that left
	return true
}

// isModern reports whether the server may take m, which came with this header,
// for a message of the stateless era.
func isModern(m wire.Message, header http.Header) bool {
	return slices.ContainsFunc(header[wire.HeaderVersion], wire.IsModernVersion) || m.IsModern()
}
