package proxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/sse"
)

const (
	firstBackoff = 100 * time.Millisecond
	maxBackoff   = 15 * time.Second
	// takenTime is how long calls wait for a stream that another one holds, if they
	// come one after the other. After that they go on without it.
	takenTime = 5 * time.Second
	// maxTakenBackoff is the longest wait for a stream that another one holds.
	maxTakenBackoff = time.Second
	// steadyAfter is how long a stream must have lasted for the next break to
	// count as the first.
	steadyAfter = 5 * time.Second
)

// listener holds the server's GET stream of one session: it answers what is
// sampling there and keeps the rest for the caller. It opens the stream again
// as long as the session lives.
type listener struct {
	handler *Handler
	session *session
	log     *eventLog
	// kick holds a token when the stream is wanted at once.
	kick chan struct{}

	mu sync.Mutex
	// running ends the stream that is held; nil where there is none.
	running context.CancelFunc
	// stream is that stream once it is open.
	stream *serverStream
	// left, where set, is closed once the stream that is given up has ended. No other
	// one is begun then.
	left chan struct{}
	// refused is the status by which the server said that it has no stream; 0
	// where it did not.
	refused int
	// paused is true between two attempts to open the stream.
	paused bool
	// header is closed when the server's answer is there. waitUntil is how long
	// calls wait for that.
	header    chan struct{}
	settled   bool
	waitUntil time.Time
	// taken is true while the stream is asked for again and again, because another
	// one that the server holds is likely to end.
	taken bool
}

func newListener(h *Handler, s *session) *listener {
	return &listener{
		handler: h, session: s,
		log:    newEventLog(h.opts.MaxBufferBytes, h.opts.KeepAlive),
		kick:   make(chan struct{}, 1),
		header: make(chan struct{}),
	}
}

// start opens the stream unless that was done or the server has none.
func (l *listener) start() { l.begin(false) }

// retry opens the stream also where the server refused it for a reason that may
// have passed.
func (l *listener) retry() { l.begin(true) }

func (l *listener) begin(again bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.running != nil || l.left != nil || l.session.ctx.Err() != nil {
		return
	}
	if l.refused != 0 && !(again && mayPass(l.refused)) {
		return
	}
	ctx, cancel := context.WithCancel(l.session.ctx)
	l.running, l.refused = cancel, 0
	l.opening()
	if !l.handler.spawn(func() { l.run(ctx, attempts{}) }) {
		l.running = nil
		cancel()
	}
}

// mayPass tells refusals of a caller or of the moment (some servers have no
// stream before notifications/initialized) from those of a server.
func mayPass(status int) bool {
	return status == http.StatusBadRequest || status == http.StatusUnauthorized || status == http.StatusForbidden
}

// opening begins a new wait for the server's header. l.mu is held.
func (l *listener) opening() {
	if l.settled {
		l.header, l.settled = make(chan struct{}), false
	}
	l.waitUntil = time.Now().Add(l.handler.opts.StreamWait)
}

// settle ends the wait of calls: the stream is open, or refused with a status. ctx
// is that of the stream, which may have been given up since.
func (l *listener) settle(ctx context.Context, refused int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if ctx.Err() != nil {
		return
	}
	l.refused = refused
	l.taken = false
	if !l.settled {
		l.settled = true
		close(l.header)
	}
}

// awaitHeader opens the stream where it is not, and waits a short moment for
// the server's answer. It reports the status by which the server refused the
// stream; 0 where it did not.
func (l *listener) awaitHeader(ctx context.Context) (refused int) {
	l.start()
	l.mu.Lock()
	if l.paused {
		l.paused = false
		l.opening()
		select {
		case l.kick <- struct{}{}:
		default:
		}
	}
	if l.taken && !l.settled {
		l.waitUntil = time.Now().Add(l.handler.opts.StreamWait)
	}
	header, rest := l.header, time.Until(l.waitUntil)
	l.mu.Unlock()
	if rest > 0 {
		timer := time.NewTimer(rest)
		defer timer.Stop()
		select {
		case <-header:
		case <-timer.C:
		case <-ctx.Done():
		case <-l.session.ctx.Done():
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.refused
}

// attempts are what is known of the streams before.
type attempts struct {
	lastID  string
	opened  time.Time
	backoff time.Duration
	// takenUntil is how long calls wait for a stream that another one holds.
	takenUntil time.Time
}

// run opens the stream, again and again, until the session ends or the server has
// none.
func (l *listener) run(ctx context.Context, a attempts) {
	held := false
	defer func() {
		if !held {
			l.over()
		}
	}()
	for ctx.Err() == nil && !l.isLeft() {
		a.opened = time.Now()
		stream, end, err := l.open(ctx, a.lastID)
		if stream != nil {
			l.opened(stream)
			// In a goroutine of its own, as opening takes a deep stack, which would
			// stay as long as the stream.
			if held = l.handler.spawn(func() { l.hold(ctx, a, stream) }); !held {
				stream.close()
			}
			return
		}
		if !l.again(ctx, &a, end, err) {
			return
		}
	}
}

// hold reads the stream to its end.
func (l *listener) hold(ctx context.Context, a attempts, stream *serverStream) {
	goesOn := false
	defer func() {
		if !goesOn {
			l.over()
		}
	}()
	end, err := l.read(ctx, stream.body, a.lastID != "")
	l.closed(stream, err)
	if l.again(ctx, &a, end, err) {
		goesOn = true
		l.run(ctx, a)
	}
}

// over notes that nobody holds the stream any more.
func (l *listener) over() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.running()
	l.running, l.stream = nil, nil
	if l.left != nil {
		close(l.left)
	}
}

// again waits until the stream is to be opened again. It is false where it is
// not.
func (l *listener) again(ctx context.Context, a *attempts, end streamEnd, err error) bool {
	if ctx.Err() != nil || l.isLeft() {
		return false
	}
	if a.lastID != "" && (end.refused == http.StatusBadRequest || end.refused == http.StatusNotFound) {
		// A server that has restarted or keeps few events may refuse the place,
		// not the stream.
		a.lastID = ""
		return true
	}
	if end.refused != 0 {
		l.handler.opts.Logger.Debug("the server has no stream for this session", "session", l.session.digest, "status", end.refused)
		l.settle(ctx, end.refused)
		if end.refused == http.StatusNotFound {
			l.log.close()
		}
		return false
	}
	if err != nil {
		l.handler.opts.Logger.Debug("the server's stream broke off", "session", l.session.digest, "error", err)
	}
	if end.lastID != "" {
		a.lastID = end.lastID
	}
	if a.backoff == 0 || time.Since(a.opened) > steadyAfter {
		a.backoff = firstBackoff
	}
	delay := max(a.backoff, min(end.retry, maxBackoff))
	if !end.taken {
		a.takenUntil = time.Time{}
	} else {
		if a.takenUntil.IsZero() {
			a.takenUntil = time.Now().Add(takenTime)
		}
		if l.awaitTaken(ctx, a.takenUntil) {
			return true
		}
		delay = min(delay, maxTakenBackoff)
	}
	l.pause(ctx, delay+rand.N(delay/4+1))
	a.backoff = min(2*a.backoff, maxBackoff)
	return true
}

// pause waits before the stream is opened again; a call cuts it short.
func (l *listener) pause(ctx context.Context, delay time.Duration) {
	l.settle(ctx, 0) // calls that wait for a header now know that none comes
	l.mu.Lock()
	if ctx.Err() != nil || l.left != nil {
		l.mu.Unlock()
		return
	}
	select {
	case <-l.kick: // one that came too late for the pause before
	default:
	}
	l.paused = true
	l.mu.Unlock()

	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-l.kick:
	}

	l.mu.Lock()
	defer l.mu.Unlock()
	if l.paused && ctx.Err() == nil {
		l.paused = false
		l.opening()
	}
}

// awaitTaken waits a moment for the end of another stream of the session, while
// calls wait too. It is false when they are not to wait any longer.
func (l *listener) awaitTaken(ctx context.Context, until time.Time) bool {
	now := time.Now()
	l.mu.Lock()
	l.taken = !l.settled && now.Before(l.waitUntil) && now.Before(until)
	taken := l.taken
	l.mu.Unlock()
	if !taken {
		return false
	}
	timer := time.NewTimer(firstBackoff / 2)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
	return true
}

// streamEnd is how one stream ended.
type streamEnd struct {
	// refused is the status of a server that does not want to be asked again.
	refused int
	// taken means that the server holds another stream of the session open: that
	// of a replica which lets go of it, or one that it has not yet seen break.
	taken  bool
	lastID string
	retry  time.Duration
}

// open asks the server for its stream. That is nil where there is none.
func (l *listener) open(ctx context.Context, lastID string) (*serverStream, streamEnd, error) {
	caller, _ := l.session.latestHeader()
	header := ownHeader(caller, l.session)
	header.Set("Accept", "text/event-stream")
	l.handler.opts.Tracer.Forget(header) // it is the session's, and in no call
	if lastID != "" {
		header.Set(headerLastEventID, lastID)
	}
	stream := &serverStream{}
	resp, err := l.handler.send(stream.trace(ctx), l.session.address, http.MethodGet, "", header, nil)
	if err != nil {
		return nil, streamEnd{}, err
	}
	end := streamEnd{}
	switch {
	case resp.StatusCode == http.StatusOK && isEventStream(resp.Header):
		var body io.Reader
		if body, err = decoded(resp); err == nil {
			if !l.session.isProven() {
				l.session.accept(caller)
			}
			l.settle(ctx, 0)
			stream.body, stream.closer = body, resp.Body
			if resp.ProtoMajor != 1 {
				stream.conn = nil // it carries others too
			}
			return stream, end, nil
		}
		end.refused = http.StatusMethodNotAllowed
	case resp.StatusCode == http.StatusConflict:
		end.taken = true
	case resp.StatusCode == http.StatusRequestTimeout,
		resp.StatusCode == http.StatusTooManyRequests, resp.StatusCode >= http.StatusInternalServerError && resp.StatusCode != http.StatusNotImplemented:
		err = fmt.Errorf("the server answered %d", resp.StatusCode)
	case resp.StatusCode < http.StatusMultipleChoices: // success, and no stream
		end.refused = http.StatusMethodNotAllowed
	default:
		end.refused = resp.StatusCode
	}
	resp.Body.Close()
	return nil, end, err
}

// read takes what the server sends off its stream until that ends.
func (l *listener) read(ctx context.Context, body io.Reader, resumed bool) (end streamEnd, err error) {
	in := &inspector{handler: l.handler, session: l.session, resumed: resumed}
	events := sse.NewIdleScanner(body, l.handler.settings().MaxEventBytes)
	defer func() { end.lastID = events.LastEventID() }()
	var kept []byte
	for first := true; ; first = false {
		e, err := events.Next()
		if errors.Is(err, io.EOF) {
			return end, nil
		}
		if err != nil {
			return end, err
		}
		if e.HasRetry {
			end.retry = e.Retry
		}
		raw := e.Raw
		if first { // a mark within the caller's stream would be part of a name
			raw = bytes.TrimPrefix(raw, []byte("\xEF\xBB\xBF"))
		}
		switch {
		case e.Incomplete:
			// The next stream begins anew, and the caller's goes on.
		case in.take(e):
			if kept = keep(kept[:0], e); len(kept) > 0 {
				l.add(kept, e)
			}
			if in.refuse != nil {
				events.Release()
				in.settle(ctx)
			}
		case len(e.Data) == 0 && !e.HasID && !e.HasRetry:
			l.log.addComment(raw)
		default:
			l.add(raw, e)
		}
	}
}

func (l *listener) add(raw []byte, e *sse.Event) {
	if !l.log.add(raw, e.ID, e.HasID) {
		l.handler.opts.Logger.Warn("events of the server's GET stream are lost: the caller does not read them", "session", l.session.digest)
	}
}
