package proxy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/sse"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/telemetry"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

func (x *exchange) inspector() *inspector {
	return &inspector{handler: x.handler, session: x.session, call: x.call, exchange: x}
}

// receiveStream passes the server's notifications on as they come, and the
// response, unless that asks for something.
func (x *exchange) receiveStream(resp *http.Response) {
	body, err := decoded(resp)
	if err != nil {
		x.handler.opts.Logger.Warn("the server's event stream passes without a look at it", "error", err)
		x.passUnread(resp, nil)
		return
	}
	if x.out == nil {
		x.out = newCallerWriter(x.w, x.handler.opts.WriteTimeout)
		header := x.w.Header()
		callerHeader(header, resp.Header, x.session)
		header.Del("Content-Length")
		header.Del("Content-Encoding")
		x.out.keepAlive = x.handler.opts.KeepAlive
		x.out.begin(resp.StatusCode)
	}
	err = x.handler.relayEvents(x.r.Context(), x.out, untilRound{body, x}, x.inspector())
	switch {
	case x.round != nil:
		x.out.flush()
	case x.answered, x.handler.callerLeft(x.r):
	case errors.Is(err, sse.ErrTooLarge):
		x.refuse(wire.CodeInternal, x.tooLargeText())
	case x.renewed:
		x.handler.opts.Logger.Warn("a stream of the server ended without a response", "error", err)
		x.refuse(wire.CodeInternal, fmt.Sprintf("the MCP server %s ended its stream without a response", x.handler.opts.ServerName))
	case err != nil:
		x.handler.opts.Logger.Warn("a stream of the server broke off", "error", err)
		x.out.flush()
		outcome{broken: true}.finish()
	}
}

// untilRound reads a stream until its response asks for something.
type untilRound struct {
	io.Reader
	x *exchange
}

func (u untilRound) Read(p []byte) (int, error) {
	if u.x.round != nil {
		return 0, io.EOF
	}
	return u.Reader.Read(p)
}

// take reports whether an event does not go to the caller as it is.
func (x *exchange) take(e *sse.Event) bool {
	m, err := wire.ParseMessage(e.Data)
	if err != nil {
		return false
	}
	switch {
	case m.IsRequest() && m.Method == wire.MethodSampling:
		return x.takeRequest(m)
	case x.answered || !m.IsResponse() || m.Key() != x.key:
		return false
	}
	x.answered = true
	x.op.heard(m)
	if wire.MayAskForInput(m.Result) {
		if x.asks(m) {
			return true
		}
	}
	if !x.renewed {
		return false
	}
	message, err := wire.RestoreID(e.Data, x.call.id)
	if err != nil {
		return false
	}
	if e.HasRetry {
		_, _ = fmt.Fprintf(x.out, "retry: %d\n", e.Retry.Milliseconds())
	}
	// A caller that left is noticed by its context.
	_ = sse.NewWriter(x.out).WriteEvent(e.Type, e.ID, message)
	e.HasID, e.HasRetry = false, false // they have gone on
	return true
}

// takeRequest drops a sampling request: in this era a server must not send one,
// and there is nowhere to send an answer.
func (x *exchange) takeRequest(m wire.Message) bool {
	if !x.handler.opts.Sampling.Takes(x.session.view(), m.Params) {
		return false
	}
	if count, ok := x.session.complaints.misplaced.take(time.Now()); ok {
		x.handler.opts.Logger.Warn("the server sent a sampling request to a caller of the stateless era, where it must ask in the result of the call: serve its callers in sessions", "count", count)
	}
	return true
}

// receiveResult passes a response on that is no stream, unless it asks for
// something.
func (x *exchange) receiveResult(resp *http.Response) {
	buffer := copyBuffers.Get().(*[]byte)
	defer copyBuffers.Put(buffer)
	held := x.handler.newHold()
	defer held.end()
	data, whole, err := readResult(resp.Body, *buffer, x.handler.settings().MaxEventBytes, held)
	if err != nil {
		x.unreachable(fmt.Errorf("reading the result: %w", err))
		return
	}
	message, readable := data, whole
	if resp.Header.Get("Content-Encoding") != "" && whole {
		message, readable = x.decode(resp, data, held)
	}
	if !readable {
		x.passUnread(resp, data)
		return
	}
	x.op.look(message)
	if x.out == nil && !x.renewed && !wire.MayAskForInput(message) {
		x.write(resp, data, false)
		return
	}
	m, err := wire.ParseMessage(message)
	isResponse := err == nil && (m.Result != nil || m.Error != nil)
	if isResponse && m.Key() == x.key {
		x.answered = true
		if wire.MayAskForInput(m.Result) {
			if x.asks(m) {
				return
			}
		}
		if x.renewed {
			if restored, err := wire.RestoreID(message, x.call.id); err == nil {
				x.deliver(resp, restored)
				return
			}
		}
	}
	switch {
	case x.out == nil:
		x.write(resp, data, false)
	case isResponse:
		x.deliver(resp, message)
	default:
		x.refuse(wire.CodeInternal, fmt.Sprintf("the MCP server %s answered HTTP %d", x.handler.opts.ServerName, resp.StatusCode))
	}
}

// readResult reads a body into the buffer, or a larger one. It stops above most
// bytes, and where there is no memory for more.
func readResult(body io.Reader, buffer []byte, most int, held *holding) (data []byte, whole bool, err error) {
	data = buffer[:0]
	for len(data) <= most {
		if len(data) == cap(data) {
			size := min(4*max(cap(data), 512), max(most, cap(data))+1)
			if !held.take(int64(size - cap(data))) {
				return data, false, nil
			}
			data = append(make([]byte, 0, size), data...)
		}
		n, err := body.Read(data[len(data):cap(data)])
		data = data[:len(data)+n]
		if errors.Is(err, io.EOF) {
			return data, len(data) <= most, nil
		}
		if err != nil {
			return nil, false, err
		}
	}
	return data, false, nil
}

// decode returns the bytes of a compressed result; false where they cannot be
// read, or are too many.
func (x *exchange) decode(resp *http.Response, data []byte, held *holding) ([]byte, bool) {
	copied := *resp
	copied.Body = io.NopCloser(bytes.NewReader(data))
	reader, err := decoded(&copied)
	if err != nil {
		return nil, false
	}
	message, whole, err := readResult(reader, nil, x.handler.settings().MaxEventBytes, held)
	return message, err == nil && whole
}

// passUnread passes a response on that cannot be looked at, of which head has
// been read. Where that cannot be, as it has another id than the caller's
// request, the caller gets an error.
func (x *exchange) passUnread(resp *http.Response, head []byte) {
	if x.renewed || x.out != nil {
		x.refuse(wire.CodeInternal, x.tooLargeText()+", or than there is memory for, or one in an unknown encoding")
		return
	}
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(head), resp.Body), resp.Body}
	x.handler.relay(x.w, x.r, resp, x.inspector()).finish()
}

func (x *exchange) tooLargeText() string {
	return fmt.Sprintf("the MCP server %s sent a message larger than %d bytes", x.handler.opts.ServerName, x.handler.settings().MaxEventBytes)
}

// deliver gives the caller a message in place of the server's response.
func (x *exchange) deliver(resp *http.Response, message []byte) {
	if x.out == nil {
		x.write(resp, message, true)
		return
	}
	x.event(message)
}

// event writes a message to the caller's stream. A caller that left is noticed
// by its context.
func (x *exchange) event(message []byte) {
	_ = sse.NewWriter(x.out).WriteEvent("message", "", message)
	x.out.flush()
}

// write gives the caller the server's response with this body, which may be
// another one than the server's.
func (x *exchange) write(resp *http.Response, body []byte, replaced bool) {
	header := x.w.Header()
	callerHeader(header, resp.Header, x.session)
	if replaced {
		header.Del("Content-Encoding")
		header.Set("Content-Length", strconv.Itoa(len(body)))
	}
	out := newCallerWriter(x.w, x.handler.opts.WriteTimeout)
	defer out.end()
	out.WriteHeader(resp.StatusCode)
	if len(body) > 0 {
		_, _ = out.Write(body) // a caller that left
	}
}

// refuse fails the caller's request.
func (x *exchange) refuse(code int, text string) {
	if x.r.Context().Err() != nil {
		x.leave()
		return
	}
	if x.out != nil {
		x.op.wrong = telemetry.Code(code)
		x.event(wire.AppendError(nil, x.call.id, &wire.Error{Code: code, Message: text}))
		return
	}
	x.allowOrigin(x.w.Header())
	// A status of its own would say something of the server's era.
	fail(x.w, http.StatusOK, x.call.id, code, text)
}

// noMemory refuses to go on because of what other requests hold.
func (x *exchange) noMemory() {
	if x.out == nil {
		x.handler.noMemory(x.w, x.call.id)
		return
	}
	x.refuse(codeUnavailable, x.handler.noMemoryText())
}

// unreachable fails the request of a caller where the server gave no response.
func (x *exchange) unreachable(err error) {
	if x.out == nil {
		x.handler.unreachable(x.w, x.r, x.call.id, err)
		return
	}
	x.handler.opts.Logger.Warn("the server did not answer", "error", err)
	x.refuse(codeUnavailable, fmt.Sprintf("the MCP server %s could not be asked again: check that it is running", x.handler.opts.ServerName))
}

// leave ends an exchange whose caller left, or whose sampler ends.
func (x *exchange) leave() {
	switch {
	case x.handler.callerLeft(x.r):
	case x.out != nil:
		x.event(wire.AppendError(nil, x.call.id, &wire.Error{Code: codeUnavailable, Message: "the sampler is shutting down: try again"}))
	default:
		shuttingDown(x.w, x.call.id)
	}
}
