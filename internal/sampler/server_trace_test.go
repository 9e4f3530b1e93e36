package sampler_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/mcp"
	logs "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	metrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	traces "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	log "go.opentelemetry.io/proto/otlp/logs/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/otlp"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/testing/fakellm"
)

// audited is nil where nothing is exported.
func audited(export *otlp.Exporters) io.Writer {
	if export == nil {
		return nil
	}
	return io.Discard
}

// fakeCollector takes what is exported to it.
type fakeCollector struct {
	url string

	mu      sync.Mutex
	spans   []*trace.Span
	records []*log.LogRecord
	metrics map[string]bool
	raw     []byte
}

func newCollector(t *testing.T) *fakeCollector {
	c := &fakeCollector{metrics: map[string]bool{}}
	c.url = listen(t, c).URL
	return c
}

func (c *fakeCollector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.raw = append(c.raw, body...)
	switch r.URL.Path {
	case "/v1/traces":
		var in traces.ExportTraceServiceRequest
		err = proto.Unmarshal(body, &in)
		for _, of := range in.ResourceSpans {
			for _, scope := range of.ScopeSpans {
				c.spans = append(c.spans, scope.Spans...)
			}
		}
	case "/v1/logs":
		var in logs.ExportLogsServiceRequest
		err = proto.Unmarshal(body, &in)
		for _, of := range in.ResourceLogs {
			for _, scope := range of.ScopeLogs {
				c.records = append(c.records, scope.LogRecords...)
			}
		}
	case "/v1/metrics":
		var in metrics.ExportMetricsServiceRequest
		err = proto.Unmarshal(body, &in)
		for _, of := range in.ResourceMetrics {
			for _, scope := range of.ScopeMetrics {
				for _, m := range scope.Metrics {
					c.metrics[m.Name] = true
				}
			}
		}
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
}

// tree writes the spans of one trace as lines, each below its parent, with the kind
// and the attributes that are asked for.
func (c *fakeCollector) tree(traceID string, keys ...string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var b strings.Builder
	var write func(parent, indent string)
	write = func(parent, indent string) {
		for _, s := range c.spans {
			if hex.EncodeToString(s.TraceId) != traceID || hex.EncodeToString(s.ParentSpanId) != parent {
				continue
			}
			fmt.Fprintf(&b, "%s%s (%s)", indent, s.Name, strings.ToLower(strings.TrimPrefix(s.Kind.String(), "SPAN_KIND_")))
			for _, key := range keys {
				if v := valueOf(s.Attributes, key); v != "" {
					fmt.Fprintf(&b, " %s=%s", key, v)
				}
			}
			b.WriteByte('\n')
			write(hex.EncodeToString(s.SpanId), indent+"  ")
		}
	}
	write(callersSpan, "")
	return b.String()
}

func valueOf(attributes []*common.KeyValue, key string) string {
	for _, a := range attributes {
		if a.Key != key {
			continue
		}
		switch v := a.Value.Value.(type) {
		case *common.AnyValue_StringValue:
			return v.StringValue
		case *common.AnyValue_IntValue:
			return fmt.Sprint(v.IntValue)
		default:
			return a.Value.String()
		}
	}
	return ""
}

// exporting is the exporters that the environment of a test asks for.
func exporting(t *testing.T, url string) *otlp.Exporters {
	t.Helper()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
	t.Setenv("OTEL_TRACES_SAMPLER", "parentbased_always_on")
	e, err := otlp.FromEnvironment(t.Context(), os.Getenv, "test", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

const (
	callersTrace  = "4bf92f3577b34da6a3ce929d0e0e4736"
	callersSpan   = "00f067aa0ba902b7"
	callersParent = "00-" + callersTrace + "-" + callersSpan + "-01"
)

// seen keeps the trace context that a server was called with.
func seen(next http.Handler) (http.Handler, func(method string) []string) {
	var mu sync.Mutex
	parents := map[string][]string{}
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		var m struct{ Method string }
		if json.Unmarshal(body, &m) == nil {
			mu.Lock()
			parents[m.Method] = append(parents[m.Method], r.Header.Get("Traceparent"))
			mu.Unlock()
		}
		next.ServeHTTP(w, r)
	})
	return h, func(method string) []string {
		mu.Lock()
		defer mu.Unlock()
		return parents[method]
	}
}

var spanKeys = []string{
	"mcp.method.name", "gen_ai.tool.name", "mcp.protocol.version", "gen_ai.request.model", "gen_ai.usage.input_tokens",
	"mcp_sampling.policy", "mcp_sampling.decision", "http.response.status_code", "error.type",
}

func TestOneTraceLeadsFromTheCallerToTheProviderInASession(t *testing.T) {
	model := fakellm.New(fakellm.Text("because"))
	collector := newCollector(t)
	behind := mcpServer(t)
	handler, parents := seen(behind.Config.Handler)
	f := startExporting(t, listen(t, handler).URL, listen(t, model).URL, exporting(t, collector.url), nil)
	c := f.connect()
	var req mcp.CallToolRequest
	req.Params.Name, req.Params.Arguments = "ask", map[string]any{"text": "the secret question"}
	req.Header = http.Header{"Traceparent": {callersParent}}
	res, err := c.CallTool(t.Context(), req)
	if err != nil || textOf(res) != "because" {
		t.Fatalf("%v, %v", res, err)
	}
	endCaller(c)
	if err := f.stopOK(); err != nil {
		t.Fatal(err)
	}
	want := `tools/call ask (server) mcp.method.name=tools/call gen_ai.tool.name=ask mcp.protocol.version=2025-11-25
  tools/call ask (client) mcp.method.name=tools/call gen_ai.tool.name=ask
  chat small-1 (client) mcp.method.name=sampling/createMessage gen_ai.request.model=small-1 gen_ai.usage.input_tokens=11 mcp_sampling.policy=policy mcp_sampling.decision=answered
    POST (client) http.response.status_code=200
`
	got := sortedTree(collector.tree(callersTrace, spanKeys...))
	if diff := cmp.Diff(sortedTree(want), got); diff != "" {
		t.Errorf("the trace (-want +got):\n%s", diff)
	}
	called := parents("tools/call")
	if len(called) != 1 || !strings.Contains(called[0], callersTrace) || called[0] == callersParent {
		t.Errorf("the server was called with the trace context %q", called)
	}
	if got := model.Requests()[0].Header.Get("Traceparent"); !strings.Contains(got, callersTrace) {
		t.Errorf("the provider was asked with the trace context %q", got)
	}
	for _, name := range []string{"gen_ai.client.operation.duration", "mcp.server.operation.duration", "mcp.client.operation.duration", "mcp_sampling.requests", "mcp_sampling.sessions"} {
		if !collector.metrics[name] {
			t.Errorf("the metric %s was not exported", name)
		}
	}
	if len(collector.records) != 1 {
		t.Fatalf("%d audit records were exported", len(collector.records))
	}
	record := collector.records[0]
	if record.EventName != otlp.EventName || hex.EncodeToString(record.TraceId) != callersTrace || valueOf(record.Attributes, "mcp_sampling.decision") != "answered" {
		t.Errorf("the audit record is %v", record)
	}
	for _, secret := range []string{goodKey, "the secret question", "because"} {
		if bytes.Contains(collector.raw, []byte(secret)) {
			t.Errorf("%q was exported", secret)
		}
	}
}

// endCaller ends what a caller holds open, so that the sampler need not wait.
func endCaller(c *client.Client) { _ = c.Close() }

// sortedTree gives children of the same parent, of which either may end first, one
// order: in these traces the line of the model comes last.
func sortedTree(tree string) string {
	lines := strings.SplitAfter(tree, "\n")
	var head, chat []string
	for _, line := range lines {
		if strings.HasPrefix(strings.TrimSpace(line), "chat ") || strings.HasPrefix(strings.TrimSpace(line), "POST ") {
			chat = append(chat, line)
		} else {
			head = append(head, line)
		}
	}
	return strings.Join(append(head, chat...), "")
}

// fakeRounds is a server of the stateless era that asks for sampling once.
func fakeRounds(w http.ResponseWriter, r *http.Request) {
	var m struct {
		ID     json.RawMessage
		Params struct {
			InputResponses json.RawMessage `json:"inputResponses"`
		}
	}
	if json.NewDecoder(r.Body).Decode(&m) != nil || r.Method != http.MethodPost {
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if m.Params.InputResponses == nil {
		fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":{"resultType":"input_required","requestState":"s","inputRequests":{"a":{"method":"sampling/createMessage",`+
			`"params":{"maxTokens":9,"messages":[{"role":"user","content":{"type":"text","text":"why?"}}]}}}}}`, m.ID)
		return
	}
	fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":{"content":[{"type":"text","text":"done"}],"isError":true}}`, m.ID)
}

func TestOneTraceLeadsFromTheCallerToTheProviderInTheStatelessEra(t *testing.T) {
	model := fakellm.New(fakellm.Text("because"))
	collector := newCollector(t)
	handler, parents := seen(http.HandlerFunc(fakeRounds))
	f := startExporting(t, listen(t, handler).URL, listen(t, model).URL, exporting(t, collector.url), nil)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+f.Addr().String()+"/mcp", strings.NewReader(
		`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"ask","arguments":{},"_meta":{"traceparent":"`+callersParent+`",`+
			`"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json, text/event-stream")
	req.Header.Set("Mcp-Protocol-Version", "2026-07-28")
	// What carries the message may be in another trace.
	req.Header.Set("Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	if !strings.Contains(string(body), "done") {
		t.Fatalf("HTTP %d %s", resp.StatusCode, body)
	}
	if err := f.stopOK(); err != nil {
		t.Fatal(err)
	}
	want := `tools/call ask (server) mcp.method.name=tools/call gen_ai.tool.name=ask mcp.protocol.version=2026-07-28 error.type=tool_error
  tools/call ask (client) mcp.method.name=tools/call gen_ai.tool.name=ask
  tools/call ask (client) mcp.method.name=tools/call gen_ai.tool.name=ask error.type=tool_error
  chat small-1 (client) mcp.method.name=sampling/createMessage gen_ai.request.model=small-1 gen_ai.usage.input_tokens=11 mcp_sampling.policy=policy mcp_sampling.decision=answered
    POST (client) http.response.status_code=200
`
	if diff := cmp.Diff(sortedTree(want), sortedTree(collector.tree(callersTrace, spanKeys...))); diff != "" {
		t.Errorf("the trace (-want +got):\n%s", diff)
	}
	if called := parents("tools/call"); len(called) != 2 || called[0] == called[1] || !strings.Contains(called[1], callersTrace) {
		t.Errorf("the server was called with the trace contexts %q", called)
	}
}

func TestWithoutACollectorTheCallersTraceContextPasses(t *testing.T) {
	handler, parents := seen(http.HandlerFunc(fakeRounds))
	f := start(t, listen(t, handler).URL, listen(t, fakellm.New()).URL, nil)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+f.Addr().String()+"/mcp",
		strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"tools/list"}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Traceparent", callersParent)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if got := parents("tools/list"); len(got) != 1 || got[0] != callersParent {
		t.Errorf("the server was called with the trace context %q", got)
	}
}

func TestOperationsAreCountedAndPeersCannotGrowTheSeries(t *testing.T) {
	var answers atomic.Int64
	hostile := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"jsonrpc":"2.0","id":1,"error":{"code":%d,"message":"no"}}`, answers.Add(1))
	})
	f := start(t, listen(t, hostile).URL, listen(t, fakellm.New()).URL, nil)
	const calls = 50
	for i := range calls {
		resp, err := http.Post("http://"+f.Addr().String()+"/mcp", "application/json",
			strings.NewReader(fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"odd-%d","params":{"name":"odd"}}`, i)))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
	}
	const labels = `{mcp_method_name="_OTHER",error_type="_OTHER",network_transport="tcp",network_protocol_name="http",network_protocol_version="1.1"} 50`
	end := time.Now().Add(deadline)
	for {
		text := f.metrics()
		served := strings.Contains(text, "mcp_server_operation_duration_seconds_count"+labels)
		asked := strings.Contains(text, "mcp_client_operation_duration_seconds_count"+labels)
		if strings.Contains(text, "odd") {
			t.Fatalf("a label has what a peer chose:\n%s", text)
		}
		if served && asked {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("the metrics never had both operations with %s:\n%s", labels, text)
		}
		time.Sleep(10 * time.Millisecond)
	}
}
