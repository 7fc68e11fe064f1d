{{/*
What the memory of a pod on a CPU holds, by the server's own figures (memory_plan.py), with which it refuses sessions that
do not fit.
*/}}

{{- define "segtriton.memoryFigures" -}}
rest: 256
worker: 144
session: 24
pictures: 39
{{- end }}

{{- define "segtriton.memoryLimit" -}}
{{- dig "limits" "memory" "" (include "segtriton.resources" . | fromYaml) }}
{{- end }}

{{/* Bytes that are left for workers. */}}
{{- define "segtriton.workersMemory" -}}
{{- $limit := include "segtriton.bytes" (include "segtriton.memoryLimit" .) | int64 }}
{{- $shm := min (include "segtriton.bytes" (include "segtriton.shmSize" .) | int64) (div $limit 4) }}
{{- sub (sub $limit $shm) (mul 1048576 (include "segtriton.memoryFigures" . | fromYaml).rest) }}
{{- end }}

{{/* Bytes that a session with pictures of so many bytes may take. Takes (list $ BYTES). */}}
{{- define "segtriton.sessionBytes" -}}
{{- $figures := include "segtriton.memoryFigures" (index . 0) | fromYaml }}
{{- add (mul 1048576 $figures.session) (mul $figures.pictures (index . 1)) }}
{{- end }}

{{/* One of 1280x720 in 8-bit 4:2:0. */}}
{{- define "segtriton.plainSession" -}}
{{- include "segtriton.sessionBytes" (list . 1382400) }}
{{- end }}

{{/* Workers on a CPU: one for each two cores, but no more than hold a session of 1920x1080 each, and two at least. */}}
{{- define "segtriton.workers" -}}
{{- if .Values.settings.workers }}
{{- include "segtriton.text" .Values.settings.workers }}
{{- else }}
{{- $idle := mul 1048576 (include "segtriton.memoryFigures" . | fromYaml).worker }}
{{- $held := div (include "segtriton.workersMemory" . | int64) (add $idle (include "segtriton.sessionBytes" (list . 3110400) | int64)) }}
{{- max 2 (min $held (div (include "segtriton.podCores" . | int) 2)) }}
{{- end }}
{{- end }}

{{/* Bytes that the sessions of one worker may take together. */}}
{{- define "segtriton.sessionMemory" -}}
{{- $share := div (include "segtriton.workersMemory" . | int64) (include "segtriton.workers" . | int) }}
{{- sub $share (mul 1048576 (include "segtriton.memoryFigures" . | fromYaml).worker) }}
{{- end }}

{{- define "segtriton.plainSessions" -}}
{{- mul (include "segtriton.workers" . | int) (div (include "segtriton.sessionMemory" . | int64) (include "segtriton.plainSession" . | int64)) }}
{{- end }}

{{- define "segtriton.mostMegapixels" -}}
{{- $figures := include "segtriton.memoryFigures" . | fromYaml }}
{{- $pictures := div (sub (include "segtriton.sessionMemory" . | int64) (mul 1048576 $figures.session)) $figures.pictures }}
{{- minf 35.4 (divf (floor (divf $pictures 150000)) 10) }}
{{- end }}

{{/* The least limit that is not refused, in Mi: a quarter of it may be shared memory. */}}
{{- define "segtriton.leastMemory" -}}
{{- $figures := include "segtriton.memoryFigures" . | fromYaml }}
{{- $idle := mul 1048576 $figures.worker }}
{{- $needed := add (mul 1048576 $figures.rest) (mul (include "segtriton.workers" . | int) (add $idle (include "segtriton.plainSession" . | int64))) }}
{{- $shm := min (include "segtriton.bytes" (include "segtriton.shmSize" .) | int64) (div $needed 3) }}
{{- div (add $needed $shm 1048575) 1048576 }}Mi
{{- end }}
