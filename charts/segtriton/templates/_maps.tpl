{{/* Kubernetes' lists from our maps: entries that are null or false are left out, the others come in order of their names. */}}

{{/* Each entry as it is. */}}
{{- define "segtriton.list" -}}
{{- range $name, $entry := . }}
{{- if $entry }}
- {{ toYaml $entry | nindent 2 | trim }}
{{- end }}
{{- end }}
{{- end }}

{{/* Each entry with its key as its name. */}}
{{- define "segtriton.namedList" -}}
{{- range $name, $entry := . }}
{{- if $entry }}
- name: {{ $name }}
  {{- toYaml $entry | nindent 2 }}
{{- end }}
{{- end }}
{{- end }}

{{/* The names alone. */}}
{{- define "segtriton.nameList" -}}
{{- range $name, $used := . }}
{{- if $used }}
- {{ $name | quote }}
{{- end }}
{{- end }}
{{- end }}

{{/* Environment: a text is a value, a map what a container's `env` takes. */}}
{{- define "segtriton.env" -}}
{{- range $name, $entry := . }}
{{- if kindIs "map" $entry }}
- name: {{ $name }}
  {{- toYaml $entry | nindent 2 }}
{{- else if not (kindIs "invalid" $entry) }}
- name: {{ $name }}
  value: {{ include "segtriton.text" $entry | quote }}
{{- end }}
{{- end }}
{{- end }}

{{/* A number as a person writes it, not as 1.6777216e+07. */}}
{{- define "segtriton.text" -}}
{{- if and (kindIs "float64" .) (eq (floor .) .) }}{{ int64 . }}{{ else }}{{ . }}{{ end }}
{{- end }}
