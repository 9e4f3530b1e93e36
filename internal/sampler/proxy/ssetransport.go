package proxy

import "net/http"

// serveSSE serves a server of the HTTP+SSE transport.
func (h *Handler) serveSSE(w http.ResponseWriter, r *http.Request) {
	h.plain.ServeHTTP(w, r)
}
