#!/usr/bin/env bash
# apt.sh: installs the Debian packages that the local cluster and the image builds need, those
# whose program is missing only. Run as root; quick when there is nothing to do.
set -euo pipefail

# program (or file), package
needed() {
  cat << 'END'
containerd containerd
runc runc
/usr/lib/cni/bridge containernetworking-plugins
iptables iptables
conntrack conntrack
ip iproute2
mount mount
nsenter util-linux
mmdebstrap mmdebstrap
buildah buildah
END
}

packages=()
while read -r program package; do
  PATH=$PATH:/usr/sbin command -v "$program" > /dev/null || packages+=("$package")
done < <(needed)
[ ${#packages[@]} -gt 0 ] || exit 0

[ "$(id -u)" = 0 ] || { echo "apt.sh: needs root to install: ${packages[*]}" >&2; exit 1; }
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${packages[@]}" > /dev/null
echo "apt.sh: installed ${packages[*]} in ${SECONDS}s"
