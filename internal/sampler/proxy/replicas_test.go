package proxy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/seal"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/telemetry"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

// are tells all replicas which of them there are.
func are(dns *fakeDNS, all []*fakeReplica, there ...*fakeReplica) {
	var addresses []string
	for _, r := range there {
		addresses = append(addresses, r.ip)
	}
	dns.set("samplers.example", addresses...)
	for _, r := range all {
		lookUpAgain(r.Handler)
	}
}

// lookUpAgain has a replica forget which others it has found.
func lookUpAgain(h *Handler) {
	r := h.replicas
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.asking != nil {
		asking := r.asking
		r.mu.Unlock()
		<-asking
		r.mu.Lock()
	}
	r.asked = time.Time{}
}

const sampled = `{"jsonrpc":"2.0","id":1,"result":{"sampled":true}}`

// calls has a caller call a tool that needs sampling, through each replica.
func calls(t *testing.T, name string, through ...*fakeReplica) {
	t.Helper()
	for _, r := range through {
		if got := ask(t, http.MethodPost, r.endpoint, callBody, wire.HeaderSession, name); got.status != http.StatusOK || got.body != sampled {
			t.Errorf("a call through %s got status %d and %s, want %s", r.ip, got.status, got.body, sampled)
		}
	}
}

// held returns how many sessions each replica holds.
func held(set []*fakeReplica) (n []int) {
	for _, r := range set {
		n = append(n, r.Sessions())
	}
	return n
}

func TestAnyReplicaReachesTheOwner(t *testing.T) {
	server := newAsker()
	set, _ := newSet(t, server, 3)
	name := begin(t, set[0].endpoint)
	calls(t, name, set...)
	if diff := cmp.Diff([]int{1, 0, 0}, held(set)); diff != "" {
		t.Errorf("sessions held (-want +got):\n%s", diff)
	}

	stream := open(t.Context(), t, http.MethodGet, set[1].endpoint, "", wire.HeaderSession, name)
	defer stream.Body.Close()
	if got := stream.Header.Get(wire.HeaderSession); got != name {
		t.Errorf("the stream is of the session %q, want %q", got, name)
	}
	server.notify(t, "asker-1", "news")
	event := make([]byte, len("data: news\n\n"))
	if _, err := io.ReadFull(stream.Body, event); err != nil || string(event) != "data: news\n\n" {
		t.Errorf("the stream through another replica has %q, error %v", event, err)
	}
	if _, times := server.listeners("asker-1"); times != 1 {
		t.Errorf("the server's stream was opened %d times, want once", times)
	}

	// What a caller answers in the model's place is held back by whoever knows.
	answer := `{"jsonrpc":"2.0","id":1,"result":{}}`
	server.mu.Lock()
	for _, b := range server.bodies {
		if m, _ := wire.ParseMessage([]byte(b)); m.IsResponse() {
			answer = strings.Replace(answer, `"id":1`, `"id":`+string(m.ID), 1)
			break
		}
	}
	before := len(server.bodies)
	server.mu.Unlock()
	if got := ask(t, http.MethodPost, set[2].endpoint, answer, wire.HeaderSession, name); got.status != http.StatusAccepted {
		t.Errorf("a forged answer got status %d, want 202", got.status)
	}
	server.mu.Lock()
	if got := len(server.bodies); got != before {
		t.Error("a forged answer came to the server through another replica")
	}
	server.mu.Unlock()

	if got := ask(t, http.MethodDelete, set[2].endpoint, "", wire.HeaderSession, name); got.status != http.StatusOK {
		t.Errorf("DELETE got status %d, want 200", got.status)
	}
	if diff := cmp.Diff([]int{0, 0, 0}, held(set)); diff != "" {
		t.Errorf("sessions held after DELETE (-want +got):\n%s", diff)
	}
	if got := ask(t, http.MethodPost, set[1].endpoint, callBody, wire.HeaderSession, name); got.status != http.StatusNotFound {
		t.Errorf("a call after DELETE got status %d, want 404", got.status)
	}
	server.mu.Lock()
	defer server.mu.Unlock()
	for _, header := range server.header {
		if header[headerHop] != nil || strings.HasPrefix(header.Get(wire.HeaderSession), "mcps") {
			t.Errorf("the server got the header %v", header)
		}
	}
}

func TestASessionGoesOnWhenItsReplicaDies(t *testing.T) {
	for name, leavesDNS := range map[string]bool{"and is known to be gone": true, "before anybody knows": false} {
		t.Run(name, func(t *testing.T) {
			server := newAsker()
			set, dns := newSet(t, server, 3)
			var names []string
			for i := range 10 {
				names = append(names, begin(t, set[0].endpoint))
				eventually(t, "the server's stream is open", func() bool {
					open, _ := server.listeners(fmt.Sprint("asker-", i+1))
					return open
				})
			}
			rest := set[1:]
			set[0].die()
			if leavesDNS {
				are(dns, set, rest...)
			}
			for _, name := range names {
				calls(t, name, rest...)
			}
			if n := held(rest); n[0]+n[1] != 10 || n[0]*n[1] == 0 {
				t.Errorf("the replicas hold %v sessions, want 10 together", n)
			}
			for i := range names {
				if open, times := server.listeners(fmt.Sprint("asker-", i+1)); !open || times != 2 {
					t.Errorf("the stream of session %d: open %t, opened %d times, want 2", i+1, open, times)
				}
			}
			if got := server.sessions(); got != 10 {
				t.Errorf("%d sessions began, want the 10 from before", got)
			}
		})
	}
}

func TestSessionsGoBackToTheirReplica(t *testing.T) {
	server := newAsker()
	set, dns := newSet(t, server, 2)
	a, b := set[0], set[1]
	name := begin(t, a.endpoint)
	a.end(a.sessions.get(name)) // it has restarted
	are(dns, set, b)
	calls(t, name, b)
	stream := open(t.Context(), t, http.MethodGet, b.endpoint, "", wire.HeaderSession, name)
	defer stream.Body.Close()
	b.handOverIdle()
	if diff := cmp.Diff([]int{0, 1}, held(set)); diff != "" {
		t.Errorf("sessions held while its replica is away (-want +got):\n%s", diff)
	}

	are(dns, set, a, b)
	busy := b.sessions.use(name)
	b.handOverIdle()
	if diff := cmp.Diff([]int{0, 1}, held(set)); diff != "" {
		t.Errorf("sessions held while a call runs (-want +got):\n%s", diff)
	}
	b.release(busy)
	eventually(t, "the session is let go of", func() bool { // other exchanges may not be quite over
		b.handOverIdle()
		return cmp.Equal([]int{0, 0}, held(set))
	})
	if _, err := io.ReadAll(stream.Body); err != nil {
		t.Errorf("the caller's stream broke: %v", err)
	}
	calls(t, name, b, a)
	if diff := cmp.Diff([]int{1, 0}, held(set)); diff != "" {
		t.Errorf("sessions held in the end (-want +got):\n%s", diff)
	}
}

func TestCallsEndWellThoughTheirReplicaIsReplaced(t *testing.T) {
	server := newAsker()
	server.hold = make(chan struct{})
	set, dns := newSet(t, server, 2, func(o *Options) { o.StreamWait = 200 * time.Millisecond })
	old, other := set[0], set[1]
	name, idle := begin(t, old.endpoint), begin(t, old.endpoint)
	calls(t, name, old, other)
	calls(t, idle, old)
	streams := map[string]*http.Response{}
	for _, name := range []string{name, idle} {
		streams[name] = open(t.Context(), t, http.MethodGet, old.endpoint, "", wire.HeaderSession, name)
		defer streams[name].Body.Close()
	}
	running := open(t.Context(), t, http.MethodPost, old.endpoint, callBody, wire.HeaderSession, name, "X-Hold", "1")
	defer running.Body.Close()

	old.Drain()
	are(dns, set, other)
	if _, err := io.ReadAll(streams[idle].Body); err != nil {
		t.Errorf("the caller's stream of the idle session broke: %v", err)
	}
	// The next request comes to the other replica, which goes on with the session.
	calls(t, idle, other)
	calls(t, idle, old) // on a connection that was open
	// So does that of the session with the call, whose stream the old one still
	// holds: it answers what comes on it.
	calls(t, name, other)
	if diff := cmp.Diff([]int{1, 2}, held(set)); diff != "" {
		t.Errorf("sessions held (-want +got):\n%s", diff)
	}
	over := make(chan error, 1)
	go func() { over <- old.Shutdown(t.Context()) }()
	close(server.hold)
	if body, err := io.ReadAll(running.Body); err != nil || string(body) != "data: "+sampled+"\n\n" {
		t.Errorf("the running call got %q, error %v", body, err)
	}
	if err := await(t, "the old replica ends", over); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	if _, err := io.ReadAll(streams[name].Body); err != nil {
		t.Errorf("the caller's stream broke: %v", err)
	}
	calls(t, name, other)
	calls(t, idle, other)
	if got := server.sessions(); got != 2 {
		t.Errorf("%d sessions began, want the 2 from before", got)
	}
}

func TestAStreamThroughAReplicaThatLeavesEndsWell(t *testing.T) {
	set, _ := newSet(t, newAsker(), 2)
	name := begin(t, set[0].endpoint)
	stream := open(t.Context(), t, http.MethodGet, set[1].endpoint, "", wire.HeaderSession, name)
	defer stream.Body.Close()
	set[1].Drain()
	if _, err := io.ReadAll(stream.Body); err != nil {
		t.Errorf("the stream broke: %v", err)
	}
	calls(t, name, set[1])
}

func TestFiftySessionsOutliveTheSampler(t *testing.T) {
	server := newAsker()
	upstream := httptest.NewServer(server)
	defer upstream.Close()
	target, _ := url.Parse(upstream.URL + "/mcp")
	start := func(key []byte) (*Handler, *httptest.Server) {
		sealer, err := seal.NewSealer(key)
		if err != nil {
			t.Fatal(err)
		}
		h, err := New(Options{Upstream: target, Sampling: &fakeSampling{}, Sealer: sealer, StreamWait: patience})
		if err != nil {
			t.Fatal(err)
		}
		return h, httptest.NewServer(h)
	}
	h, front := start(replicaKey)
	var names []string
	for range 50 {
		names = append(names, begin(t, front.URL+"/mcp"))
	}
	front.CloseClientConnections()
	h.Close()
	front.Close()

	// One with another key knows nobody.
	h, front = start(bytes.Repeat([]byte{8}, seal.MinKeyBytes))
	for _, method := range []string{http.MethodPost, http.MethodGet, http.MethodDelete} {
		body, id := "", "null"
		if method == http.MethodPost {
			body, id = callBody, "1"
		}
		got := ask(t, method, front.URL+"/mcp", body, wire.HeaderSession, names[0])
		want := `{"jsonrpc":"2.0","id":` + id + `,"error":{"code":-32000,"message":"the session is not known: initialize again"}}`
		if got.status != http.StatusNotFound || got.body != want {
			t.Errorf("%s got status %d and %s, want 404 and %s", method, got.status, got.body, want)
		}
	}
	server.mu.Lock()
	if slices.Contains(server.bodies, callBody) || len(server.ended) > 0 {
		t.Error("requests of a session that is not known came to the server")
	}
	server.mu.Unlock()
	h.Close()
	front.Close()

	h, front = start(replicaKey)
	defer front.Close()
	defer h.Close()
	var callers sync.WaitGroup
	for _, name := range names {
		callers.Go(func() { calls(t, name, &fakeReplica{endpoint: front.URL + "/mcp"}) })
	}
	callers.Wait()
	if got := server.sessions(); got != 50 {
		t.Errorf("%d sessions began, want 50", got)
	}
	for _, s := range h.sessions.all() {
		want := Session{ID: s.digest, Declared: wire.SamplingCapability{Declared: true}, ProtocolVersion: "2025-06-18"}
		if diff := cmp.Diff(want, s.view()); diff != "" {
			t.Errorf("a session after the restart (-want +got):\n%s", diff)
		}
	}
}

func TestAMarkThatNoReplicaMadeIsRefused(t *testing.T) {
	server := newAsker()
	set, _ := newSet(t, server, 2)
	name := begin(t, set[0].endpoint)
	for mark, value := range map[string]string{"made up": "1", "empty": "", "another token": name} {
		got := ask(t, http.MethodPost, set[1].endpoint, callBody, wire.HeaderSession, name, headerHop, value)
		if got.status != http.StatusBadRequest {
			t.Errorf("a mark that is %s got status %d, want 400", mark, got.status)
		}
	}
	if diff := cmp.Diff([]int{1, 0}, held(set)); diff != "" {
		t.Errorf("sessions held (-want +got):\n%s", diff)
	}
}

func TestAReplicaThatBreaksOff(t *testing.T) {
	set, dns := newSet(t, newAsker(), 1)
	_, port, _ := net.SplitHostPort(set[0].front.Listener.Addr().String())
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.9:"+port)
	if err != nil {
		t.Fatal(err)
	}
	var served sync.WaitGroup
	served.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 1))
			_ = conn.Close()
		}
	})
	defer served.Wait()
	defer listener.Close()
	dns.set("samplers.example", "127.0.0.1", "127.0.0.9")
	lookUpAgain(set[0].Handler)
	name := nameOf(t, set[0].Handler, seal.Session{ID: "asker-1", Owner: listener.Addr().String()})
	got := ask(t, http.MethodPost, set[0].endpoint, callBody, wire.HeaderSession, name)
	want := `{"jsonrpc":"2.0","id":null,"error":{"code":-32000,"message":"the sampler that holds this session broke off: try again"}}`
	if got.status != http.StatusBadGateway || got.body != want {
		t.Errorf("status %d and %s, want 502 and %s", got.status, got.body, want)
	}
}

func TestChooseOwner(t *testing.T) {
	set := []string{"10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"}
	for name, tc := range map[string]struct {
		set         []string
		self, owner string
		want        string
	}{
		"nobody else":                {nil, "10.0.0.1:80", "10.0.0.2:80", "10.0.0.1:80"},
		"no names at all":            {nil, "", "", ""},
		"the owner":                  {set, "10.0.0.1:80", "10.0.0.2:80", "10.0.0.2:80"},
		"this one is the owner":      {set, "10.0.0.3:80", "10.0.0.3:80", "10.0.0.3:80"},
		"so it is when not ready":    {set, "10.0.0.4:80", "10.0.0.4:80", "10.0.0.4:80"},
		"the owner is gone":          {set, "10.0.0.1:80", "10.0.0.9:80", "10.0.0.3:80"},
		"and another one chooses":    {set, "10.0.0.3:80", "10.0.0.9:80", "10.0.0.3:80"},
		"the owner is not known":     {set, "10.0.0.2:80", "", "10.0.0.3:80"},
		"one that is not ready asks": {set[:1], "10.0.0.4:80", "10.0.0.9:80", "10.0.0.1:80"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := chooseOwner(tc.set, tc.self, "a session", tc.owner); got != tc.want {
				t.Errorf("%s, want %s", got, tc.want)
			}
		})
	}

	// A replica that goes takes only its own sessions with it.
	moved, chosen := 0, map[string]int{}
	for i := range 3000 {
		name := fmt.Sprint("session ", i)
		before, after := chooseOwner(set, "", name, "x"), chooseOwner(set[:2], "", name, "x")
		chosen[before]++
		if before != after {
			moved++
		}
	}
	if moved != chosen[set[2]] {
		t.Errorf("%d sessions moved, want the %d of the replica that went", moved, chosen[set[2]])
	}
	for _, address := range set {
		if n := chosen[address]; n < 800 || n > 1200 {
			t.Errorf("%d of 3000 sessions are at %s", n, address)
		}
	}
}

func TestReplicasAreLookedUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dns := &fakeDNS{}
		dns.set("samplers.example", "10.0.0.2", "::ffff:10.0.0.1", "10.0.0.2")
		r, err := newReplicas(&Options{Replicas: "samplers.example:80", Self: "[::ffff:10.0.0.1]:80", LookupNetIP: dns.lookup})
		if err != nil {
			t.Fatal(err)
		}
		check := func(when string, wantAsked int, want ...string) {
			t.Helper()
			var all sync.WaitGroup
			for range 10 { // at the same time
				all.Go(func() {
					if got := r.current(t.Context()); !slices.Equal(got, want) {
						t.Errorf("%s: %v, want %v", when, got, want)
					}
				})
			}
			all.Wait()
			if dns.asked != wantAsked {
				t.Errorf("%s: looked up %d times, want %d", when, dns.asked, wantAsked)
			}
		}
		if r.self != "10.0.0.1:80" {
			t.Errorf("this one is %s", r.self)
		}
		check("at first", 1, "10.0.0.1:80", "10.0.0.2:80")
		time.Sleep(replicasKept - 1)
		r.lost("10.0.0.2:80")
		check("when one cannot be reached", 1, "10.0.0.1:80")
		time.Sleep(2 * time.Nanosecond)
		dns.err = errors.New("timeout")
		check("when DNS fails", 2, "10.0.0.1:80")
		time.Sleep(goneTime)
		check("after a while", 3, "10.0.0.1:80", "10.0.0.2:80")
		time.Sleep(replicasKept)
		dns.err = nil
		dns.set("samplers.example")
		check("when none is ready", 4)
	})
}

func TestReplicasThatCannotBe(t *testing.T) {
	for name, tc := range map[string]struct{ replicas, self, want string }{
		"no port":       {"samplers.example", "10.0.0.1:80", `proxy: Replicas is "samplers.example": write host:port`},
		"no self":       {"samplers.example:80", "", `proxy: Self is "": with Replicas it must be this replica's ip:port`},
		"self by name":  {"samplers.example:80", "pod:80", `proxy: Self is "pod:80": with Replicas it must be this replica's ip:port`},
		"self, no port": {"samplers.example:80", "10.0.0.1", `proxy: Self is "10.0.0.1": with Replicas it must be this replica's ip:port`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := New(Options{
				Upstream: &url.URL{Scheme: "http", Host: "server:8000", Path: "/mcp"}, Sampling: &fakeSampling{},
				Replicas: tc.replicas, Self: tc.self,
			})
			if got := fmt.Sprint(err); got != tc.want {
				t.Errorf("error %q, want %q", got, tc.want)
			}
		})
	}
}

func TestAForwardedMessageIsCountedOnce(t *testing.T) {
	set, _ := newSet(t, newAsker(), 2)
	counts := telemetry.New()
	for _, r := range set {
		r.opts.Telemetry = counts
	}
	name := begin(t, set[0].endpoint)
	calls(t, name, set[0], set[1])
	served := regexp.MustCompile(`(?m)^mcp_server_operation_duration_seconds_count\{.*mcp_method_name="tools/call".*\} (\d+)$`)
	eventually(t, "both calls are counted", func() bool {
		w := httptest.NewRecorder()
		counts.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
		all := served.FindAllStringSubmatch(w.Body.String(), -1)
		if len(all) > 1 || len(all) == 1 && all[0][1] > "2" {
			t.Fatalf("two calls are counted as %q", all)
		}
		return len(all) == 1 && all[0][1] == "2"
	})
}
