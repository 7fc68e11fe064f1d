{{/* The alerts, each with its remedy in docs/kubernetes.md under its name. */}}

{{- define "segtriton.alerts" -}}
{{- $pods := printf "{%s}" (include "segtriton.selectorPromql" .) }}
{{- $in := trimSuffix "}" $pods }}
{{- $what := printf "%s in %s" (include "segtriton.fullname" .) .Release.Namespace }}
{{- $rules := .Values.monitoring.rules }}

{{- include "segtriton.alert" (dict "root" . "name" "SegtritonAbsent" "severity" "critical" "for" "5m"
    "expr" (printf "absent(segtriton_stream_slots%s)" $pods)
    "summary" (printf "%s gives no metrics" $what)
    "description" "No pod is up, or Prometheus does not reach them. The autoscaler keeps the pods that there are.") }}

{{- include "segtriton.alert" (dict "root" . "name" "SegtritonStreamsRejected" "severity" "critical" "for" "2m"
    "expr" (printf "sum(increase(segtriton_streams_rejected_total%s,reason=\"RESOURCE_EXHAUSTED\"}[5m])) > 0" $in)
    "summary" (printf "%s refuses sessions: all slots are taken" $what)
    "description" "{{ $value | humanize }} sessions were refused in five minutes. Clients try again, but some wait.") }}

{{- include "segtriton.alert" (dict "root" . "name" "SegtritonAtCapacity" "severity" "warning" "for" "15m"
    "expr" (printf "%s > %s * count(segtriton_stream_slots%s)%s" (include "segtriton.loadPromql" .) (include "segtriton.target" .) $pods (include "segtriton.atMostPods" .))
    "summary" (printf "%s carries more than it should, and no pod is added" $what)
    "description" (printf "Its load is {{ $value | humanize }}; %s for each pod is what is aimed at, %s what a pod carries." (include "segtriton.target" .) (include "segtriton.capacity" .))) }}

{{- if gt (float64 $rules.latencySeconds) 0.0 }}
{{- include "segtriton.alert" (dict "root" . "name" "SegtritonLatencyHigh" "severity" "warning" "for" "10m"
    "expr" (printf "histogram_quantile(0.95, sum by (le) (rate(segtriton_frame_latency_seconds_bucket%s[5m]))) > %v" $pods $rules.latencySeconds)
    "summary" (printf "%s is late" $what)
    "description" (printf "One frame in twenty takes more than {{ $value | humanizeDuration }}; %vs is the limit." $rules.latencySeconds)) }}
{{- end }}

{{- include "segtriton.alert" (dict "root" . "name" "SegtritonFramesDropped" "severity" "warning" "for" "10m"
    "expr" (printf "sum(rate(segtriton_frames_total%s,outcome=~\"damaged|no_frame|abandoned\"}[5m])) / sum(rate(segtriton_frames_total%s[5m])) > %v" $in $pods $rules.droppedFrames)
    "summary" (printf "%s drops frames" $what)
    "description" "{{ $value | humanizePercentage }} of the frames end without a picture.") }}

{{- include "segtriton.alert" (dict "root" . "name" "SegtritonSessionsFailing" "severity" "critical" "for" "5m"
    "expr" (printf "sum by (code) (increase(segtriton_sessions_failed_total%s,code=~\"INTERNAL|WORKER_LOST|STAGE_TIMEOUT\"}[10m])) > 0" $in)
    "summary" (printf "Sessions of %s fail" $what)
    "description" "{{ $value | humanize }} sessions ended with {{ $labels.code }} in ten minutes.") }}

{{- include "segtriton.alert" (dict "root" . "name" "SegtritonWorkerRestarts" "severity" "warning" "for" "0m"
    "expr" (printf "sum by (pod) (increase(segtriton_worker_restarts_total%s[15m])) > 2" $pods)
    "summary" "Workers of {{ $labels.pod }} crash or hang"
    "description" "{{ $value | humanize }} were replaced in a quarter of an hour.") }}

{{- include "segtriton.alert" (dict "root" . "name" "SegtritonWorkersMissing" "severity" "critical" "for" "2m"
    "expr" (printf "segtriton_workers_missing%s > 0" $pods)
    "summary" "Workers of {{ $labels.pod }} do not come back"
    "description" "{{ $value }} are not ready for two minutes; the pod tries again, and meanwhile serves less or nothing.") }}

{{- include "segtriton.alert" (dict "root" . "name" "SegtritonDrainStuck" "severity" "warning" "for" (printf "%ss" (include "segtriton.drainAlertSeconds" .))
    "expr" (printf "segtriton_draining%s == 1 and on (pod) segtriton_active_streams%s > 0" $pods $pods)
    "summary" "{{ $labels.pod }} drains and does not get empty"
    "description" (printf "Its sessions did not move within %d s; they will be cut when the pod ends." (include "segtriton.drainAlertSeconds" . | int))) }}

{{- $drainSeconds := include "segtriton.drainLimitSeconds" . | int }}
{{- include "segtriton.alert" (dict "root" . "name" "SegtritonDrainOverdue" "severity" "critical" "for" (printf "%ds" $drainSeconds)
    "expr" (printf "segtriton_draining%s == 1" $pods)
    "summary" "{{ $labels.pod }} drains and does not end"
    "description" (printf "It takes no sessions since %d s or longer, and is still there; whoever drained it should have ended it." $drainSeconds)) }}

{{- include "segtriton.alert" (dict "root" . "name" "SegtritonNetworkWarning" "severity" "warning" "for" "5m"
    "expr" (printf "max by (pod) (segtriton_network_warnings%s) > 0" $pods)
    "summary" "{{ $labels.pod }} warns of its network"
    "description" "Most likely its weights are random ones, and its masks mean nothing.") }}

{{- include "segtriton.alert" (dict "root" . "name" "SegtritonMemoryHigh" "severity" "warning" "for" "10m"
    "expr" (printf "max by (pod) (container_memory_working_set_bytes%s,container=\"triton\"}) > %s" $in (include "segtriton.memoryAlertBytes" .))
    "summary" "{{ $labels.pod }} uses nearly all of its memory"
    "description" "{{ $value | humanize1024 }}B are in use, shared memory included; at the limit it is killed.") }}

{{- include "segtriton.alert" (dict "root" . "name" "SegtritonScrapeFailing" "severity" "warning" "for" "5m"
    "expr" (printf "up%s == 0" $pods)
    "summary" "{{ $labels.pod }} does not give its metrics"
    "description" "Prometheus does not reach it; what it does is not seen, and the autoscaler counts without it.") }}

{{- include "segtriton.alert" (dict "root" . "name" "SegtritonSharedMemoryHigh" "severity" "warning" "for" "5m"
    "expr" (printf "segtriton_shared_memory_used_bytes%s / segtriton_shared_memory_bytes%s > 0.9" $pods $pods)
    "summary" "Shared memory of {{ $labels.pod }} is nearly full"
    "description" "{{ $value | humanizePercentage }} of it are in use; when it is full, requests fail in odd ways.") }}

{{- if ne .Values.autoscaling.kind "none" }}
{{- include "segtriton.alert" (dict "root" . "name" "SegtritonAtMaxReplicas" "severity" "info" "for" "30m"
    "expr" (printf "count(segtriton_stream_slots%s unless on (pod) (segtriton_draining%s == 1)) >= %v" $pods $pods .Values.autoscaling.maxReplicas)
    "summary" (printf "%s has as many pods as it may have" $what)
    "description" "{{ $value }} pods run; the next peak finds no room beyond them.") }}
{{- end }}

{{- if include "segtriton.onGpu" . }}
{{- include "segtriton.alert" (dict "root" . "name" "SegtritonDecoderSaturated" "severity" "warning" "for" "15m"
    "expr" (printf "max by (pod, exported_pod, gpu) (DCGM_FI_DEV_DEC_UTIL%s or DCGM_FI_DEV_DEC_UTIL{exported_namespace=%q,exported_pod=~%q}) > 95" $pods .Release.Namespace (printf "%s-[a-z0-9]+-[a-z0-9]+" (include "segtriton.fullname" .)))
    "summary" (printf "The decoder chips of a GPU of %s are full" $what)
    "description" "{{ $value | humanize }} % of NVDEC of GPU {{ $labels.gpu }} of {{ or $labels.exported_pod $labels.pod }} are in use; further sessions make all late.") }}
{{- end }}

{{- if .Values.exporter.enabled }}
{{- include "segtriton.probeAlerts" . }}
{{- end }}
{{- end }}

{{/* An autoscaler that can still add pods is not worth an alert. */}}
{{- define "segtriton.atMostPods" -}}
{{- if ne .Values.autoscaling.kind "none" }}
{{- printf " and count(segtriton_stream_slots{%s}) >= %v" (include "segtriton.selectorPromql" .) .Values.autoscaling.maxReplicas }}
{{- end }}
{{- end }}

{{- define "segtriton.drainAlertSeconds" -}}
{{- max 15 (div (mul (add .Values.drain.endpointDelaySeconds .Values.drain.maxWaitSeconds) 3) 4) }}
{{- end }}

{{- define "segtriton.drainLimitSeconds" -}}
{{- $given := .Values.monitoring.rules.drainSeconds }}
{{- if kindIs "invalid" $given }}{{ include "segtriton.gracePeriod" . }}{{ else }}{{ $given }}{{ end }}
{{- end }}

{{- define "segtriton.memoryAlertBytes" -}}
{{- $memory := dig "limits" "memory" "0" (include "segtriton.resources" . | fromYaml) }}
{{- mulf (include "segtriton.bytes" $memory | float64) 0.9 | int64 }}
{{- end }}
