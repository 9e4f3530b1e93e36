package bridge

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

const (
	typeJSON   = "application/json"
	typeEvents = "text/event-stream"
)

// Codes of the errors that the bridge itself gives.
const (
	codeParse          = -32700
	codeInvalidRequest = -32600
	// codeUnavailable is of JSON-RPC's range for implementations.
	codeUnavailable = -32000
)

// ServeHTTP serves the endpoint.
func (b *Bridge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != b.opts.Path {
		http.Error(w, "MCP is served at "+b.opts.Path, http.StatusNotFound)
		return
	}
	switch r.Method {
	case http.MethodPost:
		b.post(w, r)
	case http.MethodGet, http.MethodDelete:
		if wire.IsModernVersion(r.Header.Get(wire.HeaderVersion)) {
			w.Header().Set("Allow", http.MethodPost)
			http.Error(w, "this version of the protocol has no sessions", http.StatusMethodNotAllowed)
			return
		}
		s := b.sessionOf(w, r, nil)
		switch {
		case s == nil:
		case r.Method == http.MethodDelete:
			b.leave(s)
			w.WriteHeader(http.StatusNoContent)
		default:
			b.get(w, r, s)
		}
	default:
		w.Header().Set("Allow", "GET, POST, DELETE")
		http.Error(w, "use POST, GET or DELETE", http.StatusMethodNotAllowed)
	}
}

// fail answers with a JSON-RPC error, of the request id if known.
func fail(w http.ResponseWriter, status int, id json.RawMessage, code int, text string) {
	failWith(w, status, id, &wire.Error{Code: code, Message: text})
}

func failWith(w http.ResponseWriter, status int, id json.RawMessage, e *wire.Error) {
	w.Header().Set("Content-Type", typeJSON)
	w.Header().Set("Cache-Control", "no-store")
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	w.WriteHeader(status)
	_, _ = w.Write(wire.AppendError(nil, id, e)) // a caller that left
}

// refuse answers a request that cannot be served now, with what err says.
func refuse(w http.ResponseWriter, id json.RawMessage, err error) {
	if errors.Is(err, errFull) || errors.Is(err, errSessions) {
		w.Header().Set("Proxy-Status", NoRoom)
	}
	switch {
	case errors.Is(err, errDuplicateID):
		fail(w, http.StatusBadRequest, id, codeInvalidRequest, err.Error())
	case errors.Is(err, errNotInitialized):
		fail(w, http.StatusGatewayTimeout, id, codeUnavailable, err.Error())
	case errors.Is(err, errEnded):
		fail(w, http.StatusNotFound, id, codeUnavailable, "the session has ended: begin a new one with initialize")
	case errors.Is(err, errBusy), errors.Is(err, errTooManyCalls), errors.Is(err, errDraining), errors.Is(err, errFull), errors.Is(err, errSessions):
		fail(w, http.StatusServiceUnavailable, id, codeUnavailable, err.Error())
	default:
		fail(w, http.StatusBadGateway, id, codeUnavailable, "the server's process could not be started: the log of its container says why")
	}
}

// sessionOf returns the session that a request names. If there is none it
// answers the request.
func (b *Bridge) sessionOf(w http.ResponseWriter, r *http.Request, id json.RawMessage) *session {
	name := r.Header.Get(wire.HeaderSession)
	if name == "" {
		fail(w, http.StatusBadRequest, id, codeInvalidRequest, "the header "+wire.HeaderSession+" is missing: begin a session with initialize")
		return nil
	}
	s := b.session(name)
	if s == nil {
		fail(w, http.StatusNotFound, id, codeUnavailable, "there is no such session, or it has ended: begin a new one with initialize")
	}
	return s
}

// accepts reports whether a caller takes a media type. One that does not say
// takes any.
func accepts(h http.Header, mediaType string) bool {
	values := h.Values("Accept")
	if len(values) == 0 {
		return true
	}
	major, _, _ := strings.Cut(mediaType, "/")
	for part := range strings.SplitSeq(strings.Join(values, ","), ",") {
		name, _, _ := strings.Cut(part, ";")
		switch strings.ToLower(strings.TrimSpace(name)) {
		case mediaType, major + "/*", "*/*":
			return true
		}
	}
	return false
}

// readBody reads the messages of a POST. If it cannot it answers the request.
func (b *Bridge) readBody(w http.ResponseWriter, r *http.Request) ([]byte, bool) {
	if !accepts(r.Header, typeJSON) || !accepts(r.Header, typeEvents) {
		fail(w, http.StatusNotAcceptable, nil, codeInvalidRequest, "the header Accept must name "+typeJSON+" and "+typeEvents)
		return nil, false
	}
	if mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || mediaType != typeJSON {
		fail(w, http.StatusUnsupportedMediaType, nil, codeInvalidRequest, "the header Content-Type must be "+typeJSON)
		return nil, false
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, int64(b.opts.MaxMessageBytes)))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		fail(w, http.StatusRequestEntityTooLarge, nil, codeInvalidRequest,
			fmt.Sprintf("the message is longer than the %d bytes that are allowed", b.opts.MaxMessageBytes))
		return nil, false
	case err != nil:
		panic(http.ErrAbortHandler) // the caller has left
	case !json.Valid(body):
		fail(w, http.StatusBadRequest, nil, codeParse, "the body is not valid JSON")
		return nil, false
	}
	return body, true
}
