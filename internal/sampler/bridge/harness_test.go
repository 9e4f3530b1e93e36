package bridge

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/sse"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

// patience is how long a test waits for what must happen.
const patience = 20 * time.Second

// fixture is a bridge in front of fake servers.
type fixture struct {
	t      *testing.T
	bridge *Bridge
	url    string
	client *http.Client
	// log and stderr are what the bridge and the processes wrote.
	log, stderr *logBuffer
}

func newFixture(t *testing.T, how string, modify ...func(*Options)) *fixture {
	t.Helper()
	t.Setenv(fakeServerEnv, how)
	t.Setenv("GORACE", "atexit_sleep_ms=0") // a process that ends is to end at once
	f := &fixture{t: t, log: &logBuffer{}, stderr: &logBuffer{}}
	o := Options{
		Command: []string{os.Args[0]},
		Log:     slog.New(slog.NewTextHandler(f.log, nil)),
		Stderr:  f.stderr,
		times:   times{closeGrace: 5 * time.Second},
	}
	for _, m := range modify {
		m(&o)
	}
	var err error
	if f.bridge, err = New(o); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(f.bridge)
	transport := &http.Transport{MaxIdleConnsPerHost: 16, DisableCompression: true}
	f.client = &http.Client{Transport: transport}
	f.url = server.URL + "/mcp"
	t.Cleanup(func() {
		f.bridge.Close()
		transport.CloseIdleConnections()
		server.CloseClientConnections()
		server.Close()
	})
	return f
}

// reply is a response that was read to its end.
type reply struct {
	status  int
	kind    string
	session string
	body    string
	// messages are those of the stream, if it was one.
	messages []string
}

// open sends a request and returns with the response's header.
func (f *fixture) open(ctx context.Context, method, body string, header ...string) *http.Response {
	f.t.Helper()
	r, err := http.NewRequestWithContext(ctx, method, f.url, strings.NewReader(body))
	if err != nil {
		f.t.Fatal(err)
	}
	r.Header.Set("Accept", "application/json, text/event-stream")
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Del(header[i])
		if header[i+1] != "" {
			r.Header.Set(header[i], header[i+1])
		}
	}
	response, err := f.client.Do(r)
	if err != nil {
		if ctx.Err() == nil {
			f.t.Errorf("%s: %v", method, err)
		}
		return nil
	}
	return response
}

func (f *fixture) do(method, body string, header ...string) reply {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), patience)
	defer cancel()
	response := f.open(ctx, method, body, header...)
	if response == nil {
		f.t.Fatalf("no answer to %s", body)
	}
	defer response.Body.Close()
	got := reply{
		status:  response.StatusCode,
		kind:    response.Header.Get("Content-Type"),
		session: response.Header.Get(wire.HeaderSession),
	}
	all, err := io.ReadAll(response.Body)
	if err != nil {
		f.t.Fatalf("reading the answer to %s: %v", body, err)
	}
	got.body = string(all)
	if got.kind == typeEvents {
		stream := newStream(f.t, io.NopCloser(bytes.NewReader(all)))
		for {
			message, ok := stream.next()
			if !ok {
				break
			}
			got.messages = append(got.messages, message)
		}
	}
	return got
}

func (f *fixture) post(session, body string, header ...string) reply {
	f.t.Helper()
	return f.do(http.MethodPost, body, append([]string{wire.HeaderSession, session}, header...)...)
}

const initializeBody = `{"jsonrpc":"2.0","id":"init","method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{}}}`

// begin opens a session.
func (f *fixture) begin() string {
	f.t.Helper()
	return f.beginWith("2025-11-25")
}

func (f *fixture) beginWith(version string) string {
	f.t.Helper()
	got := f.post("", strings.Replace(initializeBody, "2025-11-25", version, 1))
	if got.status != http.StatusOK || got.session == "" {
		f.t.Fatalf("initialize: %+v", got)
	}
	if accepted := f.post(got.session, `{"jsonrpc":"2.0","method":"notifications/initialized"}`); accepted.status != http.StatusAccepted {
		f.t.Fatalf("initialized: %+v", accepted)
	}
	return got.session
}

func tool(id, name, argument string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"method":"tools/call","params":{"name":%q,"arguments":{"text":%q}}}`, id, name, argument)
}

func mustParse(t *testing.T, body string) wire.Message {
	t.Helper()
	m, err := wire.ParseMessage([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// stream reads the messages of an event stream one by one.
type stream struct {
	t       *testing.T
	body    io.ReadCloser
	scanner *sse.Scanner
}

func newStream(t *testing.T, body io.ReadCloser) *stream {
	return &stream{t: t, body: body, scanner: sse.NewScanner(body, 0)}
}

func (f *fixture) stream(session string, header ...string) *stream {
	f.t.Helper()
	response := f.open(f.t.Context(), http.MethodGet, "", append([]string{wire.HeaderSession, session}, header...)...)
	if response == nil || response.StatusCode != http.StatusOK {
		f.t.Fatalf("the stream could not be opened: %+v", response)
	}
	return newStream(f.t, response.Body)
}

func (s *stream) next() (string, bool) {
	for {
		event, err := s.scanner.Next()
		if err != nil {
			return "", false
		}
		if len(event.Data) > 0 {
			return string(event.Data), true
		}
	}
}

func (s *stream) want(part string) string {
	s.t.Helper()
	got, ok := s.next()
	if !ok || !strings.Contains(got, part) {
		s.t.Fatalf("on the stream came %q, want %q", got, part)
	}
	return got
}

// eventually waits until done reports true.
func eventually(t testing.TB, what string, done func() bool) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-deadline.C:
			t.Fatalf("timed out: %s", what)
		case <-tick.C:
		}
	}
}

type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
