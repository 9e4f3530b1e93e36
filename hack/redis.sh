#!/usr/bin/env bash
# Prints the path of a redis-server, for tests that start their own: the one on
# the PATH, else that of Debian's package, installed as root. The package's own
# service is not started.
#
#   "$(hack/redis.sh)" --port 7000 --save ''
set -euo pipefail

say() { echo "redis.sh: $*" >&2; }

if ! command -v redis-server >/dev/null; then
	if [[ $(id -u) != 0 ]] || ! command -v apt-get >/dev/null; then
		say "needs redis-server (7.0 or later, or valkey-server under that name) on the PATH: install it"
		exit 3
	fi
	say "installing redis-server"
	export DEBIAN_FRONTEND=noninteractive
	policy=/usr/sbin/policy-rc.d # whoever exits with 101 there keeps packages from starting services
	if [[ ! -e $policy ]]; then
		trap 'rm -f "$policy"' EXIT
		printf '#!/bin/sh\nexit 101\n' >"$policy"
		chmod 755 "$policy"
	fi
	install=(apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends redis-server)
	{ "${install[@]}" || { apt-get update -qq && "${install[@]}"; }; } >&2
fi
command -v redis-server
