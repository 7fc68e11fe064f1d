{{/* What `helm test` tells its client. */}}

{{- define "segtriton.testEnv" -}}
- {name: CLIP, value: {{ .Values.test.clip | quote }}}
- {name: FRAMES, value: {{ .Values.test.frames | quote }}}
- {name: SESSIONS, value: {{ .Values.test.sessions | quote }}}
- {name: SEGCLIENT_ENDPOINT, value: "{{ include "segtriton.serviceHost" . }}:{{ .Values.service.port }}"}
- {name: SEGCLIENT_NETWORK, value: {{ include "segtriton.network" . | quote }}}
{{- if .Values.tls.enabled }}
- {name: SEGCLIENT_CA_FILE, value: /etc/segtriton/tls/ca.crt}
{{- if .Values.tls.mutual }}
- {name: SEGCLIENT_CERT_FILE, value: /etc/segtriton/tls/tls.crt}
- {name: SEGCLIENT_KEY_FILE, value: /etc/segtriton/tls/tls.key}
{{- end }}
{{- end }}
{{- if .Values.token.enabled }}
- {name: SEGCLIENT_TOKEN_FILE, value: /etc/segtriton/token/token}
{{- end }}
{{- end }}
