package dataplane

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// scriptedPeer is a server that sends exactly the bytes it is told to, which no
// SDK does, and keeps what it got.
type scriptedPeer struct {
	// call plays the stream of every request but initialize; listen that of a
	// GET, which is answered 405 where it is nil; resume that of a GET with
	// Last-Event-ID.
	call, listen, resume script
	// byteByByte sends each byte by itself.
	byteByByte bool
	// initialized replaces the answer to initialize.
	initialize func(w http.ResponseWriter)

	mu       sync.Mutex
	requests []received
	sessions int
	answers  map[string]json.RawMessage
	changed  chan struct{}
}

type received struct {
	Method string
	Header http.Header
	Body   string
}

// step sends text, or waits for the answer to the request await (its raw id),
// or for the channel.
type step struct {
	send  string
	await string
	wait  <-chan struct{}
}

type script []step

const wantVersion = "2025-06-18"

func (p *scriptedPeer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	p.mu.Lock()
	p.requests = append(p.requests, received{r.Method, r.Header.Clone(), string(body)})
	p.mu.Unlock()
	p.note()
	switch r.Method {
	case http.MethodGet:
		played := p.listen
		if r.Header.Get("Last-Event-ID") != "" && p.resume != nil {
			played = p.resume
		}
		if played == nil {
			http.Error(w, "no stream here", http.StatusMethodNotAllowed)
			return
		}
		p.play(w, r, played)
		<-r.Context().Done()
	case http.MethodPost:
		p.post(w, r, body)
	}
}

func (p *scriptedPeer) post(w http.ResponseWriter, r *http.Request, body []byte) {
	var m struct {
		ID     json.RawMessage
		Method string
	}
	if err := json.Unmarshal(body, &m); err != nil {
		http.Error(w, "no JSON", http.StatusBadRequest)
		return
	}
	switch {
	case m.Method == "initialize" && p.initialize != nil:
		p.initialize(w)
	case m.Method == "initialize":
		p.mu.Lock()
		p.sessions++
		id := fmt.Sprintf("session-%d", p.sessions)
		p.mu.Unlock()
		w.Header().Set("Mcp-Session-Id", id)
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":{"protocolVersion":%q,"capabilities":{},"serverInfo":{"name":"scripted","version":"1"}}}`, m.ID, wantVersion)
	case m.Method == "":
		p.mu.Lock()
		if p.answers == nil {
			p.answers = map[string]json.RawMessage{}
		}
		p.answers[string(m.ID)] = body
		p.mu.Unlock()
		p.note()
		w.WriteHeader(http.StatusAccepted)
	case m.ID == nil:
		w.WriteHeader(http.StatusAccepted)
	default:
		p.play(w, r, p.call)
	}
}

func (p *scriptedPeer) play(w http.ResponseWriter, r *http.Request, s script) {
	control := http.NewResponseController(w)
	w.Header().Set("Content-Type", "text/event-stream")
	w.WriteHeader(http.StatusOK)
	_ = control.Flush()
	for _, s := range s {
		switch {
		case s.await != "":
			if !p.until(r.Context(), func() bool { return p.answers[s.await] != nil }) {
				return
			}
		case s.wait != nil:
			select {
			case <-s.wait:
			case <-r.Context().Done():
				return
			}
		}
		size := len(s.send)
		if p.byteByByte {
			size = 1
		}
		for chunk := []byte(s.send); len(chunk) > 0; {
			n := min(size, len(chunk))
			if _, err := w.Write(chunk[:n]); err != nil {
				return
			}
			_ = control.Flush()
			chunk = chunk[n:]
		}
	}
}

// until waits for a change after which done, called under the lock, is true.
func (p *scriptedPeer) until(ctx context.Context, done func() bool) bool {
	for {
		p.mu.Lock()
		if p.changed == nil {
			p.changed = make(chan struct{})
		}
		changed, ok := p.changed, done()
		p.mu.Unlock()
		if ok {
			return true
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}

func (p *scriptedPeer) note() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.changed != nil {
		close(p.changed)
		p.changed = nil
	}
}

// expect waits for a request that match accepts.
func (p *scriptedPeer) expect(t testing.TB, what string, match func(received) bool) received {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var found received
	if !p.until(ctx, func() bool {
		for _, r := range p.requests {
			if match(r) {
				found = r
				return true
			}
		}
		return false
	}) {
		t.Fatalf("the server did not get %s", what)
	}
	return found
}

func (p *scriptedPeer) answered() map[string]string {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := map[string]string{}
	for id, body := range p.answers {
		all[id] = string(body)
	}
	return all
}

func (p *scriptedPeer) count(match func(received) bool) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, r := range p.requests {
		if match(r) {
			n++
		}
	}
	return n
}

func isMethod(method string) func(received) bool {
	return func(r received) bool { return r.Method == method }
}

func isAnswer(id string) func(received) bool {
	return func(r received) bool {
		return r.Method == http.MethodPost && strings.HasPrefix(r.Body, `{"jsonrpc":"2.0","id":`+id+`,`) &&
			!strings.Contains(r.Body, `"method"`)
	}
}

// rawCaller speaks HTTP and nothing more.
type rawCaller struct {
	t       testing.TB
	url     string
	client  *http.Client
	session string
	header  map[string]string
}

func newRawCaller(t testing.TB, url string) *rawCaller {
	return &rawCaller{t: t, url: url, client: httpClient(t), header: map[string]string{}}
}

func (c *rawCaller) do(ctx context.Context, method, body string, header map[string]string) *http.Response {
	c.t.Helper()
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	r, err := http.NewRequestWithContext(ctx, method, c.url, reader)
	if err != nil {
		c.t.Fatal(err)
	}
	r.Header.Set("Accept", "application/json, text/event-stream")
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if c.session != "" {
		r.Header.Set("Mcp-Session-Id", c.session)
	}
	for _, all := range []map[string]string{c.header, header} {
		for name, value := range all {
			r.Header.Set(name, value)
		}
	}
	resp, err := c.client.Do(r)
	if err != nil {
		c.t.Fatalf("%s: %v", method, err)
	}
	c.t.Cleanup(func() { resp.Body.Close() })
	return resp
}

const (
	initializeBody  = `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"raw","version":"1"}}}`
	initializedBody = `{"jsonrpc":"2.0","method":"notifications/initialized"}`
	callBody        = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x"}}`
)

// initialize begins a session.
func (c *rawCaller) initialize() {
	c.t.Helper()
	resp := c.do(context.Background(), http.MethodPost, initializeBody, nil)
	readBody(c.t, resp)
	c.session = resp.Header.Get("Mcp-Session-Id")
	readBody(c.t, c.do(context.Background(), http.MethodPost, initializedBody, nil))
}

// call makes one call and returns all bytes of its response.
func (c *rawCaller) call(body string) string {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return readBody(c.t, c.do(ctx, http.MethodPost, body, nil))
}

func readBody(t testing.TB, resp *http.Response) string {
	t.Helper()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("reading a response: %v (so far %q)", err, body)
	}
	resp.Body.Close()
	return string(body)
}

// readUntil reads a stream until it ends in suffix.
func readUntil(t testing.TB, r io.Reader, suffix string) string {
	t.Helper()
	var got bytes.Buffer
	one := make([]byte, 1)
	deadline := time.Now().Add(patience)
	for !strings.HasSuffix(got.String(), suffix) {
		if time.Now().After(deadline) {
			t.Fatalf("timed out with %q", got.String())
		}
		n, err := r.Read(one)
		got.Write(one[:n])
		if err != nil {
			t.Fatalf("the stream ended (%v) with %q, want %q", err, got.String(), suffix)
		}
	}
	return got.String()
}
