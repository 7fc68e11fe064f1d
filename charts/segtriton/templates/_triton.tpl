{{/* How Triton is started: arguments, environment, mounts. */}}

{{- define "segtriton.args" -}}
- --model-repository={{ include "segtriton.repositoryAddress" . }}
- --model-control-mode=explicit
{{- range $model := include "segtriton.models" . | fromYamlArray }}
- --load-model={{ $model }}
{{- end }}
- --disable-auto-complete-config
- --strict-readiness=true
- --exit-timeout-secs={{ .Values.drain.exitTimeoutSeconds }}
- --grpc-header-forward-pattern=(authorization|segtriton-.*)
- --http-header-forward-pattern=(authorization|segtriton-.*)
{{- /* A client whose network was cut says nothing: it is asked, and gone where it does not answer. */}}
- --grpc-keepalive-time=20000
- --grpc-keepalive-timeout=10000
- --grpc-http2-max-pings-without-data=0
- --grpc-http2-min-recv-ping-interval-without-data=10000
- --grpc-max-connection-age={{ mul .Values.maxConnectionAgeSeconds 1000 }}
- --backend-config=python,shm-default-byte-size={{ int64 .Values.shm.initialBytes }}
{{- if not (include "segtriton.onGpu" .) }}
- --allow-gpu-metrics=false
{{- end }}
{{- include "segtriton.logArgs" . }}
{{- include "segtriton.tlsArgs" . }}
{{- include "segtriton.adminArgs" . }}
{{- include "segtriton.extraArgs" . }}
{{- end }}

{{- define "segtriton.models" -}}
{{- $network := include "segtriton.network" . }}
- {{ $network }}
- {{ $network }}_streaming
{{- include "segtriton.nameList" .Values.extraModels }}
{{- end }}

{{- define "segtriton.logArgs" -}}
{{- if eq .Values.logLevel "verbose" }}
- --log-verbose=1
{{- else if ne .Values.logLevel "info" }}
- --log-info=false
{{- if eq .Values.logLevel "error" }}
- --log-warning=false
{{- end }}
{{- end }}
{{- end }}

{{- define "segtriton.tlsArgs" -}}
{{- if .Values.tls.enabled }}
- --grpc-use-ssl=true
- --grpc-server-cert=/etc/segtriton/tls/tls.crt
- --grpc-server-key=/etc/segtriton/tls/tls.key
{{- if .Values.tls.mutual }}
- --grpc-use-ssl-mutual=true
- --grpc-root-cert=/etc/segtriton/tls/ca.crt
{{- end }}
{{- end }}
{{- end }}

{{/* HTTP is there for the probes, so of HTTP only health is open. */}}
{{- define "segtriton.adminArgs" -}}
{{- if .Values.admin.restricted }}
{{- $admin := "shared-memory,model-config,model-repository,statistics,trace,logging" }}
- --grpc-restricted-protocol={{ $admin }}:segtriton-admin-key=$(SEGTRITON_ADMIN_KEY)
- --http-restricted-api=metadata,inference,{{ $admin }}:segtriton-admin-key=$(SEGTRITON_ADMIN_KEY)
{{- end }}
{{- end }}

{{- define "segtriton.extraArgs" -}}
{{- range $name, $value := .Values.extraArgs }}
{{- range $one := ternary $value (list $value) (kindIs "slice" $value) }}
{{- if not (kindIs "invalid" $one) }}
- {{ printf "--%s=%s" $name (include "segtriton.text" $one) | quote }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- define "segtriton.serverEnv" -}}
- name: SEGTRITON_POD
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
- name: SEGTRITON_STREAM_SLOTS
  value: {{ include "segtriton.slots" . | quote }}
- name: SEGTRITON_LOG_JSON
  value: "true"
- name: SEGTRITON_LOG_LEVEL
  value: {{ get (dict "error" "ERROR" "warning" "WARNING" "info" "INFO" "verbose" "DEBUG") .Values.logLevel }}
{{- if include "segtriton.onGpu" . }}
# For networks that run on either, as selfie does.
- name: SEGTRITON_ACCELERATOR
  value: gpu
# Without `video` the container gets no library for the GPU's decoders and encoders.
- name: NVIDIA_DRIVER_CAPABILITIES
  value: compute,utility,video
{{- else if not (hasKey .Values.settings "workers") }}
# The server counts the node's cores; what counts is the pod's share of them.
- name: SEGTRITON_WORKERS
  value: {{ include "segtriton.workers" . | quote }}
{{- end }}
{{- if ne .Values.networks.type "baked" }}
- name: SEGTRITON_NETWORKS
  value: /networks
{{- end }}
{{- if ne .Values.compileCache.type "none" }}
- name: SEGTRITON_COMPILE_CACHE
  value: /var/cache/segtriton
{{- end }}
{{- if .Values.token.enabled }}
- name: SEGTRITON_TOKEN_FILE
  value: /etc/segtriton/token/token
{{- end }}
{{- if .Values.admin.restricted }}
- name: SEGTRITON_ADMIN_KEY
  valueFrom: {secretKeyRef: {name: {{ include "segtriton.adminSecret" . }}, key: key}}
{{- end }}
{{- include "segtriton.repositoryEnv" . }}
{{- range $name, $value := .Values.settings }}
{{- if not (kindIs "invalid" $value) }}
- name: SEGTRITON_{{ upper $name }}
  value: {{ include "segtriton.text" $value | quote }}
{{- end }}
{{- end }}
{{- include "segtriton.env" .Values.extraEnv }}
{{- end }}

{{- define "segtriton.serverEnvFrom" -}}
{{- include "segtriton.repositoryEnvFrom" . }}
{{- include "segtriton.list" .Values.extraEnvFrom }}
{{- end }}

{{- define "segtriton.serverMounts" -}}
- {name: tmp, mountPath: /tmp}
- {name: shm, mountPath: /dev/shm}
{{- if include "segtriton.repositoryVolume" . }}
- {name: models, mountPath: /models, readOnly: true{{ with .Values.modelRepository.subPath }}, subPath: {{ . | quote }}{{ end }}}
{{- end }}
{{- if ne .Values.networks.type "baked" }}
- {name: networks, mountPath: /networks, readOnly: true{{ with .Values.networks.subPath }}, subPath: {{ . | quote }}{{ end }}}
{{- end }}
{{- if ne .Values.compileCache.type "none" }}
- {name: compile-cache, mountPath: /var/cache/segtriton}
{{- end }}
{{- if .Values.tls.enabled }}
- {name: tls, mountPath: /etc/segtriton/tls, readOnly: true}
{{- end }}
{{- if .Values.token.enabled }}
- {name: token, mountPath: /etc/segtriton/token, readOnly: true}
{{- end }}
{{- if include "segtriton.repositoryCredentials" . }}
- {name: model-credentials, mountPath: /etc/segtriton/models, readOnly: true}
{{- end }}
{{- range $path, $mount := .Values.extraVolumeMounts }}
{{- if $mount }}
- mountPath: {{ $path | quote }}
  {{- toYaml $mount | nindent 2 }}
{{- end }}
{{- end }}
{{- end }}

{{- define "segtriton.volumes" -}}
- name: tmp
  emptyDir: {sizeLimit: {{ .Values.tmpSize }}}
- name: shm
  emptyDir: {medium: Memory, sizeLimit: {{ include "segtriton.shmSize" . }}}
{{- if include "segtriton.repositoryVolume" . }}
{{ include "segtriton.folderVolume" (merge (dict "root" .) (include "segtriton.modelFolder" . | fromYaml)) }}
{{- end }}
{{- if ne .Values.networks.type "baked" }}
{{ include "segtriton.folderVolume" (merge (dict "root" .) (include "segtriton.networkFolder" . | fromYaml)) }}
{{- end }}
{{- if ne .Values.compileCache.type "none" }}
{{ include "segtriton.folderVolume" (merge (dict "root" .) (include "segtriton.cacheFolder" . | fromYaml)) }}
{{- end }}
{{- if .Values.tls.enabled }}
- name: tls
  secret: {secretName: {{ include "segtriton.tlsSecret" . }}, defaultMode: 0440}
{{- end }}
{{- if .Values.token.enabled }}
- name: token
  secret: {secretName: {{ include "segtriton.tokenSecret" . }}, defaultMode: 0440}
{{- end }}
{{- with include "segtriton.repositoryCredentials" . }}
- name: model-credentials
  secret: {secretName: {{ . }}, defaultMode: 0440}
{{- end }}
{{- include "segtriton.namedList" .Values.extraVolumes }}
{{- end }}
