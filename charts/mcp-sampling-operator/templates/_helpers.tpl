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

{{- /* Labels of every object. Those of the chart stand, whatever commonLabels says. */ -}}
{{- define "mcp-sampling-operator.labels" -}}
{{- $own := dict
  "app.kubernetes.io/name" (include "mcp-sampling-operator.name" .)
  "app.kubernetes.io/instance" .Release.Name
  "app.kubernetes.io/version" .Chart.AppVersion
  "app.kubernetes.io/managed-by" .Release.Service
  "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_") }}
{{- toYaml (merge $own (omit .Values.commonLabels "app.kubernetes.io/component")) }}
{{- end }}

{{- /* Labels of the manager's pods. */ -}}
{{- define "mcp-sampling-operator.podLabels" -}}
{{- $own := include "mcp-sampling-operator.selectorLabels" . | fromYaml }}
{{- toYaml (merge $own .Values.podLabels .Values.commonLabels) }}
{{- end }}

{{- /* The field annotations of an object, on a line of its own, with those that it has by
itself: (list $ (dict …)). Nothing where there are none. */ -}}
{{- define "mcp-sampling-operator.annotations" -}}
{{- $all := merge (dict) (index . 1) (index . 0).Values.commonAnnotations }}
{{- if $all }}
  annotations:
    {{- toYaml $all | nindent 4 }}
{{- end }}
{{- end }}

{{- /* The reference of an image: (list $ .Values.image). A registry for all takes the
place of the one that the repository names; a digest that of the tag. */ -}}
{{- define "mcp-sampling-operator.imageOf" -}}
{{- $root := index . 0 }}
{{- $image := index . 1 }}
{{- $repository := $image.repository }}
{{- with $root.Values.global.imageRegistry }}
{{- $repository = printf "%s/%s" (trimSuffix "/" .) (regexReplaceAll "^([^/]*[.:][^/]*|localhost)/" $repository "") }}
{{- end }}
{{- if $image.digest }}
{{- printf "%s@%s" $repository $image.digest }}
{{- else }}
{{- printf "%s:%s" $repository (default $root.Chart.AppVersion $image.tag) }}
{{- end }}
{{- end }}

{{- define "mcp-sampling-operator.image" -}}
{{- include "mcp-sampling-operator.imageOf" (list . .Values.image) }}
{{- end }}

{{- define "mcp-sampling-operator.samplerImage" -}}
{{- include "mcp-sampling-operator.imageOf" (list . .Values.samplerImage) }}
{{- end }}

{{- /* Nine tenths of the manager's memory limit, for Go's runtime; nothing where there
is no limit, or where somebody says it himself. */ -}}
{{- define "mcp-sampling-operator.memoryLimit" -}}
{{- $limit := dig "limits" "memory" "" (default dict .Values.resources) | toString }}
{{- $unit := regexFind "[A-Za-z]*$" $limit }}
{{- $factors := dict "" 1 "k" 1000 "M" 1000000 "G" 1000000000 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 }}
{{- $given := false }}
{{- range .Values.extraEnv }}{{ if eq .name "GOMEMLIMIT" }}{{ $given = true }}{{ end }}{{ end }}
{{- if and $limit (hasKey $factors $unit) (not $given) }}
{{- mulf (trimSuffix $unit $limit | float64) (get $factors $unit) 0.9 | int64 }}
{{- end }}
{{- end }}

{{- /* Where `helm test` works: a namespace that the operator looks at. */ -}}
{{- define "mcp-sampling-operator.testNamespace" -}}
{{- $watched := .Values.watchNamespaces }}
{{- if or (not $watched) (has .Release.Namespace $watched) }}
{{- .Release.Namespace }}
{{- else }}
{{- first $watched }}
{{- end }}
{{- end }}

{{- define "mcp-sampling-operator.testName" -}}
{{- printf "helm-test-%s" (include "mcp-sampling-operator.fullname" .) }}
{{- end }}

{{- /* Metadata of an object of `helm test`: (list $ NAME WEIGHT). What is made first
goes as soon as the test has ended, well or not; a pod that failed stays, with its log. */ -}}
{{- define "mcp-sampling-operator.testMetadata" -}}
{{- $root := index . 0 -}}
metadata:
  name: {{ index . 1 }}
  namespace: {{ include "mcp-sampling-operator.testNamespace" $root }}
  labels:
    {{- include "mcp-sampling-operator.labels" $root | nindent 4 }}
    app.kubernetes.io/component: test
  {{- include "mcp-sampling-operator.annotations" (list $root (dict
    "helm.sh/hook" "test" "helm.sh/hook-weight" (index . 2) "helm.sh/hook-delete-policy" "before-hook-creation,hook-succeeded")) }}
{{- end }}
