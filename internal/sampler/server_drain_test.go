package sampler_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/config"
)

// fakeEcho is a server of sessions that answers each call, after a moment where
// it is asked to.
func fakeEcho(slow <-chan struct{}, begun chan<- struct{}) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		text := string(body)
		switch {
		case err != nil:
		case r.Method == http.MethodGet:
			w.Header().Set("Content-Type", "text/event-stream")
			w.WriteHeader(http.StatusOK)
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		case strings.Contains(text, `"initialize"`):
			w.Header().Set("Mcp-Session-Id", "echo-session")
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":1,"result":{"protocolVersion":"2025-06-18","capabilities":{},"serverInfo":{"name":"echo","version":"1"}}}`)
		case strings.Contains(text, `"slow"`):
			w.Header().Set("Content-Type", "text/event-stream")
			w.WriteHeader(http.StatusOK)
			_ = http.NewResponseController(w).Flush()
			begun <- struct{}{}
			select {
			case <-slow:
				_, _ = io.WriteString(w, "data: "+`{"jsonrpc":"2.0","id":2,"result":{"late":true}}`+"\n\n")
			case <-r.Context().Done():
			}
		case strings.Contains(text, `"id"`):
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":2,"result":{}}`)
		default:
			w.WriteHeader(http.StatusAccepted)
		}
	})
}

// postTo makes one request of a session, and returns the answer with that of the
// session header.
func postTo(ctx context.Context, c http.RoundTripper, address, session, body string) (status int, id, answer string, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+address+"/mcp", strings.NewReader(body))
	if err != nil {
		return 0, "", "", err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json, text/event-stream")
	if session != "" {
		r.Header.Set("Mcp-Session-Id", session)
	}
	resp, err := c.RoundTrip(r)
	if err != nil {
		return 0, "", "", err
	}
	defer resp.Body.Close()
	all, err := io.ReadAll(resp.Body)
	return resp.StatusCode, resp.Header.Get("Mcp-Session-Id"), string(all), err
}

const (
	beginBody = `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{}}}`
	echoBody  = `{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"echo"}}`
	slowBody  = `{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"slow"}}`
)

// Two samplers with one key, as a rolling update has them: callers that keep
// their connections and call all the time see no failure when one ends, and a
// call that runs there comes to its end.
func TestNoCallFailsWhenASamplerIsReplaced(t *testing.T) {
	slow, begun := make(chan struct{}), make(chan struct{}, 1)
	server := listen(t, fakeEcho(slow, begun)).URL
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte(strings.Repeat("k", 32)), 0o600); err != nil {
		t.Fatal(err)
	}
	withKey := func(c *config.Effective) { c.Sessions.KeyFile = key }
	old, next := start(t, server, "http://127.0.0.1:9", withKey), start(t, server, "http://127.0.0.1:9", withKey)

	// As a Service does: new connections go where it is ready.
	var retired atomic.Bool
	dial := func(ctx context.Context, network, _ string) (net.Conn, error) {
		to := old
		if retired.Load() {
			to = next
		}
		return (&net.Dialer{}).DialContext(ctx, network, to.Addr().String())
	}
	newCaller := func() *http.Transport {
		c := &http.Transport{DialContext: dial}
		t.Cleanup(c.CloseIdleConnections)
		return c
	}
	_, session, _, err := postTo(t.Context(), newCaller(), "localhost:1", "", beginBody)
	if err != nil || session == "" {
		t.Fatalf("no session: %v", err)
	}

	late := make(chan string, 1)
	go func() {
		_, _, answer, err := postTo(t.Context(), newCaller(), "localhost:1", session, slowBody)
		late <- fmt.Sprint(answer, err)
	}()
	select {
	case <-begun:
	case <-time.After(deadline):
		t.Fatal("the slow call did not begin")
	}

	var calls atomic.Int64
	stop := make(chan struct{})
	var group sync.WaitGroup
	for range 8 {
		caller := newCaller()
		group.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				status, _, answer, err := postTo(t.Context(), caller, "localhost:1", session, echoBody)
				if err != nil || status != http.StatusOK {
					t.Errorf("a call got status %d, %q, error %v", status, answer, err)
					return
				}
				calls.Add(1)
			}
		})
	}
	waitFor := func(what string, done func() bool) {
		t.Helper()
		end := time.After(deadline)
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for !done() {
			select {
			case <-end:
				t.Fatal("timed out: " + what)
			case <-tick.C:
			}
		}
	}
	waitFor("callers call", func() bool { return calls.Load() > 100 })
	old.stop()
	waitFor("the sampler is not ready", func() bool { status, _ := old.get("/readyz"); return status != http.StatusOK })
	status, _, answer, err := postTo(t.Context(), newCaller(), "localhost:1", session, echoBody)
	if err != nil || status != http.StatusOK {
		t.Errorf("a call to the sampler that drains got status %d, %q, error %v", status, answer, err)
	}
	retired.Store(true)
	waitFor("it no longer listens", func() bool {
		conn, err := net.Dial("tcp", old.Addr().String())
		if err == nil {
			_ = conn.Close()
		}
		return err != nil
	})
	close(slow)
	select {
	case got := <-late:
		if !strings.Contains(got, `"late":true`) {
			t.Errorf("the running call ended with %q", got)
		}
	case <-time.After(deadline):
		t.Error("the running call did not end")
	}
	if err := old.stopOK(); err != nil {
		t.Error(err)
	}
	before := calls.Load()
	waitFor("callers go on at the other sampler", func() bool { return calls.Load() > before+100 })
	close(stop)
	group.Wait()
}

func TestCallersOfHTTP2(t *testing.T) {
	slow, begun := make(chan struct{}), make(chan struct{}, 100)
	f := start(t, listen(t, fakeEcho(slow, begun)).URL, "http://127.0.0.1:9", func(c *config.Effective) {
		c.Limits.RequestBytes = 1 << 20
	})
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	var dialed atomic.Int64
	caller := &http.Transport{Protocols: &protocols, DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		dialed.Add(1)
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}}
	defer caller.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	_, session, _, err := postTo(ctx, caller, f.Addr().String(), "", beginBody)
	if err != nil || session == "" {
		t.Fatalf("no session: %v", err)
	}
	var group sync.WaitGroup
	for range 100 {
		group.Go(func() {
			status, _, answer, err := postTo(ctx, caller, f.Addr().String(), session, slowBody)
			if err != nil || status != http.StatusOK || !strings.Contains(answer, `"late":true`) {
				t.Errorf("status %d, %q, error %v", status, answer, err)
			}
		})
	}
	for range 100 {
		select {
		case <-begun:
		case <-ctx.Done():
			t.Fatal("not all calls of one connection run at the same time")
		}
	}
	status, _, _, err := postTo(ctx, caller, f.Addr().String(), session, echoBody+strings.Repeat(" ", 1<<20))
	if err != nil || status != http.StatusRequestEntityTooLarge {
		t.Errorf("a body above the limit got status %d, error %v", status, err)
	}
	close(slow)
	group.Wait()
	if got := dialed.Load(); got > 2 { // one more after the body that was refused
		t.Errorf("%d connections, want the calls to share one", got)
	}
}

// The rest of a body may never come, over HTTP/2 too.
func TestSlowBodiesOverHTTP2AreGivenUp(t *testing.T) {
	f := start(t, listen(t, fakeEcho(nil, nil)).URL, "http://127.0.0.1:9", nil)
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	caller := &http.Transport{Protocols: &protocols}
	defer caller.CloseIdleConnections()
	body, write := io.Pipe()
	defer write.Close()
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+f.Addr().String()+"/mcp", body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Origin", "https://a.example") // refused before the body is read
	resp, err := caller.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusForbidden {
		t.Errorf("status %d, want 403", resp.StatusCode)
	}
}

func TestTheSettleTimeIsThatOfTheOptions(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sampler.yaml")
	text := "apiVersion: " + config.APIVersion + "\nserver: {name: any}\nupstream: {url: \"http://127.0.0.1:9/mcp\"}\nresidentSession: {mode: \"Off\"}\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := sampler.New(sampler.Options{
		ConfigPath: path, Listen: "127.0.0.1:0", AdminListen: "127.0.0.1:0", Version: "test",
		DrainTimeout: time.Hour, SettleTime: time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	begun := time.Now()
	if err := s.Run(ctx); err != nil {
		t.Error(err)
	}
	if took := time.Since(begun); took >= sampler.DefaultSettleTime {
		t.Errorf("a sampler that nobody calls took %s to end", took)
	}
}
