package proxy

import (
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

// leaver is a server whose GET stream is given up. When it notices, it closes
// noticed and does what it is told.
type leaver struct {
	fakeServer
	open, noticed chan struct{}
}

func newLeaver(last func(w http.ResponseWriter)) *leaver {
	s := &leaver{open: make(chan struct{}), noticed: make(chan struct{})}
	s.answers = make(chan string, 2)
	s.get = func(w http.ResponseWriter, r *http.Request) {
		events(": open\n\n")(w, r)
		_ = http.NewResponseController(w).Flush()
		close(s.open)
		<-r.Context().Done()
		close(s.noticed)
		last(w)
	}
	return s
}

// leave has a handler let go of a session, and waits until that is done.
func leave(t *testing.T, h *Handler, name string) {
	t.Helper()
	h.Drain()
	if left := h.sessions.whenLeft(name); left != nil {
		await(t, "the stream has ended", left)
	}
	if n := h.Sessions(); n != 0 {
		t.Errorf("%d sessions are held, want none", n)
	}
}

func TestAStreamEndsWhenTheServerHasNoticed(t *testing.T) {
	for name, tc := range map[string]struct {
		start func(*httptest.Server)
		// wantLast is whether what the server still sends is answered.
		wantLast bool
	}{
		"over TCP": {start: (*httptest.Server).Start, wantLast: true},
		"over TLS": {start: (*httptest.Server).StartTLS, wantLast: true},
		"among others, in a connection of HTTP/2": {start: func(s *httptest.Server) {
			s.EnableHTTP2 = true
			s.StartTLS()
		}},
	} {
		t.Run(name, func(t *testing.T) {
			server := newLeaver(func(w http.ResponseWriter) {
				_, _ = io.WriteString(w, sampleEvent)
			})
			upstream := httptest.NewUnstartedServer(server)
			tc.start(upstream)
			t.Cleanup(upstream.Close)
			pool := x509.NewCertPool()
			if cert := upstream.Certificate(); cert != nil {
				pool.AddCert(cert)
			}
			h := handlerFor(t, upstream.URL+"/mcp", func(o *Options) { o.RootCAs = func() *x509.CertPool { return pool } })
			session := serveOne(t, h, http.MethodPost, "/mcp", initializeBody).Header().Get(wire.HeaderSession)
			await(t, "the stream is open", server.open)
			leave(t, h, session)
			await(t, "the server has noticed", server.noticed)
			if !tc.wantLast {
				return
			}
			if got, want := await(t, "the answer", server.answers), `{"jsonrpc":"2.0","id":9,"result":{}}`; got != want {
				t.Errorf("the server was answered %s, want %s", got, want)
			}
		})
	}
}

func TestAStreamIsLeftThoughTheServerDoesNotEndIt(t *testing.T) {
	held := make(chan net.Conn, 1)
	server := &fakeServer{get: func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n: open\n\n")
		held <- conn
	}}
	endpoint, h := newFront(t, server)
	name := begin(t, endpoint)
	h.sessions.get(name).listener.awaitHeader(t.Context())
	conn := await(t, "the stream is open", held)
	defer conn.Close()
	h.leaveTime = 100 * time.Millisecond
	start := time.Now()
	leave(t, h, name)
	if took := time.Since(start); took < h.leaveTime || took > patience/2 {
		t.Errorf("it was left after %s, want about %s", took, h.leaveTime)
	}
	if !h.deaf.Load() {
		t.Error("that is not remembered")
	}
	eventually(t, "the connection is closed", func() bool {
		_, err := io.WriteString(conn, ": more\n\n")
		return err != nil
	})
}

func TestAStreamThatIsJustBeingOpenedIsLeftToo(t *testing.T) {
	for name, opens := range map[string]bool{"and opens": true, "and never opens": false} {
		t.Run(name, func(t *testing.T) {
			asked, answer, noticed := make(chan struct{}), make(chan struct{}), make(chan struct{})
			server := &fakeServer{get: func(w http.ResponseWriter, r *http.Request) {
				close(asked)
				if opens {
					<-answer
					hold("")(w, r)
				} else {
					<-r.Context().Done()
				}
				close(noticed)
			}}
			endpoint, h := newFront(t, server)
			name := begin(t, endpoint)
			await(t, "the server is asked", asked)
			h.Drain()
			close(answer)
			leave(t, h, name)
			await(t, "the server has noticed", noticed)
		})
	}
}

func TestAStreamThatIsOpenedAgainIsLeftAtOnce(t *testing.T) {
	stream := &fakeStream{answers: []http.HandlerFunc{events("retry: 60000\ndata: x\n\n")}}
	endpoint, h := newFront(t, &fakeServer{get: stream.get})
	name := begin(t, endpoint)
	l := h.sessions.get(name).listener
	eventually(t, "the end is noticed", func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.paused
	})
	leave(t, h, name)
	if got := len(stream.all()); got != 1 {
		t.Errorf("the server was asked for its stream %d times, want once", got)
	}
}

// A replica in which calls of a session run keeps it for the one that asked.
func TestABusySessionIsAskedForAgain(t *testing.T) {
	server := newAsker()
	server.hold = make(chan struct{})
	set, dns := newSet(t, server, 2, func(o *Options) { o.StreamWait = 200 * time.Millisecond })
	old, next := set[0], set[1]
	name := begin(t, old.endpoint)
	calls(t, name, old)
	running := open(t.Context(), t, http.MethodPost, old.endpoint, callBody, wire.HeaderSession, name, "X-Hold", "1")
	defer running.Body.Close()
	are(dns, set, old, next)
	next.replicas.all(t.Context())
	are(dns, set, next)

	// The old one will not let go: it holds the stream that both calls need.
	calls(t, name, next)
	old.Drain()
	if got := held(set); got[0] != 1 || got[1] != 1 {
		t.Errorf("the replicas hold %v sessions, want one each", got)
	}
	close(server.hold)
	if body, err := io.ReadAll(running.Body); err != nil || string(body) != "data: "+sampled+"\n\n" {
		t.Errorf("the running call got %q, error %v", body, err)
	}
	// Nobody has asked again, so it is not given up under a call there.
	eventually(t, "the call is over", func() bool {
		s := old.sessions.get(name)
		if s == nil {
			t.Fatal("the session was let go of unasked")
		}
		_, idle := s.idleFrom()
		return idle
	})
	calls(t, name, next)
	if got := held(set); got[0] != 0 || got[1] != 1 {
		t.Errorf("the replicas hold %v sessions in the end, want one at the next", got)
	}
	eventually(t, "the next one has the stream", func() bool {
		open, times := server.listeners("asker-1")
		return open && times == 2
	})
}

func TestLettingGoIsForReplicas(t *testing.T) {
	server := newAsker()
	set, _ := newSet(t, server, 2)
	name := begin(t, set[0].endpoint)
	mark := func(bound []byte, age time.Duration) string {
		return set[1].opts.Sealer.SealState([]byte(set[1].replicas.self+"\n"+name), bound, time.Now().Add(letGoSealed-age))
	}
	for what, value := range map[string]string{
		"with the name alone": name, "with one that is too old": mark(letGoBound, letGoSealed), "with one of something else": mark([]byte("other"), 0),
	} {
		if got := ask(t, http.MethodPost, set[0].endpoint, "", headerHop, value); got.status != http.StatusBadRequest || set[0].Sessions() != 1 {
			t.Errorf("%s: status %d, %d sessions held, want 400 and one", what, got.status, set[0].Sessions())
		}
	}
	for range 2 { // the second time there is nothing left
		if got := ask(t, http.MethodPost, set[0].endpoint, "", headerHop, mark(letGoBound, 0)); got.status != http.StatusNoContent || set[0].Sessions() != 0 {
			t.Errorf("status %d, %d sessions held, want 204 and none", got.status, set[0].Sessions())
		}
	}
	calls(t, name, set[0])
}

// A server may say 503 with anything in its header: that is not a replica's word.
func TestAServerCannotSayThatAReplicaEnds(t *testing.T) {
	set, _ := newSet(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if m, _ := wire.ParseMessage(body); m.Method == wire.MethodInitialize {
			w.Header().Set(wire.HeaderSession, "s")
			_, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-06-18"}}`)
			return
		}
		w.Header().Set(headerHop, hopLeaving)
		w.WriteHeader(http.StatusServiceUnavailable)
	}), 2)
	name := begin(t, set[0].endpoint)
	if got := ask(t, http.MethodPost, set[1].endpoint, callBody, wire.HeaderSession, name); got.status != http.StatusServiceUnavailable || set[1].Sessions() != 0 {
		t.Errorf("status %d, %d sessions at the replica that forwards, want 503 and none", got.status, set[1].Sessions())
	}
}

func TestAReplicaThatEndsGivesBackWhatItDoesNotHold(t *testing.T) {
	server := newAsker()
	set, _ := newSet(t, server, 2)
	old, next := set[0], set[1]
	name := begin(t, old.endpoint)
	calls(t, name, old, next)
	old.Drain() // and is still found
	calls(t, name, next, old, next)
	if got := held(set); got[0] != 0 || got[1] != 1 {
		t.Errorf("the replicas hold %v sessions, want one at the next", got)
	}
	if _, times := server.listeners("asker-1"); times != 2 {
		t.Errorf("the server's stream was opened %d times, want twice", times)
	}
}

func TestWhoMayHoldASession(t *testing.T) {
	dns := &fakeDNS{}
	r, err := newReplicas(&Options{Replicas: "samplers.example:80", Self: "10.0.0.1:80", LookupNetIP: dns.lookup})
	if err != nil {
		t.Fatal(err)
	}
	h := &Handler{replicas: r, opts: Options{Upstream: &url.URL{}}}
	check := func(when, want string, ips ...string) {
		t.Helper()
		dns.set("samplers.example", ips...)
		lookUpAgain(h)
		if got := strings.Join(r.others(t.Context()), " "); got != want {
			t.Errorf("%s: %s, want %s", when, got, want)
		}
	}
	check("at first", "10.0.0.2:80", "10.0.0.1", "10.0.0.2")
	check("when one leaves and another comes", "10.0.0.2:80 10.0.0.3:80", "10.0.0.1", "10.0.0.3")
	check("when it comes back", "10.0.0.2:80 10.0.0.3:80", "10.0.0.1", "10.0.0.2", "10.0.0.3")
	check("when both leave", "10.0.0.2:80 10.0.0.3:80", "10.0.0.1")
	r.lost("10.0.0.2:80")
	check("when one of them has ended", "10.0.0.3:80", "10.0.0.1")
	r.ends("10.0.0.2:80")
	check("when one ends", "10.0.0.2:80 10.0.0.3:80", "10.0.0.1", "10.0.0.2")
	if got := strings.Join(r.current(t.Context()), " "); got != "10.0.0.1:80" {
		t.Errorf("one that ends may get requests: there are %s", got)
	}
	check("when it is not found any more", "10.0.0.2:80 10.0.0.3:80", "10.0.0.1")
	r.lost("10.0.0.2:80")
	r.met("10.0.0.4:80")
	check("when one is met that is not found", "10.0.0.3:80 10.0.0.4:80", "10.0.0.1")
	r.left["10.0.0.4:80"] = time.Now().Add(-leftTime)
	r.left["10.0.0.3:80"] = time.Now().Add(-leftTime)
	check("when it was long ago", "", "10.0.0.1")
}

func TestAReplicaThatHasEndedIsForgotten(t *testing.T) {
	set, dns := newSet(t, newAsker(), 3)
	here := set[0].replicas
	here.all(t.Context())
	are(dns, set, set[0])
	if got := len(here.others(t.Context())); got != 2 {
		t.Fatalf("%d others may hold sessions, want 2", got)
	}
	set[1].die()
	here.forgetEnded(t.Context())
	if got := here.others(t.Context()); len(got) != 1 || got[0] != set[2].replicas.self {
		t.Errorf("%v may hold sessions, want the one that is still there", got)
	}
}
