package proxy

import (
	"net/http"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

// serveModern carries one request of the stateless era.
func (h *Handler) serveModern(w http.ResponseWriter, r *http.Request, m wire.Message, body []byte) {
	h.serveMessage(w, r, m, body, true)
}
