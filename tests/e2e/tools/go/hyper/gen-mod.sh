#!/usr/bin/env bash
# gen-mod.sh VERSION: writes go.mod and go.sum beside itself for a Kubernetes version ("1.35.4").
# Kubernetes is meant to be built inside its own tree: its go.mod points the staging modules at
# folders, which a dependent must point at their published versions, v0.MINOR.PATCH.
set -euo pipefail
cd "$(dirname "$0")"
version=$1 staging=v0.${1#1.}

upstream=$(go mod download -json "k8s.io/kubernetes@v$version" | sed -n 's/.*"GoMod": "\(.*\)".*/\1/p')
[ -n "$upstream" ] || { echo "gen-mod.sh: no module k8s.io/kubernetes v$version" >&2; exit 1; }
{
  printf 'module bucketroute.io/e2e/hyper\n\n'
  grep -E '^go ' "$upstream"
  grep '^godebug' "$upstream" # the runtime settings that this Kubernetes is built with
  printf '\nrequire k8s.io/kubernetes v%s\n\nreplace (\n' "$version"
  awk -v to="$staging" '$1 ~ /^k8s.io\// && $2 == "v0.0.0" {print "\t" $1 " => " $1 " " to}' "$upstream"
  printf ')\n'
} > go.mod
GOFLAGS=-mod=mod go mod tidy
