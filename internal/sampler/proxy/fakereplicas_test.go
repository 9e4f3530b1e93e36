package proxy

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/seal"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

// fakeDNS resolves names to what was set last.
type fakeDNS struct {
	mu    sync.Mutex
	hosts map[string][]netip.Addr
	err   error
	asked int
}

func (d *fakeDNS) lookup(_ context.Context, _, host string) ([]netip.Addr, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked++
	if d.err != nil {
		return nil, d.err
	}
	if len(d.hosts[host]) == 0 {
		return nil, &net.DNSError{IsNotFound: true}
	}
	return d.hosts[host], nil
}

func (d *fakeDNS) set(host string, addresses ...string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.hosts == nil {
		d.hosts = map[string][]netip.Addr{}
	}
	d.hosts[host] = nil
	for _, address := range addresses {
		d.hosts[host] = append(d.hosts[host], netip.MustParseAddr(address))
	}
}

// fakeAsker is a server that asks for sampling on the GET stream of a session
// only, and has one such stream for each.
type fakeAsker struct {
	mu      sync.Mutex
	begun   int
	opened  map[string]int
	streams map[string]chan string
	answers map[string]chan struct{}
	ended   map[string]bool
	// hold, where set, is what a call waits for before it asks.
	hold chan struct{}
	// bodies are what came in sessions.
	bodies []string
	header []http.Header
}

func newAsker() *fakeAsker {
	return &fakeAsker{opened: map[string]int{}, streams: map[string]chan string{}, answers: map[string]chan struct{}{}, ended: map[string]bool{}}
}

func (a *fakeAsker) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	m, _ := wire.ParseMessage(body)
	id := r.Header.Get(wire.HeaderSession)
	a.mu.Lock()
	a.bodies = append(a.bodies, string(body))
	a.header = append(a.header, r.Header)
	known := strings.HasPrefix(id, "asker-") && !a.ended[id]
	a.mu.Unlock()
	switch {
	case m.Method == wire.MethodInitialize:
		a.mu.Lock()
		a.begun++
		id = fmt.Sprint("asker-", a.begun)
		a.mu.Unlock()
		w.Header().Set(wire.HeaderSession, id)
		_, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-06-18"}}`)
	case !known:
		w.WriteHeader(http.StatusNotFound)
	case r.Method == http.MethodDelete:
		a.mu.Lock()
		a.ended[id] = true
		a.mu.Unlock()
	case r.Method == http.MethodGet:
		a.listen(w, r, id)
	case m.IsResponse():
		a.mu.Lock()
		answered := a.answers[id+string(m.ID)]
		delete(a.answers, id+string(m.ID))
		a.mu.Unlock()
		if answered != nil {
			close(answered)
		}
		w.WriteHeader(http.StatusAccepted)
	case m.Method == "tools/call":
		a.call(w, r, m, id)
	default:
		w.WriteHeader(http.StatusAccepted)
	}
}

func (a *fakeAsker) listen(w http.ResponseWriter, r *http.Request, id string) {
	a.mu.Lock()
	if a.streams[id] != nil {
		a.mu.Unlock()
		w.WriteHeader(http.StatusConflict)
		return
	}
	stream := make(chan string, 10)
	a.streams[id] = stream
	a.opened[id]++
	a.mu.Unlock()
	defer func() {
		a.mu.Lock()
		delete(a.streams, id)
		a.mu.Unlock()
	}()
	w.Header().Set("Content-Type", "text/event-stream")
	control := http.NewResponseController(w)
	_ = control.Flush()
	for {
		select {
		case event := <-stream:
			_, _ = io.WriteString(w, "data: "+event+"\n\n")
			_ = control.Flush()
		case <-r.Context().Done():
			return
		}
	}
}

// call asks for sampling. It fails where nobody listens.
func (a *fakeAsker) call(w http.ResponseWriter, r *http.Request, m wire.Message, id string) {
	a.mu.Lock()
	hold := a.hold
	a.mu.Unlock()
	if hold != nil && r.Header.Get("X-Hold") != "" {
		w.Header().Set("Content-Type", "text/event-stream")
		_ = http.NewResponseController(w).Flush()
		select {
		case <-hold:
		case <-r.Context().Done():
			return
		}
	}
	answered := make(chan struct{})
	a.mu.Lock()
	key := fmt.Sprint(len(a.bodies))
	a.answers[id+key] = answered
	stream := a.streams[id]
	a.mu.Unlock()
	result := fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":{"sampled":true}}`, m.ID)
	if stream == nil {
		result = fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":{"sampled":false}}`, m.ID)
	} else {
		stream <- `{"jsonrpc":"2.0","id":` + key + `,"method":"sampling/createMessage","params":{"messages":[]}}`
		select {
		case <-answered:
		case <-r.Context().Done():
			return
		}
	}
	if w.Header().Get("Content-Type") != "" {
		result = "data: " + result + "\n\n"
	}
	_, _ = io.WriteString(w, result)
}

func (a *fakeAsker) notify(t *testing.T, id, event string) {
	t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.streams[id] == nil {
		t.Fatalf("nobody listens to %s", id)
	}
	a.streams[id] <- event
}

func (a *fakeAsker) listeners(id string) (open bool, times int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.streams[id] != nil, a.opened[id]
}

func (a *fakeAsker) sessions() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.begun
}

// fakeReplica is one of several samplers, at an address of its own.
type fakeReplica struct {
	*Handler
	ip, endpoint string
	front        *httptest.Server
}

// die ends a replica as a crash does.
func (r *fakeReplica) die() {
	r.front.CloseClientConnections()
	_ = r.front.Listener.Close()
	r.Close()
}

var replicaKey = bytes.Repeat([]byte{7}, seal.MinKeyBytes)

// newSet starts n samplers of one server, which share a key and a name.
func newSet(t *testing.T, server http.Handler, n int, modify ...func(*Options)) ([]*fakeReplica, *fakeDNS) {
	t.Helper()
	upstream := httptest.NewServer(server)
	t.Cleanup(func() {
		upstream.CloseClientConnections()
		upstream.Close()
	})
	target, err := url.Parse(upstream.URL + "/mcp")
	if err != nil {
		t.Fatal(err)
	}
	dns := &fakeDNS{}
	port := "0"
	var listeners []net.Listener
	var addresses []string
	for i := range n {
		ip := fmt.Sprint("127.0.0.", i+1)
		listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", ip+":"+port)
		if err != nil {
			t.Fatal(err)
		}
		_, port, _ = net.SplitHostPort(listener.Addr().String())
		listeners = append(listeners, listener)
		addresses = append(addresses, ip)
	}
	dns.set("samplers.example", addresses...)
	var set []*fakeReplica
	for i, listener := range listeners {
		sealer, err := seal.NewSealer(replicaKey)
		if err != nil {
			t.Fatal(err)
		}
		o := Options{
			Upstream: target, Sampling: &fakeSampling{}, Sealer: sealer, LookupNetIP: dns.lookup, StreamWait: 5 * time.Second,
			Replicas: "samplers.example:" + port, Self: listener.Addr().String(),
		}
		for _, m := range modify {
			m(&o)
		}
		h, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		front := httptest.NewUnstartedServer(h)
		_ = front.Listener.Close()
		front.Listener = listener
		front.Start()
		t.Cleanup(func() {
			front.CloseClientConnections()
			h.Close()
			front.Close()
		})
		set = append(set, &fakeReplica{Handler: h, ip: addresses[i], endpoint: front.URL + "/mcp", front: front})
	}
	return set, dns
}
