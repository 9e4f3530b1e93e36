package telemetry

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	semconv "go.opentelemetry.io/otel/semconv/v1.41.0"
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

func TestMetricsCarryTheConventionsNames(t *testing.T) {
	tel, handler, err := New()
	if err != nil {
		t.Fatal(err)
	}
	tel.Request(t.Context(), Answered, "DefaultModel")
	tel.Request(t.Context(), Refused, "MaxTokensExceeded")
	tel.Operation(t.Context(), Operation{Provider: "openai", Model: "m", Duration: 1500 * time.Millisecond, InputTokens: 11, OutputTokens: 7})
	tel.Operation(t.Context(), Operation{Provider: "openai", Model: "m", Duration: time.Second, ErrorType: "timeout"})
	text := scrape(t, handler)

	label := func(key string, value string) string {
		return strings.ReplaceAll(key, ".", "_") + `="` + value + `"`
	}
	operation := label(string(semconv.GenAIOperationNameKey), "chat")
	name := label(string(semconv.GenAIProviderNameKey), "openai")
	model := label(string(semconv.GenAIRequestModelKey), "m")
	for what, want := range map[string]string{
		"answered requests": `mcp_sampling_requests_total{mcp_sampling_decision="answered",mcp_sampling_reason="DefaultModel"} 1`,
		"refused requests":  `mcp_sampling_requests_total{mcp_sampling_decision="refused",mcp_sampling_reason="MaxTokensExceeded"} 1`,
		"duration":          `gen_ai_client_operation_duration_seconds_sum{` + operation + `,` + name + `,` + model + `} 1.5`,
		"duration of a failure": `gen_ai_client_operation_duration_seconds_count{` + label(string(semconv.ErrorTypeKey), "timeout") +
			`,` + operation + `,` + name + `,` + model + `} 1`,
		"input tokens":        `gen_ai_client_token_usage_sum{` + operation + `,` + name + `,` + model + `,` + label(string(semconv.GenAITokenTypeKey), "input") + `} 11`,
		"output tokens":       `gen_ai_client_token_usage_sum{` + operation + `,` + name + `,` + model + `,` + label(string(semconv.GenAITokenTypeKey), "output") + `} 7`,
		"duration boundaries": `le="81.92"`,
		"token boundaries":    `le="6.7108864e+07"`,
		"the runtime":         "go_goroutines ",
		"the process":         "process_resident_memory_bytes ",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%s: no %s in\n%s", what, want, text)
		}
	}
	if err := tel.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestTheNamesAreThoseOfTheConventions(t *testing.T) {
	tel, _, err := New()
	if err != nil {
		t.Fatal(err)
	}
	if got := tel.duration.Name(); got != "gen_ai.client.operation.duration" {
		t.Errorf("duration is called %s", got)
	}
	if got := tel.tokens.Name(); got != "gen_ai.client.token.usage" {
		t.Errorf("token usage is called %s", got)
	}
}

func TestWithoutTelemetryNothingHappens(t *testing.T) {
	var tel *Telemetry
	tel.Request(t.Context(), Answered, "x")
	tel.Operation(t.Context(), Operation{})
	if err := tel.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}
