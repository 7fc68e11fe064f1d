{{/* Pod Security "restricted", for each pod of this chart. */}}

{{- define "segtriton.podSecurity" -}}
runAsNonRoot: true
runAsUser: 1000
runAsGroup: 1000
fsGroup: 1000
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "segtriton.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* Secrets, and what they hold. */}}

{{- define "segtriton.tlsSecret" -}}
{{- default (printf "%s-tls" (include "segtriton.fullname" .)) .Values.tls.existingSecret }}
{{- end }}

{{- define "segtriton.tokenSecret" -}}
{{- default (printf "%s-token" (include "segtriton.fullname" .)) .Values.token.existingSecret }}
{{- end }}

{{- define "segtriton.adminSecret" -}}
{{- default (printf "%s-admin" (include "segtriton.fullname" .)) .Values.admin.existingSecret }}
{{- end }}

{{/*
A Secret with one entry: the value given, else the one that the cluster has, else a random one.
Takes (list $ SUFFIX KEY VALUE).
*/}}
{{- define "segtriton.keptSecret" -}}
{{- $ := index . 0 }}
{{- $suffix := index . 1 }}
{{- $key := index . 2 }}
{{- $given := index . 3 }}
{{- $there := lookup "v1" "Secret" $.Release.Namespace (printf "%s%s" (include "segtriton.fullname" $) $suffix) }}
{{- $kept := dig "data" $key "" ($there | default dict) | b64dec }}
apiVersion: v1
kind: Secret
metadata: {{- include "segtriton.metadata" (list $ $suffix) | nindent 2 }}
type: Opaque
data:
  {{ $key }}: {{ coalesce $given $kept (randAlphaNum 40) | b64enc }}
{{- end }}
