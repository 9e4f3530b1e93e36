#!/usr/bin/env bash
# Measures the operator with many servers on a simulated cluster (test/scale):
#
#   hack/bench-scale.sh [flags]     see test/scale/main.go
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if [[ $(uname -s) != Linux ]]; then
	echo "the measurement reads /proc and answers on all of 127.0.0.0/8: run it on Linux" >&2
	exit 3
fi
cache=${MCP_SAMPLING_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/mcp-sampling-operator}
mkdir -p "$cache/bench"
assets=$(hack/cluster/build.sh --print envtest)
kwok=$(hack/kwok.sh)
go build -o "$cache/bench/scale" ./test/scale
CGO_ENABLED=0 go build -trimpath -ldflags='-s -w' -o "$cache/bench/manager" ./cmd/manager
exec "$cache/bench/scale" -assets "$assets" -kwok "$kwok" -manager "$cache/bench/manager" "$@"
