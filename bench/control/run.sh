#!/usr/bin/env bash
# run.sh [OPTION...]: `python -m bench.control` in a cluster of its own, from nothing to the table.
# Needs root on Debian, as tests/e2e/cluster/local-cluster does. PYTHON is the one to run it with.
set -euo pipefail
repository=$(cd "$(dirname "$0")/../.." && pwd)
tools=$repository/tests/e2e/tools
cluster=$repository/tests/e2e/cluster/local-cluster
PYTHON=${PYTHON:-$repository/.venv/bin/python}

"$tools/apt.sh"
"$tools/build.sh" hyper helm
"$tools/images.sh" pause coredns > /dev/null
directory=$(mktemp -d /tmp/bucketroute-bench.XXXXXX)
trap '"$cluster" down "$directory"; rmdir "$directory" 2> /dev/null || true' EXIT
"$cluster" up "$directory" --owner $$
cd "$repository"
"$cluster" enter "$directory" "$PYTHON" -m bench.control "$@"
