package proxy

import (
	"context"
	"net/http"
)

// serveSSE serves a server of the HTTP+SSE transport.
func (h *Handler) serveSSE(w http.ResponseWriter, r *http.Request) {
	h.plain.ServeHTTP(w, r)
}

// post sends a message of a session to its server.
func (h *Handler) post(ctx context.Context, s *session, header http.Header, body []byte) (*http.Response, error) {
	return h.send(ctx, s.address, http.MethodPost, "", header, body)
}
