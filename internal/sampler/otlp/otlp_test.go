package otlp

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/audit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestTheEnvironmentSaysWhatIsExported(t *testing.T) {
	for name, tc := range map[string]struct {
		env     map[string]string
		want    settings
		wantErr string
	}{
		"no endpoint is nothing":    {map[string]string{"OTEL_TRACES_EXPORTER": "otlp"}, settings{}, ""},
		"an endpoint is everything": {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, settings{true, true, true}, ""},
		"a signal can be left out":  {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_LOGS_EXPORTER": "none"}, settings{true, true, false}, ""},
		"a signal can be alone":     {map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4318/v1/traces"}, settings{traces: true}, ""},
		"the SDK can be off":        {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_SDK_DISABLED": "true"}, settings{}, ""},
		"another exporter is an error": {map[string]string{"OTEL_METRICS_EXPORTER": "prometheus"}, settings{},
			`OTEL_METRICS_EXPORTER="prometheus": write otlp or none`},
		"another protocol is an error": {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, settings{},
			`OTEL_EXPORTER_OTLP_PROTOCOL="grpc": write http/protobuf`},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := readSettings(func(name string) string { return tc.env[name] })
			if tc.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), tc.wantErr) {
					t.Errorf("the error is %v, want %s", err, tc.wantErr)
				}
				return
			}
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(settings{})); err != nil || diff != "" {
				t.Errorf("%v, %s", err, diff)
			}
		})
	}
}

func TestWithoutAnEndpointThereIsNothing(t *testing.T) {
	e, err := FromEnvironment(t.Context(), func(string) string { return "" }, "test", slog.New(slog.DiscardHandler))
	if e != nil || err != nil {
		t.Errorf("%v, %v", e, err)
	}
	if e.Audit() != nil || e.Shutdown(t.Context()) != nil {
		t.Error("no exporters do something")
	}
}

// A collector that does not answer holds up neither a record nor the end.
func TestACollectorThatHangsHoldsNobodyUp(t *testing.T) {
	let := make(chan struct{})
	hangs := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-let:
		case <-r.Context().Done():
		}
	}))
	defer hangs.Close()
	defer close(let)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", hangs.URL)
	t.Setenv("OTEL_METRICS_EXPORTER", "none")
	t.Setenv("OTEL_TRACES_EXPORTER", "none")
	e, err := FromEnvironment(t.Context(), os.Getenv, "test", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	export := e.Audit()
	for range 10_000 { // more than the queue holds
		export(&audit.Record{Time: time.Now(), Decision: "answered"})
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := e.Shutdown(ctx); err == nil {
		t.Error("the end says nothing of what is lost")
	}
	http.DefaultClient.CloseIdleConnections()
}

func TestFailuresAreLoggedRarely(t *testing.T) {
	var log bytes.Buffer
	c := newComplaints(slog.New(slog.NewTextHandler(&log, nil)))
	for range 100 {
		c.Handle(errors.New(strings.Repeat("x", 10_000)))
	}
	if got := strings.Count(log.String(), "not exported"); got != 1 {
		t.Errorf("%d records", got)
	}
	if log.Len() > 1000 {
		t.Errorf("the record has %d bytes of a collector's words", log.Len())
	}
}
