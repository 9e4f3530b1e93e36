{{- /* The name of the chart, as labels carry it. */ -}}
{{- define "mcp-sampling-operator.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- /* The name of what the chart makes. It leaves room for the suffixes. */ -}}
{{- define "mcp-sampling-operator.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 45 | trimSuffix "-" }}
{{- else }}
{{- $name := include "mcp-sampling-operator.name" . }}
{{- if contains $name .Release.Name }}
{{- .Release.Name | trunc 45 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 45 | trimSuffix "-" }}
{{- end }}
{{- end }}
{{- end }}

{{- /* Cluster-wide names carry the namespace, so that two releases of the same
name in two namespaces do not fight over them. */ -}}
{{- define "mcp-sampling-operator.clusterName" -}}
{{- $fullname := include "mcp-sampling-operator.fullname" . }}
{{- if eq $fullname .Release.Namespace }}
{{- $fullname }}
{{- else }}
{{- printf "%s-%s" .Release.Namespace $fullname }}
{{- end }}
{{- end }}

{{- define "mcp-sampling-operator.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "mcp-sampling-operator.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- required "serviceAccount.name: with serviceAccount.create false, name the ServiceAccount that is there already" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "mcp-sampling-operator.selectorLabels" -}}
app.kubernetes.io/name: {{ include "mcp-sampling-operator.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: manager
{{- end }}

{{- /* The same as key=value,… */ -}}
{{- define "mcp-sampling-operator.selectorPairs" -}}
{{- $pairs := list }}
{{- range $key, $value := include "mcp-sampling-operator.selectorLabels" . | fromYaml }}
{{- $pairs = append $pairs (printf "%s=%s" $key $value) }}
{{- end }}
{{- join "," $pairs }}
{{- end }}

{{- define "mcp-sampling-operator.labels" -}}
app.kubernetes.io/name: {{ include "mcp-sampling-operator.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "mcp-sampling-operator.image" -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) }}
{{- end }}

{{- define "mcp-sampling-operator.samplerImage" -}}
{{- printf "%s:%s" .Values.samplerImage.repository (default .Chart.AppVersion .Values.samplerImage.tag) }}
{{- end }}
