#!/usr/bin/env bash
# minio.sh BUCKET[,BUCKET...] SUBJECT[,SUBJECT...]: MinIO in the cluster that KUBECONFIG names, in
# namespace `minio`, at http://minio.minio.svc.cluster.local:9000 for S3 and STS. Run it again to
# add buckets or to change the subjects.
#
# A token of audience `minio` whose `sub` is a SUBJECT (system:serviceaccount:NAMESPACE:NAME) may
# assume arn:minio:iam:::role/MHR2BeH2-q1dHO2yx5U9Mf-tP9Q and do everything; any other, nothing.
# The root password stays in the Secret that is made here. The OpenID client secret is random as
# well: with an empty one MinIO takes tokens that anyone has signed.
#
# Needs the images minio and python-client in the cluster.
set -euo pipefail
[ $# = 2 ] || { echo "usage: minio.sh BUCKET[,BUCKET...] SUBJECT[,SUBJECT...]" >&2; exit 2; }
manifests=$(cd "$(dirname "$0")/../cluster/manifests/minio" && pwd)
kube() { kubectl --namespace minio "$@"; }
secret() { head -c 32 /dev/urandom | base64 | tr -d '+/='; }
configure() { kube create configmap "$@" --dry-run=client -o yaml | kube apply -f -; }

{
  kubectl create namespace minio --dry-run=client -o yaml | kubectl apply -f -
  kube get secret minio > /dev/null 2>&1 || kube create -f - << END
apiVersion: v1
kind: Secret
metadata: {name: minio}
stringData:
  MINIO_ROOT_USER: "root-$(secret | cut -c1-8)"
  MINIO_ROOT_PASSWORD: "$(secret)"
  MINIO_IDENTITY_OPENID_CLIENT_SECRET: "$(secret)"
END
  kube apply -f "$manifests/minio.yaml"
  configure setup --from-file "$manifests/setup.py"
  configure setup-arguments --from-literal "BUCKETS=$1" --from-literal "SUBJECTS=$2"
  kube delete job setup --ignore-not-found
} > /dev/null
kube wait --for=condition=Available deployment/minio --timeout=90s > /dev/null
kube apply -f "$manifests/setup.yaml" > /dev/null

for _ in $(seq 130); do # a Job ends as one or the other; `kubectl wait` knows one condition only
  case $(kube get job setup --output 'jsonpath={.status.conditions[*].type}') in
    *Complete*) kube logs job/setup --tail=1; exit ;;
    *Failed*) break ;;
  esac
  sleep 1
done
kube logs job/setup --tail=20 >&2
exit 1
