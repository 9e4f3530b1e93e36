package bridge

import (
	"slices"
	"strings"
	"time"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

// What a process that several sessions share asks names no session: the caller
// whose request it works for can only be known where there is one such caller.
// So the bridge refuses what could be for two, and from then on lets the
// sessions of that process take turns.

// ghostTime is how long a call that was cancelled, and may run on all the same,
// counts among those that a message of the process can belong to.
const ghostTime = time.Minute

// ghost is a call that nobody waits for and the process has not answered.
type ghost struct {
	session *session
	method  string
	until   time.Time
}

// mayAsk reports whether a server may ask its caller something to answer a
// request of a method. Those that it may not tell what a server has, or change
// what it tells.
func mayAsk(method string) bool {
	switch method {
	case wire.MethodInitialize, wire.MethodPing, "logging/setLevel", "resources/subscribe", "resources/unsubscribe", "tasks/get", "tasks/cancel":
		return false
	}
	return !strings.HasSuffix(method, "/list")
}

// anyMethod counts all calls.
func anyMethod(string) bool { return true }

// callers returns the sessions whose calls the process may work at, of those
// methods that counts says; also of calls that nobody waits for. The mutex is
// held.
func (x *mux) callers(counts func(method string) bool) []*session {
	var found []*session
	add := func(s *session, method string) {
		if counts(method) && !slices.Contains(found, s) {
			found = append(found, s)
		}
	}
	for _, c := range x.order {
		if c.waiting == nil && !c.cancelled { // else it is a ghost
			add(c.session, c.method)
		}
	}
	now := time.Now()
	for key, g := range x.ghosts {
		if now.After(g.until) {
			delete(x.ghosts, key)
			continue
		}
		add(g.session, g.method)
	}
	return found
}

// haunt notes that a process may work on at a call that is forgotten. The mutex
// is held.
func (x *mux) haunt(c *call) {
	key := wire.Message{ID: c.wireID}.Key()
	if _, known := x.ghosts[key]; known || !x.rewrite || x.modern || c.session == nil || c.waiting != nil {
		return
	}
	if x.ghosts == nil {
		x.ghosts = map[string]ghost{}
	}
	x.ghosts[key] = ghost{session: c.session, method: c.method, until: time.Now().Add(ghostTime)}
}

// hasTurn reports whether no other session than s has calls that the process
// may ask for. One that nobody waits for lets others pass, as it may never end.
// The mutex is held.
func (x *mux) hasTurn(s *session) bool {
	return !slices.ContainsFunc(x.order, func(c *call) bool {
		return c.session != s && c.session != nil && c.waiting == nil && !c.left && !c.cancelled && mayAsk(c.method)
	})
}

// mustWait reports whether a call of s that begins has to wait for its turn. The
// first in the line is not overtaken, but by one on whose caller a running call
// may wait. The mutex is held.
func (x *mux) mustWait(s *session, method string) bool {
	if !x.serial || s == nil || !mayAsk(method) {
		return false
	}
	if !x.hasTurn(s) {
		return true
	}
	for _, a := range x.asked {
		if a.session == s {
			return false
		}
	}
	return len(x.line) > 0
}

// grant begins the calls whose turn it is. The mutex is held.
func (x *mux) grant() {
	for len(x.line) > 0 && !x.ended {
		c := x.line[0]
		if c.session.ended || !x.hasTurn(c.session) {
			return
		}
		message := c.waiting
		c.waiting = nil
		x.line = x.line[1:]
		if err := x.process.send(message); err != nil {
			x.fail(c, err.Error())
		}
	}
}

// metaTask is of what belongs to a task, which runs when its call is answered.
const (
	metaTask         = "io.modelcontextprotocol/related-task"
	methodTaskStatus = "notifications/tasks/status"
)

// ofTask reports whether a message of the process belongs to a task.
func ofTask(m wire.Message) bool {
	return m.Method == methodTaskStatus || member(m.Params, "_meta", metaTask) != nil
}

const (
	noCaller  = "no caller is there to answer"
	ambiguous = "several sessions share this process and the request does not say which one it is for"
)

// askedSession returns the session that a request of the process is for; if
// there is no telling, why. The mutex is held.
func (x *mux) askedSession(m wire.Message) (*session, string) {
	if len(x.sessions) == 0 {
		return nil, noCaller
	}
	if !x.rewrite {
		return x.sessions[0], ""
	}
	callers := x.callers(mayAsk)
	switch {
	case len(callers) > 1:
		ended := func(s *session) bool { return s.ended }
		x.serial = x.serial || len(slices.DeleteFunc(callers, ended)) > 1
	case ofTask(m) && len(x.sessions) > 1:
	case len(callers) == 1 && callers[0].ended:
		return nil, noCaller
	case len(callers) == 1:
		return callers[0], x.unread(callers[0])
	case len(x.sessions) == 1:
		return x.sessions[0], x.unread(x.sessions[0])
	}
	x.doubt.warn(x.opts.Log, "the server asked something while it works for several sessions or none: it was refused", "process", x.process.name)
	return nil, ambiguous
}

// unread says why nobody in a session would read what the process asks; empty if
// somebody does.
func (x *mux) unread(s *session) string {
	reads := s.streaming || slices.ContainsFunc(x.order, func(c *call) bool {
		return c.session == s && c.waiting == nil && !c.left
	})
	if reads {
		return ""
	}
	return noCaller
}

// toldSession returns the session that a notification belongs to which names
// none; nil if there is no telling. The mutex is held.
func (x *mux) toldSession(m wire.Message) *session {
	if !x.rewrite {
		if len(x.sessions) == 0 {
			return nil
		}
		return x.sessions[0]
	}
	callers := x.callers(anyMethod)
	if len(callers) != 1 || callers[0] == nil || callers[0].ended || ofTask(m) && len(x.sessions) > 1 {
		return nil
	}
	return callers[0]
}
