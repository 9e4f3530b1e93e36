package proxy

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// admit reports whether a request is served. Where it is, leave must be called
// at its end; where not, the caller has been answered.
func (h *Handler) admit(w http.ResponseWriter, r *http.Request) bool {
	control := http.NewResponseController(w)
	// The response before this one on the connection has left its deadline.
	_ = control.SetWriteDeadline(time.Time{})
	if origin, ok := h.foreignOrigin(r.Header); ok {
		unread(w, r, control)
		fail(w, http.StatusForbidden, nil, codeInvalidRequest, fmt.Sprintf(
			"requests of web pages from %q are not served: add that origin to spec.allowedOrigins of the MCPServer (allowedOrigins of a sampler's own configuration)", cut(origin)))
		return false
	}
	if most := h.settings().MaxStreams; h.open.Add(1) > int64(most) {
		h.leave()
		if count, ok := h.crowded.take(time.Now()); ok {
			h.opts.Logger.Warn("requests are refused: as many are open as may be", "limit", most, "count", count)
		}
		unread(w, r, control)
		w.Header().Set("Proxy-Status", NoRoom)
		w.Header().Set("Retry-After", "1")
		fail(w, http.StatusServiceUnavailable, nil, codeUnavailable, fmt.Sprintf(
			"the sampler serves %d requests and streams at the same time, and all are in use: try again later", most))
		return false
	}
	return true
}

func (h *Handler) leave() { h.open.Add(-1) }

// foreignOrigin returns the Origin of a request that is not allowed. Only
// browsers send one (specification: basic/transports, security).
func (h *Handler) foreignOrigin(header http.Header) (origin string, foreign bool) {
	origins := header["Origin"]
	if len(origins) == 0 {
		return "", false
	}
	allowed := h.settings().AllowedOrigins
	if slices.Contains(allowed, "*") {
		return "", false
	}
	for _, origin := range origins {
		if origin != "" && !slices.ContainsFunc(allowed, func(known string) bool { return strings.EqualFold(known, origin) }) {
			return origin, true
		}
	}
	return "", false
}

// unread has net/http not wait for the body of a request that is refused.
func unread(w http.ResponseWriter, r *http.Request, control *http.ResponseController) {
	if r.ContentLength == 0 {
		return
	}
	setReadDeadline(control, longAgo)
	if r.ProtoMajor < 2 { // there it would end the other requests' connection
		w.Header().Set("Connection", "close")
	}
}
