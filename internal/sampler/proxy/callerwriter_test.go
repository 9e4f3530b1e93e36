package proxy

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// piece is what a server sends after some time.
type piece struct {
	after time.Duration
	text  string
}

// fakeSlowStream is a transport to a server whose streams come in pieces.
type fakeSlowStream struct {
	contentType string
	pieces      []piece
}

func (f *fakeSlowStream) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodGet {
		return &http.Response{StatusCode: http.StatusMethodNotAllowed, Header: http.Header{}, Body: http.NoBody}, nil
	}
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {f.contentType}}, ContentLength: -1,
		Body: &slowBody{ctx: r.Context(), pieces: f.pieces},
	}, nil
}

type slowBody struct {
	ctx    context.Context
	pieces []piece
	waited bool
}

func (b *slowBody) Read(p []byte) (int, error) {
	for len(b.pieces) > 0 && b.pieces[0].text == "" && b.waited {
		b.pieces, b.waited = b.pieces[1:], false
	}
	if len(b.pieces) == 0 {
		return 0, io.EOF
	}
	next := &b.pieces[0]
	if !b.waited {
		b.waited = true
		select {
		case <-time.After(next.after):
		case <-b.ctx.Done():
			return 0, b.ctx.Err()
		}
	}
	n := copy(p, next.text)
	next.text = next.text[n:]
	return n, nil
}

func (b *slowBody) Close() error { return nil }

// timedWriter notes when a caller gets what.
type timedWriter struct {
	httptest.ResponseRecorder
	start time.Time

	mu      sync.Mutex
	pending bytes.Buffer
	got     []piece
	fail    error
}

func newTimedWriter() *timedWriter {
	return &timedWriter{ResponseRecorder: *httptest.NewRecorder(), start: time.Now()}
}

func (w *timedWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fail != nil {
		return 0, w.fail
	}
	return w.pending.Write(p)
}

func (w *timedWriter) Flush() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.got = append(w.got, piece{time.Since(w.start), w.pending.String()})
	w.pending.Reset()
}

// received returns what the caller has, with what net/http sends at the end.
func (w *timedWriter) received() []piece {
	w.Flush()
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.got
}

// callThrough has a caller make one call, and returns what it gets and when.
func callThrough(t *testing.T, server http.RoundTripper, modify ...func(*Options)) []piece {
	t.Helper()
	target, err := url.Parse("http://127.0.0.1/mcp")
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Upstream: target, Sampling: &fakeSampling{}, Transport: server}
	for _, m := range modify {
		m(&o)
	}
	h, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	w := newTimedWriter()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/mcp", strings.NewReader(callBody))
	h.ServeHTTP(w, r)
	return w.received()
}

func TestSilentStreamsOfCalls(t *testing.T) {
	const (
		stream = "text/event-stream"
		answer = "data: " + callResponse + "\n\n"
		note   = "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\"}\n\n"
		alive  = ": keepalive\n"
		ms     = time.Millisecond
	)
	for name, tc := range map[string]struct {
		contentType string
		server      []piece
		want        []piece
	}{
		"a call that is silent for two minutes is held": {
			stream, []piece{{120 * time.Second, answer}},
			[]piece{{ms, ""}, {25*time.Second + ms, alive}, {50*time.Second + ms, alive}, {75*time.Second + ms, alive}, {100*time.Second + ms, alive}, {120 * time.Second, answer}},
		},
		"one that is not silent gets no comment": {
			stream, []piece{{20 * time.Second, note}, {20 * time.Second, note}, {20 * time.Second, answer}},
			[]piece{{ms, ""}, {20 * time.Second, note}, {40 * time.Second, note}, {60 * time.Second, answer}},
		},
		"never within an event": {
			stream, []piece{{0, "id: 1\n"}, {30 * time.Second, answer}},
			[]piece{{0, ""}, {25 * time.Second, alive}, {30 * time.Second, "id: 1\n" + answer}},
		},
		"never within a line end": {
			stream, []piece{{0, strings.ReplaceAll(note, "\n", "\r")}, {30 * time.Second, "\n" + answer}},
			[]piece{{0, strings.ReplaceAll(note, "\n", "\r")}, {25 * time.Second, alive}, {30 * time.Second, answer}},
		},
		"not before a byte order mark": {
			stream, []piece{{30 * time.Second, "\xEF\xBB\xBF" + answer}},
			[]piece{{ms, ""}, {25*time.Second + ms, alive}, {30 * time.Second, answer}},
		},
		"a stream that is over at once is one write": {
			stream, []piece{{0, note + answer}},
			[]piece{{0, note + answer}},
		},
		"a stream that stays open after the answer holds nothing back": {
			stream, []piece{{0, answer}, {10 * time.Second, ""}},
			[]piece{{ms, answer}, {10 * time.Second, ""}},
		},
		"what is no stream gets no comment": {
			"application/json", []piece{{120 * time.Second, callResponse}},
			[]piece{{120 * time.Second, callResponse}, {120 * time.Second, ""}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				got := callThrough(t, &fakeSlowStream{tc.contentType, tc.server})
				if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(piece{})); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

func TestSilentGETStreamIsKeptAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newEventLog(1000, 25*time.Second)
		stream := l.attach("")
		defer stream.detach()
		start := time.Now()
		time.AfterFunc(60*time.Second, func() { l.add([]byte("event\n\n"), "1", true) })
		time.AfterFunc(90*time.Second, l.close)
		var got []piece
		for stream.next(t.Context(), func(raw []byte) error {
			got = append(got, piece{time.Since(start), string(raw)})
			return nil
		}) {
		}
		alive := string(keepAliveComment)
		want := []piece{{25 * time.Second, alive}, {50 * time.Second, alive}, {60 * time.Second, "event\n\n"}, {85 * time.Second, alive}}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(piece{})); diff != "" {
			t.Error(diff)
		}
	})
}

func TestACallerThatIsGoneGetsNoMoreComments(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTimedWriter()
		w.fail = errors.New("broken pipe")
		out := newCallerWriter(w, time.Minute)
		out.keepAlive = time.Second
		out.wait()
		time.Sleep(time.Minute) // of the test's own clock
		out.woken()
		out.end()
		if got := w.received(); len(got) != 1 || got[0].text != "" {
			t.Errorf("the caller got %v", got)
		}
	})
}
