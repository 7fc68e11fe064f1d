{{/* The exporter, which streams synthetic sessions to the pods. */}}

{{- define "segtriton.exporterName" -}}
{{ include "segtriton.fullname" . }}-exporter
{{- end }}

{{- define "segtriton.exporterSelector" -}}
app.kubernetes.io/name: {{ include "segtriton.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: exporter
{{- end }}

{{- define "segtriton.exporterMetadata" -}}
name: {{ include "segtriton.exporterName" . }}
namespace: {{ .Release.Namespace }}
labels:
  {{- include "segtriton.releaseLabels" . | nindent 2 }}
  app.kubernetes.io/component: exporter
{{- end }}

{{- define "segtriton.exporterImage" -}}
{{- include "segtriton.imageReference" (dict "root" . "image" .Values.exporter.image "repository" "segtriton/ops") }}
{{- end }}

{{/* Each pod by itself through the headless Service, and the way of most clients through the other one. */}}
{{- define "segtriton.exporterArgs" -}}
- --target=dns:///{{ include "segtriton.headlessHost" . }}:8001
- --target={{ include "segtriton.serviceHost" . }}:{{ .Values.service.port }}
- --network={{ include "segtriton.network" . }}
- --interval={{ .Values.exporter.intervalSeconds }}
- --timeout={{ .Values.exporter.timeoutSeconds }}
- --frames={{ .Values.exporter.frames }}
{{- if .Values.tls.enabled }}
- --ca-file=/etc/segtriton/tls/ca.crt
{{- if .Values.tls.mutual }}
- --cert-file=/etc/segtriton/tls/tls.crt
- --key-file=/etc/segtriton/tls/tls.key
{{- end }}
{{- end }}
{{- if .Values.token.enabled }}
- --token-file=/etc/segtriton/token/token
{{- end }}
{{- if .Values.admin.restricted }}
- --admin-key-file=/etc/segtriton/admin/key
{{- end }}
{{- end }}

{{- define "segtriton.exporterSecrets" -}}
{{- if .Values.tls.enabled }}
tls: {{ default (include "segtriton.tlsSecret" .) .Values.exporter.tlsSecret }}
{{- end }}
{{- if .Values.token.enabled }}
token: {{ default (include "segtriton.tokenSecret" .) .Values.exporter.tokenSecret }}
{{- end }}
{{- if .Values.admin.restricted }}
admin: {{ include "segtriton.adminSecret" . }}
{{- end }}
{{- end }}
