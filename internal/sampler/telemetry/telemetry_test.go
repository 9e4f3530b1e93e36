package telemetry

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	semconv "go.opentelemetry.io/otel/semconv/v1.41.0"
	"go.opentelemetry.io/otel/semconv/v1.41.0/genaiconv"
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
	tel := New()
	tel.Request(Answered, "DefaultModel")
	tel.Request(Refused, "MaxTokensExceeded")
	tel.Operation(Operation{Provider: "openai", Model: "m", Duration: 1500 * time.Millisecond, InputTokens: 11, OutputTokens: 7})
	tel.Operation(Operation{Provider: "openai", Model: "m", Duration: time.Second, ErrorType: "timeout"})
	text := scrape(t, tel)

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
}

func TestTheNamesAreThoseOfTheConventions(t *testing.T) {
	prometheus := func(name, suffix string) string { return strings.ReplaceAll(name, ".", "_") + suffix }
	if want := prometheus(genaiconv.ClientOperationDuration{}.Name(), "_seconds"); MetricDuration != want {
		t.Errorf("duration is called %s, want %s", MetricDuration, want)
	}
	if unit := (genaiconv.ClientOperationDuration{}).Unit(); unit != "s" {
		t.Errorf("the convention's unit of durations is %s", unit)
	}
	if want := prometheus(genaiconv.ClientTokenUsage{}.Name(), ""); MetricTokens != want {
		t.Errorf("token usage is called %s, want %s", MetricTokens, want)
	}
}

func TestAModelCanHaveAnyName(t *testing.T) {
	tel := New()
	tel.Operation(Operation{Provider: "openai", Model: "a \"b\" \\ {c}, d=\"é\"\n", Duration: time.Second})
	want := `gen_ai_client_operation_duration_seconds_count{gen_ai_operation_name="chat",gen_ai_provider_name="openai",gen_ai_request_model="a \"b\" \\ {c}, d=\"é\"\n"} 1`
	text := scrape(t, tel)
	if !strings.Contains(text, want) {
		t.Errorf("no %s in\n%s", want, text)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Fatalf("Prometheus cannot read it: %v", err)
	}
	if got := families[MetricDuration].GetType().String(); got != "HISTOGRAM" {
		t.Errorf("durations are of type %s", got)
	}
}

func TestWithoutTelemetryNothingHappens(t *testing.T) {
	var tel *Telemetry
	tel.Request(Answered, "x")
	tel.Operation(Operation{})
}
