package build

import (
	"slices"
	"strconv"

	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
)

// Signal is a kind of telemetry.
type Signal string

// Signals.
const (
	SignalTraces  Signal = "traces"
	SignalMetrics Signal = "metrics"
	SignalLogs    Signal = "logs"
)

// Signals are all of them.
func Signals() []Signal { return []Signal{SignalTraces, SignalMetrics, SignalLogs} }

// OTLP says where samplers send their telemetry. It is for all servers alike: who
// may write an MCPServer does not choose where spans and records go.
type OTLP struct {
	// Endpoint is the URL of a collector that takes OTLP over HTTP.
	Endpoint string
	// Signals are what is sent there.
	Signals []Signal
	// TracesRatio is how many of the traces that begin at a sampler are kept, from
	// 0 to 1. One that a caller has begun is kept if the caller keeps it.
	TracesRatio float64
}

// podNameEnv is the pod's name, by which telemetry is told apart.
const podNameEnv = "POD_NAME"

// env says it in OpenTelemetry's own names, which a sampler without an operator
// reads as well.
func (o OTLP) env(server *mcpv1alpha1.MCPServer) []*corev1ac.EnvVarApplyConfiguration {
	text := func(name, value string) *corev1ac.EnvVarApplyConfiguration {
		return corev1ac.EnvVar().WithName(name).WithValue(value)
	}
	exporter := func(s Signal) string {
		if slices.Contains(o.Signals, s) {
			return "otlp"
		}
		return "none"
	}
	return []*corev1ac.EnvVarApplyConfiguration{
		text("OTEL_EXPORTER_OTLP_ENDPOINT", o.Endpoint),
		text("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
		text("OTEL_TRACES_EXPORTER", exporter(SignalTraces)),
		text("OTEL_METRICS_EXPORTER", exporter(SignalMetrics)),
		text("OTEL_LOGS_EXPORTER", exporter(SignalLogs)),
		text("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
		text("OTEL_TRACES_SAMPLER_ARG", strconv.FormatFloat(o.TracesRatio, 'f', -1, 64)),
		corev1ac.EnvVar().WithName(podNameEnv).WithValueFrom(
			corev1ac.EnvVarSource().WithFieldRef(corev1ac.ObjectFieldSelector().WithFieldPath("metadata.name"))),
		// The same words as the labels that a scrape of the pods gets.
		text("OTEL_RESOURCE_ATTRIBUTES", "service.name=mcp-sampler"+
			",service.namespace="+server.Namespace+
			",service.instance.id=$("+podNameEnv+")"+
			",k8s.namespace.name="+server.Namespace+
			",k8s.pod.name=$("+podNameEnv+")"+
			",mcp_server="+server.Name),
	}
}
