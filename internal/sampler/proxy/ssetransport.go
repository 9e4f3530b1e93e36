package proxy

import (
	"context"
	"net/http"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

// serveSSE serves a server of the HTTP+SSE transport of 2024-11-05: GET opens a
// stream, on which everything comes from the server, and with it a session; what
// goes to the server is posted to the endpoint that the stream names.
func (h *Handler) serveSSE(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodGet:
		h.serveSSEStream(w, r)
	case http.MethodPost:
		h.servePost(w, r)
	default:
		h.plain.ServeHTTP(w, r)
	}
}

// post sends an answer to the server of a session.
func (h *Handler) post(ctx context.Context, s *session, header http.Header, body []byte) (*http.Response, error) {
	if s.sse == nil {
		return h.send(ctx, s.address, http.MethodPost, "", header, body)
	}
	header.Del(wire.HeaderSession)
	return h.sendTo(ctx, s.sse.target(""), http.MethodPost, header, body)
}

// noCapability is what nobody has declared yet.
var noCapability wire.SamplingCapability
