package proxy

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

// Codes of the errors that the proxy itself gives.
const (
	codeInvalidRequest = -32600
	// codeUnavailable is of JSON-RPC's range for implementations.
	codeUnavailable = -32000
)

// fail answers a caller with a JSON-RPC error, of the request id if known.
func fail(w http.ResponseWriter, status int, id json.RawMessage, code int, text string) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(wire.AppendError(nil, id, &wire.Error{Code: code, Message: text})) // a caller that left
}

// callerLeft reports whether an exchange ended because nobody waits for it.
func (h *Handler) callerLeft(r *http.Request) bool {
	return r.Context().Err() != nil && h.ctx.Err() == nil
}

// unreachable answers a caller whose request got no response from the server.
func (h *Handler) unreachable(w http.ResponseWriter, r *http.Request, id json.RawMessage, err error) {
	if h.callerLeft(r) {
		panic(http.ErrAbortHandler)
	}
	// The error names addresses: it is for the log, the caller gets less.
	h.opts.Logger.Warn("the server did not answer", "error", err)
	text := fmt.Sprintf("the MCP server %s closed the connection without an answer", h.opts.ServerName)
	var redirect *redirectError
	switch {
	case errors.As(err, &redirect):
		text = fmt.Sprintf("the MCP server %s is not at this path: it redirects to %q, so configure that path", h.opts.ServerName, redirect.path)
	case notReached(err):
		text = fmt.Sprintf("the MCP server %s cannot be reached: check that it is running", h.opts.ServerName)
	}
	fail(w, http.StatusBadGateway, id, codeUnavailable, text)
}

// readBody reads a caller's request whole, which it must be before the server
// may answer. Where it cannot, it has answered the caller.
func (h *Handler) readBody(w http.ResponseWriter, r *http.Request) ([]byte, bool) {
	if r.ContentLength > h.opts.MaxBodyBytes {
		h.tooLarge(w)
		return nil, false
	}
	limited := http.MaxBytesReader(w, r.Body, h.opts.MaxBodyBytes)
	body, err := readAll(limited, r.ContentLength)
	var over *http.MaxBytesError
	switch {
	case errors.As(err, &over):
		h.tooLarge(w)
		return nil, false
	case err != nil:
		fail(w, http.StatusBadRequest, nil, codeInvalidRequest, "the request body broke off")
		return nil, false
	}
	return body, true
}

func (h *Handler) tooLarge(w http.ResponseWriter) {
	w.Header().Set("Connection", "close")
	fail(w, http.StatusRequestEntityTooLarge, nil, codeInvalidRequest,
		fmt.Sprintf("the request body is larger than %d bytes", h.opts.MaxBodyBytes))
}

// readAll reads r in one allocation where its size is known.
func readAll(r io.Reader, size int64) ([]byte, error) {
	if size < 0 {
		return io.ReadAll(r)
	}
	body := make([]byte, size)
	_, err := io.ReadFull(r, body)
	return body, err
}

func panicType(p any) string { return fmt.Sprintf("%T", p) }
