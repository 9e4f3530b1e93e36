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
