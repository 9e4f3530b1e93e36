package proxy

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/telemetry"
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
	if op := operationOf(w); op != nil {
		op.wrong = telemetry.Code(code)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	body := wire.AppendError(nil, id, &wire.Error{Code: code, Message: text})
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // a caller that left
}

// callerLeft reports whether an exchange ended because nobody waits for it.
func (h *Handler) callerLeft(r *http.Request) bool {
	return r.Context().Err() != nil && h.ctx.Err() == nil
}

// Proxy-Status (RFC 9209) of failures to reach the server, by which the sampler
// tells its own word from a server's.
const (
	// NoPods: the server's host has no address, as that of a server which is
	// scaled to zero.
	NoPods = "mcp-sampler; error=destination_unavailable"
	// NoName: the server's host cannot be looked up.
	NoName = "mcp-sampler; error=dns_error"
	// BadCertificate: the server's certificate is not trusted.
	BadCertificate = "mcp-sampler; error=tls_certificate_error"
	// Redirected: the server is somewhere else than configured.
	Redirected = "mcp-sampler; error=proxy_configuration_error"
)

// unreachable answers a caller whose request got no response from the server.
func (h *Handler) unreachable(w http.ResponseWriter, r *http.Request, id json.RawMessage, err error) {
	if h.callerLeft(r) {
		panic(http.ErrAbortHandler)
	}
	// The error names addresses: it is for the log, the caller gets less.
	h.opts.Logger.Warn("the server did not answer", "error", err)
	text := fmt.Sprintf("the MCP server %s closed the connection without an answer", h.opts.ServerName)
	var redirect *redirectError
	var dns *net.DNSError
	var header *headerError
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.As(err, &header):
		// Where the value should be is no caller's business.
		text = fmt.Sprintf("the sampler does not reach the MCP server %s: a header that the server wants has no value here; the sampler's log says which", h.opts.ServerName)
	case errors.As(err, &certificate):
		w.Header().Set("Proxy-Status", BadCertificate)
		text = fmt.Sprintf("the certificate of the MCP server %s is not trusted: check its name and the CA bundle", h.opts.ServerName)
	case noAddress(err) && h.opts.External:
		w.Header().Set("Proxy-Status", NoName)
		text = fmt.Sprintf("the host name of the MCP server %s has no address: check its URL", h.opts.ServerName)
	case noAddress(err):
		w.Header().Set("Proxy-Status", NoPods)
		fail(w, http.StatusServiceUnavailable, id, codeUnavailable,
			fmt.Sprintf("the MCP server %s has no running pods: its host name has no address", h.opts.ServerName))
		return
	case errors.As(err, &dns):
		w.Header().Set("Proxy-Status", NoName)
		text = fmt.Sprintf("the address of the MCP server %s cannot be looked up: check DNS", h.opts.ServerName)
	case errors.As(err, &redirect):
		w.Header().Set("Proxy-Status", Redirected)
		text = fmt.Sprintf("the MCP server %s is not at the configured address: it redirects to another one, which the sampler's log shows", h.opts.ServerName)
		if redirect.path != "" {
			text = fmt.Sprintf("the MCP server %s is not at this path: it redirects to %q, so configure that path", h.opts.ServerName, redirect.path)
		}
	case notReached(err):
		text = fmt.Sprintf("the MCP server %s cannot be reached: check that it is running", h.opts.ServerName)
	}
	fail(w, http.StatusBadGateway, id, codeUnavailable, text)
}

func panicType(p any) string { return fmt.Sprintf("%T", p) }
