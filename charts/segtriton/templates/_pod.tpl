{{/* Parts of the server's pod. */}}

{{- define "segtriton.strategy" -}}
{{- if .Values.rollout.strategy }}
{{- toYaml .Values.rollout.strategy }}
{{- else if eq .Values.rollout.preset "gpuScarce" -}}
type: RollingUpdate
rollingUpdate: {maxSurge: 0, maxUnavailable: 1}
{{- else -}}
type: RollingUpdate
rollingUpdate: {maxSurge: 1, maxUnavailable: 0}
{{- end }}
{{- end }}

{{- define "segtriton.progressDeadline" -}}
{{- default (add .Values.probes.startSeconds (include "segtriton.gracePeriod" . | int)) .Values.rollout.progressDeadlineSeconds }}
{{- end }}

{{/* Pods are replaced when a secret of the chart's own changes; certificates and tokens of others are seen by the pods. */}}
{{- define "segtriton.podAnnotations" -}}
checksum/secrets: {{ list .Values.token.value .Values.admin.value | toJson | sha256sum }}
kubectl.kubernetes.io/default-container: triton
{{- range $name, $value := .Values.podAnnotations }}
{{- if not (kindIs "invalid" $value) }}
{{ $name }}: {{ $value | quote }}
{{- end }}
{{- end }}
{{- end }}

{{/* Ready means that all models are; alive only that Triton answers, so that a slow start is never taken for death. Both ask for
     the router's heartbeat, too: Triton calls a model ready whose process is dead or stands still. */}}
{{- define "segtriton.probes" -}}
{{- with .Values.probes -}}
startupProbe:
  httpGet: {path: /v2/health/ready, port: http}
  periodSeconds: 2
  timeoutSeconds: {{ .timeoutSeconds }}
  failureThreshold: {{ max 1 (div (int .startSeconds) 2) }}
readinessProbe:
  exec: {command: [segtriton-probe, ready]}
  periodSeconds: {{ .periodSeconds }}
  timeoutSeconds: {{ .timeoutSeconds }}
  failureThreshold: {{ .readinessFailures }}
livenessProbe:
  exec: {command: [segtriton-probe, live{{ include "segtriton.renewalOptions" $ }}]}
  periodSeconds: {{ .periodSeconds }}
  timeoutSeconds: {{ .timeoutSeconds }}
  failureThreshold: {{ .livenessFailures }}
{{- end }}
{{- end }}

{{/* A pod that is not alive is restarted with its preStop hook first, which hands its sessions on. */}}
{{- define "segtriton.renewalOptions" -}}
{{- if and .Values.tls.enabled (not (kindIs "invalid" .Values.tls.renewalSpreadSeconds)) -}}
, --certificates, /etc/segtriton/tls, --renewal-spread, {{ .Values.tls.renewalSpreadSeconds | quote }}
{{- end }}
{{- end }}

{{- define "segtriton.initContainers" -}}
{{- if eq .Values.modelRepository.type "init" }}
{{- include "segtriton.repositoryInit" . }}
{{- end }}
{{- include "segtriton.namedList" .Values.extraInitContainers }}
{{- end }}

{{/* Which nodes a pod may run on. */}}
{{- define "segtriton.placement" -}}
{{- with .Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with include "segtriton.tolerations" . }}
tolerations: {{- . | trim | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with include "segtriton.topologySpread" . }}
topologySpreadConstraints: {{- . | trim | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.runtimeClassName }}
runtimeClassName: {{ . }}
{{- end }}
{{- end }}

{{/* Pods of one version spread by themselves: old ones, which are about to go, do not push new ones together. */}}
{{- define "segtriton.topologySpread" -}}
{{- range $key, $constraint := .Values.topologySpread }}
{{- if $constraint }}
- topologyKey: {{ $key }}
  labelSelector:
    matchLabels: {{- include "segtriton.selector" $ | nindent 6 }}
  matchLabelKeys: [pod-template-hash]
  {{- toYaml $constraint | nindent 2 }}
{{- end }}
{{- end }}
{{- end }}
