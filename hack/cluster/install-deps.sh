#!/usr/bin/env bash
# Installs the Debian packages that the dev cluster needs. Needs root on Debian or Ubuntu; says
# nothing and does nothing if all are there. No service is started by it.
set -euo pipefail

packages=(buildah conntrack containerd containernetworking-plugins iproute2 nftables runc)

refuse() {
  cat >&2 <<EOF

  The dev cluster can't run here: $1

  It needs Linux, root and these programs: ${packages[*]}
  (names of Debian's packages). $2
  With Docker and kind on this machine you need none of it: set CLUSTER=kind.
  To use the cluster your kubeconfig points at: set CLUSTER=current.

EOF
  exit 3
}

case "${1:-}" in
  "") ;;
  -h | --help) sed -n '2,3s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 0 ;;
  *) echo "install-deps.sh: it takes no arguments" >&2; exit 2 ;;
esac

[ "$(uname -s)" = Linux ] || refuse "this is $(uname -s), not Linux." "Run it in a Linux machine."
[ "$(id -u)" = 0 ] || refuse "you are not root." "Run this again as root (sudo)."

# What counts is the program, not where it comes from: an installed Docker brings a containerd.
missing=()
need() { # PACKAGE PROGRAM
  command -v "$2" >/dev/null || [ -x "$2" ] || missing+=("$1")
}
PATH=$PATH:/usr/sbin:/sbin
need buildah buildah
need conntrack conntrack
need containerd containerd
need containernetworking-plugins /usr/lib/cni/bridge
need iproute2 ip
need nftables nft
need runc runc
[ ${#missing[@]} -gt 0 ] || exit 0

command -v apt-get >/dev/null || refuse "these are missing: ${missing[*]}, and there is no apt-get." "Install them with your system's package manager."

echo "installing ${missing[*]}" >&2
# Services must not start: the cluster runs its own containerd. A guard that is there already stays.
guard=/usr/sbin/policy-rc.d
if [ ! -e "$guard" ]; then
  trap 'rm -f "$guard"' EXIT
  printf '#!/bin/sh\nexit 101\n' >"$guard"
  chmod 755 "$guard"
fi
log=$(mktemp)
if ! { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
  tail -n 20 "$log" >&2
  echo "install-deps.sh: apt-get failed; the whole log: $log" >&2
  exit 1
fi
rm -f "$log"
