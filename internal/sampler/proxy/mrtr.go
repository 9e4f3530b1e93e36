package proxy

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/seal"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

const (
	// maxRounds bounds how often one request goes to the server, and
	// maxEmptyRounds how often in a row because it asks for nothing but that.
	maxRounds      = 32
	maxEmptyRounds = 3
	// firstPause is what a server gets that asks to be asked again; twice as
	// much each time.
	firstPause = 100 * time.Millisecond
	// drainTime is how long a server's stream may go on after its response, so
	// that the connection can be used again.
	drainTime = 50 * time.Millisecond

	// methodListen opens a stream of notifications that never ends by itself.
	methodListen = "subscriptions/listen"
)

// exchange is one request of the stateless era, with all its rounds.
type exchange struct {
	handler *Handler
	w       http.ResponseWriter
	r       *http.Request
	op      *operation
	// session is that of this request alone: it holds what the request says.
	session *session
	said    wire.Stateless
	// params are the caller's.
	params json.RawMessage
	call   *call
	// held is the memory of all this; sentBytes of it are of the request that is
	// with the server, if that is not the caller's, and roundBytes of the round.
	held                  *holding
	sentBytes, roundBytes int64
	// helps is whether a server that asks to be asked again is asked here.
	helps bool

	// id and key are those of the request that is with the server. They are the
	// caller's until it is renewed.
	id      json.RawMessage
	key     string
	renewed bool
	// answered is true once the response to that request came; round is what it
	// asks for, if that is not the caller's alone: what is answered here and what
	// is not.
	answered     bool
	round        *wire.Round
	ours, theirs []wire.Input
	// served is the header of the server's newest response.
	served http.Header
	// out is the caller's event stream once there is one.
	out *callerWriter
}

// run carries the request to the server, and again with what the server asks
// for, until there is something for the caller.
func (x *exchange) run(body []byte) {
	if !wire.TakesRounds(x.call.method) {
		x.pass(body)
		return
	}
	defer func() {
		if x.out != nil {
			x.out.end()
		}
	}()
	body, ok := x.resume(body)
	empty := 0
	for n := 1; ok; n++ {
		if n > maxRounds {
			x.endless("asks for input without end")
			x.refuse(wire.CodeInternal, fmt.Sprintf("the MCP server %s asked for input %d times to serve this call, and still does", x.handler.opts.ServerName, maxRounds))
			return
		}
		if empty > maxEmptyRounds {
			x.endless("asks to be asked again without end")
			x.refuse(wire.CodeInternal, fmt.Sprintf("the MCP server %s asked %d times in a row to be asked again: try again later", x.handler.opts.ServerName, empty))
			return
		}
		if empty > 0 && !x.pause(firstPause<<(empty-1)) {
			x.leave()
			return
		}
		body, ok = x.once(body)
		if len(x.ours) == 0 {
			empty++
		} else {
			empty = 0
		}
	}
}

// endless logs that a server does not come to an end; not for each call.
func (x *exchange) endless(what string) {
	if count, ok := x.session.complaints.endless.take(time.Now()); ok {
		x.handler.opts.Logger.Warn("the server does not finish a call", "reason", what, "method", x.call.method, "count", count)
	}
}

// pass carries a request that never takes more than one round.
func (x *exchange) pass(body []byte) {
	h := x.handler
	if x.call.method == methodListen {
		// Such a stream never ends by itself: callers open it anew elsewhere.
		if h.leaving.Err() != nil {
			shuttingDown(x.w, x.call.id)
			return
		}
		ctx, cancel := context.WithCancel(x.r.Context())
		defer cancel()
		defer context.AfterFunc(h.leaving, cancel)()
		x.r = x.r.WithContext(ctx)
	}
	resp, err := x.send(body)
	if err != nil {
		x.op.unreachable()
		h.unreachable(x.w, x.r, x.call.id, err)
		return
	}
	defer resp.Body.Close()
	if x.call.method == methodListen {
		resp.Body = &leavingBody{ReadCloser: resp.Body, leaving: h.leaving}
	}
	h.relay(x.w, x.r, resp, x.inspector()).finish()
}

// once carries the request to the server. It returns what to send next, or false
// where the caller has been answered.
func (x *exchange) once(body []byte) (next []byte, again bool) {
	resp, err := x.send(body)
	if err != nil {
		x.op.unreachable()
		x.op.told(0, 1)
		x.unreachable(err)
		return nil, false
	}
	defer resp.Body.Close()
	defer x.op.told(resp.StatusCode, resp.ProtoMajor) // where it was not told before
	x.round, x.ours, x.theirs, x.answered = nil, nil, nil, false
	x.held.give(x.roundBytes)
	x.roundBytes = 0
	x.served = resp.Header
	if isEventStream(resp.Header) {
		x.receiveStream(resp)
	} else {
		x.receiveResult(resp)
	}
	x.op.told(resp.StatusCode, resp.ProtoMajor)
	round := x.round
	switch {
	case round == nil:
		return nil, false
	case len(x.theirs) > 0, len(x.ours) == 0 && !(x.helps && len(round.Inputs) == 0):
		x.passOn(resp, round)
		return nil, false
	}
	var responses json.RawMessage
	if len(x.ours) > 0 {
		answers, ok := x.answer(x.ours)
		if !ok {
			return nil, false
		}
		if responses, err = wire.MergeResponses(nil, answers); err != nil {
			x.refuse(wire.CodeInternal, err.Error())
			return nil, false
		}
	}
	drain(resp.Body)
	x.id = json.RawMessage(`"mcp-sampling-` + rand.Text() + `"`)
	x.key, x.renewed = wire.Message{ID: x.id}.Key(), true
	return x.retry(body, x.id, responses, round.State)
}

func (x *exchange) send(body []byte) (*http.Response, error) {
	x.op.ask(x.call.header)
	return x.handler.send(x.r.Context(), x.session.address, http.MethodPost, x.r.URL.RawQuery, x.call.header, body)
}

// resume returns the request with what was kept for it in a state of ours, where
// the caller brings one back.
func (x *exchange) resume(body []byte) (resumed []byte, ok bool) {
	if name, found := wire.SamplingResponse(x.params); found && x.helps && x.handler.opts.Sampling.Takes(x.session.view(), nil) {
		// Else a caller could answer in the model's place, past the policy.
		x.refuse(wire.CodeInvalidParams, fmt.Sprintf("inputResponses answers the sampling request %q, which was not sent to this caller: leave that answer out", cut(name)))
		return nil, false
	}
	text := wire.Text(x.said.State)
	if !seal.IsState(text) {
		return body, true
	}
	kept, err := x.unseal(text)
	if err != nil {
		x.refuse(wire.CodeInvalidParams, err.Error())
		return nil, false
	}
	x.call.asked.Store(int64(kept.asked))
	answers, ok := x.answer(kept.pending)
	if !ok {
		return nil, false
	}
	responses := x.said.InputResponses
	if len(answers) > 0 {
		if responses, err = wire.MergeResponses(responses, answers); err != nil {
			x.refuse(wire.CodeInvalidParams, err.Error())
			return nil, false
		}
	}
	return x.retry(body, nil, responses, kept.state)
}

func (x *exchange) retry(body []byte, id, responses, state json.RawMessage) ([]byte, bool) {
	size := int64(len(body) + len(responses) + len(state))
	if !x.held.take(size) {
		x.noMemory()
		return nil, false
	}
	next, err := wire.Retry(body, id, responses, state)
	if err != nil {
		x.refuse(wire.CodeInvalidParams, err.Error())
		return nil, false
	}
	x.held.give(x.sentBytes)
	x.sentBytes = size
	return next, true
}

// asks notes what a response asks for, where that is not the caller's alone. The
// memory of the result is its user's own.
func (x *exchange) asks(m wire.Message) bool {
	m.Result = slices.Clone(m.Result)
	if m.Result == nil || !wire.TakesRounds(x.call.method) {
		return false
	}
	round, ok := wire.ReadRound(m.Result)
	if !ok {
		return false
	}
	var ours, theirs []wire.Input
	for _, input := range round.Inputs {
		if input.Method == wire.MethodSampling && x.handler.opts.Sampling.Takes(x.session.view(), input.Params) {
			ours = append(ours, input)
		} else {
			theirs = append(theirs, input)
		}
	}
	again := x.helps && len(round.Inputs) == 0
	// A server's state that looks like ours would be taken for ours when it comes
	// back, so it is sealed too, as is one with which the sampling of before would be
	// forgotten.
	if len(ours) == 0 && !again && !seal.IsState(wire.Text(round.State)) && x.call.asked.Load() == 0 {
		return false
	}
	x.round, x.ours, x.theirs = round, ours, theirs
	x.roundBytes = int64(len(m.Result))
	x.held.owe(x.roundBytes)
	return true
}

// passOn gives the caller what is to be answered there, with a state that keeps
// what is not.
func (x *exchange) passOn(resp *http.Response, round *wire.Round) {
	state, err := x.seal(kept{state: round.State, asked: int(x.call.asked.Load()), pending: x.ours})
	if err != nil {
		x.refuse(wire.CodeInternal, err.Error())
		return
	}
	result, err := round.With(x.theirs, state)
	if err != nil {
		x.refuse(wire.CodeInternal, err.Error())
		return
	}
	x.deliver(resp, wire.AppendResult(nil, x.call.id, result))
}

// pause waits, and reports whether there is still somebody to wait for.
func (x *exchange) pause(d time.Duration) bool {
	defer x.waiting()()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-x.r.Context().Done():
		return false
	}
}

// waiting is called before what takes long. Until what it returns is called, the
// caller's stream is kept alive; one that has none yet gets one, which load
// balancers between do not take for dead.
func (x *exchange) waiting() (over func()) {
	if x.out != nil {
		x.out.wait()
		return x.out.woken
	}
	if !strings.Contains(strings.Join(x.r.Header["Accept"], ","), "text/event-stream") {
		return func() {}
	}
	var mu sync.Mutex
	var isOver bool
	var out *callerWriter
	timer := time.AfterFunc(x.handler.opts.KeepAlive, func() {
		mu.Lock()
		defer mu.Unlock()
		if isOver {
			return
		}
		header := x.w.Header()
		x.allowOrigin(header)
		header.Set("Content-Type", "text/event-stream")
		header.Set("Cache-Control", "no-store")
		header.Set("X-Accel-Buffering", "no")
		out = newCallerWriter(x.w, x.handler.opts.WriteTimeout)
		out.keepAlive = x.handler.opts.KeepAlive
		out.begin(http.StatusOK)
		out.wait()
	})
	return func() {
		timer.Stop()
		mu.Lock()
		defer mu.Unlock()
		isOver = true
		if out != nil {
			out.woken()
			x.out = out
		}
	}
}

// allowOrigin gives a response of ours what the server says to a browser.
func (x *exchange) allowOrigin(header http.Header) {
	for name, values := range x.served {
		if name == "Vary" || strings.HasPrefix(name, "Access-Control-") {
			header[name] = values
		}
	}
}

// drain reads what is left of a response whose end is likely to be there.
func drain(body io.ReadCloser) {
	timer := time.AfterFunc(drainTime, func() { body.Close() })
	defer timer.Stop()
	_, _ = io.CopyN(io.Discard, body, 64<<10)
}
