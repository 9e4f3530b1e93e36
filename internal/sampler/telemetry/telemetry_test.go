package telemetry

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.41.0"
	"go.opentelemetry.io/otel/semconv/v1.41.0/genaiconv"
	"go.opentelemetry.io/otel/semconv/v1.41.0/mcpconv"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func scrape(t *testing.T, h http.Handler) string {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if w.Code != http.StatusOK {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	return w.Body.String()
}

func TestWhatIsCountedIsScraped(t *testing.T) {
	tel := New()
	tel.Sessions(func() int { return 5 })
	tel.Begin()
	tel.Begin()
	tel.End()
	tel.Queue()
	tel.Request("p", Answered, "DefaultModel")
	tel.Request("", Refused, "NoPolicy")
	tel.Took("p", Phases{Queue: time.Second, Model: 2 * time.Second, Own: time.Millisecond})
	tel.Operation(Operation{Policy: "p", Provider: "openai", Model: "m", Duration: 1500 * time.Millisecond, InputTokens: 11, OutputTokens: 7})
	tel.Operation(Operation{Policy: "p", Provider: "openai", Model: "m", Duration: time.Second, ErrorType: "timeout"})
	tel.Retry("p", "openai", "m")
	tel.Fallback("p", "m", "n")
	tel.Cost("p", "m", "EUR", 0.5)
	tel.Redacted("p", "mail", 3)
	tel.Served(MCPOperation{Method: "tools/call", Version: "2025-11-25", HTTP: 1, Duration: time.Second})
	tel.Asked(MCPOperation{Method: "tools/call", ErrorType: ErrorTool, HTTP: 2, Duration: time.Second})
	text := scrape(t, tel)
	const chat = `mcp_sampling_policy="p",gen_ai_operation_name="chat",gen_ai_provider_name="openai",gen_ai_request_model="m"`
	for _, want := range []string{
		`mcp_sampling_requests_total{mcp_sampling_policy="p",mcp_sampling_decision="answered",mcp_sampling_reason="DefaultModel"} 1`,
		`mcp_sampling_requests_total{mcp_sampling_policy="",mcp_sampling_decision="refused",mcp_sampling_reason="NoPolicy"} 1`,
		`mcp_sampling_request_duration_seconds_sum{mcp_sampling_policy="p"} 3.001`,
		`mcp_sampling_queue_duration_seconds_sum{mcp_sampling_policy="p"} 1`,
		`mcp_sampling_model_duration_seconds_sum{mcp_sampling_policy="p"} 2`,
		`mcp_sampling_own_duration_seconds_bucket{mcp_sampling_policy="p",le="0.001"} 1`,
		`gen_ai_client_operation_duration_seconds_sum{` + chat + `} 1.5`,
		`gen_ai_client_operation_duration_seconds_count{error_type="timeout",` + chat + `} 1`,
		`gen_ai_client_token_usage_sum{` + chat + `,gen_ai_token_type="input"} 11`,
		`gen_ai_client_token_usage_sum{` + chat + `,gen_ai_token_type="output"} 7`,
		`le="81.92"`, `le="6.7108864e+07"`,
		`mcp_sampling_retries_total{mcp_sampling_policy="p",gen_ai_provider_name="openai",gen_ai_request_model="m"} 1`,
		`mcp_sampling_fallbacks_total{mcp_sampling_policy="p",gen_ai_request_model="m",mcp_sampling_fallback_model="n"} 1`,
		`mcp_sampling_cost_total{mcp_sampling_policy="p",gen_ai_request_model="m",mcp_sampling_currency="EUR"} 0.5`,
		`mcp_sampling_redactions_total{mcp_sampling_policy="p",mcp_sampling_rule="mail"} 3`,
		`mcp_server_operation_duration_seconds_count{mcp_method_name="tools/call",mcp_protocol_version="2025-11-25",network_transport="tcp",network_protocol_name="http",network_protocol_version="1.1"} 1`,
		`mcp_client_operation_duration_seconds_count{mcp_method_name="tools/call",error_type="tool_error",network_transport="tcp",network_protocol_name="http",network_protocol_version="2"} 1`,
		`mcp_sampling_sessions 5`, `mcp_sampling_requests_in_flight 1`, `mcp_sampling_requests_queued 1`,
		"go_goroutines ", "process_resident_memory_bytes ",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
}

// The conventions' package for Go has had neither GenAI nor MCP since 1.42, as
// these moved to a repository of their own; 1.41 is the newest that has.
func TestTheNamesAreThoseOfTheConventions(t *testing.T) {
	type convention interface {
		Name() string
		Unit() string
		Description() string
	}
	for i, want := range map[*instrument]convention{
		&clientOperationDuration:    genaiconv.ClientOperationDuration{},
		&clientTokenUsage:           genaiconv.ClientTokenUsage{},
		&mcpServerOperationDuration: mcpconv.ServerOperationDuration{},
		&mcpClientOperationDuration: mcpconv.ClientOperationDuration{},
	} {
		if got := []string{i.name, i.unit, i.help}; !slices.Equal(got, []string{want.Name(), want.Unit(), want.Description()}) {
			t.Errorf("an instrument is %q, the convention's %q", got, []string{want.Name(), want.Unit(), want.Description()})
		}
	}
	for got, want := range map[string]attribute.Key{
		attrErrorType: semconv.ErrorTypeKey, attrOperation: semconv.GenAIOperationNameKey, attrProvider: semconv.GenAIProviderNameKey,
		attrModel: semconv.GenAIRequestModelKey, attrTokenType: semconv.GenAITokenTypeKey,
		attrMethod: semconv.McpMethodNameKey, attrProtocol: semconv.McpProtocolVersionKey,
		attrTransport: semconv.NetworkTransportKey, attrNetworkProtocol: semconv.NetworkProtocolNameKey, attrNetworkVersion: semconv.NetworkProtocolVersionKey,
	} {
		if got != string(want) {
			t.Errorf("an attribute is %s, the convention's %s", got, want)
		}
	}
	for _, known := range []attribute.KeyValue{
		semconv.McpMethodNameNotificationsCancelled, semconv.McpMethodNameInitialize, semconv.McpMethodNameNotificationsInitialized,
		semconv.McpMethodNameNotificationsProgress, semconv.McpMethodNamePing, semconv.McpMethodNameResourcesList,
		semconv.McpMethodNameResourcesTemplatesList, semconv.McpMethodNameResourcesRead, semconv.McpMethodNameNotificationsResourcesListChanged,
		semconv.McpMethodNameResourcesSubscribe, semconv.McpMethodNameResourcesUnsubscribe, semconv.McpMethodNameNotificationsResourcesUpdated,
		semconv.McpMethodNamePromptsList, semconv.McpMethodNamePromptsGet, semconv.McpMethodNameNotificationsPromptsListChanged,
		semconv.McpMethodNameToolsList, semconv.McpMethodNameToolsCall, semconv.McpMethodNameNotificationsToolsListChanged,
		semconv.McpMethodNameLoggingSetLevel, semconv.McpMethodNameNotificationsMessage, semconv.McpMethodNameSamplingCreateMessage,
		semconv.McpMethodNameCompletionComplete, semconv.McpMethodNameRootsList, semconv.McpMethodNameNotificationsRootsListChanged,
		semconv.McpMethodNameElicitationCreate,
	} {
		if name := known.Value.AsString(); Method(name) != name {
			t.Errorf("the convention's method %s is none of ours", name)
		}
	}
}

func TestWhatIsScrapedIsNamedAsPrometheusWritesIt(t *testing.T) {
	var got []string
	for _, i := range instruments {
		got = append(got, i.prometheus())
	}
	want := []string{
		"mcp_sampling_requests_total", "mcp_sampling_request_duration_seconds", "mcp_sampling_queue_duration_seconds",
		"mcp_sampling_model_duration_seconds", "mcp_sampling_own_duration_seconds", "mcp_sampling_requests_in_flight",
		"mcp_sampling_requests_queued", "mcp_sampling_sessions", "mcp_sampling_retries_total", "mcp_sampling_fallbacks_total",
		"mcp_sampling_cost_total", "mcp_sampling_redactions_total", "gen_ai_client_operation_duration_seconds",
		"gen_ai_client_token_usage", "mcp_server_operation_duration_seconds", "mcp_client_operation_duration_seconds",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestPeersCannotGrowTheSeries(t *testing.T) {
	tel := New()
	for i := range 1000 {
		odd := fmt.Sprintf("odd-%d", i)
		tel.Served(MCPOperation{Method: odd, Version: odd, HTTP: 1 + i%2, ErrorType: Code(i)})
		tel.Asked(MCPOperation{Method: odd, Version: odd, ErrorType: odd})
		tel.Asked(MCPOperation{Method: odd, ErrorType: Status(i)})
	}
	text := scrape(t, tel)
	if strings.Contains(text, "odd-") {
		t.Error("a label has what a peer chose")
	}
	if got := len(tel.series); got > 200 {
		t.Errorf("%d series", got)
	}
}

func TestAnOperationOfMCPIsCountedWithoutAllocation(t *testing.T) {
	tel := New()
	op := MCPOperation{Method: "tools/call", Version: "2025-11-25", HTTP: 1, Duration: time.Millisecond}
	if got := testing.AllocsPerRun(100, func() { tel.Served(op) }); got > 0 {
		t.Errorf("%v allocations", got)
	}
}

func TestAModelCanHaveAnyName(t *testing.T) {
	tel := New()
	tel.Operation(Operation{Policy: "p", Provider: "openai", Model: "a \"b\" \\ {c}, d=\"é\"\n", Duration: time.Second})
	want := `gen_ai_client_operation_duration_seconds_count{mcp_sampling_policy="p",gen_ai_operation_name="chat",gen_ai_provider_name="openai",gen_ai_request_model="a \"b\" \\ {c}, d=\"é\"\n"} 1`
	text := scrape(t, tel)
	if !strings.Contains(text, want) {
		t.Errorf("no %s in\n%s", want, text)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Fatalf("Prometheus cannot read it: %v", err)
	}
	if got := families["gen_ai_client_operation_duration_seconds"].GetType().String(); got != "HISTOGRAM" {
		t.Errorf("durations are of type %s", got)
	}
}

func TestWithoutTelemetryNothingHappens(t *testing.T) {
	var tel *Telemetry
	tel.Begin()
	tel.End()
	tel.Queue()
	tel.Dequeue()
	tel.Request("p", Answered, "x")
	tel.Took("p", Phases{})
	tel.Operation(Operation{})
	tel.Retry("p", "x", "y")
	tel.Fallback("p", "x", "y")
	tel.Cost("p", "x", "y", 1)
	tel.Redacted("p", "x", 1)
	tel.Served(MCPOperation{})
	tel.Asked(MCPOperation{})
}
