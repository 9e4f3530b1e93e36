package bridge

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/sse"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

// exchange is a POST with requests and what comes for them.
type exchange struct {
	bridge *Bridge
	mux    *mux
	out    *queue
	calls  []*call
	// expected counts the answers that have not come.
	expected int
	batch    bool
	// header sets what the response has beside its type; may be nil.
	header func(http.Header)
	// status is the status of a single answer; nil means 200.
	status func(answer []byte) int
}

// send sends one request, whose answer will come to the exchange.
func (ex *exchange) send(s *session, m wire.Message, body []byte, answered func(wire.Message)) error {
	c, line, err := ex.mux.begin(s, m, body, ex.out, answered)
	if err != nil {
		return err
	}
	if line != nil { // else it waits for its turn
		if err := ex.mux.process.send(line); err != nil {
			ex.mux.withdraw(c)
			return err
		}
	}
	ex.calls = append(ex.calls, c)
	ex.expected++
	return nil
}

// refuse answers a request of a batch that was not sent.
func (ex *exchange) refuse(id json.RawMessage, err error) {
	e := &wire.Error{Code: codeUnavailable, Message: err.Error()}
	if errors.Is(err, errDuplicateID) {
		e.Code = codeInvalidRequest
	}
	ex.expected++
	ex.out.push(delivery{data: wire.AppendError(nil, id, e), answer: true})
}

// respond writes what comes: as JSON if that is nothing but the answers, else
// as a stream of events. It reports whether all was answered; if not, the
// caller has left.
func (ex *exchange) respond(w http.ResponseWriter, r *http.Request) bool {
	if !ex.deliver(w, r) {
		ex.mux.abandon(ex.calls)
		return false
	}
	return true
}

func (ex *exchange) deliver(w http.ResponseWriter, r *http.Request) bool {
	var (
		held      [][]byte
		heldBytes int
		events    *eventStream
	)
	stream := func() error {
		if events != nil {
			return nil
		}
		events = ex.bridge.startEvents(w, ex.header)
		for _, answer := range held {
			if err := events.write(answer); err != nil {
				return err
			}
		}
		held = nil
		return nil
	}
	for ex.expected > 0 {
		d, err := next(r.Context(), ex.out, ex.bridge.opts.times.keepAlive)
		switch {
		case errors.Is(err, errSilent):
			if stream() != nil || events.comment() != nil {
				return false
			}
			continue
		case err != nil:
			return false
		case d.last: // over without an answer
			return stream() == nil
		}
		if d.answer {
			ex.expected--
		}
		room := len(held) == 0 || heldBytes+len(d.data) <= ex.bridge.opts.MaxMessageBytes
		if d.answer && events == nil && room {
			held = append(held, d.data)
			heldBytes += len(d.data)
			continue
		}
		if stream() != nil || events.write(d.data) != nil {
			return false
		}
	}
	if events == nil {
		return ex.writeJSON(w, held)
	}
	return true
}

func (ex *exchange) writeJSON(w http.ResponseWriter, answers [][]byte) bool {
	w.Header().Set("Content-Type", typeJSON)
	w.Header().Set("Cache-Control", "no-store")
	if ex.header != nil {
		ex.header(w.Header())
	}
	body := answers[0]
	if ex.batch {
		body = []byte{'['}
		for i, answer := range answers {
			if i > 0 {
				body = append(body, ',')
			}
			body = append(body, answer...)
		}
		body = append(body, ']')
	} else if ex.status != nil {
		w.WriteHeader(ex.status(body))
	}
	_, err := w.Write(body)
	return err == nil
}

// errSilent says that nothing came for a while.
var errSilent = errors.New("nothing came")

// errOver says that nothing will come.
var errOver = errors.New("nothing more will come")

// next waits for the next message of q.
func next(ctx context.Context, q *queue, patience time.Duration) (delivery, error) {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		d, ok, more := q.pop()
		switch {
		case ok:
			return d, nil
		case !more:
			return delivery{}, errOver
		}
		select {
		case <-q.ready:
		case <-timer.C:
			return delivery{}, errSilent
		case <-ctx.Done():
			return delivery{}, ctx.Err()
		}
	}
}

// eventStream is a response of server-sent events that has begun.
type eventStream struct {
	writer     *sse.Writer
	response   http.ResponseWriter
	controller *http.ResponseController
}

// writeTimeout is how long a caller may take to read one event.
const writeTimeout = time.Minute

func (b *Bridge) startEvents(w http.ResponseWriter, header func(http.Header)) *eventStream {
	h := w.Header()
	h.Set("Content-Type", typeEvents)
	h.Set("Cache-Control", "no-cache, no-transform")
	h.Set("X-Accel-Buffering", "no")
	if header != nil {
		header(h)
	}
	w.WriteHeader(http.StatusOK)
	e := &eventStream{writer: sse.NewWriter(w), response: w, controller: http.NewResponseController(w)}
	_ = e.controller.Flush() // the next write says the same
	return e
}

func (e *eventStream) write(message []byte) error {
	defer e.limit()()
	if err := e.writer.WriteEvent("message", "", message); err != nil {
		return err
	}
	return e.controller.Flush()
}

// comment writes what keeps a silent connection from being cut.
func (e *eventStream) comment() error {
	defer e.limit()()
	if _, err := e.response.Write([]byte(": still here\n\n")); err != nil {
		return err
	}
	return e.controller.Flush()
}

// limit bounds the time of a write until the function that it returns is
// called: the limit is the connection's, and would outlive the response.
func (e *eventStream) limit() (lift func()) {
	_ = e.controller.SetWriteDeadline(time.Now().Add(writeTimeout)) // not every response has one
	return func() { _ = e.controller.SetWriteDeadline(time.Time{}) }
}
