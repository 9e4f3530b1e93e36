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

// firstBytes is the room for a body of which only the length is known: it must
// cost next to nothing to promise one.
const firstBytes = 4 << 10

// errNoMemory is why a body is not read: those that are held are too large
// together.
var errNoMemory = errors.New("the bodies that are held are too large together")

// errLonger is of a body that has more than it promised.
var errLonger = errors.New("the body is longer than its Content-Length")

// longAgo is a deadline that has passed.
var longAgo = time.Unix(1, 0)

// readBody reads a caller's request whole, which it must be before the server
// may answer. Its memory is held until the caller of readBody ends that. Where it
// cannot, it has answered the caller.
func (h *Handler) readBody(w http.ResponseWriter, r *http.Request, held *holding) ([]byte, bool) {
	control := http.NewResponseController(w)
	if r.ContentLength > h.settings().MaxBodyBytes {
		h.tooLarge(w)
		readRest(control, r)
		return nil, false
	}
	// A reader that waits is woken when the caller has left or the handler ends:
	// else a body that never comes would hold up the drain.
	stop := context.AfterFunc(r.Context(), func() { setReadDeadline(control, longAgo) })
	body, err := h.receive(control, r, http.MaxBytesReader(w, r.Body, h.settings().MaxBodyBytes), held)
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
		readRest(control, r)
	case errors.Is(err, errNoMemory):
		h.noMemory(w, nil)
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
func (h *Handler) receive(control *http.ResponseController, r *http.Request, from io.Reader, held *holding) ([]byte, error) {
	if r.ContentLength > held.left() {
		return nil, errNoMemory // sooner than after most of it
	}
	var body []byte
	pieceEnd := 0
	for {
		whole := len(body) > 0 && int64(len(body)) == r.ContentLength
		if len(body) == cap(body) && !whole {
			size := grown(cap(body), r.ContentLength)
			if !held.take(int64(size - cap(body))) {
				return body, errNoMemory
			}
			body = append(make([]byte, 0, size), body...)
		}
		if len(body) >= pieceEnd {
			pieceEnd = len(body) + pieceBytes
			setReadDeadline(control, time.Now().Add(h.opts.ReadTimeout))
			// Not to overwrite the deadline by which a reader is woken.
			if err := r.Context().Err(); err != nil {
				return body, fmt.Errorf("reading the body: %w", err)
			}
		}
		room := body[len(body):cap(body)]
		if whole {
			room = make([]byte, 1) // for the end, which some readers tell by itself
		}
		n, err := from.Read(room)
		if n > 0 && whole {
			return body, errLonger
		}
		body = body[:len(body)+n]
		if errors.Is(err, io.EOF) {
			return body, nil
		}
		if err != nil {
			return body, fmt.Errorf("reading the body: %w", err)
		}
	}
}

// grown returns the room that a full body gets: up to the promised size, if there
// is one, but never much more than twice what has come.
func grown(full int, promised int64) int {
	size := max(2*full, 512)
	if promised > int64(full) {
		size = int(min(promised, int64(max(2*full, firstBytes))))
	}
	return size
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

// newHold returns what the bodies of one request are to be held by.
func (h *Handler) newHold() *holding {
	return &holding{budget: &h.bodyBytes, most: h.settings().MaxHeldBytes}
}

// noMemory refuses a request because of what others hold.
func (h *Handler) noMemory(w http.ResponseWriter, id json.RawMessage) {
	if count, ok := h.heavy.take(time.Now()); ok {
		h.opts.Logger.Warn("requests are refused: bodies hold as many bytes as they may", "limit", h.settings().MaxHeldBytes, "count", count)
	}
	w.Header().Set("Proxy-Status", NoRoom)
	w.Header().Set("Retry-After", "1")
	fail(w, http.StatusServiceUnavailable, id, codeUnavailable, h.noMemoryText())
}

func (h *Handler) noMemoryText() string {
	return fmt.Sprintf("the sampler holds up to %d bytes of requests at the same time, and they are in use: try again later", h.settings().MaxHeldBytes)
}

const (
	// restTime and restBytes bound what is still read of a body that is too
	// large.
	restTime  = 5 * time.Second
	restBytes = 64 << 20
)

// readRest reads on after a refusal: a caller that sends all before it reads would
// get a reset in its place.
func readRest(control *http.ResponseController, r *http.Request) {
	if control.Flush() != nil || r.Header.Get("Expect") != "" { // that one has sent nothing yet
		return
	}
	setReadDeadline(control, time.Now().Add(restTime))
	_, _ = io.CopyN(io.Discard, r.Body, restBytes) // it is of no use
}

func (h *Handler) tooLarge(w http.ResponseWriter) {
	w.Header().Set("Connection", "close")
	fail(w, http.StatusRequestEntityTooLarge, nil, codeInvalidRequest,
		fmt.Sprintf("the request body is larger than %d bytes", h.settings().MaxBodyBytes))
}
