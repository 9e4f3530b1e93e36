{{- /* The manager's arguments about what samplers send; none if they send nothing. */ -}}
{{- define "mcp-sampling-operator.otlpArgs" -}}
{{- $otlp := .Values.telemetry.otlp }}
{{- $signals := list }}
{{- range $signal := list "traces" "metrics" "logs" }}
{{- if (index $otlp $signal).enabled }}{{ $signals = append $signals $signal }}{{ end }}
{{- end }}
{{- if and $otlp.endpoint $signals }}
- --otlp-endpoint={{ $otlp.endpoint }}
- --otlp-signals={{ join "," $signals }}
- --otlp-traces-ratio={{ $otlp.traces.ratio }}
{{- end }}
{{- end }}

{{- /* Fails where the kind of an object is not known, and says what to do. */ -}}
{{- define "mcp-sampling-operator.needsMonitoring" -}}
{{- $root := index . 0 }}{{ $kind := index . 1 }}{{ $value := index . 2 }}
{{- if not (or $root.Values.metrics.force ($root.Capabilities.APIVersions.Has (printf "monitoring.coreos.com/v1/%s" $kind))) }}
{{- fail (printf "%s: this cluster knows no %s: install the Prometheus operator's CRDs, or set %s.enabled to false. Where helm cannot see the cluster, as in helm template, set metrics.force to true" $value $kind $value) }}
{{- end }}
{{- end }}
