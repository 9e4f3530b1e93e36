package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/seal"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

func TestNewRefuses(t *testing.T) {
	good := func() *url.URL { return &url.URL{Scheme: "http", Host: "server:8000", Path: "/mcp"} }
	for name, tc := range map[string]struct {
		options Options
		want    string
	}{
		"no upstream":       {Options{Sampling: &fakeSampling{}}, "proxy: Upstream is missing: set the URL of the server's MCP endpoint"},
		"another scheme":    {Options{Sampling: &fakeSampling{}, Upstream: &url.URL{Scheme: "ftp", Host: "x"}}, `proxy: Upstream has scheme "ftp": use http or https`},
		"no host":           {Options{Sampling: &fakeSampling{}, Upstream: &url.URL{Scheme: "http", Path: "/mcp"}}, "proxy: Upstream has no host"},
		"no one to sample":  {Options{Upstream: good()}, "proxy: Sampling is missing"},
		"nothing: all good": {Options{Sampling: &fakeSampling{}, Upstream: good()}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			h, err := New(tc.options)
			if h != nil {
				defer h.Close()
			}
			if got := fmt.Sprint(err); got != tc.want && (err != nil || tc.want != "") {
				t.Errorf("error %q, want %q", got, tc.want)
			}
		})
	}
}

func TestSessionsBeginAndEnd(t *testing.T) {
	type step struct {
		method, body, session string
		wantStatus            int
		wantSessions          int
	}
	post, del := http.MethodPost, http.MethodDelete
	initialize := func(id int) string { return strings.Replace(initializeBody, `"id":0`, fmt.Sprintf(`"id":%d`, id), 1) }
	for name, tc := range map[string]struct {
		server *fakeServer
		max    int
		steps  []step
	}{
		"begun and deleted": {
			server: &fakeServer{},
			steps: []step{
				{post, initialize(1), "", 200, 1},
				{post, callBody, "s-1", 200, 1},
				{post, initialize(2), "", 200, 2},
				{del, "", "s-1", 202, 1},
			},
		},
		"one that is not known here is taken over": {
			server: &fakeServer{},
			steps:  []step{{post, callBody, "from-before", 200, 1}, {post, callBody, "from-before", 200, 1}},
		},
		"one that the server does not know is not kept": {
			server: &fakeServer{known: func(string) bool { return false }},
			steps:  []step{{post, callBody, "old", 404, 0}, {http.MethodGet, "", "old", 404, 0}, {del, "", "old", 404, 0}},
		},
		"one that the server has forgotten": {
			server: &fakeServer{known: func(id string) bool { return id != "s-1" }},
			steps:  []step{{post, initialize(1), "", 200, 1}, {post, callBody, "s-1", 404, 0}},
		},
		"one whose caller the server refuses is not kept": {
			server: &fakeServer{call: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) }},
			steps:  []step{{post, callBody, "stolen", 401, 0}},
		},
		"no session, no state": {
			server: &fakeServer{},
			steps:  []step{{post, callBody, "", 200, 0}},
		},
		"the longest idle one makes room": {
			server: &fakeServer{}, max: 2,
			steps: []step{
				{post, initialize(1), "", 200, 1},
				{post, initialize(2), "", 200, 2},
				{post, initialize(3), "", 200, 2},
			},
		},
		"initialize with an error begins none": {
			server: &fakeServer{known: func(string) bool { return false }},
			steps:  []step{{post, `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`, "", 404, 0}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			endpoint, h := newFront(t, tc.server, func(o *Options) { o.Settings.MaxSessions = tc.max })
			names := map[string]string{}
			for i, s := range tc.steps {
				var header []string
				if s.session != "" {
					if names[s.session] == "" {
						names[s.session] = nameOf(t, h, seal.Session{ID: s.session})
					}
					header = []string{wire.HeaderSession, names[s.session]}
				}
				got := ask(t, s.method, endpoint, s.body, header...)
				if name := got.header.Get(wire.HeaderSession); name != "" {
					opened, err := h.opts.Sealer.OpenName(name)
					if err != nil {
						t.Fatalf("step %d: the session is called %q: %v", i, name, err)
					}
					names[opened.ID] = name
				}
				if got.status != s.wantStatus {
					t.Fatalf("step %d: status %d (%s), want %d", i, got.status, got.body, s.wantStatus)
				}
				eventually(t, fmt.Sprintf("step %d: %d sessions", i, s.wantSessions), func() bool { return h.Sessions() == s.wantSessions })
			}
		})
	}
}

func TestInitializeWithAnErrorBeginsNoSession(t *testing.T) {
	for name, contentType := range map[string]string{"as JSON": "application/json", "as a stream": "text/event-stream"} {
		t.Run(name, func(t *testing.T) {
			failure := `{"jsonrpc":"2.0","id":0,"error":{"code":-32602,"message":"no"}}`
			if contentType == "text/event-stream" {
				failure = "data: " + failure + "\n\n"
			}
			endpoint, h := newFront(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", contentType)
				w.Header().Set(wire.HeaderSession, "s")
				_, _ = io.WriteString(w, failure)
			}))
			if got := ask(t, http.MethodPost, endpoint, initializeBody); got.body != failure {
				t.Errorf("got %q, want %q", got.body, failure)
			}
			if h.Sessions() != 0 {
				t.Errorf("%d sessions, want none", h.Sessions())
			}
		})
	}
}

func TestNoRoomForASession(t *testing.T) {
	done := make(chan struct{})
	server := &fakeServer{call: streamUntil(done)}
	endpoint, h := newFront(t, server, func(o *Options) { o.Settings.MaxSessions = 1 })
	session := begin(t, endpoint)
	busy := open(t.Context(), t, http.MethodPost, endpoint, callBody, wire.HeaderSession, session)
	defer busy.Body.Close()
	defer close(done)
	want := `{"jsonrpc":"2.0","id":%d,"error":{"code":-32000,"message":"the sampler holds as many sessions as it may: try again later"}}`
	if got := ask(t, http.MethodPost, endpoint, initializeBody); got.status != 503 || got.body != fmt.Sprintf(want, 0) || got.header.Get("Proxy-Status") != NoRoom {
		t.Errorf("initialize got %d, %s and %v, want 503", got.status, got.body, got.header)
	}
	if got := ask(t, http.MethodPost, endpoint, callBody, wire.HeaderSession, nameOf(t, h, seal.Session{ID: "other"})); got.status != 503 || got.body != fmt.Sprintf(want, 1) {
		t.Errorf("a call got %d and %s, want 503", got.status, got.body)
	}
}

func TestIdleSessionsExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, err := New(Options{
			Upstream: &url.URL{Scheme: "http", Host: "127.0.0.1", Path: "/mcp"}, Sampling: &fakeSampling{},
			IdleTimeout: time.Hour, Transport: &fakePods{},
		})
		if err != nil {
			t.Fatal(err)
		}
		defer h.Close()
		none := wire.SamplingCapability{}
		idle, used := h.newSession("idle", "", none, none), h.newSession("used", "", none, none)
		for _, s := range []*session{idle, used} {
			if _, ok := h.sessions.put(s); !ok {
				t.Fatal("no room")
			}
		}
		idle.release()
		time.Sleep(59 * time.Minute)
		synctest.Wait()
		if got := h.Sessions(); got != 2 {
			t.Errorf("%d sessions before the time, want 2", got)
		}
		time.Sleep(3 * time.Minute)
		synctest.Wait()
		if got := h.sessions.all(); len(got) != 1 || got[0] != used {
			t.Errorf("%d sessions after the time, want the used one", len(got))
		}
		if idle.ctx.Err() == nil {
			t.Error("the expired session goes on")
		}
	})
}

// inPods gives the proxy a server name that stands for these addresses.
func inPods(pods *fakePods, addresses ...string) func(*Options) {
	return func(o *Options) {
		o.Upstream = &url.URL{Scheme: "http", Host: "server.example:8000", Path: "/mcp"}
		o.Transport = pods
		o.LookupNetIP = func(context.Context, string, string) ([]netip.Addr, error) {
			var found []netip.Addr
			for _, a := range addresses {
				found = append(found, netip.MustParseAddr(a))
			}
			if len(found) == 0 {
				return nil, errors.New("no such host")
			}
			return found, nil
		}
	}
}

func TestSessionStaysOnItsServer(t *testing.T) {
	first, second := &fakeServer{}, &fakeServer{}
	pods := &fakePods{pods: map[string]http.Handler{"10.0.0.1:8000": first, "[fd00::2]:8000": second}}
	endpoint, h := newFront(t, http.NotFoundHandler(), inPods(pods, "10.0.0.1", "fd00::2", "10.0.0.9"))
	for range 20 { // the choice is random
		session := begin(t, endpoint)
		before := [2]int{first.got(callBody), second.got(callBody)}
		for range 3 {
			ask(t, http.MethodPost, endpoint, callBody, wire.HeaderSession, session)
		}
		if a, b := first.got(callBody)-before[0], second.got(callBody)-before[1]; a+b != 3 || a*b != 0 {
			t.Fatalf("%d calls went to one server and %d to the other, want all 3 to one", a, b)
		}
	}
	if diff := cmp.Diff(map[string]bool{"server.example:8000": true}, pods.names()); diff != "" {
		t.Errorf("what the server is called (-want +got):\n%s", diff)
	}
	// Its server goes away: the session is over, and the caller begins anew.
	session := begin(t, endpoint)
	pods.set("10.0.0.1:8000", nil)
	pods.set("[fd00::2]:8000", nil)
	got := ask(t, http.MethodPost, endpoint, callBody, wire.HeaderSession, session)
	want := `{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"the server of this session is gone: initialize again"}}`
	if got.status != http.StatusNotFound || got.body != want {
		t.Errorf("status %d and %s, want 404 and %s", got.status, got.body, want)
	}
	if h.sessions.get(session) != nil {
		t.Error("the session is still known")
	}
	pods.set("10.0.0.9:8000", &fakeServer{})
	begin(t, endpoint)
}

func TestSessionFromBeforeIsFoundOnItsServer(t *testing.T) {
	knows := func(good string) func(string) bool { return func(id string) bool { return id == good } }
	stranger := &fakeServer{}
	pods := &fakePods{pods: map[string]http.Handler{
		"10.0.0.1:8000": &fakeServer{known: knows("one")},
		"10.0.0.2:8000": &fakeServer{known: knows("two")},
		"10.0.0.3:8000": &fakeServer{known: knows("three")},
		"10.0.0.4:8000": stranger,
	}}
	endpoint, h := newFront(t, http.NotFoundHandler(), inPods(pods, "10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.9"))
	for id, tc := range map[string]struct {
		address    string
		wantStatus int
	}{
		"one":              {"10.0.0.1:8000", 200},
		"two":              {"10.0.0.2:8000", 200},
		"three":            {"10.0.0.3:8000", 200},
		"unknown there":    {"10.0.0.3:8000", 404},
		"does not answer":  {"10.0.0.9:8000", 404},
		"not the server's": {"10.0.0.4:8000", 404},
	} {
		name := nameOf(t, h, seal.Session{ID: id, Address: tc.address})
		for range 2 {
			if got := ask(t, http.MethodPost, endpoint, callBody, wire.HeaderSession, name); got.status != tc.wantStatus {
				t.Errorf("session %s got status %d, want %d", id, got.status, tc.wantStatus)
			}
		}
	}
	if got := h.Sessions(); got != 3 {
		t.Errorf("%d sessions, want 3", got)
	}
	if got := stranger.got(callBody); got != 0 {
		t.Errorf("%d calls came to what has taken the address of a server", got)
	}
}

func TestServerWhoseNameIsNotFound(t *testing.T) {
	endpoint, _ := newFront(t, http.NotFoundHandler(), inPods(&fakePods{}))
	if got := ask(t, http.MethodPost, endpoint, initializeBody); got.status != http.StatusBadGateway {
		t.Errorf("status %d, want 502", got.status)
	}
}

func TestShutdownLetsCallsEnd(t *testing.T) {
	done := make(chan struct{})
	server := &fakeServer{get: hold(": open\n\n"), call: func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Quick") != "" {
			_, _ = io.WriteString(w, callResponse)
			return
		}
		streamUntil(done)(w, r)
	}}
	endpoint, h := newFront(t, server)
	idle := begin(t, endpoint)
	unused := open(t.Context(), t, http.MethodGet, endpoint, "", wire.HeaderSession, idle)
	defer unused.Body.Close()
	session := begin(t, endpoint)
	listening := open(t.Context(), t, http.MethodGet, endpoint, "", wire.HeaderSession, session)
	defer listening.Body.Close()
	running := open(t.Context(), t, http.MethodPost, endpoint, callBody, wire.HeaderSession, session)
	defer running.Body.Close()

	over := make(chan error, 1)
	go func() { over <- h.Shutdown(t.Context()) }()
	if _, err := io.ReadAll(unused.Body); err != nil {
		t.Errorf("the GET stream of the idle session broke: %v", err)
	}
	for _, name := range []string{session, idle} {
		if got := ask(t, http.MethodPost, endpoint, callBody, wire.HeaderSession, name, "X-Quick", "1"); got.status != http.StatusOK {
			t.Errorf("a new call got status %d, want 200", got.status)
		}
	}
	if got := ask(t, http.MethodPost, endpoint, `{"jsonrpc":"2.0","id":5,"result":{}}`, wire.HeaderSession, session); got.status != http.StatusAccepted {
		t.Errorf("what the running call may wait for got status %d, want 202", got.status)
	}
	select {
	case err := <-over:
		t.Fatalf("Shutdown did not wait for the call: %v", err)
	default:
	}
	close(done)
	if body, err := io.ReadAll(running.Body); err != nil || !strings.Contains(string(body), callResponse) {
		t.Errorf("the running call got %q, error %v", body, err)
	}
	if _, err := io.ReadAll(listening.Body); err != nil {
		t.Errorf("the GET stream of the session with the call broke: %v", err)
	}
	if err := await(t, "Shutdown returns", over); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
}

func TestShutdownGivesUp(t *testing.T) {
	endpoint, h := newFront(t, &fakeServer{call: streamUntil(nil)})
	running := open(t.Context(), t, http.MethodPost, endpoint, callBody, wire.HeaderSession, begin(t, endpoint))
	defer running.Body.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := h.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Shutdown: %v, want %v", err, context.Canceled)
	}
	if _, err := io.ReadAll(running.Body); err == nil {
		t.Error("the call ended as if it were complete")
	}
}

func TestLogsSayNothingSecret(t *testing.T) {
	var log strings.Builder
	done := make(chan struct{})
	close(done)
	server := &fakeServer{answers: make(chan string, 1)}
	server.call = func(w http.ResponseWriter, r *http.Request) {
		events(strings.Replace(sampleEvent, `"messages":[]`, `"messages":["content-secret"]`, 1))(w, r)
		_ = http.NewResponseController(w).Flush()
		<-server.answers
		panic(http.ErrAbortHandler)
	}
	endpoint, h := newFront(t, server, func(o *Options) {
		o.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	session := begin(t, endpoint)
	ask(t, http.MethodPost, endpoint, callBody, wire.HeaderSession, session, "Authorization", "Bearer token-secret")
	h.Close()
	for _, secret := range []string{"content-secret", "token-secret", session + `"`, "=" + session} {
		if strings.Contains(log.String(), secret) {
			t.Errorf("the log has %q:\n%s", secret, log.String())
		}
	}
	if !strings.Contains(log.String(), "broke off") {
		t.Errorf("the log lacks the broken stream:\n%s", log.String())
	}
}

func TestCredentials(t *testing.T) {
	header := func(pairs ...string) http.Header {
		h := http.Header{}
		for i := 0; i < len(pairs); i += 2 {
			h.Add(pairs[i], pairs[i+1])
		}
		return h
	}
	for name, tc := range map[string]struct {
		a, b     http.Header
		wantSame bool
	}{
		"the same token":             {header("Authorization", "x"), header("Authorization", "x"), true},
		"another token":              {header("Authorization", "x"), header("Authorization", "y"), false},
		"no token":                   {header("Authorization", "x"), header(), false},
		"an unknown header":          {header("X-Custom-Key", "x"), header("X-Custom-Key", "y"), false},
		"a trace and a language":     {header("Traceparent", "1", "Accept-Language", "de"), header("Traceparent", "2"), true},
		"the message's own":          {header("Content-Length", "1", "Mcp-Session-Id", "s"), header("Accept", "*/*"), true},
		"one value cut in two":       {header("A", "xy"), header("A", "x", "A", "y"), false},
		"another proof of one token": {header("Authorization", "DPoP x", "Dpop", "1", "Signature", "a", "Via", "p"), header("Authorization", "DPoP x", "Dpop", "2", "Signature", "b"), true},
	} {
		t.Run(name, func(t *testing.T) {
			if got := credentialOf(tc.a) == credentialOf(tc.b); got != tc.wantSame {
				t.Errorf("same: %t, want %t", got, tc.wantSame)
			}
		})
	}
}

func TestRecent(t *testing.T) {
	var r recent
	long := strings.Repeat("long", 1000)
	r.add(long)
	for i := range maxRecent - 1 {
		r.add(fmt.Sprint(i))
	}
	if !r.has(long) || !r.has("0") {
		t.Error("forgot before it was full")
	}
	r.add("one more")
	if r.has(long) || r.has("0") || !r.has("one more") || !r.has(fmt.Sprint(maxRecent-2)) {
		t.Error("did not forget the oldest alone")
	}
	r.remove("one more")
	if r.has("one more") {
		t.Error("has what was removed")
	}
	if i := slices.IndexFunc(r.keys, func(k string) bool { return len(k) > 64 }); i >= 0 {
		t.Errorf("holds a key of %d bytes", len(r.keys[i]))
	}
}

func TestEndToEnd(t *testing.T) {
	got := endToEnd(http.Header{
		"Accept": {"a"}, "Accept-Encoding": {"gzip"}, "Authorization": {"b"}, "Connection": {"close, X-Hop", "X-Too"},
		"Content-Length": {"5"}, "Expect": {"100-continue"}, "Forwarded": {"for=1"}, "Keep-Alive": {"1"}, "Te": {"trailers"},
		"Upgrade": {"h2c"}, "User-Agent": {"c"}, "X-Forwarded-Host": {"h"}, "X-Hop": {"1"}, "X-Too": {"2"},
	})
	want := http.Header{"Accept": {"a"}, "Accept-Encoding": {"identity"}, "Authorization": {"b"}, "User-Agent": {"c"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("header (-want +got):\n%s", diff)
	}
}
