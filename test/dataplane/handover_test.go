package dataplane

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mark3labs/mcp-go/server"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/proxy"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/seal"
)

// lateTime is how late a server notices that a client left: far later than the next
// call comes.
const lateTime = 50 * time.Millisecond

// late has a server notice late that the reader of a stream left, as a busy one may.
// What it sends meanwhile is lost.
func late(server http.Handler, by time.Duration) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet {
			server.ServeHTTP(w, r)
			return
		}
		ctx, cancel := context.WithCancel(context.WithoutCancel(r.Context()))
		defer cancel()
		defer context.AfterFunc(r.Context(), func() { time.AfterFunc(by, cancel) })()
		server.ServeHTTP(&forgetful{ResponseWriter: w, left: r.Context()}, r.WithContext(ctx))
	})
}

type forgetful struct {
	http.ResponseWriter
	left context.Context
}

func (w *forgetful) Write(p []byte) (int, error) {
	if w.left.Err() != nil {
		return len(p), nil //nolint:nilerr // a kernel takes what nobody reads, too
	}
	return w.ResponseWriter.Write(p)
}

func (w *forgetful) Flush() { _ = http.NewResponseController(w.ResponseWriter).Flush() }

// samplers are replicas of one sampler, found under one name.
type samplers struct {
	target *url.URL
	port   string

	mu    sync.Mutex
	ready []netip.Addr
}

func (s *samplers) lookup(context.Context, string, string) ([]netip.Addr, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ready, nil
}

// newSamplers returns replicas of none yet, before an mcp-go server that is late.
func newSamplers(t *testing.T, by time.Duration) *samplers {
	t.Helper()
	target, err := url.Parse(serve(t, late(server.NewStreamableHTTPServer(newMCPGo()), by)))
	if err != nil {
		t.Fatal(err)
	}
	return &samplers{target: target, port: "0"}
}

// are says which replicas are ready.
func (s *samplers) are(ips ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ready = nil
	for _, ip := range ips {
		s.ready = append(s.ready, netip.MustParseAddr(ip))
	}
}

// start starts a replica, and returns the URL for callers.
func (s *samplers) start(t *testing.T, ip string, modify ...func(*proxy.Options)) (string, *proxy.Handler) {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", net.JoinHostPort(ip, s.port))
	if err != nil {
		t.Fatal(err)
	}
	_, s.port, _ = net.SplitHostPort(listener.Addr().String())
	sealer, err := seal.NewSealer(bytes.Repeat([]byte{7}, seal.MinKeyBytes))
	if err != nil {
		t.Fatal(err)
	}
	options := proxy.Options{
		Upstream: s.target, Sampling: &fakeSampling{}, Sealer: sealer, SteerToSessions: true,
		Replicas: "samplers.example:" + s.port, Self: listener.Addr().String(), LookupNetIP: s.lookup,
	}
	for _, m := range modify {
		m(&options)
	}
	handler, err := proxy.New(options)
	if err != nil {
		t.Fatal(err)
	}
	front := httptest.NewUnstartedServer(handler)
	_ = front.Listener.Close()
	front.Listener = listener
	front.Start()
	t.Cleanup(func() {
		front.CloseClientConnections()
		handler.Close()
		front.Close()
	})
	return front.URL + s.target.Path, handler
}

// asks has a session ask for sampling through a sampler, and wants the answer.
func (c *rawCaller) asks(endpoint, text string) {
	c.t.Helper()
	c.url = endpoint
	got := c.call(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"ask","arguments":{"text":"` + text + `"}}}`)
	if want := "sampled: " + text; !strings.Contains(got, want) {
		c.t.Errorf("%s got %s, want %q", text, got, want)
	}
}

// What a server asks on a GET stream whose end it has not noticed is lost, and the
// call that needs it never ends. So no call is to reach the server before it has
// noticed.
func TestNothingIsLostWithAGETStream(t *testing.T) {
	const first, second = "127.0.0.1", "127.0.0.2"
	for name, play := range map[string]func(t *testing.T, set *samplers){
		"of a sampler that drains and gets calls": func(t *testing.T, set *samplers) {
			set.are(first)
			endpoint, handler := set.start(t, first)
			caller := newRawCaller(t, endpoint)
			caller.initialize()
			handler.Drain()
			for i := range 5 {
				caller.asks(endpoint, fmt.Sprintf("call %d", i))
			}
		},
		"that goes over to the next sampler": func(t *testing.T, set *samplers) {
			set.are(first, second)
			before, handler := set.start(t, first)
			next, _ := set.start(t, second)
			caller := newRawCaller(t, before)
			caller.initialize()
			caller.asks(before, "through the first")
			caller.asks(next, "through the second, by the first")
			set.are(second)
			handler.Drain()
			for i := range 3 {
				caller.asks(next, fmt.Sprintf("through the second, %d", i))
				caller.asks(before, fmt.Sprintf("through the first, %d", i))
			}
		},
		"that goes over to the next sampler before the first has found that": func(t *testing.T, set *samplers) {
			alone := &samplers{target: set.target}
			alone.are(first)
			set.are(first, second)
			before, handler := set.start(t, first, func(o *proxy.Options) { o.LookupNetIP = alone.lookup })
			next, _ := set.start(t, second)
			caller := newRawCaller(t, before)
			caller.initialize()
			caller.asks(before, "through the first")
			handler.Drain()
			for i := range 3 {
				caller.asks(next, fmt.Sprintf("through the second, %d", i))
				caller.asks(before, fmt.Sprintf("through the first, %d", i))
			}
		},
		"that goes over to the next sampler as that knows nothing of the first": func(t *testing.T, set *samplers) {
			set.are(first)
			before, handler := set.start(t, first)
			caller := newRawCaller(t, before)
			caller.initialize()
			caller.asks(before, "through the first")
			over := make(chan error, 1)
			go func() { over <- handler.Shutdown(t.Context()) }()
			if err := <-over; err != nil {
				t.Error(err)
			}
			set.are()
			next, _ := set.start(t, second)
			caller.asks(next, "through the second")
		},
		"of a handler that another one replaces": func(t *testing.T, set *samplers) {
			before, handler := set.start(t, first)
			caller := newRawCaller(t, before)
			caller.initialize()
			caller.asks(before, "of the first")
			next, _ := set.start(t, second, func(o *proxy.Options) { o.Before = handler })
			handler.Drain()
			caller.asks(next, "of the second")
		},
		"of a session that made room for another one": func(t *testing.T, set *samplers) {
			endpoint, _ := set.start(t, first, func(o *proxy.Options) { o.Settings.MaxSessions = 1 })
			callers := []*rawCaller{newRawCaller(t, endpoint), newRawCaller(t, endpoint)}
			for _, caller := range callers {
				caller.initialize()
			}
			for i := range 3 {
				for _, caller := range callers {
					caller.asks(endpoint, fmt.Sprintf("call %d", i))
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			play(t, newSamplers(t, lateTime))
		})
	}
}

func TestAServerWithoutTimeMayNoticeLate(t *testing.T) {
	set := newSamplers(t, time.Second)
	set.are("127.0.0.1")
	endpoint, handler := set.start(t, "127.0.0.1")
	caller := newRawCaller(t, endpoint)
	caller.initialize()
	caller.asks(endpoint, "before")
	handler.Drain()
	caller.asks(endpoint, "after")
}
