#!/usr/bin/env bash
# Builds the dev cluster's program into the cache and prints a path on stdout:
#   build.sh [--print bin]   the program
#   build.sh --print envtest a folder with kube-apiserver, etcd and kubectl for envtest
#   build.sh --print tools   a folder with kubectl and helm
#   build.sh --print envtest-oldest  as envtest, with the API server of the oldest Kubernetes that is supported
# Progress goes to stderr. What was built for the same sources and Go version is used again.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${MCP_SAMPLING_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/mcp-sampling-operator}

print=bin
case "${1:-}" in
  "") ;;
  --print) print=${2:-} ;;
  -h | --help) sed -n '2,7s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 0 ;;
  *) echo "build.sh: unknown argument $1; see --help" >&2; exit 2 ;;
esac
case "$print" in
  bin | envtest | tools | envtest-oldest) ;;
  *) echo "build.sh: --print takes bin, envtest, tools or envtest-oldest" >&2; exit 2 ;;
esac
command -v go >/dev/null || { echo "build.sh: go is not on the PATH: install Go (see go.mod for the version)" >&2; exit 3; }

cd "$here"

# hash_of FIND-ARGUMENT… is the hash of the sources that find names, and of how they are built.
hash_of() {
  {
    go env GOVERSION GOOS GOARCH CGO_ENABLED
    find "$@" -type f \( -name '*.go' ! -name '*_test.go' -o -name go.mod -o -name go.sum -o -name build.sh \) -print0 |
      LC_ALL=C sort -z | xargs -0 sha256sum
  } | sha256sum | cut -c1-16
}
# The API server of the oldest Kubernetes is a module of its own, with its own hash.
hash=$(hash_of . -path ./oldest -prune -o)
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

link() { # FOLDER PROGRAM NAME…
  local dir=$1 program=$2 name
  shift 2
  mkdir -p "$dir"
  for name in "$@"; do
    [ "$(readlink "$dir/$name")" = "$program" ] || ln -sfn "$program" "$dir/$name"
  done
}

# prune removes builds of other sources that were last asked for over a week ago: each call notes the
# time. What it can't remove only takes space.
prune() {
  find "$cache/bin" -mindepth 1 -maxdepth 1 -mmin +10080 ! -name "*-$hash" ! -name "*-$hash.pause" \
    \( -name 'devcluster-*' -o -name 'oldest-*' -o -name 'envtest-*' -o -name 'tools-*' -o -name '.build-*' \) \
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
link "$envtest" "$bin" kube-apiserver etcd kubectl
link "$tools" "$bin" kubectl helm
touch "$bin" "$bin.pause" "$envtest" "$tools"

if [ "$print" = envtest-oldest ]; then
  oldest_hash=$(hash_of oldest build.sh)
  oldest=$cache/bin/oldest-$oldest_hash
  envtest=$cache/bin/envtest-oldest-$hash-$oldest_hash
  if [ ! -x "$oldest" ]; then
    cd oldest
    version=$(go list -m -f '{{.Version}}' k8s.io/kubernetes)
    echo "building the API server of Kubernetes $version (3 to 5 minutes the first time)" >&2
    run "downloading modules" go mod download k8s.io/kubernetes # the rest as it is needed
    run "building the API server of Kubernetes $version" \
      env CGO_ENABLED=0 go build -ldflags "-s -w -X k8s.io/component-base/version.gitVersion=$version" -o "$oldest.part$$" .
    mv "$oldest.part$$" "$oldest"
  fi
  link "$envtest" "$bin" etcd kubectl
  link "$envtest" "$oldest" kube-apiserver
  touch "$oldest" "$envtest"
fi

case "$print" in
  bin) echo "$bin" ;;
  envtest | envtest-oldest) echo "$envtest" ;;
  tools) echo "$tools" ;;
esac
