package proxy

import (
	"bytes"
	"context"
	"net/http"
	"time"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/telemetry"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/tracing"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

// maxLookedAt is how much of a response that passes as it is is looked at for an
// error. What is longer counts as none.
const maxLookedAt = 16 << 10

// operation is one message of a caller, from its arrival to the end of its
// response, for metrics and traces: what the caller asked of us, and within it what
// we asked of the server, once or round by round. It is used by the goroutine of
// the request.
type operation struct {
	http.ResponseWriter
	handler *Handler
	r       *http.Request
	message wire.Message
	begun   time.Time
	version string
	status  int
	// wrong is what went wrong for the caller; empty as long as nothing did.
	wrong string
	// answered is true once the response to the message was seen.
	answered bool
	// elsewhere is true where another replica has got the message, which counts it.
	elsewhere bool
	span      *tracing.Span
	// head is that of a response which is copied.
	head headOf

	// asked is when the server was asked, zero while it is not; the others are of
	// that.
	asked      time.Time
	askedWrong string
	askedSpan  *tracing.Span
}

// operate begins an operation. What it returns is to be used in place of w and r.
// A message that is neither request nor notification is none.
func (h *Handler) operate(w http.ResponseWriter, r *http.Request, m wire.Message) (*operation, *http.Request) {
	o := &operation{ResponseWriter: w, handler: h, r: r, message: m, begun: time.Now()}
	if m.Method != "" {
		o.r, o.span = h.opts.Tracer.Serve(r, m, telemetry.Method(m.Method))
	}
	return o, o.r
}

// Unwrap is for http.ResponseController.
func (o *operation) Unwrap() http.ResponseWriter { return o.ResponseWriter }

// WriteHeader implements http.ResponseWriter.
func (o *operation) WriteHeader(status int) {
	if o.status == 0 {
		o.status = status
	}
	o.ResponseWriter.WriteHeader(status)
}

// in says in which session the operation is, once that is known.
func (o *operation) in(s *session) {
	if o.handler.opts.Telemetry == nil && o.span == nil {
		return
	}
	if _, version := s.latestHeader(); version != "" {
		o.version = version
	}
	o.span.InSession(s.digest, o.version)
}

// ask begins a request to the server, whose header gets the place in the trace.
func (o *operation) ask(header http.Header) {
	o.asked, o.askedWrong = time.Now(), ""
	o.askedSpan = o.handler.opts.Tracer.Ask(o.r.Context(), o.span, o.message, header)
}

// unreachable notes that the server gave no response.
func (o *operation) unreachable() { o.askedWrong = telemetry.ErrorUnreachable }

// heard notes the response to the message.
func (o *operation) heard(m wire.Message) {
	if o == nil {
		return
	}
	o.answered = true
	switch {
	case m.Error != nil:
		o.askedWrong = telemetry.Code(wire.ErrorCode(m.Error))
	case o.message.Method == wire.MethodCallTool && bytes.Contains(m.Result, isError) && wire.IsToolError(m.Result):
		o.askedWrong = telemetry.ErrorTool
	}
}

// forwarded notes that another replica has got the message.
func (o *operation) forwarded() {
	if o != nil {
		o.elsewhere = true
	}
}

// broke notes that the server's response broke off.
func (o *operation) broke() {
	if o != nil {
		o.askedWrong = telemetry.ErrorBroken
	}
}

// look looks for an error in a response that passes as it is.
func (o *operation) look(response []byte) {
	if !bytes.Contains(response, isError) && !bytes.Contains(response, hasError) {
		return
	}
	if m, err := wire.ParseMessage(response); err == nil {
		o.heard(m)
	}
}

var isError, hasError = []byte(`"isError"`), []byte(`"error"`)

// told ends the request to the server that is under way, if one is. status is that
// of its response; 0 where there was none.
func (o *operation) told(status, major int) {
	if o.asked.IsZero() {
		return
	}
	wrong := o.askedWrong
	if wrong == "" {
		wrong = telemetry.Status(status)
	}
	if wrong == "" && status == 0 {
		wrong = telemetry.ErrorUnreachable
	}
	if o.r.Context().Err() != nil && !o.answered && o.message.IsRequest() {
		wrong = telemetry.ErrorCanceled
	}
	o.handler.opts.Telemetry.Asked(telemetry.MCPOperation{
		Method: o.message.Method, Version: o.version, HTTP: major, ErrorType: wrong, Duration: time.Since(o.asked),
	})
	o.askedSpan.End(wrong)
	o.asked, o.askedSpan = time.Time{}, nil
	if o.wrong == "" && wrong != telemetry.ErrorUnreachable {
		o.wrong = wrong // it is the caller's too, unless we made something of it
	}
}

// end ends the operation.
func (o *operation) end() {
	if o.message.Method == "" {
		return
	}
	o.told(o.status, 1)
	if o.wrong == "" {
		o.wrong = telemetry.Status(o.status)
	}
	if !o.elsewhere {
		o.handler.opts.Telemetry.Served(telemetry.MCPOperation{
			Method: o.message.Method, Version: o.version, HTTP: o.r.ProtoMajor, ErrorType: o.wrong, Duration: time.Since(o.begun),
		})
	}
	o.span.End(o.wrong)
}

// operationOf returns the operation that a response belongs to; nil where it
// belongs to none.
func operationOf(w http.ResponseWriter) *operation {
	o, _ := w.(*operation)
	return o
}

// within is the context of a sampling request that belongs to a call; nil where
// nobody knows.
func (h *Handler) within(ctx context.Context, c *call, params []byte) context.Context {
	if c == nil {
		return h.opts.Tracer.Within(ctx, tracing.Of(ctx), params)
	}
	return h.opts.Tracer.Within(ctx, c.place, params)
}

// headOf keeps the first bytes of what is copied.
type headOf struct {
	buffer []byte
	length int
	// more is true where there was no room for all of it.
	more bool
}

func (k *headOf) take(p []byte) {
	n := copy(k.buffer[k.length:], p)
	k.length += n
	k.more = k.more || n < len(p)
}

func (k *headOf) drop() { *k = headOf{} }
