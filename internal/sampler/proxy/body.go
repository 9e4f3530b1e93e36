package proxy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

// pieceBytes is what a caller must send or read within the time for one piece.
const pieceBytes = 64 << 10

// longAgo is a deadline that has passed.
var longAgo = time.Unix(1, 0)

// readBody reads a caller's request whole, which it must be before the server
// may answer. Where it cannot, it has answered the caller.
func (h *Handler) readBody(w http.ResponseWriter, r *http.Request) ([]byte, bool) {
	if r.ContentLength > h.settings().MaxBodyBytes {
		h.tooLarge(w)
		return nil, false
	}
	control := http.NewResponseController(w)
	// A reader that waits is woken when the caller has left or the handler ends:
	// else a body that never comes would hold up the drain.
	stop := context.AfterFunc(r.Context(), func() { setReadDeadline(control, longAgo) })
	body, err := h.receive(control, r, http.MaxBytesReader(w, r.Body, h.settings().MaxBodyBytes))
	stop()
	if err == nil {
		// What comes after it is the caller's next request, at any time.
		setReadDeadline(control, time.Time{})
		return body, true
	}
	// The server must not wait for the rest either.
	setReadDeadline(control, longAgo)
	w.Header().Set("Connection", "close")
	var over *http.MaxBytesError
	switch {
	case errors.As(err, &over):
		h.tooLarge(w)
	case h.ctx.Err() != nil:
		shuttingDown(w, nil)
	case errors.Is(err, os.ErrDeadlineExceeded):
		fail(w, http.StatusRequestTimeout, nil, codeInvalidRequest,
			fmt.Sprintf("the request body came too slowly: send at least %d KiB in %s", pieceBytes>>10, h.opts.ReadTimeout))
	default:
		fail(w, http.StatusBadRequest, nil, codeInvalidRequest, "the request body broke off")
	}
	return nil, false
}

// receive reads a body. Memory grows with what has come, whatever length the
// caller has promised, and each piece has its own time.
func (h *Handler) receive(control *http.ResponseController, r *http.Request, from io.Reader) ([]byte, error) {
	var body []byte
	pieceEnd := 0
	for {
		if len(body) == cap(body) {
			body = grow(body, r.ContentLength)
		}
		if len(body) >= pieceEnd {
			pieceEnd = len(body) + pieceBytes
			setReadDeadline(control, time.Now().Add(h.opts.ReadTimeout))
			// Not to overwrite the deadline by which a reader is woken.
			if err := r.Context().Err(); err != nil {
				return body, fmt.Errorf("reading the body: %w", err)
			}
		}
		n, err := from.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		if errors.Is(err, io.EOF) {
			return body, nil
		}
		if err != nil {
			return body, fmt.Errorf("reading the body: %w", err)
		}
	}
}

// grow gives a full body room for more: up to the promised size, if there is
// one, but never more than one piece ahead or twice what has come.
func grow(body []byte, promised int64) []byte {
	size := max(2*cap(body), 512)
	if promised > int64(cap(body)) {
		size = int(min(promised, max(int64(2*cap(body)), pieceBytes)))
	}
	return append(make([]byte, 0, size), body...)
}

// setReadDeadline bounds reading from the caller. Not every ResponseWriter can;
// then the server's own timeouts hold.
func setReadDeadline(control *http.ResponseController, at time.Time) {
	_ = control.SetReadDeadline(at)
}

// shuttingDown refuses a request, which may go to another sampler.
func shuttingDown(w http.ResponseWriter, id json.RawMessage) {
	w.Header().Set("Retry-After", "1")
	w.Header().Set("Connection", "close")
	fail(w, http.StatusServiceUnavailable, id, codeUnavailable, "the sampler is shutting down: try again")
}

func (h *Handler) tooLarge(w http.ResponseWriter) {
	w.Header().Set("Connection", "close")
	fail(w, http.StatusRequestEntityTooLarge, nil, codeInvalidRequest,
		fmt.Sprintf("the request body is larger than %d bytes", h.settings().MaxBodyBytes))
}
