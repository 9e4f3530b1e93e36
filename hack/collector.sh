#!/usr/bin/env bash
# Prints the path of an OpenTelemetry Collector for tests (hack/collector), built from
# its modules when it is missing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/collector"

cache=${MCP_SAMPLING_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/mcp-sampling-operator}
bin=$cache/bin/collector-$(cat go.mod go.sum main.go | sha256sum | cut -c1-16)
if [[ ! -x $bin ]]; then
	echo "collector.sh: building the collector" >&2
	mkdir -p "$cache/bin"
	CGO_ENABLED=0 go build -trimpath -ldflags='-s -w' -o "$bin.part$$" . >&2
	mv "$bin.part$$" "$bin"
fi
echo "$bin"
