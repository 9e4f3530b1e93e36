package dataplane

import (
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/mark3labs/mcp-go/client/transport"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/otlp"
)

const collectorConfig = `
receivers: {otlp: {protocols: {http: {endpoint: "ADDRESS"}}}}
exporters: {debug: {verbosity: detailed, sampling_initial: 100000}}
service:
  telemetry: {metrics: {level: none}, logs: {level: error}}
  pipelines:
    traces: {receivers: [otlp], exporters: [debug]}
    metrics: {receivers: [otlp], exporters: [debug]}
    logs: {receivers: [otlp], exporters: [debug]}
`

// startCollector runs a real OpenTelemetry Collector, and returns its URL and what it
// prints of all that it takes.
func startCollector(t *testing.T) (url string, took *transcript) {
	t.Helper()
	program, err := exec.CommandContext(t.Context(), "../../hack/collector.sh").Output()
	if err != nil {
		t.Fatalf("hack/collector.sh: %v\n%s", err, stderrOf(err))
	}
	// It does not say which port it has chosen.
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	_ = listener.Close()
	file := filepath.Join(t.TempDir(), "collector.yaml")
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(collectorConfig, "ADDRESS", address)), 0o600); err != nil {
		t.Fatal(err)
	}
	took = &transcript{}
	cmd := exec.Command(strings.TrimSpace(string(program)), "--config", "file:"+file)
	cmd.Stdout, cmd.Stderr = took, took
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed
		if t.Failed() {
			said := took.String()
			t.Logf("the collector said last:\n%s", said[max(0, len(said)-8192):])
		}
	})
	eventually(t, "the collector listens", func() bool {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
	return "http://" + address, took
}

// printedSpan is a span as the collector prints it.
var printedSpan = regexp.MustCompile(`Trace ID +: (\w+)\n\s+Parent ID +: (\w*)\n\s+ID +: (\w+)\n\s+Name +: (.+)\n\s+Kind +: (\w+)`)

// spansOf names the spans of a trace below those that they belong to, in order.
func spansOf(took, trace, parent, above string) []string {
	var names []string
	for _, m := range printedSpan.FindAllStringSubmatch(took, -1) {
		if m[1] != trace || m[2] != parent {
			continue
		}
		name := fmt.Sprintf("%s%s (%s)", above, m[4], m[5])
		names = append(names, name)
		names = append(names, spansOf(took, trace, m[3], name+" > ")...)
	}
	slices.Sort(names)
	return names
}

func TestARealCollectorTakesTracesMetricsAndLogs(t *testing.T) {
	const trace, span = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
	url, took := startCollector(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
	export, err := otlp.FromEnvironment(t.Context(), os.Getenv, "test", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	policy, _ := limitedPolicy(t, 1000, 1)
	s := startSampler(t, mcpGoServer(t), policy, func(o *sampler.Options) { o.Export = export })
	caller := mcpGoClient(t, s.url(), transport.WithHTTPHeaders(map[string]string{"traceparent": "00-" + trace + "-" + span + "-01"}))
	if _, err := callMCPGo(t.Context(), caller, "ask", "What is it?"); err != nil {
		t.Fatal(err)
	}
	s.stop() // which sends what is left

	const call = "tools/call ask (Server)"
	want := []string{call, call + " > chat fake-1 (Client)", call + " > chat fake-1 (Client) > POST (Client)", call + " > tools/call ask (Client)"}
	var got []string
	eventually(t, "the collector has the trace", func() bool {
		got = slices.DeleteFunc(spansOf(took.String(), trace, span, ""), func(name string) bool { return !strings.HasPrefix(name, call) })
		return len(got) >= len(want)
	})
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the trace of the call (-want +got):\n%s", diff)
	}
	for _, name := range []string{"gen_ai.client.operation.duration", "mcp.server.operation.duration", otlp.EventName} {
		eventually(t, "the collector has "+name, func() bool { return strings.Contains(took.String(), name) })
	}
	if strings.Contains(took.String(), "What is it?") {
		t.Error("what was said was exported")
	}
}
