#!/usr/bin/env bash
# Builds and runs the benchmarks against other proxies (test/bench), so that the
# signal which ends this ends them:
#
#   hack/bench.sh [flags] [compare | idle | soak]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if [[ $(uname -s) != Linux ]]; then
	echo "the benchmarks read /proc: run them on Linux" >&2
	exit 3
fi
cache=${MCP_SAMPLING_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/mcp-sampling-operator}
mkdir -p "$cache/bench"
go build -o "$cache/bench/bench" ./test/bench
exec "$cache/bench/bench" "$@"
