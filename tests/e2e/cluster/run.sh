#!/usr/bin/env bash
# run.sh [PYTEST ARGUMENT...]: the tests of this folder, from nothing to pytest's summary.
#
#   CLUSTER=local|kind   the provider (README.md); local needs root on Debian
#   PYTEST=COMMAND       default: .venv/bin/pytest of this repository
#   CLUSTER_DIR=DIR      default: a new folder. A cluster that is up there is used
#   KEEP=1               leaves the cluster up and says how to enter it
#
# What is slow to make is cached by its content; only the cluster itself is new each time.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
repository=$(cd "$here/../../.." && pwd)
tools=$repository/tests/e2e/tools
CLUSTER=${CLUSTER:-local}
CACHE=${BUCKETROUTE_CACHE:-$HOME/.cache/bucketroute}
PYTEST=${PYTEST:-$repository/.venv/bin/pytest}
cluster=$here/$CLUSTER-cluster
[ -x "$cluster" ] || { echo "run.sh: CLUSTER is local or kind, not $CLUSTER" >&2; exit 2; }

say() { printf 'run.sh: %s (%ss)\n' "$*" "$SECONDS" >&2; }

prepare() {
  say "programs and images"
  case $CLUSTER in
    local)
      "$tools/apt.sh"
      "$tools/build.sh" hyper helm
      "$tools/images.sh" pause coredns > /dev/null
      ;;
    kind) "$tools/build.sh" kind helm ;;
  esac
  "$tools/images.sh" minio python-client > /dev/null
  "$tools/older-dataplane.sh" > /dev/null
  "$tools/images.sh" build bucketroute-dataplane "$repository/dataplane/Dockerfile" "$repository" > /dev/null
  "$tools/images.sh" build bucketroute-operator "$repository/operator/Dockerfile" "$repository" > /dev/null
}

finish() {
  [ -z "${KEEP:-}" ] || { say "still up: $cluster enter $directory COMMAND, then down $directory"; return; }
  "$cluster" down "$directory"
  rmdir "$directory" 2> /dev/null || true
}

prepare
directory=${CLUSTER_DIR:-$(mktemp -d /tmp/bucketroute-e2e.XXXXXX)}
trap finish EXIT
say "cluster"
"$cluster" up "$directory"
for image in minio python-client bucketroute-dataplane bucketroute-operator; do
  "$cluster" load "$directory" "$CACHE/images/$image.tar"
done
say "tests"
cd "$repository"
"$cluster" enter "$directory" "$PYTEST" "$here" "$@"
