package build_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
	"github.com/mcp-sampling/mcp-sampling-operator/controllers/build"
)

func TestWhereSamplersSendTheirTelemetry(t *testing.T) {
	for name, tc := range map[string]struct {
		otlp *build.OTLP
		want map[string]string
	}{
		"nowhere": {},
		"a tenth of the traces, and nothing else": {
			otlp: &build.OTLP{Endpoint: "http://collector:4318", Signals: []build.Signal{build.SignalTraces}, TracesRatio: 0.1},
			want: map[string]string{
				"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318",
				"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
				"OTEL_TRACES_EXPORTER":        "otlp",
				"OTEL_METRICS_EXPORTER":       "none",
				"OTEL_LOGS_EXPORTER":          "none",
				"OTEL_TRACES_SAMPLER":         "parentbased_traceidratio",
				"OTEL_TRACES_SAMPLER_ARG":     "0.1",
				"OTEL_RESOURCE_ATTRIBUTES":    "service.name=mcp-sampler,service.namespace=team,service.instance.id=$(POD_NAME),k8s.namespace.name=team,k8s.pod.name=$(POD_NAME),mcp_server=demo",
			},
		},
		"everything": {
			otlp: &build.OTLP{Endpoint: "https://c/base", Signals: build.Signals(), TracesRatio: 1},
			want: map[string]string{
				"OTEL_EXPORTER_OTLP_ENDPOINT": "https://c/base",
				"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
				"OTEL_TRACES_EXPORTER":        "otlp",
				"OTEL_METRICS_EXPORTER":       "otlp",
				"OTEL_LOGS_EXPORTER":          "otlp",
				"OTEL_TRACES_SAMPLER":         "parentbased_traceidratio",
				"OTEL_TRACES_SAMPLER_ARG":     "1",
				"OTEL_RESOURCE_ATTRIBUTES":    "service.name=mcp-sampler,service.namespace=team,service.instance.id=$(POD_NAME),k8s.namespace.name=team,k8s.pod.name=$(POD_NAME),mcp_server=demo",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			server := serverWith(func(*mcpv1alpha1.MCPServerSpec) {})
			got, _ := built(t, server, build.Options{SamplerImage: "any", OTLP: tc.otlp})
			env, _ := at(got["Deployment/demo-sampler"], "spec", "template", "spec", "containers", 0, "env").([]any)
			var sent map[string]string
			named := false
			for _, e := range env {
				variable := fmt.Sprint(at(e, "name"))
				named = named || variable == "POD_NAME"
				if !strings.HasPrefix(variable, "OTEL_") {
					continue
				}
				if sent == nil {
					sent = map[string]string{}
				}
				sent[variable] = fmt.Sprint(at(e, "value"))
				// Kubernetes puts in only what stands before.
				if strings.Contains(sent[variable], "$(POD_NAME)") && !named {
					t.Errorf("%s comes before POD_NAME", variable)
				}
			}
			if diff := cmp.Diff(tc.want, sent); diff != "" {
				t.Errorf("the samplers' environment (-want +got):\n%s", diff)
			}
			if servers := fmt.Sprint(got["Deployment/demo-server"]); strings.Contains(servers, "OTEL_") {
				t.Errorf("the server is told where telemetry goes: %s", servers)
			}
		})
	}
}
