#!/bin/sh
# lock.sh UV: resolves pyproject.toml into hashed locks, for every supported Python and platform.
# The index is that of the environment; none is named in the files.
set -eu
uv=$1
compile() {
  out=$1; shift
  "$uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes \
    --no-emit-index-url --no-header --upgrade -o "requirements/$out.lock" "$@"
}
compile dataplane --group dataplane
compile operator --group operator
# The build backend is locked too: the project itself is installed without build isolation.
compile build requirements/build.in
compile dev pyproject.toml --extra dev requirements/build.in
# Goes into the environment of `dev`, so it must not ask for other versions of what is there.
compile bench --group bench --constraints requirements/dev.lock
