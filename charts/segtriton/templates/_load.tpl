{{/* How much a pod carries: what autoscaler, alerts, dashboards and notes read. */}}

{{- define "segtriton.capacity" -}}
{{- default (ternary 48 4 (eq .Values.accelerator "gpu")) .Values.load.capacityPerPod | include "segtriton.text" }}
{{- end }}

{{- define "segtriton.slots" -}}
{{- if .Values.load.slotsPerPod }}
{{- .Values.load.slotsPerPod | include "segtriton.text" }}
{{- else if include "segtriton.countsSessions" . }}
{{- include "segtriton.capacity" . }}
{{- else }}
{{- ternary 48 4 (eq .Values.accelerator "gpu") }}
{{- end }}
{{- end }}

{{- define "segtriton.countsSessions" -}}
{{- if eq .Values.load.metric "segtriton_active_streams" }}true{{ end }}
{{- end }}

{{/* Load per pod that the autoscaler aims at. */}}
{{- define "segtriton.target" -}}
{{- mulf (include "segtriton.capacity" . | float64) (float64 .Values.load.targetUtilization) }}
{{- end }}

{{/*
The labels by which Prometheus finds this release's pods, and no other's: pods are called NAME-HASH-ID.
*/}}
{{- define "segtriton.selectorPromql" -}}
namespace="{{ .Release.Namespace }}",pod=~"{{ include "segtriton.fullname" . }}-[a-z0-9]+-[a-z0-9]+"
{{- end }}

{{/* The load of all pods that take sessions; a pod that drains sends its sessions to the others by itself. */}}
{{- define "segtriton.loadPromql" -}}
{{- $labels := include "segtriton.selectorPromql" . -}}
sum({{ .Values.load.metric }}{ {{- $labels -}} } unless on (pod) (segtriton_draining{ {{- $labels -}} } == 1))
{{- end }}
