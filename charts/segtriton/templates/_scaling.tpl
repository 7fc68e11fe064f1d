{{/* How the number of pods follows the load. */}}

{{/* Up at once; down slowly and one by one, because the sessions of a pod that goes must move. */}}
{{- define "segtriton.scalingBehavior" -}}
scaleUp:
  stabilizationWindowSeconds: {{ .Values.autoscaling.scaleUp.stabilizationWindowSeconds }}
  policies:
    - {type: Percent, value: {{ .Values.autoscaling.scaleUp.percentPerPeriod }}, periodSeconds: {{ .Values.autoscaling.scaleUp.periodSeconds }}}
scaleDown:
  {{- with .Values.autoscaling.scaleDown }}
  stabilizationWindowSeconds: {{ .stabilizationWindowSeconds }}
  {{- if .enabled }}
  selectPolicy: Min
  {{- else }}
  selectPolicy: Disabled
  {{- end }}
  policies:
    - {type: Pods, value: {{ .podsPerPeriod }}, periodSeconds: {{ .periodSeconds }}}
  {{- end }}
{{- end }}

{{/* The target as a quantity of Kubernetes, which has thousandths. */}}
{{- define "segtriton.targetQuantity" -}}
{{- $thousandths := round (mulf (include "segtriton.target" . | float64) 1000) 0 | int64 }}
{{- if eq (mod $thousandths 1000) 0 }}{{ div $thousandths 1000 }}{{ else }}{{ $thousandths }}m{{ end }}
{{- end }}

{{/* The rule by which prometheus-adapter serves the metric of an HPA. */}}
{{- define "segtriton.adapterRule" -}}
rules:
  - seriesQuery: '{{ .Values.load.metric }}{namespace!="",pod!=""}'
    resources: {overrides: {namespace: {resource: namespace}, pod: {resource: pod}}}
    name: {matches: {{ .Values.load.metric }}}
    metricsQuery: max by (<<.GroupBy>>) (<<.Series>>{<<.LabelMatchers>>})
{{- end }}
