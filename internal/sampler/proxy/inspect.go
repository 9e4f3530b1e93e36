package proxy

import (
	"context"
	"encoding/json"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/sse"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

// inspector decides for the events of one stream of the server which ones the
// caller does not get. It is used by one goroutine.
type inspector struct {
	handler *Handler
	session *session
	// call is the one that the stream answers; nil for a GET stream.
	call *call
	// resumed is true for a stream that may bring again what was sent before.
	resumed bool
	// onResponse is told the response to the call before the caller gets it.
	onResponse func(wire.Message)
	// onEvent, where set, sees each event first; what it takes goes no further.
	// A stream of the HTTP+SSE transport names its endpoint so.
	onEvent func(*sse.Event) (taken bool)
	// onAnswer, where set, is told each response on a stream that many calls share,
	// and returns what is to be run when it has been written.
	onAnswer func(wire.Message) (passed func())
	// exchange is that of a stream of the stateless era, which has rules of its own;
	// nil for others.
	exchange *exchange
	// answered is true once that response came.
	answered bool
	// passed, where set, is run when the event looked at last has been written.
	passed func()
	// refuse, where set, tells the server that the sampling request looked at last
	// is refused. The stream is not read further before that.
	refuse func(context.Context)
}

// take reports whether the event was taken off the stream.
func (in *inspector) take(e *sse.Event) bool {
	if len(e.Data) == 0 {
		return false
	}
	if in.onEvent != nil && in.onEvent(e) {
		return true
	}
	if in.exchange != nil {
		taken := in.exchange.take(e)
		if in.exchange.answered && !in.answered {
			in.answered, in.passed = true, func() {}
		}
		return taken
	}
	m, err := wire.ParseMessage(e.Data)
	if err != nil {
		return false // a batch, or what is not a message, is between the peers
	}
	switch {
	case m.IsRequest() && m.Method == wire.MethodSampling:
		return in.takeSampling(m, e)
	case m.IsRequest():
		in.session.passOn(m.Key())
	case m.Method == wire.MethodCancelled:
		// The caller does not know the id, or knows it for something else.
		key := m.CancelledKey()
		return key != "" && in.session.cancelledByServer(key)
	case m.IsResponse() && in.call != nil && m.Key() == in.call.key:
		in.answered = true
		in.call.op.heard(m)
		if in.onResponse != nil {
			in.onResponse(m)
		}
		// Sampling of a call that is over ends when the caller has the result,
		// even if the server keeps the stream open.
		in.passed = func() { in.session.endCall(in.call, true) }
	case m.IsResponse() && in.onAnswer != nil:
		in.passed = in.onAnswer(m)
	}
	return false
}

// takeSampling decides about one sampling request, and has it answered.
func (in *inspector) takeSampling(m wire.Message, e *sse.Event) bool {
	if !json.Valid(e.Data) {
		return false
	}
	if !in.handler.opts.Sampling.Takes(in.session.view(), m.Params) {
		in.session.passOn(m.Key())
		return false
	}
	eventID := ""
	if e.HasID {
		eventID = e.ID
	}
	if in.session.take(m.Key(), eventID, in.resumed) {
		in.refuse = in.handler.answer(in.session, in.call, m)
	}
	return true
}

// settle delivers the refusal of the sampling request that was looked at last.
func (in *inspector) settle(ctx context.Context) {
	in.refuse(ctx)
	in.refuse = nil
}

// writeError gives the call an error in place of what cannot be passed on.
func (in *inspector) writeError(out *callerWriter, text string) {
	failure := wire.AppendError(nil, in.call.id, &wire.Error{Code: wire.CodeInternal, Message: text})
	// A caller that left needs no error.
	_ = sse.NewWriter(out).WriteEvent("message", "", failure)
	out.flush()
}
