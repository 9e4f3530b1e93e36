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
// a GET stream.
func (h *Handler) answer(s *session, c *call, m wire.Message) {
	if c == nil {
		c = s.onlyCall()
	}
	ctx, cancel := context.WithCancelCause(s.ctx)
	a := &answer{key: m.Key(), call: c, cancel: cancel}
	// The message's memory is the scanner's.
	id, params := slices.Clone(m.ID), slices.Clone(m.Params)
	header := h.answerHeader(s, c)
	serve := func() {
		defer cancel(nil)
		defer func() { <-h.answering }() // once delivered: till then it holds memory
		result, failure := h.ask(ctx, s, params)
		s.endAnswer(a)
		switch cause := context.Cause(ctx); {
		case errors.Is(cause, errServerCancelled), errors.Is(cause, errSessionEnded), h.ctx.Err() != nil:
			return // nobody waits for it
		}
		level := slog.LevelWarn
		if ctx.Err() != nil {
			level = slog.LevelDebug // the server of a call that is over may not know its id any more
		}
		h.deliver(s, header, level, id, result, failure)
	}
	if refused := h.beginAnswer(s, a); refused != nil {
		serve = func() {
			defer cancel(nil)
			h.deliver(s, header, slog.LevelWarn, id, nil, refused)
		}
	}
	if !h.spawn(serve) {
		// The handler is closed: nothing else is answered, so the place in
		// h.answering is not missed.
		s.endAnswer(a)
		cancel(nil)
	}
}

// beginAnswer takes a place for an answer, in its session and among all; or
// says why there is none.
func (h *Handler) beginAnswer(s *session, a *answer) *wire.Error {
	if !s.beginAnswer(a) {
		return &wire.Error{
			Code:    wire.CodeInternal,
			Message: fmt.Sprintf("more than %d sampling requests of this session are being answered", maxAnswers),
		}
	}
	select {
	case h.answering <- struct{}{}:
		return nil
	default:
		s.endAnswer(a)
		return &wire.Error{
			Code:    wire.CodeInternal,
			Message: fmt.Sprintf("too many sampling requests at the same time: the sampler answers up to %d, try again later", h.opts.MaxAnswers),
		}
	}
}

// ask gets an answer from Sampling. A panic there is an answer too: the server
// would wait for it.
func (h *Handler) ask(ctx context.Context, s *session, params json.RawMessage) (result json.RawMessage, failure *wire.Error) {
	defer func() {
		if p := recover(); p != nil {
			h.opts.Logger.Error("answering a sampling request panicked", "session", s.digest, "panicType", panicType(p))
			result, failure = nil, &wire.Error{Code: wire.CodeInternal, Message: "the sampler failed to answer"}
		}
	}()
	result, failure = h.opts.Sampling.Answer(ctx, s.view(), params)
	if failure == nil && !json.Valid(result) {
		h.opts.Logger.Error("answering a sampling request gave no valid result", "session", s.digest)
		failure = &wire.Error{Code: wire.CodeInternal, Message: "the sampler failed to answer"}
	}
	return result, failure
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
// fails: a server that got it already knows the id no more. What goes wrong is
// logged at level.
func (h *Handler) deliver(s *session, header http.Header, level slog.Level, id, result json.RawMessage, failure *wire.Error) {
	var body []byte
	if failure != nil {
		body = wire.AppendError(nil, id, failure)
	} else {
		body = wire.AppendResult(nil, id, result)
	}
	ctx, cancel := context.WithTimeout(h.ctx, h.opts.AnswerTimeout)
	defer cancel()
	resp, err := h.send(ctx, s.address, http.MethodPost, "", header, body)
	if err != nil && ctx.Err() == nil {
		resp, err = h.send(ctx, s.address, http.MethodPost, "", header, body)
	}
	if err != nil {
		if h.ctx.Err() == nil {
			h.opts.Logger.Log(ctx, level, "a sampling answer was not delivered", "session", s.digest, "error", err)
		}
		return
	}
	defer resp.Body.Close()
	// Read so that the connection can be used again.
	_, _ = io.CopyN(io.Discard, resp.Body, 64<<10)
	if resp.StatusCode >= http.StatusMultipleChoices {
		h.opts.Logger.Log(ctx, level, "the server refused a sampling answer", "session", s.digest, "status", resp.StatusCode)
	}
}
