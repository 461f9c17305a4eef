#!/usr/bin/env bash
# images.sh VERB...: container images as archives in $BUCKETROUTE_CACHE/images/NAME.tar, named
# localhost/NAME:e2e, made without a registry or a daemon. An archive that is current is kept.
#
#   base                            Python on Debian: what the Dockerfiles build upon here, and
#                                   the same with a C compiler
#   build NAME DOCKERFILE CONTEXT   an image of this project
#   python-client                   the workload of the tests: Python, boto3, the MinIO client
#   pause | coredns | minio         one program of tools/build.sh each, built if need be
#
# BASE_IMAGE=REFERENCE BUILD_IMAGE=REFERENCE build upon those images instead of the bases, where a
# registry can be reached.
# BUILDER=buildah needs root; BUILDER=docker, the default where there is no buildah, needs a registry
# for the base image that the Dockerfiles name, and a package index that pip finds without settings.
# Prints the path of each archive.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/cache.sh"

BASE=localhost/base:e2e
BASE_BUILD=localhost/base-build:e2e
SUITE=bookworm # its Python is the oldest that we support
PACKAGES=python3,python3-venv,libc-bin,dash,coreutils,base-files,tzdata,netbase,media-types,ca-certificates
COMPILER_PACKAGES=$PACKAGES,python3-dev,gcc,libc6-dev

BUILDER=${BUILDER:-$(command -v buildah > /dev/null && echo buildah || echo docker)}

bld() { command buildah --root "$CACHE/buildah" --runroot "$CACHE/buildah-run" --log-level error "$@"; }

base() { # TAG PACKAGES
  local name=${1#localhost/} key="$SUITE $2"
  local rootfs=${name%:*}-rootfs.tar
  local archive=$IMAGES/$rootfs new=$IMAGES/new-$rootfs
  if ! is_current "$archive" "$key"; then
    # shellcheck disable=SC2016
    # `extract` runs no package's own scripts; the only one of them that we miss joins the
    # certificates to one file.
    mmdebstrap --quiet --variant=extract --include="$2" \
      --dpkgopt='path-exclude=/usr/share/'{doc,man,locale}'/*' \
      --customize-hook='cat "$1"/usr/share/ca-certificates/mozilla/*.crt > "$1"/etc/ssl/certs/ca-certificates.crt' \
      "$SUITE" "$new"
    mv "$new" "$archive"
    echo "$key" > "$archive.key"
    report "${name%:*}" "$archive"
  fi
  printf 'FROM scratch\nADD %s /\nCMD ["python3"]\n' "$rootfs" |
    bld bud --quiet --layers --tag "$1" --file - "$IMAGES" > /dev/null
}

bases() {
  base "$BASE" "$PACKAGES"
  base "$BASE_BUILD" "$COMPILER_PACKAGES"
}

# bud NAME DOCKERFILE CONTEXT [ARGUMENT...]: builds, and writes the archive if the image is new
bud() {
  local name=$1 tag=localhost/$1:e2e id archive=$IMAGES/$1.tar
  local build=(--quiet --tag "$tag" --file "$2" "${@:4}" "$3")
  case $BUILDER in
    buildah) id=$(bld bud --layers --isolation chroot "${build[@]}" | tail -1) ;;
    docker) id=$(docker build "${build[@]}" | tail -1) ;;
  esac
  if ! is_current "$archive" "$id"; then
    rm -f "$archive.new"
    case $BUILDER in
      buildah) bld push --quiet "$id" "docker-archive:$archive.new:$tag" ;;
      docker) docker save --output "$archive.new" "$tag" ;;
    esac
    mv "$archive.new" "$archive"
    echo "$id" > "$archive.key"
    report "$name" "$archive"
  fi
  echo "$archive"
}

# build NAME DOCKERFILE CONTEXT: on the base image, with this machine's way to the package index
build() {
  local settings paths=() volumes=()
  if [ "$BUILDER" = docker ]; then
    bud "$@" ${BASE_IMAGE:+--build-arg "BASE_IMAGE=$BASE_IMAGE"} ${BUILD_IMAGE:+--build-arg "BUILD_IMAGE=$BUILD_IMAGE"}
    return
  fi
  [ -n "${BASE_IMAGE:-}" ] || bases
  settings=$(mktemp -d)
  mapfile -t paths < <(python3 "$here/pip_settings.py" "$settings/pip.conf")
  volumes=(--volume "$settings/pip.conf:/etc/pip.conf:ro")
  for path in "${paths[@]}"; do volumes+=(--volume "$path:$path:ro"); done
  bud "$@" --build-arg "BASE_IMAGE=${BASE_IMAGE:-$BASE}" \
    --build-arg "BUILD_IMAGE=${BUILD_IMAGE:-$BASE_BUILD}" "${volumes[@]}"
  rm -rf "$settings"
}

program() { # NAME: an image with that static program and nothing else
  "$here/build.sh" "$1"
  printf 'FROM scratch\nCOPY %s /%s\nENTRYPOINT ["/%s"]\n' "$1" "$1" "$1" > "$IMAGES/$1.Dockerfile"
  bud "$1" "$IMAGES/$1.Dockerfile" "$BIN"
}

[ $# -gt 0 ] || die "usage: images.sh base|python-client|pause|coredns|minio... | build NAME DOCKERFILE CONTEXT"
case $BUILDER in
  buildah) [ "$(id -u)" = 0 ] || die "buildah needs root" ;;
  docker) command -v docker > /dev/null || die "needs buildah or docker" ;;
  *) die "BUILDER is buildah or docker, not $BUILDER" ;;
esac
if [ "$1" = build ]; then
  [ $# = 4 ] || die "usage: images.sh build NAME DOCKERFILE CONTEXT"
  build "$2" "$3" "$4"
  exit
fi
for image in "$@"; do
  SECONDS=0
  case $image in
    base) [ "$BUILDER" = buildah ] || die "base is made with buildah"; bases ;;
    python-client) build python-client "$here/python-client.Dockerfile" "$here" ;;
    pause | coredns | minio) program "$image" ;;
    *) die "unknown image: $image" ;;
  esac
done
