#!/usr/bin/env bash
# Builds kwok, which plays nodes and pods, into the cache, and prints its path.
set -euo pipefail
version=v0.8.0

cache=${MCP_SAMPLING_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/mcp-sampling-operator}
dir=$cache/bin/kwok-$version
if [[ ! -x $dir/kwok ]]; then
	echo "building kwok $version (some minutes the first time)" >&2
	mkdir -p "$dir"
	GOBIN=$dir GOFLAGS=-trimpath go install "sigs.k8s.io/kwok/cmd/kwok@$version" >&2
fi
echo "$dir/kwok"
