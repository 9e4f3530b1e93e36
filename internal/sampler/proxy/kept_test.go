package proxy

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/seal"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

func TestASessionKeepsNoLargeHeader(t *testing.T) {
	tooLarge := string(wire.AppendError(nil, []byte("0"), &wire.Error{
		Code: codeInvalidRequest, Message: "the header of the request is too large for a session, which keeps it: send at most 16 KiB",
	}))
	endpoint, _ := newFront(t, &fakeServer{})
	session := begin(t, endpoint)
	for name, tc := range map[string]struct {
		body       string
		header     []string
		wantStatus int
	}{
		"a large one begins none":           {initializeBody, []string{"X-Pad", strings.Repeat("x", 17<<10)}, http.StatusRequestHeaderFieldsTooLarge},
		"a large one is in none":            {callOf("0"), []string{wire.HeaderSession, session, "X-Pad", strings.Repeat("x", 17<<10)}, http.StatusRequestHeaderFieldsTooLarge},
		"one that is not too large is kept": {initializeBody, []string{"X-Pad", strings.Repeat("x", 15<<10)}, http.StatusOK},
		"what goes no further is not kept":  {initializeBody, []string{"X-Forwarded-For", strings.Repeat("x", 17<<10)}, http.StatusOK},
		"without a session none is kept":    {callOf("0"), []string{"X-Pad", strings.Repeat("x", 17<<10)}, http.StatusOK},
	} {
		t.Run(name, func(t *testing.T) {
			got := ask(t, http.MethodPost, endpoint, tc.body, tc.header...)
			if got.status != tc.wantStatus {
				t.Errorf("got %d and %s, want %d", got.status, got.body, tc.wantStatus)
			}
			if got.status != http.StatusOK {
				if diff := cmp.Diff(tooLarge, got.body); diff != "" {
					t.Errorf("refusal (-want +got):\n%s", diff)
				}
			}
		})
	}
}

func callOf(id string) string {
	return `{"jsonrpc":"2.0","id":` + id + `,"method":"tools/call","params":{}}`
}

// writeDeadlines is a ResponseWriter that notes the deadline it has for writing.
type writeDeadlines struct {
	*httptest.ResponseRecorder
	at time.Time
}

func (d *writeDeadlines) SetWriteDeadline(at time.Time) error {
	d.at = at
	return nil
}

func TestWhatIsForwardedInVainLeavesNoDeadline(t *testing.T) {
	set, _ := newSet(t, newAsker(), 2)
	set[0].die()
	w := &writeDeadlines{ResponseRecorder: httptest.NewRecorder()}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/mcp", nil)
	if set[1].forward(w, r, set[0].replicas.self, []byte("{}")) {
		t.Fatalf("a replica that is gone answered %d", w.Code)
	}
	if !w.at.IsZero() {
		t.Error("a deadline is left, by which an HTTP/2 caller's stream would end")
	}
}

func TestAnSSESessionOfAReplicaThatMayReturnIsNotOver(t *testing.T) {
	set, dns := newSet(t, &fakeServer{}, 2, speakSSE)
	owner := set[0].replicas.self
	name, err := set[0].opts.Sealer.SealName(seal.Session{ID: "/mcp?s=1", Owner: owner})
	if err != nil {
		t.Fatal(err)
	}
	post := func() reply {
		return ask(t, http.MethodPost, set[1].endpoint+"?"+sessionParameter+"="+name, `{"jsonrpc":"2.0","method":"notifications/initialized"}`)
	}
	set[1].replicas.lost(owner)
	if got := post(); got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") == "" {
		t.Errorf("while its name leads to the replica: %d and %s", got.status, got.body)
	}
	dns.set("samplers.example", set[1].ip)
	eventually(t, "the session is over with its replica", func() bool { return post().status == http.StatusNotFound })
}

func TestAHopMarkIsUsedForAWhile(t *testing.T) {
	r, now := &replicas{}, time.Now()
	sealer := seal.NewRandomSealer()
	first := r.mark(sealer, now)
	if _, err := sealer.OpenState(first, hopBound, now.Add(hopKept)); err != nil {
		t.Errorf("the mark is not good: %v", err)
	}
	if r.mark(sealer, now.Add(hopKept-1)) != first {
		t.Error("another mark was sealed before its time")
	}
	if r.mark(sealer, now.Add(hopKept)) == first {
		t.Error("a mark is used for too long")
	}
}

func TestTheSessionsNameDoesNotGoToTheServer(t *testing.T) {
	for query, want := range map[string]string{
		"mcp-sampling-session=n":       "s=1",
		"mcp%2Dsampling-session=n&a=b": "s=1&a=b",
		"mcp-sampling%2dsession":       "s=1",
		"a=%zz&b%zz=1":                 "s=1&a=%zz&b%zz=1",
	} {
		target := (&sseSession{endpoint: &url.URL{Path: "/mcp", RawQuery: "s=1"}}).target(query)
		if diff := cmp.Diff(want, target.RawQuery); diff != "" {
			t.Errorf("%s (-want +got):\n%s", query, diff)
		}
	}
}

func TestALargeTableMakesRoomWithALookAtAPart(t *testing.T) {
	const n = 2 * sampledSessions
	table := newSessions(func() int { return n })
	now := time.Now()
	for i := range n {
		s := &session{name: fmt.Sprint(i), lastUsed: now.Add(time.Duration(i))}
		table.byName[s.name] = s
	}
	gone, ok := table.put(&session{name: "new", lastUsed: now})
	if !ok || len(gone) != 1 || table.len() != n {
		t.Fatalf("got %t with %d gone and %d held", ok, len(gone), table.len())
	}
	// One of the longest idle of a sample of 32: by chance one of the last 1 in 4
	// once in 2^64 times.
	if gone[0].lastUsed.Sub(now) > n*3/4 {
		t.Error("a session made room that was used not long ago")
	}
	for _, s := range table.byName {
		s.users = 1
	}
	if !table.full() {
		t.Error("there is room though all are in use")
	}
	if _, ok := table.put(&session{name: "one more"}); ok {
		t.Error("a session in use made room")
	}
}
