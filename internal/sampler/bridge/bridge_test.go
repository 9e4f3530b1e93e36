package bridge

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/loopback"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

func TestOptionsThatCannotWork(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		options Options
		want    string
	}{
		"no command":                {Options{}, "after --"},
		"a program that is missing": {Options{Command: []string{"no-such-program"}}, `"no-such-program": executable file not found`},
		"a program that cannot run": {Options{Command: []string{file}}, "permission denied"},
		"a path without a slash":    {Options{Command: []string{"sh"}, Path: "mcp"}, "begin with a slash"},
		"no processes":              {Options{Command: []string{"sh"}, MaxProcesses: -1}, "1 or more"},
		"a negative timeout":        {Options{Command: []string{"sh"}, IdleTimeout: -time.Second}, "more than 0"},
		"tiny messages":             {Options{Command: []string{"sh"}, MaxMessageBytes: 10}, "1024 bytes or more"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := New(tc.options)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

func TestRunEndsWhenCallsHaveEnded(t *testing.T) {
	f := newFixture(t, "", func(o *Options) { o.ShutdownTimeout = patience })
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f.url = "http://" + listener.Addr().String() + "/mcp"
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- f.bridge.serve(ctx, listener) }()

	session := f.begin()
	idle := f.begin()
	stream := f.stream(idle)
	response := f.open(t.Context(), http.MethodPost, tool("7", "sample", "what?"), wire.HeaderSession, session)
	defer response.Body.Close()
	call := newStream(t, response.Body)
	call.want("sampling/createMessage")
	stop()
	eventually(t, "new sessions are still taken", func() bool {
		got := f.post("", initializeBody)
		return got.status == http.StatusServiceUnavailable
	})
	if got := f.post(idle, tool("1", "echo", "hi")); got.status != http.StatusOK {
		t.Errorf("a call in an open session: %+v", got)
	}
	f.post(session, `{"jsonrpc":"2.0","id":1,"result":{"text":"sampled"}}`)
	call.want(`"text":"sampled"`)
	if err := <-ended; err != nil {
		t.Errorf("the end: %v", err)
	}
	if message, ok := stream.next(); ok {
		t.Errorf("on a stream came %s", message)
	}
	if f.processes() != 0 {
		t.Error("a process still runs")
	}
}

func TestRunCutsCallsOffAtTheEndOfTheTime(t *testing.T) {
	f := newFixture(t, "", func(o *Options) { o.ShutdownTimeout = 20 * time.Millisecond })
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f.url = "http://" + listener.Addr().String() + "/mcp"
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- f.bridge.serve(ctx, listener) }()
	session := f.begin()
	response := f.open(t.Context(), http.MethodPost, tool("7", "sample", "what?"), wire.HeaderSession, session)
	defer response.Body.Close()
	call := newStream(t, response.Body)
	call.want("sampling/createMessage")
	stop()
	call.want(`"id":7,"error"`)
	if err := <-ended; err != nil {
		t.Errorf("the end: %v", err)
	}
}

func TestABridgeForThisMachineRefusesOtherHosts(t *testing.T) {
	for name, tc := range map[string]struct {
		address, host string
		want          int
	}{
		"by its address":          {"127.0.0.1", "127.0.0.1:8000", 200},
		"by name":                 {"127.0.0.1", "localhost:8000", 200},
		"by its address, IPv6":    {"::1", "[::1]:8000", 200},
		"by a name of a web page": {"127.0.0.1", "rebound.example", 403},
		"for all, by any name":    {"0.0.0.0", "summarizer-server:8000", 200},
	} {
		t.Run(name, func(t *testing.T) {
			l := fakeListener{&net.TCPAddr{IP: net.ParseIP(tc.address)}}
			w := httptest.NewRecorder()
			r := httptest.NewRequest(http.MethodPost, "/mcp", nil)
			r.Host = tc.host
			loopback.Only(l, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})).ServeHTTP(w, r)
			if w.Code != tc.want {
				t.Errorf("status %d, want %d", w.Code, tc.want)
			}
		})
	}
}

type fakeListener struct{ addr net.Addr }

func (fakeListener) Accept() (net.Conn, error) { return nil, net.ErrClosed }
func (fakeListener) Close() error              { return nil }
func (l fakeListener) Addr() net.Addr          { return l.addr }

func TestAnotherPathIsNotServed(t *testing.T) {
	f := newFixture(t, "")
	f.url += "/x"
	if got := f.post("", initializeBody); got.status != http.StatusNotFound || !strings.Contains(got.body, "served at /mcp") {
		t.Errorf("got %+v", got)
	}
}
