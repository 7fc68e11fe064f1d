{{/*
Folders that come from outside of the image: models, networks, the compile cache. Each takes a map of root, name (of the
volume) and folder (its values).
*/}}

{{- define "segtriton.folderVolume" -}}
- name: {{ .name }}
  {{- with .folder }}
  {{- if eq .type "pvc" }}
  persistentVolumeClaim:
    claimName: {{ required (printf "%s.pvc.existingClaim is empty; name the claim that holds the files." $.key) .pvc.existingClaim }}
    readOnly: {{ $.readOnly }}
  {{- else if eq .type "hostPath" }}
  persistentVolumeClaim:
    claimName: {{ include "segtriton.hostVolumeName" $ }}
    readOnly: {{ $.readOnly }}
  {{- else if eq .type "image" }}
  image:
    reference: {{ required (printf "%s.image.reference is empty; name the image that holds the files." $.key) .image.reference }}
    pullPolicy: {{ .image.pullPolicy }}
  {{- else if eq .type "init" }}
  emptyDir: {sizeLimit: {{ .init.size }}}
  {{- else if eq .type "emptyDir" }}
  emptyDir: {sizeLimit: {{ .size }}}
  {{- end }}
  {{- end }}
{{- end }}

{{/* A volume's source cannot change, so another path is another name. */}}
{{- define "segtriton.hostVolumeName" -}}
{{- $path := required (printf "%s.hostPath.path is empty; name the folder on the nodes." .key) .folder.hostPath.path }}
{{- printf "%s-%s-%s" (include "segtriton.fullname" .root) .name (sha256sum $path | trunc 8) }}
{{- end }}

{{/* A folder of the nodes as a volume of its own, and the claim by which pods get it. */}}
{{- define "segtriton.hostVolume" -}}
{{- $name := include "segtriton.hostVolumeName" . }}
{{- $volume := printf "%s-%s" .root.Release.Namespace $name }}
{{- $mode := ternary "ReadOnlyMany" "ReadWriteMany" .readOnly }}
apiVersion: v1
kind: PersistentVolume
metadata:
  name: {{ $volume }}
  labels: {{- include "segtriton.labels" .root | nindent 4 }}
spec:
  # Not counted by anybody: the folder is as large as it is.
  capacity: {storage: 1Gi}
  accessModes: [{{ $mode }}]
  persistentVolumeReclaimPolicy: Retain
  storageClassName: ""
  claimRef: {namespace: {{ .root.Release.Namespace }}, name: {{ $name }}}
  hostPath: {path: {{ .folder.hostPath.path | quote }}, type: Directory}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: {{ $name }}
  namespace: {{ .root.Release.Namespace }}
  labels: {{- include "segtriton.labels" .root | nindent 4 }}
spec:
  accessModes: [{{ $mode }}]
  resources: {requests: {storage: 1Gi}}
  storageClassName: ""
  volumeName: {{ $volume }}
{{- end }}

{{- define "segtriton.modelFolder" -}}
{{ toYaml (dict "key" "modelRepository" "name" "models" "readOnly" true "folder" .Values.modelRepository) }}
{{- end }}

{{- define "segtriton.networkFolder" -}}
{{ toYaml (dict "key" "networks" "name" "networks" "readOnly" true "folder" .Values.networks) }}
{{- end }}

{{- define "segtriton.cacheFolder" -}}
{{ toYaml (dict "key" "compileCache" "name" "compile-cache" "readOnly" false "folder" .Values.compileCache) }}
{{- end }}
