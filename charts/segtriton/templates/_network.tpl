{{/* How the pods are reached. */}}

{{/* Tells gateways to speak HTTP/2, with or without TLS. */}}
{{- define "segtriton.appProtocol" -}}
{{ ternary "https" "kubernetes.io/h2c" .Values.tls.enabled }}
{{- end }}

{{- define "segtriton.serviceHost" -}}
{{ include "segtriton.fullname" . }}.{{ .Release.Namespace }}.svc
{{- end }}

{{- define "segtriton.headlessHost" -}}
{{ include "segtriton.fullname" . }}-headless.{{ .Release.Namespace }}.svc
{{- end }}

{{/* Whether the cluster knows a kind, or the values say so. Takes (list $ SWITCH API/KIND). */}}
{{- define "segtriton.wanted" -}}
{{- $ := index . 0 }}
{{- $switch := index . 1 }}
{{- if eq (toString $switch) "auto" }}
{{- if $.Capabilities.APIVersions.Has (index . 2) }}true{{ end }}
{{- else if $switch }}true{{ end }}
{{- end }}
