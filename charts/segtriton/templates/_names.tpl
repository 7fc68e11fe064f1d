{{/* Names and labels. */}}

{{- define "segtriton.name" -}}
{{ default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" }}
{{- end }}

{{/* At most 40 characters: pods get the names of their ReplicaSet and 16 more, and Kubernetes cuts what is too long. */}}
{{- define "segtriton.fullname" -}}
{{- $name := include "segtriton.name" . }}
{{- $release := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) }}
{{- default $release .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- end }}

{{- define "segtriton.serviceAccount" -}}
{{ default (ternary (include "segtriton.fullname" .) "default" .Values.serviceAccount.create) .Values.serviceAccount.name }}
{{- end }}

{{/* What never changes in the life of a release, so that Deployment and Services may select by it. */}}
{{- define "segtriton.selector" -}}
app.kubernetes.io/name: {{ include "segtriton.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: server
{{- end }}

{{/* Nothing that changes with the chart's version: it would replace pods that are the same. */}}
{{- define "segtriton.podLabels" -}}
{{ include "segtriton.selector" . }}
{{- with merge dict .Values.podLabels .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "segtriton.labels" -}}
{{ include "segtriton.releaseLabels" . }}
app.kubernetes.io/component: server
{{- end }}

{{- define "segtriton.testLabels" -}}
{{ include "segtriton.releaseLabels" . }}
app.kubernetes.io/component: test
{{- end }}

{{- define "segtriton.releaseLabels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
app.kubernetes.io/name: {{ include "segtriton.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: segtriton
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* The metadata that every object begins with. Takes (list $ SUFFIX), of which the suffix may be empty. */}}
{{- define "segtriton.metadata" -}}
{{- $ := index . 0 -}}
name: {{ include "segtriton.fullname" $ }}{{ index . 1 }}
namespace: {{ $.Release.Namespace }}
labels: {{- include "segtriton.labels" $ | nindent 2 }}
{{- end }}
