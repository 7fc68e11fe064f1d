{{/* Images. */}}

{{/* REGISTRY/REPOSITORY:TAG or @DIGEST. Takes a map of image (from values), repository, registry and root. */}}
{{- define "segtriton.imageReference" -}}
{{- $image := .image }}
{{- $global := .root.Values.global | default dict }}
{{- $registry := coalesce $global.imageRegistry $image.registry .root.Values.image.registry }}
{{- $repository := default .repository $image.repository }}
{{- $name := ternary $repository (printf "%s/%s" $registry $repository) (empty $registry) }}
{{- if $image.digest }}
{{- printf "%s@%s" $name $image.digest }}
{{- else }}
{{- printf "%s:%s" $name (default .root.Chart.AppVersion $image.tag) }}
{{- end }}
{{- end }}

{{- define "segtriton.serverImage" -}}
{{- $repository := ternary "segtriton/server" "segtriton/server-cpu" (eq .Values.accelerator "gpu") }}
{{- include "segtriton.imageReference" (dict "root" . "image" .Values.image "repository" $repository) }}
{{- end }}

{{- define "segtriton.clientImage" -}}
{{- include "segtriton.imageReference" (dict "root" . "image" .Values.test.image "repository" "segtriton/client") }}
{{- end }}

{{- define "segtriton.imagePullSecrets" -}}
{{- range $name, $used := .Values.imagePullSecrets }}
{{- if $used }}
- name: {{ $name }}
{{- end }}
{{- end }}
{{- end }}
