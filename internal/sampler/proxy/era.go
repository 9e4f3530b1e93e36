package proxy

import (
	"encoding/json"
	"net/http"
	"slices"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

// steer answers a request of the stateless era so that the caller falls back
// to initialize, where the server is to have sampling: a caller and a server
// that know both eras would else agree on the one in which sampling is not
// served here, and the server's tools would fail. It reports whether it did.
// A server that has refused the session era is left in its own.
func (h *Handler) steer(w http.ResponseWriter, r *http.Request, m wire.Message) bool {
	if !h.opts.SteerToSessions || h.modernOnly.Load() || !m.IsRequest() || !isModern(m, r.Header) {
		return false
	}
	if !h.opts.Sampling.Declare(wire.SamplingCapability{}).Declared {
		return false
	}
	unsupported := wire.UnsupportedVersion(r.Header.Get(headerVersion))
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusBadRequest)
	_, _ = w.Write(wire.AppendError(nil, m.ID, unsupported)) // a caller that left
	return true
}

// isModern reports whether the server may take m, which came with this header,
// for a message of the stateless era.
func isModern(m wire.Message, header http.Header) bool {
	return m.IsModern("") || slices.ContainsFunc(header[headerVersion], m.IsModern)
}

// learnEra draws from the answer to an initialize request which eras the server
// serves. Any caller can have one refused. So the session era counts as refused
// only where the request was of that era and the server names no version of it,
// and only until the server grants it to somebody.
func (h *Handler) learnEra(result wire.Message, ofSessionEra bool) {
	switch {
	case result.Error == nil && result.Result == nil: // not read
	case result.Error == nil:
		h.modernOnly.Store(false)
	case ofSessionEra && refusesSessionEra(result.Error) && !h.modernOnly.Swap(true):
		h.opts.Logger.Warn("the server serves the stateless era only: its sampling is not answered")
	}
}

// refusesSessionEra reports whether an error says so.
func refusesSessionEra(failure json.RawMessage) bool {
	var e wire.Error
	if json.Unmarshal(failure, &e) != nil || e.Code != wire.CodeUnsupportedVersion {
		return false
	}
	var data struct {
		Supported []string `json:"supported"`
	}
	if len(e.Data) > 0 && json.Unmarshal(e.Data, &data) != nil {
		return false
	}
	return !slices.ContainsFunc(data.Supported, func(version string) bool {
		return slices.Contains(wire.LegacyVersions(), version)
	})
}
