#!/usr/bin/env bash
# lint.sh [--update]: helm's own lint, the chart as rendered for each case against its golden file,
# and values that the schema has to refuse. Needs helm and nothing else of a cluster; takes helm from
# tests/e2e/tools/build.sh where PATH has none.
#
#   tests/unit/chart/golden/CASE.values.yaml   values; CASE.out.yaml is what they render to
#   tests/unit/chart/refused/CASE.yaml         values that fail; the first line holds the message
#
# --update writes the golden files instead of comparing them.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
chart=$here/bucketroute
cases=$here/../tests/unit/chart
KUBERNETES=1.35.0 # what `helm template` takes the cluster for

if ! command -v helm > /dev/null; then
  "$here/../tests/e2e/tools/build.sh" helm
  PATH=$PATH:${BUCKETROUTE_CACHE:-$HOME/.cache/bucketroute}/bin
fi

render() { # VALUES
  helm template bucketroute "$chart" --namespace bucketroute-system --kube-version "$KUBERNETES" --values "$1"
}

failed=0 rendered=0 refused=0
complain() { echo "lint.sh: $*" >&2; failed=1; }

for values in "$cases"/golden/*.values.yaml; do
  golden=${values%.values.yaml}.out.yaml
  name=$(basename "$golden" .out.yaml) rendered=$((rendered + 1))
  helm lint --strict --quiet "$chart" --kube-version "$KUBERNETES" --values "$values" || complain "$name: helm lint"
  if [ "${1:-}" = --update ]; then
    render "$values" > "$golden"
  else
    diff -u "$golden" <(render "$values") || complain "$name: differs; charts/lint.sh --update accepts it"
  fi
done

for values in "$cases"/refused/*.yaml; do
  expected=$(head -1 "$values" | cut -c3-) refused=$((refused + 1))
  if output=$(render "$values" 2>&1); then
    complain "$(basename "$values"): was accepted"
  elif ! grep -qF "$expected" <<< "$output"; then
    complain "$(basename "$values"): expected \"$expected\", got: $output"
  fi
done

[ "$failed" = 0 ] && echo "lint.sh: the chart is fine, $rendered cases and $refused refusals"
exit "$failed"
