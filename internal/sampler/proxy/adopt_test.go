package proxy

import (
	"context"
	"io"
	"maps"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/seal"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

// guarded is a server of both eras whose sessions are Alice's. Outside of
// sessions it serves everybody. Of several headers it reads the last one.
func guarded(server *fakeServer) http.Handler {
	last := func(values []string) string { return append([]string{""}, values...)[len(values)] }
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		session, stateless := last(r.Header[wire.HeaderSession]), last(r.Header[wire.HeaderVersion]) >= wire.VersionModern
		switch {
		case stateless && r.Method != http.MethodPost:
			w.WriteHeader(http.StatusMethodNotAllowed)
		case session != "" && !stateless && r.Header.Get("Authorization") != "Bearer alice":
			w.WriteHeader(http.StatusUnauthorized)
		default:
			server.ServeHTTP(w, r)
		}
	})
}

func TestNobodyGetsIntoTheSessionOfAnother(t *testing.T) {
	const notified = `{"jsonrpc":"2.0","method":"notifications/roots/list_changed"}`
	for name, tc := range map[string]struct {
		method, body string
		// session are the session ids beside Alice's.
		session []string
		header  http.Header
		want    int
	}{
		"by having its id taken off on the way": {
			method: http.MethodPost, body: callBody,
			header: http.Header{"Connection": {wire.HeaderSession}},
			want:   http.StatusUnauthorized,
		},
		"by a message of the stateless era": {
			method: http.MethodPost, body: notified,
			header: http.Header{wire.HeaderVersion: {wire.VersionModern}},
			want:   http.StatusAccepted,
		},
		"by a message that the server may read as one of the stateless era": {
			method: http.MethodPost, body: notified,
			header: http.Header{wire.HeaderVersion: {"2025-06-18", wire.VersionModern}},
			want:   http.StatusAccepted,
		},
		"by a GET of the stateless era": {
			method: http.MethodGet,
			header: http.Header{wire.HeaderVersion: {wire.VersionModern}},
			want:   http.StatusMethodNotAllowed,
		},
		"by a GET with its id taken off": {
			method: http.MethodGet,
			header: http.Header{"Connection": {wire.HeaderSession}, headerLastEventID: {"unknown"}},
			want:   http.StatusUnauthorized,
		},
		"by a second id": {
			method: http.MethodPost, body: callBody,
			session: []string{"other"},
			want:    http.StatusBadRequest,
		},
		"to end it by a second id": {
			method:  http.MethodDelete,
			session: []string{"other"},
			want:    http.StatusBadRequest,
		},
		"to end it by a DELETE with its id taken off": {
			method: http.MethodDelete,
			header: http.Header{"Connection": {wire.HeaderSession}},
			want:   http.StatusUnauthorized,
		},
		"to end it by a DELETE of the stateless era": {
			method: http.MethodDelete,
			header: http.Header{wire.HeaderVersion: {wire.VersionModern}},
			want:   http.StatusMethodNotAllowed,
		},
	} {
		t.Run(name, func(t *testing.T) {
			endpoint, h := newFront(t, guarded(&fakeServer{get: hold("")}))
			session := ask(t, http.MethodPost, endpoint, initializeBody, "Authorization", "Bearer alice").header.Get(wire.HeaderSession)
			s := h.sessions.get(session)
			before, _ := s.latestHeader()

			header := http.Header{"Authorization": {"Bearer mallory"}, wire.HeaderSession: append([]string{session}, tc.session...)}
			maps.Copy(header, tc.header)
			r, err := http.NewRequestWithContext(t.Context(), tc.method, endpoint, strings.NewReader(tc.body))
			if err != nil {
				t.Fatal(err)
			}
			r.Header = header
			resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if resp.StatusCode != tc.want {
				t.Errorf("status %d, want %d", resp.StatusCode, tc.want)
			}
			after, _ := s.latestHeader()
			if diff := cmp.Diff(before, after); diff != "" {
				t.Errorf("the header that the session's own requests carry (-before +after):\n%s", diff)
			}
			if h.sessions.get(session) != s {
				t.Error("the session has ended")
			}
		})
	}
}

func TestStreamIsSharedThoughThePingsAnswerStaysOpen(t *testing.T) {
	left := make(chan struct{})
	server := &fakeServer{get: hold("id: 1\ndata: x\n\n"), call: func(w http.ResponseWriter, r *http.Request) {
		hold(`data: {"jsonrpc":"2.0","id":"mcp-sampling-ping","result":{}}`+"\n\n")(w, r)
		close(left)
	}}
	endpoint, _ := newFront(t, server)
	session := begin(t, endpoint)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	resp := open(ctx, t, http.MethodGet, endpoint, "", wire.HeaderSession, session, "Authorization", "Bearer new")
	defer resp.Body.Close()
	event := make([]byte, len("id: 1\ndata: x\n\n"))
	if _, err := io.ReadFull(resp.Body, event); err != nil {
		t.Fatal(err)
	}
	if got, want := string(event), "id: 1\ndata: x\n\n"; got != want {
		t.Errorf("the stream begins with %q, want %q", got, want)
	}
	await(t, "the ping's stream is closed", left)
}

func TestSessionFromBeforeIsDeletedOnItsServer(t *testing.T) {
	for name, tc := range map[string]struct {
		id, address string
		// full is whether the sampler has room for no other session.
		full        bool
		wantStatus  int
		wantDeletes map[string]int
	}{
		"on the first":           {id: "one", address: "10.0.0.1:8000", wantStatus: 202, wantDeletes: map[string]int{"one": 1}},
		"on the second":          {id: "two", address: "10.0.0.2:8000", wantStatus: 202, wantDeletes: map[string]int{"two": 1}},
		"where there is no room": {id: "three", address: "10.0.0.3:8000", full: true, wantStatus: 202, wantDeletes: map[string]int{"three": 1}},
		"which does not know it": {id: "four", address: "10.0.0.3:8000", wantStatus: 404, wantDeletes: map[string]int{}},
	} {
		t.Run(name, func(t *testing.T) {
			deletes := map[string]int{}
			var mu sync.Mutex
			pod := func(id string) http.Handler {
				server := &fakeServer{known: func(asked string) bool { return asked == id || asked == "s-0" }}
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.Method == http.MethodDelete && r.Header.Get(wire.HeaderSession) == id {
						mu.Lock()
						deletes[id]++
						mu.Unlock()
					}
					server.ServeHTTP(w, r)
				})
			}
			endpoint, h := newFront(t, http.NotFoundHandler(), func(o *Options) { o.Settings.MaxSessions = 1 }, inPods(&fakePods{pods: map[string]http.Handler{
				"10.0.0.1:8000": pod("one"), "10.0.0.2:8000": pod("two"), "10.0.0.3:8000": pod("three"),
			}}, "10.0.0.1", "10.0.0.2", "10.0.0.3"))
			want := 0
			if tc.full {
				begin(t, endpoint)
				want = 1
			}
			got := ask(t, http.MethodDelete, endpoint, "", wire.HeaderSession, nameOf(t, h, seal.Session{ID: tc.id, Address: tc.address}))
			if got.status != tc.wantStatus {
				t.Errorf("status %d (%s), want %d", got.status, got.body, tc.wantStatus)
			}
			mu.Lock()
			defer mu.Unlock()
			if diff := cmp.Diff(tc.wantDeletes, deletes); diff != "" {
				t.Errorf("DELETEs at the servers that hold the session (-want +got):\n%s", diff)
			}
			if h.Sessions() != want {
				t.Errorf("%d sessions, want %d", h.Sessions(), want)
			}
		})
	}
}
