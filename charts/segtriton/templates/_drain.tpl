{{/* How a pod ends. */}}

{{/* Seconds that the parts of an orderly end take together. */}}
{{- define "segtriton.drainSum" -}}
{{- with .Values.drain }}
{{- $stop := add .exitTimeoutSeconds .unloadSeconds }}
{{- ternary (add $stop .endpointDelaySeconds .maxWaitSeconds) $stop .enabled }}
{{- end }}
{{- end }}

{{- define "segtriton.gracePeriod" -}}
{{- $sum := include "segtriton.drainSum" . | int }}
{{- if kindIs "invalid" .Values.terminationGracePeriodSeconds }}
{{- $sum }}
{{- else if lt (int .Values.terminationGracePeriodSeconds) $sum }}
{{- $parts := printf "exitTimeoutSeconds %v + unloadSeconds %v" .Values.drain.exitTimeoutSeconds .Values.drain.unloadSeconds }}
{{- if .Values.drain.enabled }}
{{- $parts = printf "endpointDelaySeconds %v + maxWaitSeconds %v + %s" .Values.drain.endpointDelaySeconds .Values.drain.maxWaitSeconds $parts }}
{{- end }}
{{- fail (printf "terminationGracePeriodSeconds is %v, but an orderly end takes %d: drain.%s. Leave it empty, or shorten one of them." .Values.terminationGracePeriodSeconds $sum $parts) }}
{{- else }}
{{- .Values.terminationGracePeriodSeconds }}
{{- end }}
{{- end }}
