{{/* What Prometheus and Grafana get. */}}

{{/* `auto` leaves the pods to a ServiceMonitor where one is asked for: two would count everything twice. */}}
{{- define "segtriton.wantsPodMonitor" -}}
{{- $switch := .Values.monitoring.podMonitor.enabled }}
{{- if not (and (eq (toString $switch) "auto") .Values.monitoring.serviceMonitor.enabled) }}
{{- include "segtriton.wanted" (list . $switch "monitoring.coreos.com/v1/PodMonitor") }}
{{- end }}
{{- end }}

{{/* One alert. Takes a map of root, name, expr, for, severity, summary and description. */}}
{{- define "segtriton.alert" -}}
{{- $rules := .root.Values.monitoring.rules }}
{{- if not (get $rules.disabled .name) }}
- alert: {{ .name }}
  expr: {{ .expr | quote }}
  for: {{ .for }}
  labels:
    severity: {{ .severity }}
    release: {{ .root.Release.Name }}
    {{- with $rules.alertLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    summary: {{ .summary | quote }}
    description: {{ .description | quote }}
    runbook_url: {{ default (printf "%s/blob/main/docs/kubernetes.md" .root.Chart.Home) $rules.runbookUrl }}#{{ lower .name }}
{{- end }}
{{- end }}

{{/*
A dashboard whose variables and thresholds hold this release's definition of load and its limits. Takes (list $ PATH).
`thresholdNames`, which charts/dashboards writes, says for each threshold of a panel which value it is.
*/}}
{{- define "segtriton.dashboard" -}}
{{- $ := index . 0 }}
{{- $dashboard := $.Files.Get (index . 1) | fromJson }}
{{- $values := dict "load" $.Values.load.metric "capacity" (include "segtriton.capacity" $) "target" (include "segtriton.target" $) "latency" (toString $.Values.monitoring.rules.latencySeconds) }}
{{- range $variable := $dashboard.templating.list }}
{{- with get $values $variable.name }}
{{- $_ := set $variable "query" . }}
{{- end }}
{{- end }}
{{- range $panel := $dashboard.panels }}
{{- range $index, $name := $panel.thresholdNames }}
{{- with get $values $name }}
{{- $_ := set (index $panel.fieldConfig.defaults.thresholds.steps (add1 $index | int)) "value" (float64 .) }}
{{- end }}
{{- end }}
{{- $_ := unset $panel "thresholdNames" }}
{{- end }}
{{- toPrettyJson $dashboard }}
{{- end }}
