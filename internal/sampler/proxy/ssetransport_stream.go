package proxy

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/seal"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/sse"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

// maxLead bounds what a server may send before it names its endpoint.
const maxLead = 64 << 10

// errEndpointLate is why a stream ends on which no endpoint came in time.
var errEndpointLate = errors.New("no endpoint event came in time")

// serveSSEStream opens the server's stream for a caller, and a session with it.
func (h *Handler) serveSSEStream(w http.ResponseWriter, r *http.Request) {
	if !keepable(w, r, nil) {
		return
	}
	if h.sessions.full() {
		h.noRoom(w, wire.Message{})
		return
	}
	ctx, end := context.WithCancelCause(r.Context())
	defer end(nil)
	header := endToEnd(r.Header)
	header.Del(wire.HeaderSession)
	resp, address, err := h.sendFirst(ctx, http.MethodGet, r.URL.RawQuery, header, nil)
	if err != nil {
		h.unreachable(w, r, nil, err)
		return
	}
	defer resp.Body.Close()
	if resp.StatusCode >= http.StatusMultipleChoices || !isEventStream(resp.Header) {
		none := h.newSession("", address, noCapability, noCapability)
		h.relay(w, r, resp, &inspector{handler: h, session: none}).finish()
		return
	}
	body, err := decoded(resp)
	if err != nil {
		h.noEndpoint(w, r, err)
		return
	}
	out := newCallerWriter(w, h.opts.WriteTimeout)
	events := sse.NewScanner(flushReader{body, out}, h.settings().MaxEventBytes)
	timer := time.AfterFunc(h.opts.EndpointTimeout, func() { end(errEndpointLate) })
	lead, named, err := awaitEndpoint(events)
	if !timer.Stop() && err == nil {
		err = errEndpointLate
	}
	if err != nil {
		if errors.Is(context.Cause(ctx), errEndpointLate) {
			err = errEndpointLate
		}
		h.noEndpoint(w, r, err)
		return
	}
	s, err := h.beginSSE(address, named.Data, end)
	if err != nil {
		h.noEndpoint(w, r, err)
		return
	}
	h.relaySSE(ctx, w, r, resp, sseStream{
		session: s, header: header, out: out, events: events, lead: lead, fields: keep(nil, named),
	})
}

// awaitEndpoint reads a stream up to the event that names the endpoint. lead is
// what came before it.
func awaitEndpoint(events *sse.Scanner) (lead []byte, named *sse.Event, err error) {
	for {
		e, err := events.Next()
		switch {
		case err != nil:
			return nil, nil, fmt.Errorf("waiting for the endpoint event: %w", err)
		case len(e.Data) > 0 && e.Type == "endpoint":
			return lead, e, nil
		case len(e.Data) > 0 && (e.Type == "" || e.Type == "message"):
			return nil, nil, errors.New("a message came before the endpoint event")
		case len(lead)+len(e.Raw) > maxLead:
			return nil, nil, fmt.Errorf("no endpoint event within the first %d bytes", maxLead)
		}
		lead = append(lead, e.Raw...)
	}
}

// beginSSE begins the session of a stream on which the server has named its
// endpoint.
func (h *Handler) beginSSE(address string, named []byte, end context.CancelCauseFunc) (*session, error) {
	endpoint, err := h.endpointOf(address, named)
	if err != nil {
		return nil, err
	}
	name, err := h.opts.Sealer.SealName(seal.Session{ID: endpoint.RequestURI(), Address: address, Owner: h.opts.Self})
	if err != nil {
		return nil, fmt.Errorf("naming the session: %w", err)
	}
	s := h.newSession(name, address, noCapability, noCapability)
	s.listener = nil // the stream is the caller's
	s.sse = &sseSession{end: end, endpoint: endpoint, running: map[*call]func(){}}
	return s, nil
}

// endpointOf returns where messages of a session go: the path and query that the
// server named. Its host counts for nothing, as a server can name any; it is
// the one that the stream comes from.
func (h *Handler) endpointOf(address string, named []byte) (*url.URL, error) {
	text := strings.TrimSpace(string(named))
	found, err := h.opts.Upstream.Parse(text)
	if err != nil || text == "" || found.Opaque != "" || !strings.HasPrefix(found.Path, "/") {
		return nil, fmt.Errorf("the endpoint event names no URL: %q", cut(text))
	}
	endpoint := *h.opts.Upstream
	endpoint.Path, endpoint.RawPath = found.Path, found.RawPath
	endpoint.RawQuery = strings.ReplaceAll(found.RawQuery, " ", "%20") // which would end the request line's URL
	if address != "" {
		endpoint.Host = address
	}
	return &endpoint, nil
}

// NoEndpoint is the Proxy-Status (RFC 9209) of a failure because the server's
// stream does not begin as one of the HTTP+SSE transport.
const NoEndpoint = "mcp-sampler; error=http_protocol_error"

// noEndpoint answers a caller whose stream did not begin as it must.
func (h *Handler) noEndpoint(w http.ResponseWriter, r *http.Request, err error) {
	if h.callerLeft(r) {
		panic(http.ErrAbortHandler)
	}
	h.opts.Logger.Warn("the server's stream does not begin with an endpoint", "error", err)
	w.Header().Set("Proxy-Status", NoEndpoint)
	fail(w, http.StatusBadGateway, nil, codeUnavailable,
		fmt.Sprintf("the MCP server %s did not begin its stream with an endpoint event: check that it speaks the HTTP+SSE transport at this path", h.opts.ServerName))
}

// sseStream is a stream on which the endpoint has been named.
type sseStream struct {
	session *session
	// header is the caller's.
	header http.Header
	out    *callerWriter
	events *sse.Scanner
	// lead is what came before the endpoint.
	lead []byte
	// fields are the id and retry fields of the event that named it.
	fields []byte
}

// relaySSE carries the server's stream to the caller. The session ends with it.
func (h *Handler) relaySSE(ctx context.Context, w http.ResponseWriter, r *http.Request, resp *http.Response, stream sseStream) {
	s, out := stream.session, stream.out
	defer h.end(s)
	gone, ok := h.sessions.put(s)
	for _, other := range gone {
		h.letGo(other)
	}
	if !ok {
		h.noRoom(w, wire.Message{})
		return
	}
	defer s.release()
	// What ends the session ends its stream.
	defer context.AfterFunc(s.ctx, func() { s.sse.end(errSessionEnded) })()
	s.accept(stream.header)

	callerHeader(w.Header(), resp.Header, s)
	for _, name := range []string{wire.HeaderSession, "Content-Length", "Content-Encoding"} {
		w.Header().Del(name)
	}
	w.Header().Set(wire.HeaderAudit, s.digest)
	defer out.end()
	out.keepAlive = h.opts.KeepAlive
	out.begin(resp.StatusCode)
	first := fmt.Appendf(stream.lead, "event: endpoint\n%sdata: %s?%s=%s\n\n",
		stream.fields, h.opts.Upstream.EscapedPath(), sessionParameter, s.name)
	_, err := out.Write(first)
	if err == nil {
		s.sse.attach(out)
		defer s.sse.attach(nil) // before out ends
		err = h.relayScanned(ctx, out, stream.events, h.inspectorOf(s))
	}
	h.endSSE(ctx, r, stream, err).finish()
}

// inspectorOf returns the inspector of the one stream that a session has.
func (h *Handler) inspectorOf(s *session) *inspector {
	return &inspector{
		handler: h, session: s,
		onEvent: func(e *sse.Event) bool {
			if e.Type != "endpoint" {
				return false
			}
			// Another one is for this session too; callers keep the name that they have.
			if endpoint, err := h.endpointOf(s.address, e.Data); err == nil {
				s.sse.setEndpoint(endpoint)
			}
			return true
		},
		onAnswer: func(m wire.Message) func() {
			c := s.sse.find(m.Key())
			if c == nil {
				return nil
			}
			if c.method == wire.MethodInitialize && m.Result != nil {
				s.setVersion(wire.ResultProtocolVersion(m.Result))
			}
			return func() { s.sse.finish(c) }
		},
	}
}

// endSSE tells the caller of the calls that nobody will answer any more, and
// ends them.
func (h *Handler) endSSE(ctx context.Context, r *http.Request, stream sseStream, err error) outcome {
	s := stream.session
	cause := context.Cause(ctx) // before the end of the session is one
	h.end(s)
	unanswered := s.sse.unanswered()
	defer func() {
		for _, c := range unanswered {
			s.sse.finish(c)
		}
	}()
	switch {
	case h.callerLeft(r):
		return outcome{over: true}
	case errors.Is(cause, errLeaving), errors.Is(cause, errSessionEnded) && h.ctx.Err() == nil:
		err = nil // ended here
	case err != nil:
		h.opts.Logger.Warn("a stream of the server broke off", "session", s.digest, "error", err)
	}
	text := fmt.Sprintf("the MCP server %s ended its stream before it answered", h.opts.ServerName)
	switch {
	case errors.Is(err, sse.ErrTooLarge):
		text = fmt.Sprintf("the MCP server sent a message larger than %d bytes", h.settings().MaxEventBytes)
	case h.ctx.Err() != nil:
		text = "the sampler is shutting down"
	}
	for _, c := range unanswered {
		(&inspector{call: c}).writeError(stream.out, text)
	}
	s.sse.attach(nil)
	stream.out.flush()
	return outcome{over: true, broken: err != nil}
}
