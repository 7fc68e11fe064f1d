{{/* Where Triton reads its models from. */}}

{{/* What Triton is told: a folder, or the address of one in a cloud. */}}
{{- define "segtriton.repositoryAddress" -}}
{{- with .Values.modelRepository }}
{{- if eq .type "baked" }}
{{- .path }}
{{- else if has .type (list "s3" "gcs" "azure") }}
{{- required (printf "modelRepository.%s.uri is empty; say where the models lie." .type) (index . .type).uri }}
{{- else }}
{{- "/models" }}
{{- end }}
{{- end }}
{{- end }}

{{- define "segtriton.repositoryVolume" -}}
{{- if has .Values.modelRepository.type (list "pvc" "hostPath" "image" "init") }}true{{ end }}
{{- end }}

{{/* Triton finds a cloud's credentials in the environment; Google's are a file. */}}
{{- define "segtriton.repositoryEnvFrom" -}}
{{- with .Values.modelRepository }}
{{- if has .type (list "s3" "azure") }}
{{- with (index . .type).existingSecret }}
- secretRef: {name: {{ . }}}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- define "segtriton.repositoryCredentials" -}}
{{- if eq .Values.modelRepository.type "gcs" }}{{ .Values.modelRepository.gcs.existingSecret }}{{ end }}
{{- end }}

{{- define "segtriton.repositoryEnv" -}}
{{- if include "segtriton.repositoryCredentials" . }}
- name: GOOGLE_APPLICATION_CREDENTIALS
  value: /etc/segtriton/models/credentials.json
{{- end }}
{{- end }}

{{/* The container that fills the folder before Triton starts. */}}
{{- define "segtriton.repositoryInit" -}}
{{- with .Values.modelRepository.init }}
{{- if not .command }}
{{- fail "modelRepository.init.command is empty; give the command that puts the models into /models." }}
{{- end }}
- name: fetch-models
  image: {{ default (include "segtriton.serverImage" $) .image | quote }}
  imagePullPolicy: {{ $.Values.image.pullPolicy }}
  command: {{ toJson .command }}
  {{- with include "segtriton.env" .env }}
  env: {{- . | trim | nindent 4 }}
  {{- end }}
  {{- with include "segtriton.list" .envFrom }}
  envFrom: {{- . | trim | nindent 4 }}
  {{- end }}
  resources: {requests: {cpu: 100m, memory: 128Mi}, limits: {memory: 1Gi}}
  securityContext: {{- include "segtriton.containerSecurity" $ | nindent 4 }}
  volumeMounts:
    - {name: tmp, mountPath: /tmp}
    - {name: models, mountPath: /models}
    {{- if ne $.Values.networks.type "baked" }}
    - {name: networks, mountPath: /networks, readOnly: true{{ with $.Values.networks.subPath }}, subPath: {{ . | quote }}{{ end }}}
    {{- end }}
{{- end }}
{{- end }}
