package proxy

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httputil"
	"path"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Headers of the Streamable HTTP transport, as net/http spells them.
const (
	headerSession     = "Mcp-Session-Id"
	headerVersion     = "Mcp-Protocol-Version"
	headerLastEventID = "Last-Event-Id"
)

// wellKnown is where a server's OAuth metadata is.
const wellKnown = "/.well-known/"

// Handler is the proxy in front of one MCP server. Make it with New and end it
// with Shutdown or Close.
type Handler struct {
	opts     Options
	current  atomic.Pointer[Settings]
	plain    *httputil.ReverseProxy
	sessions *sessions
	// answering holds one entry for each sampling request that is being answered.
	answering chan struct{}
	// answerBytes is the memory of their requests.
	answerBytes budget
	// complaints are about messages outside of any session.
	complaints complaints
	// open counts the requests of callers that are served, crowded bounds the
	// records of those that are not.
	open    atomic.Int64
	crowded ration

	// ctx ends when the handler is closed.
	ctx  context.Context
	stop context.CancelFunc

	mu       sync.Mutex
	draining bool
	closed   bool
	posts    int
	// drained is closed once draining began and no post is left.
	drained    chan struct{}
	background sync.WaitGroup
}

// New returns a Handler, or what is wrong with the options.
func New(o Options) (*Handler, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	h := &Handler{
		opts:    o,
		drained: make(chan struct{}),

		answering:   make(chan struct{}, o.MaxAnswers),
		answerBytes: budget{max: o.MaxAnswerBytes},
	}
	h.sessions = newSessions(func() int { return h.settings().MaxSessions })
	h.Configure(o.Settings)
	h.ctx, h.stop = context.WithCancel(context.Background())
	h.plain = h.newPlainProxy()
	h.spawn(h.expireIdle)
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
	r = r.WithContext(ctx)
	isMessage := r.Method == http.MethodPost && r.URL.Path == h.opts.Upstream.Path
	if r.ContentLength != 0 && !isMessage {
		// Read even where nobody wants it: else net/http waits for it, without end.
		body, ok := h.readBody(w, r)
		if !ok {
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	switch {
	case r.URL.Path == h.opts.Upstream.Path:
		h.serveEndpoint(w, r)
	case strings.HasPrefix(r.URL.Path, wellKnown) && path.Clean(r.URL.Path) == strings.TrimSuffix(r.URL.Path, "/"):
		h.plain.ServeHTTP(w, r)
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
		h.plain.ServeHTTP(w, r)
	}
}

// Shutdown ends the handler without breaking calls: the callers' GET streams
// end at once, new calls are refused, and when the running ones are over
// everything is closed; or when ctx ends, whose error is then returned.
func (h *Handler) Shutdown(ctx context.Context) error {
	h.drain(false)
	for _, s := range h.sessions.all() {
		s.listener.log.close()
	}
	var err error
	select {
	case <-h.drained:
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	h.Close()
	return err
}

// Close ends everything at once and waits until nothing runs any more.
func (h *Handler) Close() {
	h.drain(true)
	for _, s := range h.sessions.all() {
		h.end(s)
	}
	h.stop()
	h.background.Wait()
	if t, ok := h.opts.Transport.(interface{ CloseIdleConnections() }); ok {
		t.CloseIdleConnections()
	}
}

func (h *Handler) drain(closed bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = h.closed || closed
	if h.draining {
		return
	}
	h.draining = true
	if h.posts == 0 {
		close(h.drained)
	}
}

// beginPost reports whether a post may go on. While draining only what a
// running call may wait for does.
func (h *Handler) beginPost(isRequest bool) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed || h.draining && (isRequest || h.posts == 0) {
		return false
	}
	h.posts++
	return true
}

func (h *Handler) endPost() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.posts--
	if h.draining && h.posts == 0 {
		close(h.drained)
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
				s.end()
				h.opts.Logger.Debug("session expired", "session", s.digest)
			}
		}
	}
}

// errSessionEnded is why the work for a session that is over ends.
var errSessionEnded = errors.New("the session has ended")
