#!/usr/bin/env bash
# Prints the folder with prometheus and promtool, for tests: those on the PATH, else
# those of Debian's package, which is unpacked into the cache and not installed.
#
#   "$(hack/prometheus.sh)/promtool" check rules FILE
set -euo pipefail

say() { echo "prometheus.sh: $*" >&2; }

if command -v prometheus >/dev/null && command -v promtool >/dev/null; then
	dirname "$(command -v prometheus)"
	exit
fi
if ! command -v apt-get >/dev/null; then
	say "needs prometheus and promtool on the PATH: install them"
	exit 3
fi

cache=${MCP_SAMPLING_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/mcp-sampling-operator}
bin=$cache/bin/prometheus-debian
mkdir -p "$cache/bin"
exec 9>"$bin.lock"
flock 9 # who comes second waits for the first
if [[ ! -x $bin/promtool ]]; then
	say "fetching Debian's prometheus"
	work=$(mktemp -d)
	trap 'rm -rf "$work"' EXIT
	cd "$work"
	download=(apt-get download -qq -o APT::Sandbox::User=root prometheus)
	{ "${download[@]}" || { apt-get update -qq && "${download[@]}"; }; } >&2
	dpkg-deb -x prometheus_*.deb unpacked
	mkdir -p "$bin"
	install unpacked/usr/bin/prometheus "$bin/"
	install unpacked/usr/bin/promtool "$bin/" # last, as it is what is looked for
fi
echo "$bin"
