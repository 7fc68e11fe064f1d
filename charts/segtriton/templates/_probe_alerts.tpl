{{/* Alerts on what users would see, from the exporter's synthetic sessions. */}}

{{- define "segtriton.probeAlerts" -}}
{{- $what := printf "%s in %s" (include "segtriton.fullname" .) .Release.Namespace }}
{{- $probes := printf "{%s}" (include "segtriton.probePromql" .) }}
{{- $in := trimSuffix "}" $probes }}
{{- $rules := .Values.monitoring.rules }}

{{- include "segtriton.alert" (dict "root" . "name" "SegtritonProbeFailing" "severity" "critical" "for" (printf "%ds" (max 120 (mul 4 .Values.exporter.intervalSeconds)))
    "expr" (printf "segtriton_probe_success%s == 0 unless on (target, address) segtriton_probe_failure%s,code=~\"DRAINING|RESOURCE_EXHAUSTED\"}" $probes $in)
    "summary" (printf "Synthetic sessions fail at {{ $labels.address }} of %s" $what)
    "description" "No session through {{ $labels.target }} was whole; the exporter's log and segtriton_probe_failure say why.") }}

{{- include "segtriton.alert" (dict "root" . "name" "SegtritonProbeGone" "severity" "warning" "for" "10m"
    "expr" (printf "absent(segtriton_probe_addresses%s)" $probes)
    "summary" (printf "Nobody looks at %s" $what)
    "description" "The exporter gives no metrics, so no service level is known.") }}

{{- include "segtriton.alert" (dict "root" . "name" "SegtritonVersionSkew" "severity" "warning" "for" "1h"
    "expr" (printf "max by (target) (segtriton_probe_server_versions%s) > 1" $probes)
    "summary" (printf "%s runs {{ $value }} versions side by side" $what)
    "description" "A roll-out takes minutes; this one has stopped in the middle.") }}

{{- include "segtriton.alert" (dict "root" . "name" "SegtritonCertificateExpiring" "severity" "critical" "for" "1h"
    "expr" (printf "min by (target) (segtriton_probe_certificate_expiry_timestamp_seconds%s) - time() < %v * 86400" $probes $rules.certificateDays)
    "summary" (printf "The certificate of %s ends soon" $what)
    "description" "It ends in {{ $value | humanizeDuration }}; after that no client connects.") }}

{{- $availability := subf 1.0 $rules.slo.availability }}
{{- $failed := printf "sum(rate(segtriton_probe_sessions_total%s,outcome=\"failed\"}[WINDOW])) / sum(rate(segtriton_probe_sessions_total%s,outcome=~\"ok|failed\"}[WINDOW]))" $in $in }}
{{- include "segtriton.burnAlerts" (dict "root" . "name" "SegtritonAvailability" "ratio" $failed "budget" $availability
    "summary" (printf "%s fails more sessions than its service level allows" $what)
    "description" (printf "{{ $value | humanizePercentage }} of the synthetic sessions failed; %s are allowed over 30 days." (include "segtriton.percentage" $availability))) }}

{{- $latency := subf 1.0 $rules.slo.latency }}
{{- $late := printf "1 - sum(rate(segtriton_probe_frame_latency_seconds_bucket%s,le=\"%s\"}[WINDOW])) / sum(rate(segtriton_probe_frame_latency_seconds_count%s[WINDOW]))" $in (include "segtriton.bucket" $rules.slo.latencySeconds) $probes }}
{{- include "segtriton.burnAlerts" (dict "root" . "name" "SegtritonLatency" "ratio" $late "budget" $latency
    "summary" (printf "%s is late more often than its service level allows" $what)
    "description" (printf "{{ $value | humanizePercentage }} of the frames took more than %vs; %s are allowed over 30 days." $rules.slo.latencySeconds (include "segtriton.percentage" $latency))) }}
{{- end }}

{{/* The exporter's series of this release. */}}
{{- define "segtriton.probePromql" -}}
namespace="{{ .Release.Namespace }}",target=~"(dns:///)?{{ include "segtriton.fullname" . }}(-headless)?[.]{{ .Release.Namespace }}[.]svc:[0-9]+"
{{- end }}

{{/*
Two alerts on how fast the error budget of 30 days burns, each on a long window and, so that it ends with the trouble, a
short one (Google, The Site Reliability Workbook, chapter 5). Takes a map of root, name, ratio, budget, summary and
description; WINDOW in the ratio stands for the time.
*/}}
{{- define "segtriton.burnAlerts" -}}
{{- $speeds := list (dict "word" "BurnsFast" "severity" "critical" "for" "2m" "pairs" (list (list 14.4 "1h" "5m") (list 6.0 "6h" "30m")))
    (dict "word" "BurnsSlowly" "severity" "warning" "for" "15m" "pairs" (list (list 3.0 "1d" "2h") (list 1.0 "3d" "6h"))) }}
{{- range $speed := $speeds }}
{{- $parts := list }}
{{- range $pair := $speed.pairs }}
{{- $limit := mulf (index $pair 0) $.budget | printf "%.6g" }}
{{- $long := replace "WINDOW" (index $pair 1) $.ratio }}
{{- $short := replace "WINDOW" (index $pair 2) $.ratio }}
{{- $parts = append $parts (printf "(%s > %s and %s > %s)" $long $limit $short $limit) }}
{{- end }}
{{- include "segtriton.alert" (dict "root" $.root "name" (printf "%s%s" $.name $speed.word) "severity" $speed.severity "for" $speed.for
    "expr" (join " or " $parts) "summary" $.summary "description" $.description) }}
{{- end }}
{{- end }}

{{- define "segtriton.percentage" -}}
{{- mulf . 100.0 | printf "%.4g" }}%
{{- end }}

{{/* A bucket's bound as Prometheus writes it: 1.0, 0.25. */}}
{{- define "segtriton.bucket" -}}
{{- if eq (floor .) (float64 .) }}{{ printf "%.1f" (float64 .) }}{{ else }}{{ . }}{{ end }}
{{- end }}
