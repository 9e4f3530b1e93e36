package proxy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

var (
	// errServerCancelled is why an answer ends that the server does not want.
	errServerCancelled = errors.New("the server cancelled its sampling request")
	// errCallEnded is why an answer ends whose call has ended.
	errCallEnded = errors.New("the call that the sampling request belongs to has ended")
)

// answer has a sampling request answered beside the stream it came on, so that
// several run at the same time. c is the call on whose stream it came; nil for
// a GET stream. Where too many run it returns what delivers the refusal: who
// reads the stream does that before reading on, so that a server which asks
// without end waits for itself to take the refusals.
func (h *Handler) answer(s *session, c *call, m wire.Message) (refuse func(context.Context)) {
	if c == nil {
		c = s.onlyCall()
	}
	inCall := s.countAsked(c)
	ctx, cancel := context.WithCancelCause(s.ctx)
	a := &answer{key: m.Key(), call: c, cancel: cancel}
	size := int64(len(m.ID) + len(m.Params))
	if refusal := h.beginAnswer(s, a, size); refusal != "" {
		cancel(nil)
		return h.refusal(s, c, m, refusal)
	}
	// The message's memory is the scanner's.
	id, params := slices.Clone(m.ID), slices.Clone(m.Params)
	header := h.answerHeader(s, c)
	serve := func() {
		defer cancel(nil)
		defer h.answerBytes.give(size) // once delivered: till then it holds memory
		result, failure, done := h.ask(h.within(ctx, c, params), s, s.viewIn(inCall), params)
		defer func() { h.later(done, len(params)+len(result)) }()
		s.endAnswer(a)
		defer h.toDelivery()()
		switch cause := context.Cause(ctx); {
		case errors.Is(cause, errServerCancelled), errors.Is(cause, errSessionEnded), h.ctx.Err() != nil:
			return // nobody waits for it
		}
		level := slog.LevelWarn
		if ctx.Err() != nil {
			level = slog.LevelDebug // the server of a call that is over may not know its id any more
		}
		h.deliver(h.ctx, s, header, level, id, result, failure)
	}
	if !h.work(serve) {
		// The handler is closed: nothing else is answered, so the place that is
		// still held is not missed.
		s.endAnswer(a)
		cancel(nil)
	}
	return nil
}

// beginAnswer takes a place for an answer, in its session and among all, and
// the memory for it; or says what there is too much of.
func (h *Handler) beginAnswer(s *session, a *answer, size int64) Refusal {
	// No session takes more places than it leaves free, so that those which ask
	// for many, and wait long, leave some to the others.
	most, free := h.settings().MaxAnswersPerSession, max(1, cap(h.answering)-len(h.answering))
	if !s.beginAnswer(a, min(most, free)) {
		if free < most {
			return TooManyInSampler
		}
		return TooManyInSession
	}
	select {
	case h.answering <- struct{}{}:
	default:
		s.endAnswer(a)
		return TooManyInSampler
	}
	if !h.answerBytes.take(size) {
		<-h.answering
		s.endAnswer(a)
		return TooManyBytes
	}
	return ""
}

// undelivered is how many more answers the server may be slow to take than are
// being answered. Many servers go on with their work before they say that they have
// an answer, so those answers are in nobody's way.
const undelivered = 8

// toDelivery leaves the place of an answer to the next one, unless too many are
// undelivered; what it returns is to be called when the server has it.
func (h *Handler) toDelivery() (delivered func()) {
	select {
	case h.delivering <- struct{}{}:
		<-h.answering
		return func() { <-h.delivering }
	default:
		return func() { <-h.answering }
	}
}

// refusal notes that a sampling request is refused, and returns what tells the
// server. That ends early with its context or the session.
func (h *Handler) refusal(s *session, c *call, m wire.Message, refusal Refusal) func(context.Context) {
	if h.opts.Refused != nil {
		h.opts.Refused(refusal)
	}
	if count, ok := s.complaints.refused.take(time.Now()); ok {
		h.opts.Logger.Warn("the server has too many sampling requests at the same time", "session", s.digest, "reason", refusal, "count", count)
	}
	id := slices.Clone(m.ID)
	header := h.answerHeader(s, c)
	failure := &wire.Error{Code: wire.CodeInternal, Message: h.refusalText(refusal)}
	return func(ctx context.Context) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(s.ctx, cancel)()
		h.deliver(ctx, s, header, slog.LevelWarn, id, nil, failure)
	}
}

func (h *Handler) refusalText(refusal Refusal) string {
	switch refusal {
	case TooManyInSession:
		return fmt.Sprintf("more than %d sampling requests of this session are being answered", h.settings().MaxAnswersPerSession)
	case TooManyInSampler:
		return fmt.Sprintf("too many sampling requests at the same time: the sampler answers up to %d, try again later", h.opts.MaxAnswers)
	case TooManyBytes:
		return fmt.Sprintf("the sampling requests that are being answered are too large together: the sampler holds up to %d bytes, try again later", h.opts.MaxAnswerBytes)
	}
	return "too many sampling requests at the same time"
}

const (
	// maxWaiting is how many goroutines wait for the next answer to give.
	maxWaiting = 64
	// waitingTime is how long each of them does.
	waitingTime = 10 * time.Second
)

// work runs f beside what is served, as spawn does, but in a goroutine that is
// there already if one waits: growing the stack of a new one takes longer than
// much of what an answer needs.
func (h *Handler) work(f func()) bool {
	select {
	case h.waiting <- f:
		return true
	default:
		return h.spawn(func() { h.worker(f) })
	}
}

func (h *Handler) worker(f func()) {
	timer := time.NewTimer(waitingTime)
	defer timer.Stop()
	for {
		f()
		if h.workers.Add(1) > maxWaiting {
			h.workers.Add(-1)
			return
		}
		timer.Reset(waitingTime)
		over := false
		select {
		case f = <-h.waiting:
		case <-timer.C:
			over = true
		case <-h.ctx.Done():
			over = true
		}
		if h.workers.Add(-1); over {
			return
		}
	}
}

// ask gets an answer from Sampling, and what to run when it is on its way. A
// panic there is an answer too: the server would wait for it.
func (h *Handler) ask(ctx context.Context, s *session, view Session, params json.RawMessage) (result json.RawMessage, failure *wire.Error, done func()) {
	defer func() {
		if done == nil {
			done = func() {}
		}
	}()
	defer func() {
		if p := recover(); p != nil {
			h.opts.Logger.Error("answering a sampling request panicked", "session", s.digest, "panicType", panicType(p))
			result, failure = nil, &wire.Error{Code: wire.CodeInternal, Message: "the sampler failed to answer"}
		}
	}()
	result, failure, done = h.opts.Sampling.Answer(ctx, view, params)
	if failure == nil && !json.Valid(result) {
		h.opts.Logger.Error("answering a sampling request gave no valid result", "session", s.digest)
		failure = &wire.Error{Code: wire.CodeInternal, Message: "the sampler failed to answer"}
	}
	return result, failure, done
}

// answerHeader takes the header of the call, whose credentials the server
// expects, or else of the newest request.
func (h *Handler) answerHeader(s *session, c *call) http.Header {
	caller, _ := s.latestHeader()
	if c != nil {
		caller = c.header
	}
	header := ownHeader(caller, s)
	header.Set("Content-Type", "application/json")
	header.Set("Accept", "application/json, text/event-stream")
	return header
}

// deliver posts an answer to the server. It is tried twice where the connection
// fails: a server that got it already knows the id no more. What goes wrong
// before ctx ends is logged at level.
func (h *Handler) deliver(ctx context.Context, s *session, header http.Header, level slog.Level, id, result json.RawMessage, failure *wire.Error) {
	var body []byte
	if failure != nil {
		body = wire.AppendError(nil, id, failure)
	} else {
		body = wire.AppendResult(nil, id, result)
	}
	sending, cancel := context.WithTimeout(ctx, h.opts.AnswerTimeout)
	defer cancel()
	resp, err := h.post(sending, s, header, body)
	if err != nil && sending.Err() == nil {
		resp, err = h.post(sending, s, header, body)
	}
	if err != nil {
		if ctx.Err() == nil {
			h.undelivered(s, level, err)
		}
		return
	}
	defer resp.Body.Close()
	// Read so that the connection can be used again.
	_, _ = io.CopyN(io.Discard, resp.Body, 64<<10)
	if resp.StatusCode >= http.StatusMultipleChoices {
		h.undelivered(s, level, fmt.Errorf("the server answered HTTP %d", resp.StatusCode))
	}
}

// undelivered logs that the server did not take an answer; warnings not for
// each one.
func (h *Handler) undelivered(s *session, level slog.Level, why error) {
	count := 1
	if level >= slog.LevelWarn {
		var ok bool
		if count, ok = s.complaints.undelivered.take(time.Now()); !ok {
			return
		}
	}
	h.opts.Logger.Log(h.ctx, level, "a sampling answer was not delivered", "session", s.digest, "error", why, "count", count)
}
