#!/usr/bin/env bash
# older-dataplane.sh: the data plane of the snapshot schema before today's, from a commit of this
# repository, with the libraries of its own lock in an environment of its own. Prints the program's
# path under $BUCKETROUTE_CACHE. Needs the whole history, and a package index the first time.
#
#   PYTHON=COMMAND   default: python3
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/cache.sh"

# Writes and reads schema 1. When the schema is raised, take the commit before.
COMMIT=5644d2c5b4bd033777d8e79a4e01585627c08bc1
PYTHON=${PYTHON:-python3}
folder=$CACHE/older-dataplane
program=$folder/venv/bin/bucketroute-dataplane
key="$COMMIT $("$PYTHON" -V)"

if ! is_current "$program" "$key"; then
  SECONDS=0
  rm -rf "$folder"
  mkdir -p "$folder/source"
  git -C "$here/../../.." archive --format=tar "$COMMIT" | tar -x -C "$folder/source" ||
    die "no commit $COMMIT: a clone with the whole history is needed"
  "$PYTHON" -m venv "$folder/venv"
  pip() { "$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check "$@"; }
  cd "$folder/source"
  pip --require-hashes -r requirements/build.lock
  pip --require-hashes -r requirements/dataplane.lock
  pip --no-deps --no-build-isolation .
  echo "$key" > "$program.key"
  report older "$program" >&2
fi
echo "$program"
