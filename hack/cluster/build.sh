#!/usr/bin/env bash
# Builds the dev cluster's program into the cache and prints a path on stdout:
#   build.sh [--print bin]   the program
#   build.sh --print envtest a folder with kube-apiserver, etcd and kubectl for envtest
#   build.sh --print tools   a folder with kubectl and helm
# Progress goes to stderr. What was built for the same sources and Go version is used again.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${MCP_SAMPLING_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/mcp-sampling-operator}

print=bin
case "${1:-}" in
  "") ;;
  --print) print=${2:-} ;;
  -h | --help) sed -n '2,6s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 0 ;;
  *) echo "build.sh: unknown argument $1; see --help" >&2; exit 2 ;;
esac
case "$print" in
  bin | envtest | tools) ;;
  *) echo "build.sh: --print takes bin, envtest or tools" >&2; exit 2 ;;
esac
command -v go >/dev/null || { echo "build.sh: go is not on the PATH: install Go (see go.mod for the version)" >&2; exit 3; }

cd "$here"
hash=$({
  go env GOVERSION GOOS GOARCH CGO_ENABLED
  find . -type f \( -name '*.go' ! -name '*_test.go' -o -name go.mod -o -name go.sum -o -name build.sh \) -print0 |
    LC_ALL=C sort -z | xargs -0 sha256sum
} | sha256sum | cut -c1-16)
bin=$cache/bin/devcluster-$hash
envtest=$cache/bin/envtest-$hash
tools=$cache/bin/tools-$hash

# run LABEL COMMAND… says every 15 seconds that the command is still at work.
run() {
  local label=$1 began=$SECONDS ticker
  shift
  # The last sleep outlives the loop: it must not hold the output open for who waits for its end.
  (while sleep 15 >/dev/null 2>&1; do echo "  $label: $((SECONDS - began)) s" >&2; done) &
  ticker=$!
  local status=0
  "$@" >&2 || status=$?
  kill "$ticker" 2>/dev/null
  wait "$ticker" 2>/dev/null || true
  if [ "$status" -ne 0 ]; then
    echo "build.sh: $label failed" >&2
    exit "$status"
  fi
  echo "  $label: done after $((SECONDS - began)) s" >&2
}

link() { # FOLDER NAME…
  local dir=$1 name
  shift
  mkdir -p "$dir"
  for name in "$@"; do
    [ "$(readlink "$dir/$name")" = "$bin" ] || ln -sfn "$bin" "$dir/$name"
  done
}

# prune removes builds of other sources that were last asked for over a week ago: each call notes the
# time. What it can't remove only takes space.
prune() {
  find "$cache/bin" -mindepth 1 -maxdepth 1 -mmin +10080 ! -name "*-$hash" ! -name "*-$hash.pause" \
    \( -name 'devcluster-*' -o -name 'envtest-*' -o -name 'tools-*' -o -name '.build-*' \) \
    -exec rm -rf {} + || true
}

if [ ! -x "$bin" ] || [ ! -x "$bin.pause" ]; then
  echo "building the dev cluster's program (Kubernetes from source: 5 to 10 minutes the first time, seconds later)" >&2
  mkdir -p "$cache/bin"
  temporary=$(mktemp -d "$cache/bin/.build-XXXXXX")
  trap 'rm -rf "$temporary"' EXIT
  version=$(go list -m -f '{{.Version}}' k8s.io/kubernetes)
  run "downloading modules" go mod download
  run "building the pause program" env CGO_ENABLED=0 go build -ldflags "-s -w" -o "$temporary/pause" ./pause
  # helm compares this version with what a chart asks for.
  run "building Kubernetes $version" \
    go build -ldflags "-s -w -X k8s.io/component-base/version.gitVersion=$version" -o "$temporary/devcluster" .
  mv "$temporary/pause" "$bin.pause"
  mv "$temporary/devcluster" "$bin"
  prune
fi
link "$envtest" kube-apiserver etcd kubectl
link "$tools" kubectl helm
touch "$bin" "$bin.pause" "$envtest" "$tools"

case "$print" in
  bin) echo "$bin" ;;
  envtest) echo "$envtest" ;;
  tools) echo "$tools" ;;
esac
