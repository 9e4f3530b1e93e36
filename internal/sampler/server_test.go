package sampler_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/client/transport"
	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
	"go.uber.org/goleak"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/config"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/otlp"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/statusz"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/testing/fakellm"
)

func TestMain(m *testing.M) {
	// Google's client starts it when it is linked in, and nothing ends it.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("go.opencensus.io/stats/view.(*worker).start"))
}

const (
	deadline = 20 * time.Second
	goodKey  = "sk-good-key-of-the-test"
	badKey   = "sk-bad-key-of-the-test"
)

// mcpServer is a server whose tool `ask` samples on the GET stream.
func mcpServer(t *testing.T) *httptest.Server {
	t.Helper()
	s := server.NewMCPServer("asker", "1.0.0")
	s.EnableSampling()
	s.AddTool(mcp.NewTool("ask", mcp.WithString("text")), func(ctx context.Context, req mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		var sampling mcp.CreateMessageRequest
		sampling.MaxTokens = 500
		sampling.Messages = []mcp.SamplingMessage{{Role: mcp.RoleUser, Content: mcp.NewTextContent(req.GetString("text", ""))}}
		res, err := s.RequestSampling(ctx, sampling)
		if err != nil {
			return mcp.NewToolResultError(err.Error()), nil
		}
		content, err := mcp.ParseSamplingContent(res.Content)
		if err != nil {
			return mcp.NewToolResultError(err.Error()), nil
		}
		text, _ := mcp.AsTextContent(content)
		return mcp.NewToolResultText(text.Text), nil
	})
	return listen(t, server.NewStreamableHTTPServer(s))
}

func listen(t *testing.T, h http.Handler) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	return s
}

// fixture is a sampler that runs.
type fixture struct {
	*sampler.Server
	t      *testing.T
	cfg    config.Effective
	path   string
	key    string // the key's file
	log    *syncBuffer
	stop   context.CancelFunc
	stopOK func() error
}

func start(t *testing.T, upstream string, llm string, change func(*config.Effective)) *fixture {
	t.Helper()
	return startExporting(t, upstream, llm, nil, change)
}

// startExporting is start with exporters, which the sampler ends.
func startExporting(t *testing.T, upstream string, llm string, export *otlp.Exporters, change func(*config.Effective)) *fixture {
	t.Helper()
	dir := t.TempDir()
	f := &fixture{t: t, path: filepath.Join(dir, "sampler.yaml"), key: filepath.Join(dir, "key"), log: &syncBuffer{}}
	f.writeKey(goodKey)
	f.cfg = config.Effective{
		APIVersion:      config.APIVersion,
		Server:          config.Server{Name: "asker", Namespace: "test"},
		Upstream:        config.Upstream{URL: upstream + "/mcp"},
		ResidentSession: config.ResidentSession{Mode: config.ResidentOff},
		Policy: &config.Policy{
			Name: "policy", Mode: config.ModeAlways,
			Providers: []config.Provider{{
				Name: "fake", Type: config.ProviderOpenAI, BaseURL: llm + "/v1",
				Credential: &config.Credential{File: f.key, Ref: "Secret llm, key api-key"},
				Timeout:    config.Duration(10 * time.Second),
			}},
			Models: config.Models{Default: "small", Allowed: []config.Model{
				{Name: "small", Provider: "fake", Model: "small-1"},
				{Name: "large", Provider: "fake", Model: "large-1"},
			}},
		},
	}
	if change != nil {
		change(&f.cfg)
	}
	f.writeConfig()
	s, err := sampler.New(sampler.Options{
		ConfigPath: f.path, Listen: "127.0.0.1:0", AdminListen: "127.0.0.1:0", MetricsListen: "127.0.0.1:0", DrainTimeout: deadline, SettleTime: 3 * time.Second, Version: "test",
		Export: export, Audit: audited(export),
		Log: slog.New(slog.NewJSONHandler(f.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	if err != nil {
		t.Fatal(err)
	}
	f.Server = s
	ctx, cancel := context.WithCancel(context.Background())
	f.stop = cancel
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	f.stopOK = sync.OnceValue(func() error { cancel(); return <-done })
	t.Cleanup(func() {
		if err := f.stopOK(); err != nil {
			t.Errorf("Run = %v", err)
		}
		if t.Failed() {
			t.Logf("log of the sampler:\n%s", f.log.String())
		}
	})
	return f
}

func (f *fixture) writeConfig() {
	f.t.Helper()
	data, err := f.cfg.Encode()
	if err != nil {
		f.t.Fatal(err)
	}
	f.write(f.path, data)
}

func (f *fixture) writeKey(key string) { f.t.Helper(); f.write(f.key, []byte(key+"\n")) }

// write replaces a file as a whole, as the kubelet does.
func (f *fixture) write(path string, data []byte) {
	f.t.Helper()
	if err := os.WriteFile(path+".new", data, 0o600); err != nil {
		f.t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) connect() *client.Client {
	f.t.Helper()
	over, err := transport.NewStreamableHTTP("http://" + f.Addr().String() + "/mcp")
	if err != nil {
		f.t.Fatal(err)
	}
	c := client.NewClient(over, client.WithLegacyProtocolOnly())
	if err := c.Start(f.t.Context()); err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { _ = c.Close() })
	var req mcp.InitializeRequest
	req.Params.ClientInfo = mcp.Implementation{Name: "caller", Version: "1"}
	if _, err := c.Initialize(f.t.Context(), req); err != nil {
		f.t.Fatal(err)
	}
	return c
}

func (f *fixture) ask(c *client.Client, text string) *mcp.CallToolResult {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), deadline)
	defer cancel()
	var req mcp.CallToolRequest
	req.Params.Name, req.Params.Arguments = "ask", map[string]any{"text": text}
	res, err := c.CallTool(ctx, req)
	if err != nil {
		f.t.Fatal(err)
	}
	return res
}

func (f *fixture) wantAnswer(c *client.Client, wantParts ...string) {
	f.t.Helper()
	res := f.ask(c, "why?")
	got := textOf(res)
	for _, part := range wantParts {
		if res.IsError || !strings.Contains(got, part) {
			f.t.Errorf("the tool's result is %q (error: %v), want it to have %q", got, res.IsError, part)
		}
	}
}

func textOf(res *mcp.CallToolResult) string {
	var b strings.Builder
	for _, c := range res.Content {
		if text, ok := mcp.AsTextContent(c); ok {
			b.WriteString(text.Text)
		}
	}
	return b.String()
}

func (f *fixture) get(path string) (int, string) {
	f.t.Helper()
	return f.getAt(f.AdminAddr(), path)
}

func (f *fixture) metrics() string {
	f.t.Helper()
	status, body := f.getAt(f.MetricsAddr(), "/metrics")
	if status != http.StatusOK {
		f.t.Fatalf("/metrics = %d %s", status, body)
	}
	return body
}

func (f *fixture) getAt(addr net.Addr, path string) (int, string) {
	f.t.Helper()
	res, err := http.Get("http://" + addr.String() + path)
	if err != nil {
		f.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

func (f *fixture) report() statusz.Report {
	f.t.Helper()
	status, body := f.get(statusz.Path)
	var r statusz.Report
	if err := json.Unmarshal([]byte(body), &r); err != nil || status != http.StatusOK {
		f.t.Fatalf("%s = %d %s: %v", statusz.Path, status, body, err)
	}
	return r
}

// await asks for the report until it is as wanted.
func (f *fixture) await(what string, ok func(statusz.Report) bool) statusz.Report {
	f.t.Helper()
	end := time.After(deadline)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		r := f.report()
		if ok(r) {
			return r
		}
		select {
		case <-end:
			f.t.Fatalf("the report never said %s: %+v", what, r)
		case <-tick.C:
		}
	}
}

func (f *fixture) awaitConfig() {
	f.t.Helper()
	want := f.cfg.Hash()
	f.await("the new hash", func(r statusz.Report) bool { return r.ConfigHash == want })
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func TestAPolicyChangeReachesAnOpenSession(t *testing.T) {
	llm := &fakellm.Server{Key: goodKey}
	f := start(t, mcpServer(t).URL, listen(t, llm).URL, nil)
	c := f.connect()
	f.wantAnswer(c, "small-1", "at most 500 tokens", "why?")

	f.cfg.Policy.Parameters.MaxTokens = &config.MaxTokensLimit{Max: 64, OnExceed: config.ExceedClamp}
	f.writeConfig()
	f.awaitConfig()
	f.wantAnswer(c, "small-1", "at most 64 tokens")

	f.cfg.Policy.Models.Default = "large"
	f.writeConfig()
	f.awaitConfig()
	f.wantAnswer(c, "large-1")

	if n := f.report().Sessions; n != 1 {
		t.Errorf("%d sessions are open, want the one that the caller began with", n)
	}
}

func TestABadConfigurationIsReportedAndNotUsed(t *testing.T) {
	f := start(t, mcpServer(t).URL, listen(t, &fakellm.Server{}).URL, nil)
	c := f.connect()
	f.write(f.path, []byte("apiVersion: nonsense\n"))
	r := f.await("what is wrong", func(r statusz.Report) bool { return r.ConfigError != "" })
	if !strings.Contains(r.ConfigError, "apiVersion") || r.ConfigHash != f.cfg.Hash() {
		t.Errorf("the report says %q with hash %q, want the field and the old hash", r.ConfigError, r.ConfigHash)
	}
	f.wantAnswer(c, "small-1")
	f.writeConfig()
	f.await("that all is well again", func(r statusz.Report) bool { return r.ConfigError == "" })
}

func TestWithoutAPolicyNothingIsDeclaredAndOneThatComesServesNewSessions(t *testing.T) {
	llm := &fakellm.Server{}
	var with *config.Policy
	f := start(t, mcpServer(t).URL, listen(t, llm).URL, func(c *config.Effective) { with, c.Policy = c.Policy, nil })
	res := f.ask(f.connect(), "why?")
	if !res.IsError {
		t.Errorf("without a policy the tool's result is %q, want an error", textOf(res))
	}
	if r := f.report(); r.Policy != "" || len(r.Providers) != 0 {
		t.Errorf("the report names policy %q and %d providers", r.Policy, len(r.Providers))
	}
	f.cfg.Policy = with
	f.writeConfig()
	f.awaitConfig()
	c := f.connect()
	f.wantAnswer(c, "small-1")

	f.cfg.Policy = nil
	f.writeConfig()
	f.awaitConfig()
	before := len(llm.Requests())
	if res := f.ask(c, "and now?"); !res.IsError {
		t.Errorf("after the policy went the tool's result is %q, want an error", textOf(res))
	}
	if n := len(llm.Requests()); n != before {
		t.Error("a model was called although no policy is attached")
	}
}

func TestKeysAreReadAgainAndNeverShown(t *testing.T) {
	llm := &fakellm.Server{Key: goodKey}
	f := start(t, mcpServer(t).URL, listen(t, llm).URL, nil)
	state := func(want statusz.ProviderState) func(statusz.Report) bool {
		return func(r statusz.Report) bool { return len(r.Providers) == 1 && r.Providers[0].State == want }
	}
	f.await("a healthy provider", state(statusz.ProviderHealthy))
	c := f.connect()

	f.writeKey(badKey)
	res := f.ask(c, "the secret question")
	if !res.IsError {
		t.Errorf("with a wrong key the tool's result is %q, want an error", textOf(res))
	}
	f.await("a refused key", state(statusz.ProviderRefused))

	if err := os.Remove(f.key); err != nil {
		t.Fatal(err)
	}
	r := f.await("a missing key", func(r statusz.Report) bool { return r.Providers[0].Credential == statusz.CredentialMissing })
	if r.Providers[0].CredentialRef != "Secret llm, key api-key" {
		t.Errorf("the key's place is called %q", r.Providers[0].CredentialRef)
	}

	f.writeKey(goodKey)
	f.await("a healthy provider again", state(statusz.ProviderHealthy))
	f.wantAnswer(c, "small-1")

	metrics := f.metrics()
	if status, _ := f.get("/metrics"); status != http.StatusNotFound {
		t.Errorf("the admin port answers /metrics with %d", status)
	}
	_, report := f.get(statusz.Path)
	if !strings.Contains(metrics, "gen_ai_client_operation_duration") {
		t.Errorf("the metrics lack gen_ai.client.operation.duration:\n%s", metrics)
	}
	if err := f.stopOK(); err != nil {
		t.Fatal(err)
	}
	for where, text := range map[string]string{"log": f.log.String(), "metrics": metrics, "report": report, "tool's result": textOf(res)} {
		for _, secret := range []string{goodKey, badKey, "the secret question", "Incorrect API key"} {
			if strings.Contains(text, secret) {
				t.Errorf("the %s has %q", where, secret)
			}
		}
	}
}

// Another Secret is mounted only in the pods that replace this one: taking the
// new configuration here would break what works.
func TestAKeyThatCannotBeHereKeepsTheConfigurationBefore(t *testing.T) {
	f := start(t, mcpServer(t).URL, listen(t, &fakellm.Server{Key: goodKey}).URL, nil)
	c := f.connect()
	old := f.cfg.Hash()
	f.cfg.Policy.Providers[0].Credential = &config.Credential{File: filepath.Join(t.TempDir(), "other", "value")}
	f.writeConfig()
	r := f.await("what is wrong", func(r statusz.Report) bool { return r.ConfigError != "" })
	if r.ConfigHash != old || !strings.Contains(r.ConfigError, "started anew") {
		t.Errorf("the report says %q with hash %q, want the reason and the old hash %q", r.ConfigError, r.ConfigHash, old)
	}
	f.wantAnswer(c, "small-1")
}

func TestAnotherUpstreamIsAnotherServer(t *testing.T) {
	llm := listen(t, &fakellm.Server{}).URL
	f := start(t, mcpServer(t).URL, llm, nil)
	c := f.connect()
	f.wantAnswer(c, "small-1")
	second := mcpServer(t)
	f.cfg.Upstream.URL = second.URL + "/mcp"
	f.writeConfig()
	f.awaitConfig()
	f.wantAnswer(f.connect(), "small-1")
}

func TestTheResidentSessionLooksAtTheServer(t *testing.T) {
	f := start(t, mcpServer(t).URL, listen(t, &fakellm.Server{}).URL, func(c *config.Effective) {
		c.ResidentSession.Mode = config.ResidentHold
	})
	r := f.await("a verified server", func(r statusz.Report) bool { return r.Server.State == statusz.ServerVerified })
	if r.Server.Name != "asker" || r.Server.Tools == nil || *r.Server.Tools != 1 {
		t.Errorf("found %+v", r.Server)
	}
	if r.Sessions != 1 {
		t.Errorf("%d sessions, want the sampler's own", r.Sessions)
	}
	f.cfg.ResidentSession.Mode = config.ResidentOff
	f.writeConfig()
	f.await("that nobody looks", func(r statusz.Report) bool { return r.Server.State == statusz.ServerUnknown && r.Sessions == 0 })
}

func TestStoppingLetsARunningCallEnd(t *testing.T) {
	open := make(chan struct{})
	llm := fakellm.New(fakellm.Gate(open, fakellm.Text("the late answer")))
	f := start(t, mcpServer(t).URL, listen(t, llm).URL, nil)
	c := f.connect()
	answered := make(chan string, 1)
	go func() {
		var req mcp.CallToolRequest
		req.Params.Name, req.Params.Arguments = "ask", map[string]any{"text": "slow"}
		res, err := c.CallTool(context.Background(), req)
		if err != nil {
			answered <- "error: " + err.Error()
			return
		}
		answered <- textOf(res)
	}()
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	if err := llm.Await(ctx, 1); err != nil {
		t.Fatal(err)
	}
	f.stop()
	end := time.Now().Add(deadline)
	for {
		if status, _ := f.get("/readyz"); status == http.StatusServiceUnavailable {
			break
		}
		if time.Now().After(end) {
			t.Fatal("a sampler that is told to end stays ready")
		}
	}
	close(open)
	select {
	case got := <-answered:
		if got != "the late answer" {
			t.Errorf("the running call ended with %q", got)
		}
	case <-time.After(deadline):
		t.Error("the running call did not end")
	}
}

func TestNewSaysWhatIsWrong(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	dir := t.TempDir()
	good := filepath.Join(dir, "good.yaml")
	if err := os.WriteFile(good, []byte(fmt.Sprintf("apiVersion: %s\nserver: {name: s}\nupstream: {url: http://127.0.0.1:1/mcp}\n", config.APIVersion)), 0o600); err != nil {
		t.Fatal(err)
	}
	bad := filepath.Join(dir, "bad.yaml")
	if err := os.WriteFile(bad, []byte("upstrem: {}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	key := write("key", strings.Repeat("k", 32))
	with := func(name, more string) sampler.Options {
		path := write(name, fmt.Sprintf("apiVersion: %s\nserver: {name: s}\n%s\n", config.APIVersion, more))
		return sampler.Options{ConfigPath: path, Listen: "127.0.0.1:0", AdminListen: "127.0.0.1:0"}
	}
	const plain = "upstream: {url: http://127.0.0.1:1/mcp}\n"
	for name, tc := range map[string]struct {
		options sampler.Options
		want    string
	}{
		"a session key that is not there": {with("a.yaml", plain+"sessions: {keyFile: "+filepath.Join(dir, "nokey")+"}"), "nokey"},
		"a session key that is too short": {with("b.yaml", plain+"sessions: {keyFile: "+write("short", strings.Repeat("k", 31))+"}"), "at least 32 random bytes"},
		"replicas without an own address": {with("c.yaml", plain+"sessions: {keyFile: "+key+", replicas: \"peers.example:8080\"}"), "--advertise IP or IP:PORT"},
		"a file that is not there":        {sampler.Options{ConfigPath: filepath.Join(dir, "none.yaml"), Listen: "127.0.0.1:0", AdminListen: "127.0.0.1:0"}, "none.yaml"},
		"a file with a mistake":           {sampler.Options{ConfigPath: bad, Listen: "127.0.0.1:0", AdminListen: "127.0.0.1:0"}, "upstrem"},
		"a port that is taken":            {sampler.Options{ConfigPath: good, Listen: taken.Addr().String(), AdminListen: "127.0.0.1:0"}, "listen for callers"},
		"an admin port taken":             {sampler.Options{ConfigPath: good, Listen: "127.0.0.1:0", AdminListen: taken.Addr().String()}, "listen for health"},
		"a metrics port taken":            {sampler.Options{ConfigPath: good, Listen: "127.0.0.1:0", AdminListen: "127.0.0.1:0", MetricsListen: taken.Addr().String()}, "listen for metrics"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := sampler.New(tc.options)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("New = %v, want an error with %q", err, tc.want)
			}
		})
	}
}
