{{/* Values that contradict each other, refused with the way out. What one value alone may be is the schema's matter. */}}

{{- define "segtriton.checks" -}}
{{- include "segtriton.checkLoad" . }}
{{- include "segtriton.checkMemory" . }}
{{- include "segtriton.checkSecurity" . }}
{{- if gt (int .Values.autoscaling.minReplicas) (int .Values.autoscaling.maxReplicas) }}
{{- fail (printf "autoscaling.minReplicas %v is more than autoscaling.maxReplicas %v; raise the second." .Values.autoscaling.minReplicas .Values.autoscaling.maxReplicas) }}
{{- end }}
{{- if le (mul 25 .Values.exporter.timeoutSeconds) (int64 .Values.exporter.frames) }}
{{- fail (printf "exporter.frames %v last as long as exporter.timeoutSeconds %v allows, or longer, at 25 a second; raise the second." .Values.exporter.frames .Values.exporter.timeoutSeconds) }}
{{- end }}
{{- if and .Values.monitoring.serviceMonitor.enabled (eq (toString .Values.monitoring.podMonitor.enabled) "true") }}
{{- fail "monitoring.podMonitor and monitoring.serviceMonitor would count everything twice; leave one of them out." }}
{{- end }}
{{- if and (include "segtriton.usesClaim" .) (semverCompare "<1.34-0" .Capabilities.KubeVersion.Version) }}
{{- fail (printf "gpu.mode dra needs Kubernetes 1.34 (resource.k8s.io/v1), and this is %s; use devicePlugin." .Capabilities.KubeVersion.Version) }}
{{- end }}
{{- end }}

{{- define "segtriton.checkLoad" -}}
{{- $target := include "segtriton.target" . | float64 }}
{{- $slots := include "segtriton.slots" . | float64 }}
{{- if and (include "segtriton.countsSessions" .) (gt $target $slots) }}
{{- fail (printf "The autoscaler aims at %v sessions in a pod (load.capacityPerPod x load.targetUtilization), but a pod takes only %v (load.slotsPerPod): it would refuse sessions before a pod is added. Raise load.slotsPerPod." $target $slots) }}
{{- end }}
{{- end }}

{{- define "segtriton.checkMemory" -}}
{{- $limit := dig "limits" "memory" "" (include "segtriton.resources" . | fromYaml) }}
{{- $shm := include "segtriton.shmSize" . }}
{{- if and $limit (ge (include "segtriton.bytes" $shm | int64) (include "segtriton.bytes" $limit | int64)) }}
{{- fail (printf "shm.size %s counts towards the memory limit, which is %s; raise resources.limits.memory." $shm $limit) }}
{{- end }}
{{- if and (not (include "segtriton.onGpu" .)) (lt (include "segtriton.sessionMemory" . | int64) (include "segtriton.plainSession" . | int64)) }}
{{- fail (printf "resources.limits.memory %s holds no session of 1280x720 beside %s workers at rest; it takes %s or more, or fewer settings.workers." $limit (include "segtriton.workers" .) (include "segtriton.leastMemory" .)) }}
{{- end }}
{{- end }}

{{- define "segtriton.checkSecurity" -}}
{{- with .Values.tls }}
{{- if and .enabled .existingSecret .certManager.enabled }}
{{- fail "tls.existingSecret and tls.certManager.enabled name two certificates; choose one." }}
{{- end }}
{{- if and .enabled (not .existingSecret) (not .certManager.enabled) }}
{{- fail "tls.enabled needs a certificate: name a secret in tls.existingSecret, or set tls.certManager.enabled." }}
{{- end }}
{{- if and .enabled .certManager.enabled (not .certManager.issuerRef.name) }}
{{- fail "tls.certManager.issuerRef.name is empty; name the issuer, such as {name: company-ca, kind: ClusterIssuer}." }}
{{- end }}
{{- if and (not .enabled) (or .mutual .certManager.enabled .existingSecret) }}
{{- fail "tls.mutual, tls.certManager and tls.existingSecret mean nothing without TLS; set tls.enabled." }}
{{- end }}
{{- end }}
{{- range $name, $secret := dict "token" .Values.token "admin" .Values.admin }}
{{- if and $secret.existingSecret $secret.value }}
{{- fail (printf "%s.existingSecret and %s.value are two secrets; choose one." $name $name) }}
{{- end }}
{{- end }}
{{- end }}
