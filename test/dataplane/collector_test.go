package dataplane

import (
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/otlp"
)

const collectorConfig = `
receivers: {otlp: {protocols: {http: {endpoint: "ADDRESS"}}}}
exporters: {debug: {verbosity: detailed, use_internal_logger: false}}
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

// lineage names a span, what it belongs to, and so on, the innermost first; nil if
// there is no span of that name.
func lineage(took, name string) []string {
	type span struct{ trace, parent, id, name, kind string }
	byID := map[string]span{}
	id := ""
	for _, m := range printedSpan.FindAllStringSubmatch(took, -1) {
		s := span{m[1], m[2], m[3], m[4], m[5]}
		byID[s.trace+s.id] = s
		if s.name == name {
			id = s.trace + s.id
		}
	}
	var out []string
	for s, ok := byID[id]; ok; s, ok = byID[s.trace+s.parent] {
		out = append(out, s.name+" ("+s.kind+")")
	}
	return out
}

func TestARealCollectorTakesTracesMetricsAndLogs(t *testing.T) {
	url, took := startCollector(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
	export, err := otlp.FromEnvironment(t.Context(), os.Getenv, "test", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	policy, _ := limitedPolicy(t, 1000, 1)
	s := startSampler(t, serve(t, &fakeAsker{}), policy, func(o *sampler.Options) { o.Export = export })
	newAsker(t, s.url()).mustAsk(t, question("What is it?"))
	s.stop() // which sends what is left

	want := []string{"POST (Client)", "chat fake-1 (Client)", "tools/call ask (Server)"}
	var got []string
	eventually(t, "the collector has the trace", func() bool {
		got = lineage(took.String(), "POST")
		return len(got) == len(want)
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
