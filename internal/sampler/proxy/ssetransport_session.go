package proxy

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/sse"
)

// sessionParameter names a session in the endpoint that callers of the HTTP+SSE
// transport post to.
const sessionParameter = "mcp-sampling-session"

var (
	// errLeaving is why a stream ends when the handler is about to.
	errLeaving = errors.New("the sampler is shutting down")
	// errTooManyCalls is why a call of a session does not begin.
	errTooManyCalls = fmt.Errorf("more than %d calls of this session have no answer yet", maxRunning)
)

// sseSession is what a session of the HTTP+SSE transport has besides: it lives
// as long as its stream.
type sseSession struct {
	// end ends the stream.
	end context.CancelCauseFunc

	mu sync.Mutex
	// endpoint is where the server takes messages, at the server's own host.
	endpoint *url.URL
	// running are the calls without an answer, with what ends each of them.
	running map[*call]func()
	// out is where the stream goes; nil before it is there and when it has ended.
	out *callerWriter
	// leaving is true where the stream is to end with its last call, left once that
	// is over.
	leaving, left bool
}

// maxRunning bounds the calls of one session that wait for their answers: what
// is known of each is held.
const maxRunning = 1024

// begin notes a call whose answer will come on the stream. over is run once,
// when that is there or will not come. It is an error where it cannot begin.
func (t *sseSession) begin(c *call, over func()) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.left:
		return errLeaving
	case len(t.running) >= maxRunning:
		return errTooManyCalls
	}
	t.running[c] = over
	return nil
}

// find returns the running call with the key of an id; nil if there is none.
func (t *sseSession) find(key string) *call {
	t.mu.Lock()
	defer t.mu.Unlock()
	for c := range t.running {
		if c.key == key {
			return c
		}
	}
	return nil
}

// finish ends a call, if it still runs.
func (t *sseSession) finish(c *call) {
	t.mu.Lock()
	over := t.running[c]
	delete(t.running, c)
	t.left = t.left || t.leaving && len(t.running) == 0
	left := t.left
	t.mu.Unlock()
	if over == nil {
		return
	}
	over()
	if left {
		t.end(errLeaving)
	}
}

// leave ends the stream once no call runs.
func (t *sseSession) leave() {
	t.mu.Lock()
	t.leaving = true
	t.left = len(t.running) == 0
	left := t.left
	t.mu.Unlock()
	if left {
		t.end(errLeaving)
	}
}

// unanswered returns the calls that still run.
func (t *sseSession) unanswered() []*call {
	t.mu.Lock()
	defer t.mu.Unlock()
	calls := make([]*call, 0, len(t.running))
	for c := range t.running {
		calls = append(calls, c)
	}
	slices.SortFunc(calls, func(a, b *call) int { return strings.Compare(a.key, b.key) })
	return calls
}

// attach says where the stream goes; nil when it has ended.
func (t *sseSession) attach(out *callerWriter) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.out = out
}

// write puts a message of the sampler's own on the stream. It is false where that
// has ended.
func (t *sseSession) write(message []byte) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.out == nil {
		return false
	}
	err := sse.NewWriter(t.out).WriteEvent("message", "", message)
	t.out.flush()
	return err == nil
}

func (t *sseSession) setEndpoint(endpoint *url.URL) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.endpoint = endpoint
}

// target returns where a message goes that came with this query.
func (t *sseSession) target(query string) *url.URL {
	t.mu.Lock()
	target := *t.endpoint
	t.mu.Unlock()
	for parameter := range strings.SplitSeq(query, "&") {
		name, _, _ := strings.Cut(parameter, "=")
		if unescaped, err := url.QueryUnescape(name); err == nil {
			name = unescaped // as the one that named the session was read
		}
		if parameter == "" || name == sessionParameter {
			continue
		}
		if target.RawQuery != "" {
			target.RawQuery += "&"
		}
		target.RawQuery += parameter
	}
	return &target
}
