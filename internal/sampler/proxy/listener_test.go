package proxy

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

// fakeStream plays one answer to GET after the other, the last one again and
// again, and keeps what was asked.
type fakeStream struct {
	answers []http.HandlerFunc

	mu    sync.Mutex
	asked []string // Last-Event-ID of each GET
}

func (f *fakeStream) get(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	next := f.answers[min(len(f.asked), len(f.answers)-1)]
	f.asked = append(f.asked, r.Header.Get(headerLastEventID))
	f.mu.Unlock()
	next(w, r)
}

func (f *fakeStream) all() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.asked...)
}

func refuse(status int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }
}

// hold sends these bytes and stays.
func hold(stream string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		events(stream)(w, r)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}
}

func TestListener(t *testing.T) {
	initialized := `{"jsonrpc":"2.0","method":"notifications/initialized"}`
	for name, tc := range map[string]struct {
		answers []http.HandlerFunc
		// then are messages of the caller, with the Authorization it has by then.
		then [][2]string
		// want are the Last-Event-IDs of the GETs.
		want []string
	}{
		"holds the stream": {
			answers: []http.HandlerFunc{hold("id: 1\ndata: x\n\n")},
			then:    [][2]string{{callBody, ""}, {callBody, ""}},
			want:    []string{""},
		},
		"opens it again where it was": {
			answers: []http.HandlerFunc{events("retry: 1\nid: 1\ndata: x\n\nid: 2\ndata: cut o"), hold("")},
			want:    []string{"", "1"},
		},
		"opens it again after trouble, with the id it had": {
			answers: []http.HandlerFunc{events("id: 1\ndata: x\n\n"), refuse(503), refuse(409), hold("")},
			then:    [][2]string{{callBody, ""}, {callBody, ""}, {callBody, ""}},
			want:    []string{"", "1", "1", "1"},
		},
		"opens it anew where the server cannot resume it": {
			answers: []http.HandlerFunc{events("retry: 1\nid: 1\ndata: x\n\n"), refuse(400), hold("")},
			want:    []string{"", "1", ""},
		},
		"opens it anew where the server does not know the place": {
			answers: []http.HandlerFunc{events("retry: 1\nid: 1\ndata: x\n\n"), refuse(404), hold("")},
			want:    []string{"", "1", ""},
		},
		"does not ask a third time where the server refuses the new one too": {
			answers: []http.HandlerFunc{events("retry: 1\nid: 1\ndata: x\n\n"), refuse(404), refuse(404), hold("")},
			then:    [][2]string{{callBody, ""}, {callBody, ""}, {callBody, ""}},
			want:    []string{"", "1", ""},
		},
		"does not ask again where there is none": {
			answers: []http.HandlerFunc{refuse(405)},
			then:    [][2]string{{initialized, ""}, {callBody, ""}, {callBody, "Bearer new"}},
			want:    []string{""},
		},
		"does not ask again where the path is not known": {
			answers: []http.HandlerFunc{refuse(404)},
			then:    [][2]string{{initialized, ""}, {callBody, "Bearer new"}},
			want:    []string{""},
		},
		"does not ask again where the answer is no stream": {
			answers: []http.HandlerFunc{refuse(204)},
			then:    [][2]string{{initialized, ""}, {callBody, ""}},
			want:    []string{""},
		},
		"asks again when the session is initialized": {
			answers: []http.HandlerFunc{refuse(400), hold("")},
			then:    [][2]string{{initialized, ""}, {callBody, ""}},
			want:    []string{"", ""},
		},
		"asks again with new credentials": {
			answers: []http.HandlerFunc{refuse(401), hold("")},
			then:    [][2]string{{callBody, ""}, {callBody, "Bearer new"}},
			want:    []string{"", ""},
		},
	} {
		t.Run(name, func(t *testing.T) {
			stream := &fakeStream{answers: tc.answers}
			endpoint, h := newFront(t, &fakeServer{get: stream.get})
			session := begin(t, endpoint)
			for _, m := range tc.then {
				// Settled is what a call would wait for.
				h.sessions.get(session).listener.awaitHeader(t.Context())
				ask(t, http.MethodPost, endpoint, m[0], wire.HeaderSession, session, "Authorization", m[1])
			}
			eventually(t, "the GETs", func() bool { return len(stream.all()) >= len(tc.want) })
			if diff := cmp.Diff(tc.want, stream.all()); diff != "" {
				t.Errorf("Last-Event-IDs (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCallWaitsForTheStreamThatBroke(t *testing.T) {
	broke := make(chan struct{})
	stream := &fakeStream{answers: []http.HandlerFunc{
		func(w http.ResponseWriter, r *http.Request) {
			events("retry: 60000\ndata: x\n\n")(w, r)
			_ = http.NewResponseController(w).Flush()
			<-broke
		},
		hold(""),
	}}
	var streams int
	server := &fakeServer{get: stream.get}
	server.call = func(w http.ResponseWriter, _ *http.Request) {
		streams = len(stream.all())
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, callResponse)
	}
	endpoint, h := newFront(t, server, func(o *Options) { o.StreamWait = patience })
	session := begin(t, endpoint)
	l := h.sessions.get(session).listener
	l.awaitHeader(t.Context())
	close(broke)
	eventually(t, "the break is noticed", func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.paused
	})
	start := time.Now()
	ask(t, http.MethodPost, endpoint, callBody, wire.HeaderSession, session)
	if streams != 2 {
		t.Errorf("the call came when the server had seen %d streams, want 2", streams)
	}
	if waited := time.Since(start); waited > patience/2 {
		t.Errorf("the call waited %v", waited)
	}
}

func TestStreamOfACallerWhoseServerHasNone(t *testing.T) {
	for name, tc := range map[string]struct {
		get        http.HandlerFunc
		session    bool
		wantStatus int
		wantBody   string
	}{
		"the server's refusal passes": {get: refuse(405), session: true, wantStatus: 405},
		"a server without sessions has a stream for each": {
			get: events("data: x\n\n" + sampleEvent + "data: y\n\n"), wantStatus: 200, wantBody: "data: x\n\ndata: y\n\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			endpoint, _ := newFront(t, &fakeServer{get: tc.get})
			var header []string
			if tc.session {
				header = []string{wire.HeaderSession, begin(t, endpoint)}
			}
			got := ask(t, http.MethodGet, endpoint, "", header...)
			if got.status != tc.wantStatus || got.body != tc.wantBody {
				t.Errorf("status %d and %q, want %d and %q", got.status, got.body, tc.wantStatus, tc.wantBody)
			}
		})
	}
}

func TestStreamInABrowser(t *testing.T) {
	server := &fakeServer{get: hold("")}
	endpoint, _ := newFront(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", r.Header.Get("Origin"))
		w.Header().Set("Vary", "Origin")
		server.ServeHTTP(w, r)
	}), func(o *Options) { o.Settings.AllowedOrigins = []string{"https://a.example"} })
	session := ask(t, http.MethodPost, endpoint, initializeBody, "Origin", "https://a.example").header.Get(wire.HeaderSession)
	for origin, want := range map[string]string{"https://a.example": "https://a.example", "": ""} {
		resp := open(t.Context(), t, http.MethodGet, endpoint, "", wire.HeaderSession, session, "Origin", origin)
		resp.Body.Close()
		if got := resp.Header.Get("Access-Control-Allow-Origin"); resp.StatusCode != http.StatusOK || got != want {
			t.Errorf("origin %q got status %d and is told %q, want %q", origin, resp.StatusCode, got, want)
		}
	}
}

func TestModelCallOnTheGETStreamEndsWithTheOnlyCall(t *testing.T) {
	asked, ended, done := make(chan struct{}, 1), make(chan struct{}, 1), make(chan struct{})
	calling := make(chan struct{})
	server := &fakeServer{
		get: func(w http.ResponseWriter, r *http.Request) {
			events(": open\n\n")(w, r)
			_ = http.NewResponseController(w).Flush()
			select {
			case <-calling:
				hold(sampleEvent)(w, r)
			case <-r.Context().Done():
			}
		},
		call: func(w http.ResponseWriter, r *http.Request) {
			close(calling)
			select {
			case <-done:
				_, _ = io.WriteString(w, callResponse)
			case <-r.Context().Done():
			}
		},
		answers: make(chan string, 1),
	}
	endpoint, _ := newFront(t, server, withSampling(&fakeSampling{answer: untilCancelled(asked, ended)}))
	session := begin(t, endpoint)
	go func() {
		<-asked
		close(done)
	}()
	if got := ask(t, http.MethodPost, endpoint, callBody, wire.HeaderSession, session); !strings.Contains(got.body, callResponse) {
		t.Errorf("the call got %q", got.body)
	}
	await(t, "the model call ends", ended)
	want := `{"jsonrpc":"2.0","id":9,"error":{"code":-32603,"message":"cancelled"}}`
	if got := await(t, "the answer", server.answers); got != want {
		t.Errorf("the server was answered %s, want %s", got, want)
	}
}
