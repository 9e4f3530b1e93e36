package dataplane

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/audit"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/config"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/statusz"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

// wholeSampler is a sampler that runs from its file on, and all that it says.
type wholeSampler struct {
	t      testing.TB
	file   string
	server *sampler.Server
	client *http.Client
	log    *transcript
	audit  *transcript
	stop   func()
}

// startSampler runs a sampler before the server at upstream.
func startSampler(t testing.TB, upstream string, policy config.Policy, modify ...func(*sampler.Options)) *wholeSampler {
	t.Helper()
	s := &wholeSampler{
		t: t, file: filepath.Join(t.TempDir(), "sampler.yaml"), client: httpClient(t),
		log: &transcript{}, audit: &transcript{},
	}
	s.configure(upstream, policy)
	options := sampler.Options{
		ConfigPath: s.file, Listen: "127.0.0.1:0", AdminListen: "127.0.0.1:0", MetricsListen: "127.0.0.1:0", DrainTimeout: time.Second, Version: "test",
		Audit: s.audit, Log: slog.New(slog.NewJSONHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	for _, m := range modify {
		m(&options)
	}
	var err error
	s.server, err = sampler.New(options)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.server.Run(ctx) }()
	s.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the sampler ended with: %v", err)
		}
	})
	t.Cleanup(func() {
		s.stop()
		if t.Failed() {
			said := s.log.String()
			t.Logf("the sampler said last:\n%s", said[max(0, len(said)-4096):])
		}
	})
	return s
}

// configure writes the file, and returns the hash that the sampler reports when
// it is in use.
func (s *wholeSampler) configure(upstream string, policy config.Policy) string {
	s.t.Helper()
	effective := config.Effective{
		APIVersion:      config.APIVersion,
		Server:          config.Server{Name: "asking", Namespace: "test"},
		Upstream:        config.Upstream{URL: upstream},
		ResidentSession: config.ResidentSession{Mode: config.ResidentOff},
		Policy:          &policy,
	}.WithDefaults()
	data, err := effective.Encode()
	if err != nil {
		s.t.Fatal(err)
	}
	// As a whole: nobody reads half of it.
	if err := errors.Join(os.WriteFile(s.file+".new", data, 0o600), os.Rename(s.file+".new", s.file)); err != nil {
		s.t.Fatal(err)
	}
	return effective.Hash()
}

// awaitConfig waits until a configuration is in use.
func (s *wholeSampler) awaitConfig(hash string) {
	s.t.Helper()
	eventually(s.t, "the new configuration is in use", func() bool { return s.report().ConfigHash == hash })
}

func (s *wholeSampler) url() string { return "http://" + s.server.Addr().String() + "/mcp" }

func (s *wholeSampler) admin(path string) string {
	s.t.Helper()
	return s.get(s.server.AdminAddr(), path)
}

func (s *wholeSampler) metrics() string {
	s.t.Helper()
	return s.get(s.server.MetricsAddr(), "/metrics")
}

func (s *wholeSampler) get(addr net.Addr, path string) string {
	s.t.Helper()
	resp, err := s.client.Get("http://" + addr.String() + path)
	if err != nil {
		s.t.Fatal(err)
	}
	return readBody(s.t, resp)
}

func (s *wholeSampler) report() statusz.Report {
	s.t.Helper()
	var report statusz.Report
	if err := json.Unmarshal([]byte(s.admin(statusz.Path)), &report); err != nil {
		s.t.Fatal(err)
	}
	return report
}

// records waits until there are n audit records, and returns them.
func (s *wholeSampler) records(n int) []audit.Record {
	s.t.Helper()
	eventually(s.t, fmt.Sprintf("%d audit records", n), func() bool { return strings.Count(s.audit.String(), "\n") >= n })
	var records []audit.Record
	for line := range strings.Lines(s.audit.String()) {
		var record audit.Record
		if err := json.Unmarshal([]byte(line), &record); err != nil {
			s.t.Fatal(err)
		}
		records = append(records, record)
	}
	return records
}

// transcript keeps what is written to it.
type transcript struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *transcript) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *transcript) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// fakeAsker is a server each call of which asks for sampling with the call's
// arguments as parameters, and returns the answer as it came. No SDK sends every
// parameter, or shows every error, as it is.
type fakeAsker struct {
	// got is all that was sent to the server.
	got transcript

	mu      sync.Mutex
	last    int
	answers map[string]chan []byte
}

func (a *fakeAsker) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	_ = r.Header.Write(&a.got)
	_, _ = a.got.Write(append(body, '\n'))
	var m struct {
		ID     json.RawMessage
		Method string
		Params struct{ Arguments json.RawMessage }
	}
	switch {
	case r.Method != http.MethodPost:
		http.Error(w, "no stream here", http.StatusMethodNotAllowed)
	case json.Unmarshal(body, &m) != nil:
		http.Error(w, "no JSON", http.StatusBadRequest)
	case m.Method == "initialize":
		a.mu.Lock()
		a.last++
		w.Header().Set("Mcp-Session-Id", fmt.Sprintf("session-%d", a.last))
		a.mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":{"protocolVersion":%q,"capabilities":{"tools":{}},"serverInfo":{"name":"asking","version":"1"}}}`, m.ID, wantVersion)
	case m.Method == "":
		a.mu.Lock()
		waiting := a.answers[string(m.ID)]
		delete(a.answers, string(m.ID))
		a.mu.Unlock()
		w.WriteHeader(http.StatusAccepted)
		if waiting != nil {
			waiting <- body
		}
	case m.Method != "tools/call":
		w.WriteHeader(http.StatusAccepted)
	default:
		a.call(w, r, m.ID, m.Params.Arguments)
	}
}

// call plays the stream of one call.
func (a *fakeAsker) call(w http.ResponseWriter, r *http.Request, id, params json.RawMessage) {
	answer := make(chan []byte, 1)
	a.mu.Lock()
	a.last++
	asked := fmt.Sprint(a.last)
	if a.answers == nil {
		a.answers = map[string]chan []byte{}
	}
	a.answers[asked] = answer
	a.mu.Unlock()
	w.Header().Set("Content-Type", "text/event-stream")
	fmt.Fprintf(w, `data: {"jsonrpc":"2.0","id":%s,"method":"sampling/createMessage","params":%s}`+"\n\n", asked, params)
	_ = http.NewResponseController(w).Flush()
	select {
	case body := <-answer:
		text, err := json.Marshal(string(body))
		if err != nil {
			return
		}
		fmt.Fprintf(w, `data: {"jsonrpc":"2.0","id":%s,"result":{"content":[{"type":"text","text":%s}]}}`+"\n\n", id, text)
	case <-r.Context().Done():
	}
}

// asker is a caller of a fakeAsker. It declares no sampling.
type asker struct {
	client       *http.Client
	url, session string
	// got is all that was sent to the caller.
	got *transcript
}

// answered is what a sampling request brought: exactly one of the two.
type answered struct {
	Result *wire.SamplingResult
	Error  *wire.Error
}

// text is that of the result.
func (a answered) text() string {
	if a.Result == nil || len(a.Result.Content) == 0 {
		return ""
	}
	return a.Result.Content[0].Text
}

func newAsker(t testing.TB, url string) *asker {
	t.Helper()
	a := &asker{client: httpClient(t), url: url, got: &transcript{}}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for _, body := range []string{initializeBody, initializedBody} {
		if _, err := a.post(ctx, body); err != nil {
			t.Fatal(err)
		}
	}
	return a
}

// ask has the server ask for sampling with these parameters.
func (a *asker) ask(ctx context.Context, params string) (answered, error) {
	body, err := a.post(ctx, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"ask","arguments":`+params+`}}`)
	if err != nil {
		return answered{}, err
	}
	var called struct {
		Result struct{ Content []struct{ Text string } }
	}
	var answer answered
	_, event, _ := strings.Cut(body, "data: ")
	if err := json.Unmarshal([]byte(event), &called); err != nil || len(called.Result.Content) != 1 {
		return answered{}, fmt.Errorf("the call brought %q (%w)", body, err)
	}
	if err := json.Unmarshal([]byte(called.Result.Content[0].Text), &answer); err != nil {
		return answered{}, fmt.Errorf("the server got no answer: %w", err)
	}
	if (answer.Result == nil) == (answer.Error == nil) {
		return answered{}, fmt.Errorf("the server got %s", called.Result.Content[0].Text)
	}
	return answer, nil
}

func (a *asker) post(ctx context.Context, body string) (string, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, a.url, strings.NewReader(body))
	if err != nil {
		return "", err
	}
	r.Header.Set("Accept", "application/json, text/event-stream")
	r.Header.Set("Content-Type", "application/json")
	if a.session != "" {
		r.Header.Set("Mcp-Session-Id", a.session)
	}
	resp, err := a.client.Do(r)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	_ = resp.Header.Write(a.got)
	_, _ = a.got.Write(append(data, '\n'))
	switch {
	case err != nil:
		return "", fmt.Errorf("read a response: %w", err)
	case resp.StatusCode > 299:
		return "", fmt.Errorf("status %d: %s", resp.StatusCode, data)
	}
	if id := resp.Header.Get("Mcp-Session-Id"); id != "" {
		a.session = id
	}
	return string(data), nil
}

// hardWork is how long a test waits for what a busy machine takes its time for.
const hardWork = 2 * time.Minute

// mustAsk is ask where nothing can go wrong on the way.
func (a *asker) mustAsk(t testing.TB, params string) answered {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), hardWork)
	defer cancel()
	answer, err := a.ask(ctx, params)
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

// question is the parameters of a request with one text.
func question(text string, hints ...string) string {
	params := map[string]any{
		"maxTokens": 100,
		"messages":  []any{map[string]any{"role": "user", "content": map[string]any{"type": "text", "text": text}}},
	}
	if hints != nil {
		var list []any
		for _, hint := range hints {
			list = append(list, map[string]any{"name": hint})
		}
		params["modelPreferences"] = map[string]any{"hints": list}
	}
	data, err := json.Marshal(params)
	if err != nil {
		panic(err) // of a test's own making
	}
	return string(data)
}

// writeKey puts a key into a file of its own.
func writeKey(t testing.TB, key string) *config.Credential {
	t.Helper()
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte(key+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return &config.Credential{File: file, Ref: "Secret keys, key api-key"}
}

// startPython runs a Python program with what the files of requirements pin until
// the test ends, and returns the first lines that it prints.
func startPython(t testing.TB, requirements, env []string, lines int, program ...string) []string {
	t.Helper()
	venv, err := exec.CommandContext(t.Context(), "../../hack/python.sh", requirements...).Output()
	if err != nil {
		t.Fatalf("hack/python.sh: %v\n%s", err, stderrOf(err))
	}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, filepath.Join(strings.TrimSpace(string(venv)), "bin", "python"), program...)
	cmd.Env = append(os.Environ(), env...)
	said := &transcript{}
	cmd.Stderr = said
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait() // it was killed
		if t.Failed() {
			text := said.String()
			t.Logf("%s said last:\n%s", program[0], text[max(0, len(text)-4096):])
		}
	})
	printed := make(chan string)
	go func() {
		defer close(printed)
		reader := bufio.NewReader(stdout)
		for range lines {
			line, err := reader.ReadString('\n')
			if err != nil {
				return
			}
			printed <- strings.TrimSpace(line)
		}
		_, _ = io.Copy(io.Discard, reader)
	}()
	var first []string
	slow := time.NewTimer(hardWork)
	defer slow.Stop()
	for len(first) < lines {
		select {
		case line, ok := <-printed:
			if !ok {
				t.Fatalf("%s ended before it served", program[0])
			}
			first = append(first, line)
		case <-slow.C:
			t.Fatalf("%s does not serve", program[0])
		}
	}
	return first
}
