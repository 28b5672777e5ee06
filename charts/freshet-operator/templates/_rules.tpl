{{/*
What the operator may do in each namespace that it looks after: read what people ask for and say how it went,
write what it makes of it, and no more.
*/}}
{{- define "freshet-operator.rules" -}}
# What people ask for. Patching the objects themselves is for finalizers.
- apiGroups: [freshet.dev]
  resources: [clusters, topics]
  verbs: [get, list, watch, update, patch]
- apiGroups: [freshet.dev]
  resources: [clusters/status, topics/status]
  verbs: [get, update, patch]
- apiGroups: [freshet.dev]
  resources: [clusters/finalizers, topics/finalizers]
  verbs: [update]
# What is made of it.
- apiGroups: [apps]
  resources: [statefulsets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [services, configmaps, serviceaccounts]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [monitoring.coreos.com]
  resources: [podmonitors]
  verbs: [get, list, watch, create, patch, delete]
# Pods are restarted by deleting them; volumes grow, and go when a Cluster says so.
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch, delete]
- apiGroups: [""]
  resources: [persistentvolumeclaims]
  verbs: [get, list, watch, patch, delete]
{{- if .Values.rbac.secrets }}
# Those that Clusters and Topics name, one at a time.
- apiGroups: [""]
  resources: [secrets]
  verbs: [get]
{{- end }}
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end }}
