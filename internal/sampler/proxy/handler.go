package proxy

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httputil"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

// headerLastEventID is where a stream is to be resumed, as net/http spells it.
const headerLastEventID = "Last-Event-Id"

// wellKnown is where a server's OAuth metadata is.
const wellKnown = "/.well-known/"

// Handler is the proxy in front of one MCP server. Make it with New and end it
// with Shutdown or Close.
type Handler struct {
	opts     Options
	current  atomic.Pointer[Settings]
	plain    *httputil.ReverseProxy
	sessions *sessions
	replicas *replicas
	places   places
	// leaveTime is the constant, deaf whether the server let it pass the last time.
	leaveTime time.Duration
	deaf      atomic.Bool
	// before is the handler that this one replaces; nil once that is closed.
	before atomic.Pointer[Handler]
	// answering holds one entry for each sampling request that is being answered.
	answering chan struct{}
	// delivering holds one for each answer that the server has not taken yet.
	delivering chan struct{}
	// waiting takes what one of the goroutines that wait for work is to do, workers
	// counts them.
	waiting chan func()
	workers atomic.Int32
	// rest is what is left to do about answers that are on their way.
	rest later
	// answerBytes is the memory of their requests.
	answerBytes budget
	// bodyBytes is the memory of the bodies that are held. How much it may be is in
	// the settings.
	bodyBytes budget
	// complaints are about messages outside of any session.
	complaints complaints
	// open counts the requests of callers that are served, crowded bounds the
	// records of those that are not.
	open    atomic.Int64
	crowded ration
	// heavy bounds those of requests refused for their memory.
	heavy ration

	// ctx ends when the handler is closed.
	ctx  context.Context
	stop context.CancelFunc

	// leaving ends when draining begins.
	leaving context.Context
	drain   context.CancelFunc

	mu     sync.Mutex
	closed bool
	posts  int
	// quiet is closed once no post is left; nil where nobody waits for that.
	quiet chan struct{}
	// shares are the callers' streams whose connections were taken over.
	shares     map[*share]struct{}
	background sync.WaitGroup
}

// New returns a Handler, or what is wrong with the options.
func New(o Options) (*Handler, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	h := &Handler{
		opts: o, leaveTime: leaveTime,

		answering:   make(chan struct{}, o.MaxAnswers),
		delivering:  make(chan struct{}, undelivered*o.MaxAnswers),
		waiting:     make(chan func()),
		answerBytes: budget{max: o.MaxAnswerBytes},
	}
	h.before.Store(o.Before)
	h.opts.Before = nil
	h.sessions = newSessions(func() int { return h.settings().MaxSessions })
	h.Configure(o.Settings)
	var err error
	if h.replicas, err = newReplicas(&o); err != nil {
		return nil, err
	}
	h.opts.Self = h.replicas.self
	h.ctx, h.stop = context.WithCancel(context.Background())
	h.leaving, h.drain = context.WithCancel(h.ctx)
	h.plain = h.newPlainProxy()
	h.spawn(h.expireIdle)
	if o.Replicas != "" {
		h.spawn(h.handOver)
	}
	return h, nil
}

// Configure replaces the settings. What is open stays open.
func (h *Handler) Configure(s Settings) {
	s.complete()
	h.current.Store(&s)
}

func (h *Handler) settings() *Settings { return h.current.Load() }

// Sessions returns how many sessions are held.
func (h *Handler) Sessions() int { return h.sessions.len() }

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !h.admit(w, r) {
		return
	}
	defer h.leave()
	// What is asked of the server ends with the caller's connection, and with
	// the handler.
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(h.ctx, cancel)()
	r, ok := h.fromReplica(w, r.WithContext(ctx))
	if !ok {
		return
	}
	isMessage := r.Method == http.MethodPost && r.URL.Path == h.opts.Upstream.Path
	if r.ContentLength != 0 && !isMessage {
		// Read even where nobody wants it: else net/http waits for it, without end.
		held := h.newHold()
		defer held.end()
		body, ok := h.readBody(w, r, held)
		if !ok {
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	switch {
	case r.URL.Path == h.opts.Upstream.Path:
		h.serveEndpoint(w, r)
	case strings.HasPrefix(r.URL.Path, wellKnown) && path.Clean(r.URL.Path) == strings.TrimSuffix(r.URL.Path, "/"):
		h.servePlain(w, r)
	default:
		http.NotFound(w, r)
	}
}

func (h *Handler) serveEndpoint(w http.ResponseWriter, r *http.Request) {
	if h.opts.SSE {
		h.serveSSE(w, r)
		return
	}
	switch r.Method {
	case http.MethodPost:
		h.servePost(w, r)
	case http.MethodGet:
		h.serveGet(w, r)
	case http.MethodDelete:
		h.serveDelete(w, r)
	default:
		h.servePlain(w, r)
	}
}

// servePlain carries what is not MCP, and so in no session.
func (h *Handler) servePlain(w http.ResponseWriter, r *http.Request) {
	r.Header.Del(wire.HeaderSession) // the name means nothing to the server
	h.plain.ServeHTTP(w, r)
}

// Drain has the handler let go of what other replicas can hold, while it still
// serves everything: the GET streams of each session, the caller's and the
// server's, end as soon as none of its calls is running. Callers open theirs
// again elsewhere.
func (h *Handler) Drain() {
	h.drain()
	for _, s := range h.sessions.all() {
		h.quiesce(s)
	}
}

// Shutdown ends the handler without breaking calls: it drains, and when the
// running calls are over everything is closed; or when ctx ends, whose error is
// then returned. Calls that come before that are served too, so whoever sends
// them must have been told to send them elsewhere.
func (h *Handler) Shutdown(ctx context.Context) error {
	h.Drain()
	for _, s := range h.sessions.all() {
		if s.sse != nil {
			s.sse.leave()
		}
	}
	var err error
	for closed := false; err == nil && !closed; {
		select {
		case <-h.whenQuiet():
			h.letGoOfAll(ctx)
			closed = h.closeQuiet()
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
	}
	h.Close()
	return err
}

// Close ends everything at once and waits until nothing runs any more.
func (h *Handler) Close() {
	h.mu.Lock()
	h.closed = true
	h.mu.Unlock()
	for _, s := range h.sessions.all() {
		h.end(s)
	}
	h.stop()
	for _, c := range h.allShares() {
		c.hurry()
	}
	h.background.Wait()
	h.before.Store(nil)
	h.replicas.close()
	for _, t := range []http.RoundTripper{h.opts.Transport, h.opts.streams} {
		if t, ok := t.(interface{ CloseIdleConnections() }); ok {
			t.CloseIdleConnections()
		}
	}
}

func (h *Handler) allShares() []*share {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Collect(maps.Keys(h.shares))
}

// closeQuiet closes the handler for new calls if none is running.
func (h *Handler) closeQuiet() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.posts > 0 {
		return false
	}
	h.closed = true
	return true
}

// whenQuiet returns a channel that is closed once no call is running.
func (h *Handler) whenQuiet() <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.posts == 0 {
		quiet := make(chan struct{})
		close(quiet)
		return quiet
	}
	if h.quiet == nil {
		h.quiet = make(chan struct{})
	}
	return h.quiet
}

// beginPost reports whether a post may go on.
func (h *Handler) beginPost() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return false
	}
	h.posts++
	return true
}

func (h *Handler) endPost() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.posts--
	if h.posts == 0 && h.quiet != nil {
		close(h.quiet)
		h.quiet = nil
	}
}

// spawn runs f beside what is served; Close waits for it. It is false when the
// handler is closed.
func (h *Handler) spawn(f func()) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return false
	}
	h.background.Go(func() {
		defer func() {
			if p := recover(); p != nil {
				// A panic's value can hold a message: only that there was one.
				h.opts.Logger.Error("a background task of the proxy panicked", "panicType", panicType(p))
			}
		}()
		f()
	})
	return true
}

// end forgets a session and stops what runs for it.
func (h *Handler) end(s *session) {
	h.sessions.remove(s)
	s.end()
}

func (h *Handler) expireIdle() {
	tick := time.NewTicker(min(max(h.opts.IdleTimeout/4, time.Second), time.Minute))
	defer tick.Stop()
	for {
		select {
		case <-h.ctx.Done():
			return
		case now := <-tick.C:
			for _, s := range h.sessions.idleSince(now.Add(-h.opts.IdleTimeout)) {
				h.letGo(s)
				h.opts.Logger.Debug("session expired", "session", s.digest)
			}
		}
	}
}

// errSessionEnded is why the work for a session that is over ends.
var errSessionEnded = errors.New("the session has ended")
