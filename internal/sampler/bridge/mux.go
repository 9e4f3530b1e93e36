package bridge

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

// Methods that say where another message belongs.
const (
	methodProgress = "notifications/progress"
	methodListen   = "subscriptions/listen"
	methodTools    = "tools/list"
	metaSubscribed = "io.modelcontextprotocol/subscriptionId"
	metaLogLevel   = "io.modelcontextprotocol/logLevel"
)

// Bounds of one process: of requests that it has not answered, and of its own;
// and of those of one session where several share the process.
const (
	maxCalls        = 1000
	maxAsked        = 1000
	maxSessionCalls = 128
	maxSessionAsked = 128
)

var (
	errDuplicateID  = errors.New("a request with this id is running already in this session: use another id")
	errTooManyCalls = errors.New("too many requests are running")
)

// call is a request of a caller that the process has not answered.
type call struct {
	// session is nil in the stateless era.
	session *session
	// id and token are as the caller wrote them, wireID and wireToken as the
	// process was told.
	id, token         json.RawMessage
	wireID, wireToken json.RawMessage
	method            string
	// logs says that the caller of the stateless era asked for log messages.
	logs bool
	out  *queue
	// left is true when nobody waits for the answer any more, cancelled when the
	// caller has told the process so.
	left, cancelled bool
	// waiting is what the process is told when it is the session's turn; nil when
	// it was.
	waiting []byte
	// answered is told of the answer before the caller gets it; may be nil.
	answered func(wire.Message)
}

// mux connects the callers of one process with it. What it guards by its mutex
// includes the state of its sessions.
type mux struct {
	kind
	process *process
	opts    *Options

	noise, long, doubt rationed

	mu       sync.Mutex
	ended    bool
	lastID   int64
	calls    map[string]*call // by the key of wireID
	order    []*call          // as they began
	tokens   map[string]*call // by wireToken
	running  map[inSession]*call
	sessions []*session // as they began
	// asked are the requests of the process that callers have yet to answer.
	asked map[string]asked
	// initialized says that the process was told so.
	initialized bool
	// unused is since when nobody uses a process of the stateless era; zero while
	// somebody does.
	unused time.Time
	// retired says that the process is to end with its last session; entering
	// counts the callers that are to have one.
	retired  bool
	entering int
	// serial says that sessions take turns; line are the calls that wait for one.
	serial bool
	line   []*call
	ghosts map[string]ghost // by the key of wireID
}

// asked is a request of the process that a session was given.
type asked struct {
	session *session
	id      json.RawMessage
}

// inSession names a running request as its caller does.
type inSession struct {
	session *session
	id      string
}

// kind is what a process is for.
type kind struct {
	// name is what it is called in logs.
	name string
	// rewrite gives it ids and progress tokens of the mux: where it has more than
	// one caller.
	rewrite bool
	// modern is true for the process of the stateless era.
	modern bool
	// quiet holds back what it writes to its standard error.
	quiet bool
	// tools learns from its lists of tools; may be nil.
	tools *toolHeaders
}

// startMux runs the command, and connects what comes from it.
func startMux(o *Options, k kind) (*mux, error) {
	x := &mux{
		opts: o, kind: k,
		calls: map[string]*call{}, tokens: map[string]*call{},
		running: map[inSession]*call{}, asked: map[string]asked{},
	}
	// The process may write before startProcess has returned.
	x.mu.Lock()
	defer x.mu.Unlock()
	p, err := startProcess(o, k.name, k.quiet, x.receive)
	if err != nil {
		return nil, err
	}
	x.process = p
	return x, nil
}

// begin registers a request, and returns the line that the process is to get:
// nil if it gets that later. What comes for it is put into out.
func (x *mux) begin(s *session, m wire.Message, body []byte, out *queue, answered func(wire.Message)) (*call, []byte, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	switch {
	case x.ended || s != nil && s.ended:
		return nil, nil, errEnded
	case len(x.calls) >= maxCalls, x.rewrite && s != nil && x.callsOf(s) >= maxSessionCalls:
		return nil, nil, errTooManyCalls
	}
	c := &call{
		session: s, id: bytes.Clone(m.ID), method: m.Method, out: out, answered: answered,
		token: bytes.Clone(member(m.Params, "_meta", "progressToken")),
		logs:  x.modern && member(m.Params, "_meta", metaLogLevel) != nil,
	}
	if s != nil {
		if x.running[inSession{s, m.Key()}] != nil {
			return nil, nil, errDuplicateID
		}
		x.running[inSession{s, m.Key()}] = c
	}
	c.wireID, c.wireToken = c.id, c.token
	line := oneLine(body)
	if x.rewrite {
		x.lastID++
		c.wireID = strconv.AppendInt(nil, x.lastID, 10)
		params := m.Params
		if c.token != nil {
			c.wireToken = c.wireID
			params = replace(params, c.wireToken, "_meta", "progressToken")
		}
		line = oneLine(request(c.wireID, m.Method, params))
	}
	if x.mustWait(s, m.Method) {
		x.line = append(x.line, c)
		c.waiting, line = line, nil
	}
	x.calls[wire.Message{ID: c.wireID}.Key()] = c
	x.order = append(x.order, c)
	if c.wireToken != nil {
		x.tokens[string(c.wireToken)] = c
	}
	return c, line, nil
}

// callsOf counts the calls of a session. The mutex is held.
func (x *mux) callsOf(s *session) int {
	count := 0
	for _, c := range x.order {
		if c.session == s {
			count++
		}
	}
	return count
}

// askedOf counts the requests of the process that a session has yet to answer.
// The mutex is held.
func (x *mux) askedOf(s *session) int {
	count := 0
	for _, a := range x.asked {
		if a.session == s {
			count++
		}
	}
	return count
}

// request writes a request anew, so that no second member of a name is left in
// it that another reader might prefer.
func request(id json.RawMessage, method string, params json.RawMessage) []byte {
	name, _ := json.Marshal(method) // a string can always be written
	b := append([]byte(`{"jsonrpc":"2.0","id":`), id...)
	b = append(append(b, `,"method":`...), name...)
	if params != nil {
		b = append(append(b, `,"params":`...), params...)
	}
	return append(b, '}')
}

// forget removes a call that was answered, or never reached the process. The
// mutex is held.
func (x *mux) forget(c *call) {
	delete(x.calls, wire.Message{ID: c.wireID}.Key())
	if x.tokens[string(c.wireToken)] == c {
		delete(x.tokens, string(c.wireToken))
	}
	if name := (inSession{c.session, wire.Message{ID: c.id}.Key()}); x.running[name] == c {
		delete(x.running, name)
	}
	same := func(other *call) bool { return other == c }
	x.order = slices.DeleteFunc(x.order, same)
	x.line = slices.DeleteFunc(x.line, same)
	x.grant()
}

// withdraw removes calls whose message could not be sent.
func (x *mux) withdraw(c *call) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.forget(c)
}

// abandon notes that nobody waits for calls any more. In the stateless era that
// cancels them; in a session they go on, and their ids stay taken. What the
// process asked in them can still be answered by the session's stream.
func (x *mux) abandon(calls []*call) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, c := range calls {
		if x.calls[wire.Message{ID: c.wireID}.Key()] != c {
			continue
		}
		c.left = true
		switch {
		case x.modern:
			x.cancel(c)
		case c.waiting != nil: // nobody wants it any more
			x.forget(c)
		case c.cancelled: // there may never be an answer
			x.forget(c)
		}
	}
	x.grant()
	for _, c := range calls {
		for d, ok, _ := c.out.pop(); ok; d, ok, _ = c.out.pop() {
			if d.asked != nil && c.session != nil && !c.session.stream.push(d) {
				x.refuse(d.asked, "the caller does not read its messages")
			}
		}
	}
}

// cancel tells the process that a call is not wanted any more.
func (x *mux) cancel(c *call) {
	x.haunt(c)
	x.forget(c)
	line := fmt.Appendf(nil, `{"jsonrpc":"2.0","method":%q,"params":{"requestId":%s,"reason":"the caller has left"}}`,
		wire.MethodCancelled, c.wireID)
	_ = x.process.send(line) // a process that does not read is not told
}

// notify sends a notification of a caller.
func (x *mux) notify(s *session, m wire.Message, body []byte) error {
	line := oneLine(body)
	x.mu.Lock()
	if x.ended || s != nil && s.ended {
		x.mu.Unlock()
		return errEnded
	}
	switch m.Method {
	case wire.MethodInitialized:
		if x.rewrite && x.initialized {
			x.mu.Unlock()
			return nil
		}
		x.initialized = true
	case wire.MethodCancelled:
		c := x.running[inSession{s, m.CancelledKey()}]
		if c == nil {
			x.mu.Unlock()
			return nil // it was answered meanwhile, or is another caller's
		}
		if c.waiting != nil {
			x.fail(c, "the request was cancelled before it was its turn")
			x.mu.Unlock()
			return nil
		}
		x.haunt(c)
		if c.cancelled = true; c.left {
			x.forget(c)
		}
		x.grant()
		line = replace(line, c.wireID, "params", "requestId")
	}
	x.mu.Unlock()
	return x.process.send(line)
}

// answer sends a caller's answer to a request of the process, if the session
// was asked.
func (x *mux) answer(s *session, m wire.Message, body []byte) error {
	x.mu.Lock()
	mine := x.asked[m.Key()].session == s
	if mine {
		delete(x.asked, m.Key())
	}
	x.mu.Unlock()
	if !mine {
		return nil
	}
	return x.process.send(oneLine(body))
}

// setUnused notes since when nobody uses the process of the stateless era.
func (x *mux) setUnused(since time.Time) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.unused = since
}

// reasonOfEnd is what callers are told of a process that is done.
func (x *mux) reasonOfEnd() string {
	reason := fmt.Sprintf("the server's process has ended (%s): its standard error is in the log of its container", x.process.status)
	if !x.modern {
		reason += "; begin a new session"
	}
	return reason
}

// end fails what runs. It is called when the process is done.
func (x *mux) end(reason string) []*session {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.ended = true
	sessions := x.sessions
	for len(x.order) > 0 {
		x.fail(x.order[0], reason)
	}
	for _, s := range sessions {
		x.leave(s)
	}
	return sessions
}

// fail answers a call with an error. The mutex is held.
func (x *mux) fail(c *call, reason string) {
	x.forget(c)
	answer := wire.AppendError(nil, c.id, &wire.Error{Code: codeUnavailable, Message: reason})
	if c.answered != nil {
		c.answered(wire.Message{ID: c.id, Error: member(answer, "error")})
	}
	c.out.push(delivery{data: answer, answer: true})
}

// join adds a session. It reports false when the process is gone.
func (x *mux) join(s *session) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.ended {
		return false
	}
	x.sessions = append(x.sessions, s)
	return true
}

// leave ends a session: what it runs is cancelled, what it was asked refused.
// The mutex is held. It reports false if it had ended before.
func (x *mux) leave(s *session) bool {
	if s.ended {
		return false
	}
	s.ended = true
	s.idle.Stop()
	s.stream.close()
	for i, other := range x.sessions {
		if other == s {
			x.sessions = append(x.sessions[:i:i], x.sessions[i+1:]...)
			break
		}
	}
	var mine []*call
	for _, c := range x.order {
		if c.session == s {
			mine = append(mine, c)
		}
	}
	for _, c := range mine {
		if x.rewrite && !x.ended && c.waiting == nil && c.method != wire.MethodInitialize {
			x.cancel(c)
		}
		x.fail(c, "the session has ended")
	}
	for key, a := range x.asked {
		if a.session == s {
			delete(x.asked, key)
			x.refuse(a.id, "the caller's session has ended")
		}
	}
	return true
}

// refuse answers a request of the process that no caller can get.
func (x *mux) refuse(id json.RawMessage, reason string) {
	_ = x.process.send(wire.AppendError(nil, id, &wire.Error{Code: codeUnavailable, Message: reason}))
}
