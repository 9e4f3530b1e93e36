package bridge

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

// receive takes one line of the process.
func (x *mux) receive(line []byte, tooLong bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	switch {
	case tooLong:
		x.tooLong(line)
	case !json.Valid(line):
		x.noise.warn(x.opts.Log, "the server wrote something to its standard output that is no JSON: it was skipped", "process", x.process.name)
	case isBatch(line):
		messages, err := splitBatch(line)
		if err != nil {
			x.noise.warn(x.opts.Log, "the server wrote a batch that cannot be read: it was skipped", "process", x.process.name, "error", err)
			return
		}
		for _, message := range messages {
			x.route(message)
		}
	default:
		x.route(bytes.Clone(line))
	}
}

// tooLong lets nobody wait for a message that was skipped.
func (x *mux) tooLong(beginning []byte) {
	x.long.warn(x.opts.Log, "the server wrote a message that is too long: it was skipped",
		"process", x.process.name, "maxBytes", x.opts.MaxMessageBytes)
	id, method := peek(beginning)
	reason := fmt.Sprintf("a message of the server is longer than the %d bytes that are allowed", x.opts.MaxMessageBytes)
	answered := x.calls[wire.Message{ID: id}.Key()]
	switch {
	case method != "" && id != nil:
		x.refuse(id, reason)
	case method != "": // a notification is lost
	case answered != nil && id != nil:
		x.fail(answered, reason)
	default: // it could be the answer to any
		waits := func(c *call) bool { return c.waiting != nil }
		for _, c := range slices.DeleteFunc(slices.Clone(x.order), waits) {
			x.haunt(c) // all but one run on
			x.fail(c, reason)
		}
	}
}

// route sends one message of the process where it belongs.
func (x *mux) route(data []byte) {
	m, err := wire.ParseMessage(data)
	switch {
	case err != nil:
		x.noise.warn(x.opts.Log, "the server wrote something that is no JSON-RPC message: it was skipped", "process", x.process.name)
	case m.IsResponse():
		x.routeAnswer(m, data)
	case m.IsRequest() && m.Method == wire.MethodPing && x.rewrite:
		// A shared process asks whether anybody is there. The bridge is.
		_ = x.process.send(wire.AppendResult(nil, m.ID, json.RawMessage(`{}`)))
	case m.IsRequest():
		x.routeRequest(m, data)
	case m.IsNotification():
		x.routeNotification(m, data)
	default:
		x.noise.warn(x.opts.Log, "the server answered nothing that was asked: it was skipped", "process", x.process.name)
	}
}

func (x *mux) routeAnswer(m wire.Message, data []byte) {
	c := x.calls[m.Key()]
	delete(x.ghosts, m.Key())
	if c == nil {
		return // of a call that has failed or was cancelled
	}
	x.forget(c)
	if c.answered != nil {
		c.answered(m)
	}
	if c.method == methodTools && x.tools != nil && m.Result != nil {
		x.tools.learn(m.Result)
	}
	if x.rewrite {
		data = restored(c.id, m)
	}
	if !c.left {
		c.out.push(delivery{data: data, answer: true})
	}
}

// restored writes an answer with the id that the caller knows.
func restored(id json.RawMessage, m wire.Message) []byte {
	if m.Error == nil {
		return wire.AppendResult(nil, id, m.Result)
	}
	b := append([]byte(`{"jsonrpc":"2.0","id":`), id...)
	b = append(append(b, `,"error":`...), m.Error...)
	return append(b, '}')
}

// routeRequest finds a caller that can answer a request of the process.
func (x *mux) routeRequest(m wire.Message, data []byte) {
	if x.modern {
		x.refuse(m.ID, "in this version of the protocol servers return an input_required result and send no requests")
		return
	}
	if len(x.asked) >= maxAsked {
		x.refuse(m.ID, "too many requests of the server wait for an answer")
		return
	}
	s, reason := x.askedSession(m)
	switch {
	case reason != "":
		x.refuse(m.ID, reason)
		return
	case x.rewrite && x.askedOf(s) >= maxSessionAsked:
		x.refuse(m.ID, "too many requests of the server wait for an answer of this caller")
		return
	}
	if !x.queueFor(s, true).push(delivery{data: data, asked: m.ID}) {
		x.refuse(m.ID, "the caller does not read its messages")
		return
	}
	x.asked[m.Key()] = asked{session: s, id: m.ID}
}

// queueFor returns where in a session a message goes that names no call: to the
// only one that runs, else to the session's stream. A request that would find
// nobody on that stream goes to the oldest call.
func (x *mux) queueFor(s *session, request bool) *queue {
	var mine []*call
	for _, c := range x.order {
		if c.session == s && !c.left && c.waiting == nil {
			mine = append(mine, c)
		}
	}
	if len(mine) == 1 || len(mine) > 1 && request && !s.streaming {
		return mine[0].out
	}
	return s.stream
}

func (x *mux) routeNotification(m wire.Message, data []byte) {
	switch m.Method {
	case methodProgress:
		token := member(m.Params, "progressToken")
		if c := x.tokens[string(token)]; c != nil && token != nil {
			if x.rewrite {
				data = replace(data, c.token, "params", "progressToken")
			}
			if !c.left {
				c.out.push(delivery{data: data})
			}
			return
		}
		if x.rewrite {
			return
		}
	case wire.MethodCancelled:
		if x.routeCancelled(m, data) || x.rewrite {
			return
		}
	}
	switch {
	case x.modern:
		x.routeModern(m, data)
	case !x.rewrite || !concernsAll(m.Method):
		if s := x.toldSession(m); s != nil {
			x.queueFor(s, false).push(delivery{data: data})
		}
	default:
		for _, s := range x.sessions {
			s.stream.push(delivery{data: data})
		}
	}
}

// routeCancelled reports whether it knew what the process has cancelled: a
// request of its own, or a subscription.
func (x *mux) routeCancelled(m wire.Message, data []byte) bool {
	if c := x.calls[m.CancelledKey()]; x.modern && c != nil && c.method == methodListen {
		x.forget(c)
		c.out.push(delivery{last: true})
		return true
	}
	s := x.asked[m.CancelledKey()].session
	if s == nil {
		return false
	}
	delete(x.asked, m.CancelledKey())
	x.queueFor(s, true).push(delivery{data: data})
	return true
}

// routeModern sends a notification to the subscription that it names, else to
// the only call whose caller asked for log messages.
func (x *mux) routeModern(m wire.Message, data []byte) {
	if id := member(m.Params, "_meta", metaSubscribed); id != nil {
		if c := x.calls[wire.Message{ID: id}.Key()]; c != nil && c.method == methodListen {
			c.out.push(delivery{data: replace(data, c.id, "params", "_meta", metaSubscribed)})
		}
		return
	}
	others := slices.DeleteFunc(slices.Clone(x.order), func(c *call) bool { return c.method == methodListen })
	if len(others) == 1 && others[0].logs {
		others[0].out.push(delivery{data: data})
	}
}

// concernsAll reports whether a notification says something of the server, and
// nothing of one caller.
func concernsAll(method string) bool {
	switch method {
	case "notifications/tools/list_changed", "notifications/prompts/list_changed",
		"notifications/resources/list_changed", "notifications/resources/updated":
		return true
	}
	return false
}
