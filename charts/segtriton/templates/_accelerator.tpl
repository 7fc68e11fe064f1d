{{/* What follows from GPU or CPU. */}}

{{- define "segtriton.onGpu" -}}
{{- if eq .Values.accelerator "gpu" }}true{{ end }}
{{- end }}

{{- define "segtriton.usesClaim" -}}
{{- if and (include "segtriton.onGpu" .) (eq .Values.gpu.mode "dra") }}true{{ end }}
{{- end }}

{{- define "segtriton.network" -}}
{{- default (ternary "fcn_resnet101" "selfie" (eq .Values.accelerator "gpu")) .Values.network }}
{{- end }}

{{- define "segtriton.shmSize" -}}
{{- default (ternary "2Gi" "512Mi" (eq .Values.accelerator "gpu")) .Values.shm.size }}
{{- end }}

{{/* The server's requests and limits: the accelerator's, what the values say, and the GPU. */}}
{{- define "segtriton.resources" -}}
{{- $gpu := dict "requests" (dict "cpu" "4" "memory" "18Gi") "limits" (dict "memory" "18Gi") }}
{{- $cpu := dict "requests" (dict "cpu" "2" "memory" "2Gi") "limits" (dict "memory" "2Gi") }}
{{- $resources := mergeOverwrite (ternary $gpu $cpu (eq .Values.accelerator "gpu")) (deepCopy .Values.resources) }}
{{- if include "segtriton.usesClaim" . }}
{{- $_ := set $resources "claims" (list (dict "name" "gpu")) }}
{{- else if include "segtriton.onGpu" . }}
{{- $_ := set $resources.limits .Values.gpu.resourceName (int .Values.gpu.count) }}
{{- end }}
{{- toYaml $resources }}
{{- end }}

{{/* Cores that a pod can count on, whatever the node has. */}}
{{- define "segtriton.podCores" -}}
{{- $resources := include "segtriton.resources" . | fromYaml }}
{{- include "segtriton.cores" (coalesce (dig "limits" "cpu" "" $resources) (dig "requests" "cpu" "" $resources) "2") }}
{{- end }}

{{- define "segtriton.tolerations" -}}
{{- $gpu := ternary .Values.gpu.tolerations (dict) (eq .Values.accelerator "gpu") | default dict }}
{{- include "segtriton.list" (merge (deepCopy .Values.tolerations) $gpu) }}
{{- end }}
