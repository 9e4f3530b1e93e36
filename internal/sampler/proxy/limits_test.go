package proxy

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

// fakeFlood is a transport to a server that asks for sampling flood times, at
// once, on its GET stream and on that of each call. It takes an answer when take
// says so.
type fakeFlood struct {
	flood int
	take  func(context.Context) (status int, err error)

	mu sync.Mutex
	// taking counts the answers that wait to be taken, taken those that were.
	taking, most int
	taken        map[string]int
}

func (f *fakeFlood) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		body, _ = io.ReadAll(r.Body)
	}
	m, _ := wire.ParseMessage(body)
	answer := func(status int, mediaType string, body io.Reader) (*http.Response, error) {
		header := http.Header{wire.HeaderSession: {"s"}, "Content-Type": {mediaType}}
		return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(body), Request: r}, nil
	}
	switch {
	case r.Method == http.MethodGet, m.Method == "tools/call":
		var stream strings.Builder
		for i := range f.flood {
			fmt.Fprintf(&stream, `data: {"jsonrpc":"2.0","id":"%s%d","method":"sampling/createMessage","params":{}}`+"\n\n", r.Method, i)
		}
		return answer(http.StatusOK, "text/event-stream", io.MultiReader(strings.NewReader(stream.String()), untilDone{r.Context()}))
	case m.Method == wire.MethodInitialize:
		return answer(http.StatusOK, "application/json", strings.NewReader(`{"jsonrpc":"2.0","id":0,"result":{}}`))
	case !m.IsResponse():
		return answer(http.StatusAccepted, "", http.NoBody)
	}
	f.mu.Lock()
	f.taking++
	f.most = max(f.most, f.taking)
	f.mu.Unlock()
	status, err := f.take(r.Context())
	f.mu.Lock()
	defer f.mu.Unlock()
	f.taking--
	if err != nil {
		return nil, err
	}
	if f.taken == nil {
		f.taken = map[string]int{}
	}
	f.taken[string(m.ID)]++
	return answer(status, "", http.NoBody)
}

// counts returns how many answers wait to be taken, how many ever did at the
// same time, and how many requests were answered once.
func (f *fakeFlood) counts() (taking, most, once int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, n := range f.taken {
		if n == 1 {
			once++
		}
	}
	return f.taking, f.most, once
}

// untilDone has no bytes and ends with its context.
type untilDone struct{ ctx context.Context }

func (u untilDone) Read([]byte) (int, error) {
	<-u.ctx.Done()
	return 0, u.ctx.Err()
}

// flooded returns a proxy before the server.
func flooded(t *testing.T, server *fakeFlood, modify func(*Options)) *Handler {
	t.Helper()
	o := Options{Upstream: &url.URL{Scheme: "http", Host: "127.0.0.1", Path: "/mcp"}, Sampling: &fakeSampling{}, Transport: server, MaxAnswers: 1}
	modify(&o)
	h, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	h.delivering = nil // an answer keeps its place till the server has it
	t.Cleanup(h.Close)
	return h
}

// post has the proxy serve one message.
func post(ctx context.Context, h *Handler, body string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/mcp", strings.NewReader(body))
	if body != initializeBody {
		for _, s := range h.sessions.all() {
			r.Header.Set(wire.HeaderSession, s.name)
		}
	}
	h.ServeHTTP(w, r)
	return w
}

func TestAServerThatAsksWithoutEndWaitsForItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		server := &fakeFlood{flood: 300, take: func(ctx context.Context) (int, error) {
			select {
			case <-release:
				return http.StatusAccepted, nil
			case <-ctx.Done():
				return 0, ctx.Err()
			}
		}}
		refusals := map[Refusal]int{}
		h := flooded(t, server, func(o *Options) { o.Refused = func(r Refusal) { refusals[r]++ } })
		post(t.Context(), h, initializeBody)
		synctest.Wait()
		// One answer, and one refusal.
		if taking, _, _ := server.counts(); taking != 2 {
			t.Errorf("%d answers are on their way to a server that takes none, want 2", taking)
		}
		close(release)
		synctest.Wait()
		if _, most, once := server.counts(); most != 2 || once != 300 {
			t.Errorf("%d of 300 requests were answered, %d at the same time; want all, and 2", once, most)
		}
		if refusals[TooManyInSampler] == 0 || len(refusals) != 1 {
			t.Errorf("refused %v, want %s alone", refusals, TooManyInSampler)
		}
	})
}

func TestARefusalDoesNotHoldUpWhatEnds(t *testing.T) {
	hang := func(ctx context.Context) (int, error) {
		<-ctx.Done()
		return 0, ctx.Err()
	}
	for name, tc := range map[string]struct {
		end        func(h *Handler, leave func())
		wantTaking int
		wantOver   bool
	}{
		"the caller leaves":   {func(_ *Handler, leave func()) { leave() }, 2, true},
		"the session ends":    {func(h *Handler, _ func()) { h.end(h.sessions.all()[0]) }, 1, false},
		"the handler is shut": {func(h *Handler, _ func()) { h.Close() }, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := &fakeFlood{flood: 3, take: hang}
				h := flooded(t, server, func(*Options) {})
				post(t.Context(), h, initializeBody)
				ctx, leave := context.WithCancel(t.Context())
				defer leave()
				done := make(chan struct{})
				go func() {
					defer close(done)
					defer func() { _ = recover() }() // as net/http does, which is told to break off
					post(ctx, h, callBody)
				}()
				synctest.Wait()
				// The one answer, and a refusal for each of the two streams.
				if taking, _, _ := server.counts(); taking != 3 {
					t.Errorf("%d answers are on their way, want 3", taking)
				}
				tc.end(h, leave)
				synctest.Wait()
				over := false
				select {
				case <-done:
					over = true
				default:
				}
				if taking, _, _ := server.counts(); taking != tc.wantTaking || over != tc.wantOver {
					t.Errorf("%d answers are on their way and the call is over: %t; want %d and %t", taking, over, tc.wantTaking, tc.wantOver)
				}
			})
		})
	}
}

func TestWhatRefusesASamplingRequest(t *testing.T) {
	for name, tc := range map[string]struct {
		modify       func(*Options)
		flood        int
		wantRefusals map[Refusal]int
		wantText     string
	}{
		"nothing": {func(*Options) {}, 64, map[Refusal]int{}, ""},
		"too many of the session": {
			func(*Options) {}, 66, map[Refusal]int{TooManyInSession: 2},
			"more than 64 sampling requests of this session are being answered",
		},
		"too many of the sampler": {
			func(o *Options) { o.MaxAnswers = 3 }, 5, map[Refusal]int{TooManyInSampler: 3},
			"too many sampling requests at the same time: the sampler answers up to 3, try again later",
		},
		"too much memory": {
			// The id and the parameters of each have eight bytes.
			func(o *Options) { o.MaxAnswerBytes = 25 }, 5, map[Refusal]int{TooManyBytes: 2},
			"the sampling requests that are being answered are too large together: the sampler holds up to 25 bytes, try again later",
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log syncBuffer
				release := make(chan struct{})
				refusals := map[Refusal]int{}
				server := &fakeFlood{flood: tc.flood, take: func(context.Context) (int, error) { return http.StatusAccepted, nil }}
				h := flooded(t, server, func(o *Options) {
					o.MaxAnswers = 1000
					o.Logger = slog.New(slog.NewTextHandler(&log, nil))
					o.Refused = func(r Refusal) { refusals[r]++ }
					o.Sampling = &fakeSampling{answer: func(ctx context.Context) (json.RawMessage, *wire.Error) {
						select {
						case <-release:
						case <-ctx.Done():
						}
						return json.RawMessage(`{}`), nil
					}}
					tc.modify(o)
				})
				post(t.Context(), h, initializeBody)
				synctest.Wait()
				if diff := cmp.Diff(tc.wantRefusals, refusals); diff != "" {
					t.Errorf("refused (-want +got):\n%s", diff)
				}
				for refusal := range tc.wantRefusals {
					if got := h.refusalText(refusal); got != tc.wantText {
						t.Errorf("the server is told %q, want %q", got, tc.wantText)
					}
				}
				wantRecords := min(len(tc.wantRefusals), 1)
				if got := strings.Count(log.String(), "level=WARN"); got != wantRecords {
					t.Errorf("%d warnings, want %d:\n%s", got, wantRecords, log.String())
				}
				close(release)
				synctest.Wait()
				if _, _, once := server.counts(); once != tc.flood {
					t.Errorf("%d of %d requests were answered", once, tc.flood)
				}
				if len(h.answering) != 0 || h.answerBytes.held.Load() != 0 {
					t.Errorf("%d places and %d bytes are still held", len(h.answering), h.answerBytes.held.Load())
				}
			})
		})
	}
}

func TestUndeliveredAnswersDoNotFloodTheLog(t *testing.T) {
	for name, take := range map[string]func(context.Context) (int, error){
		"the server refuses them":         func(context.Context) (int, error) { return http.StatusInternalServerError, nil },
		"the server cannot be reached":    func(context.Context) (int, error) { return 0, io.ErrUnexpectedEOF },
		"the server never answers at all": func(ctx context.Context) (int, error) { <-ctx.Done(); return 0, ctx.Err() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log syncBuffer
				server := &fakeFlood{flood: 40, take: take}
				h := flooded(t, server, func(o *Options) {
					o.Logger = slog.New(slog.NewTextHandler(&log, nil))
					o.MaxAnswers = 1000
					o.AnswerTimeout = time.Second
				})
				post(t.Context(), h, initializeBody)
				time.Sleep(10 * time.Second) // of the test's own clock
				if got := strings.Count(log.String(), "level=WARN"); got != 1 {
					t.Errorf("%d warnings, want 1:\n%s", got, log.String())
				}
			})
		})
	}
}

func TestRation(t *testing.T) {
	type taken struct {
		Count int
		OK    bool
	}
	var r ration
	start := time.Now()
	for _, tc := range []struct {
		after time.Duration
		want  taken
	}{
		{0, taken{1, true}},
		{time.Second, taken{}},
		{rationTime - 1, taken{}},
		{rationTime, taken{3, true}},
		{rationTime + 1, taken{}},
		{5 * rationTime, taken{2, true}},
	} {
		count, ok := r.take(start.Add(tc.after))
		if got := (taken{count, ok}); got != tc.want {
			t.Errorf("after %s: %+v, want %+v", tc.after, got, tc.want)
		}
	}
}

// A server says late that it has an answer: it has gone on long ago, and so do
// others that ask.
func TestAnswersThatTheServerIsSlowToTakeKeepNobodyFromAsking(t *testing.T) {
	h := &Handler{answering: make(chan struct{}, 2), delivering: make(chan struct{}, 4)}
	var delivered []func()
	for range 4 {
		h.answering <- struct{}{}
		delivered = append(delivered, h.toDelivery())
	}
	if n := len(h.answering); n != 0 {
		t.Errorf("%d places are taken, want none", n)
	}
	// There is a bound to that, too.
	h.answering <- struct{}{}
	delivered = append(delivered, h.toDelivery())
	if n := len(h.answering); n != 1 {
		t.Errorf("%d places are taken with too many undelivered, want 1", n)
	}
	for _, done := range delivered {
		done()
	}
	if n := len(h.answering) + len(h.delivering); n != 0 {
		t.Errorf("%d places are taken at the end, want none", n)
	}
}

func TestSessionsThatAskForMuchLeavePlacesToOthers(t *testing.T) {
	h := &Handler{answering: make(chan struct{}, 16), answerBytes: budget{max: 1}}
	h.current.Store(&Settings{MaxAnswersPerSession: 16})
	taken := func() (s *session, n int) {
		s = &session{answers: map[*answer]struct{}{}}
		for h.beginAnswer(s, &answer{}, 0) == "" {
			n++
		}
		return s, n
	}
	var got []int
	for range 4 {
		_, n := taken()
		got = append(got, n)
	}
	if diff := cmp.Diff([]int{8, 4, 2, 1}, got); diff != "" {
		t.Errorf("places that sessions take one after the other (-want +got):\n%s", diff)
	}
}
