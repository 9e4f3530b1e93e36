package proxy

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"sync"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/sse"
)

// copyBuffers are for bodies that are not looked at.
var copyBuffers = sync.Pool{New: func() any { b := make([]byte, 32<<10); return &b }}

// outcome is how the exchange of a response ended.
type outcome struct {
	// over is false where a stream ended without the response to the call: the
	// caller may resume it.
	over bool
	// broken means that the caller must not take what it got for all.
	broken bool
}

// finish breaks the caller's response off where the server's did.
func (o outcome) finish() {
	if o.broken {
		panic(http.ErrAbortHandler)
	}
}

// relay carries the server's response to the caller, and takes off its event
// stream what the inspector takes.
func (h *Handler) relay(w http.ResponseWriter, r *http.Request, resp *http.Response, in *inspector) outcome {
	out := newCallerWriter(w, h.opts.WriteTimeout)
	defer out.end()
	header := w.Header()
	connection := header["Connection"] // is between the caller and this sampler
	callerHeader(header, resp.Header, in.session)
	if connection != nil {
		header["Connection"] = connection
	}
	if !isEventStream(resp.Header) {
		w.WriteHeader(resp.StatusCode)
		return h.relayBody(r, out, resp, in)
	}
	body, err := decoded(resp)
	if err != nil {
		// Better a stream that is not looked at than none.
		h.opts.Logger.Warn("the server's event stream passes without a look at it", "error", err)
		w.WriteHeader(resp.StatusCode)
		return h.relayBody(r, out, resp, in)
	}
	header.Del("Content-Length")
	header.Del("Content-Encoding")
	out.keepAlive = h.opts.KeepAlive
	out.begin(resp.StatusCode) // the caller gets the header before the first event
	err = h.relayEvents(r.Context(), out, body, in)
	switch {
	case err == nil:
		return outcome{over: in.call == nil || in.answered}
	case in.answered, h.callerLeft(r):
		return outcome{over: true}
	}
	h.opts.Logger.Warn("a stream of the server broke off", "session", in.session.digest, "error", err)
	if errors.Is(err, sse.ErrTooLarge) && in.call != nil {
		in.writeError(out, fmt.Sprintf("the MCP server sent a message larger than %d bytes", h.settings().MaxEventBytes))
		return outcome{over: true}
	}
	out.flush()
	if in.call != nil {
		in.call.op.broke()
	}
	return outcome{broken: true}
}

// relayBody copies a body as it is.
func (h *Handler) relayBody(r *http.Request, out *callerWriter, resp *http.Response, in *inspector) outcome {
	buffer := copyBuffers.Get().(*[]byte)
	defer copyBuffers.Put(buffer)
	// A body of known length can wait for the end; else the server may pause.
	body := io.Reader(resp.Body)
	if resp.ContentLength < 0 {
		body = flushReader{resp.Body, out}
	}
	space := *buffer
	var op *operation
	if in.call != nil {
		op = in.call.op
	}
	if op != nil {
		op.head.buffer, space = space[:maxLookedAt], space[maxLookedAt:]
		defer op.head.drop() // the buffer is others' then
	}
	if _, err := io.CopyBuffer(out, onlyReader{body, op}, space); err != nil {
		if !h.callerLeft(r) {
			op.broke()
			h.opts.Logger.Warn("a response of the server broke off", "error", err)
		}
		return outcome{over: true, broken: true}
	}
	if op != nil {
		op.answered = true
		if !op.head.more {
			op.look(op.head.buffer[:op.head.length])
		}
	}
	return outcome{over: true}
}

// onlyReader hides WriteTo, which would not use the buffer, and shows an operation
// what is read.
type onlyReader struct {
	from io.Reader
	op   *operation
}

func (r onlyReader) Read(p []byte) (int, error) {
	n, err := r.from.Read(p)
	if r.op != nil {
		r.op.head.take(p[:n])
	}
	return n, err
}

// relayEvents copies an event stream, event by event.
func (h *Handler) relayEvents(ctx context.Context, out *callerWriter, body io.Reader, in *inspector) error {
	return h.relayScanned(ctx, out, sse.NewScanner(flushReader{body, out}, h.settings().MaxEventBytes), in)
}

// relayScanned copies what is left of an event stream, whose reader flushes out
// before it waits.
func (h *Handler) relayScanned(ctx context.Context, out *callerWriter, events *sse.Scanner, in *inspector) error {
	taken := false
	var kept []byte
	for first := true; ; first = false {
		e, err := events.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		raw := e.Raw
		interrupted := out.interrupted()
		if first && interrupted { // the mark is one only where the stream begins
			raw = bytes.TrimPrefix(raw, []byte("\xEF\xBB\xBF"))
		}
		switch {
		case e.Continues && (taken || interrupted): // what it continues has ended
			continue
		case !e.Continues && !e.Incomplete:
			if taken = in.take(e); taken {
				kept = keep(kept[:0], e)
				raw = kept
				out.linger() // a caller who only gets the header has no use for it yet
			}
		}
		if _, err := out.Write(raw); err != nil {
			return err
		}
		if in.passed != nil {
			in.passed()
			in.passed = nil
			if in.call != nil {
				out.linger() // the end of the stream is likely to come at once
			}
		}
		if in.refuse != nil {
			out.flush() // the caller does not wait for the server to take it
			events.Release()
			in.settle(ctx)
		}
	}
}

// keep returns what is left in the stream of an event that was taken off: its
// id and retry fields, without the blank line that would dispatch an event. For
// a reader after the standard the events that follow have the same last event
// id as without a proxy; an event without data in its place would do that too,
// but some callers dispatch it and fail to parse it as a message.
func keep(dst []byte, e *sse.Event) []byte {
	if e.HasID {
		dst = sse.AppendID(dst, e.ID)
	}
	if e.HasRetry {
		dst = fmt.Appendf(dst, "retry: %d\n", e.Retry.Milliseconds())
	}
	return dst
}

// decoded returns the bytes of the response's stream. A server was asked not to
// compress it; some do.
func decoded(resp *http.Response) (io.Reader, error) {
	switch encoding := strings.ToLower(resp.Header.Get("Content-Encoding")); encoding {
	case "", "identity":
		return resp.Body, nil
	case "gzip", "x-gzip":
		return &lazyGzip{source: resp.Body}, nil
	default:
		return nil, fmt.Errorf("content encoding %q cannot be read", cut(encoding))
	}
}

// lazyGzip reads the gzip header with the first event, not before it.
type lazyGzip struct {
	source io.Reader
	reader *gzip.Reader
}

func (z *lazyGzip) Read(p []byte) (int, error) {
	if z.reader == nil {
		reader, err := gzip.NewReader(z.source)
		if err != nil {
			return 0, fmt.Errorf("decompressing: %w", err)
		}
		z.reader = reader
	}
	return z.reader.Read(p)
}

func isEventStream(header http.Header) bool {
	mediaType, _, err := mime.ParseMediaType(header.Get("Content-Type"))
	return err == nil && mediaType == "text/event-stream"
}
