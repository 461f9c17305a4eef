{{/* Labels of every object: (dict "root" $ "component" "operator") */}}
{{- define "bucketroute.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
{{ include "bucketroute.selector" . }}
{{- end }}

{{- define "bucketroute.selector" -}}
app.kubernetes.io/name: bucketroute
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{/* Image reference: (dict "root" $ "image" .Values.operator.image) */}}
{{- define "bucketroute.image" -}}
{{- $registry := .root.Values.image.registry -}}
{{- if $registry }}{{ trimSuffix "/" $registry }}/{{ end }}{{ .image.repository -}}
{{- if .image.digest }}@{{ .image.digest }}{{ else }}:{{ .root.Values.image.tag | default .root.Chart.AppVersion }}{{ end }}
{{- end }}

{{/* What every pod says of itself: Pod Security `restricted`, and where it may run. */}}
{{- define "bucketroute.pod" -}}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
enableServiceLinks: false
automountServiceAccountToken: false
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "bucketroute.placement" -}}
{{- with .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "bucketroute.container" -}}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}

{{/* Replicas apart from each other: hosts first, then zones; never a reason not to run. */}}
{{- define "bucketroute.spread" -}}
topologySpreadConstraints:
{{- range $key := list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
- maxSkew: 1
  topologyKey: {{ $key }}
  whenUnsatisfiable: ScheduleAnyway
  matchLabelKeys: [pod-template-hash]
  labelSelector:
    matchLabels:
      {{- include "bucketroute.selector" $ | nindent 6 }}
{{- end }}
{{- end }}

{{/* Audiences come from the class's spec, so that tokens are always for what the class says. */}}
{{- define "bucketroute.stsAudience" -}}
{{- dig "identity" "audience" "sts.amazonaws.com" .Values.defaultClass.spec -}}
{{- end }}

{{- define "bucketroute.clientAudience" -}}
{{- dig "clientAudience" "bucketroute" .Values.defaultClass.spec -}}
{{- end }}
