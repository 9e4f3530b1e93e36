package proxy

import (
	"encoding/json"
	"net/http"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

// steer answers a request of the stateless era so that the caller falls back
// to initialize, where the server is to have sampling: a caller and a server
// that know both eras would else agree on the one in which sampling is not
// served here, and the server's tools would fail. It reports whether it did.
// A server that has refused initialize is left in its era.
func (h *Handler) steer(w http.ResponseWriter, r *http.Request, m wire.Message) bool {
	version := r.Header.Get(headerVersion)
	if h.modernOnly.Load() || !m.IsRequest() || !m.IsModern(version) {
		return false
	}
	if !h.opts.Sampling.Declare(wire.SamplingCapability{}).Declared {
		return false
	}
	unsupported := wire.UnsupportedVersion(version)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusBadRequest)
	_, _ = w.Write(wire.AppendError(nil, m.ID, unsupported)) // a caller that left
	return true
}

// learnEra notes a server that refuses the session era.
func (h *Handler) learnEra(result wire.Message) {
	if result.Error == nil {
		return
	}
	var failure wire.Error
	if json.Unmarshal(result.Error, &failure) == nil && failure.Code == wire.CodeUnsupportedVersion {
		h.modernOnly.Store(true)
		h.opts.Logger.Warn("the server serves the stateless era only: its sampling is not answered")
	}
}
