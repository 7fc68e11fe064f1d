{{/* Kubernetes' quantities as numbers. */}}

{{/* Bytes of a quantity of memory such as 512Mi, 2G or 1073741824. */}}
{{- define "segtriton.bytes" -}}
{{- $text := include "segtriton.text" . }}
{{- $units := dict "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 "k" 1000 "M" 1000000 "G" 1000000000 "T" 1000000000000 "" 1 }}
{{- $unit := regexFind "[A-Za-z]*$" $text }}
{{- if not (hasKey $units $unit) }}
{{- fail (printf "%s is no amount of memory that this chart can count with; write it with Ki, Mi, Gi or Ti, such as 2Gi." $text) }}
{{- end }}
{{- mulf (float64 (trimSuffix $unit $text)) (index $units $unit) | int64 }}
{{- end }}

{{/* Whole cores of a quantity of CPU such as 2, "1.5" or 500m, at least one. */}}
{{- define "segtriton.cores" -}}
{{- $text := include "segtriton.text" . }}
{{- $cores := ternary (divf (float64 (trimSuffix "m" $text)) 1000) (float64 (trimSuffix "m" $text)) (hasSuffix "m" $text) }}
{{- max 1 (int (floor $cores)) }}
{{- end }}
