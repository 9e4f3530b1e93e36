#!/usr/bin/env bash
# Runs the tests, cheap ones first, each phase with its own closing line:
#
#   hack/test.sh all         everything, in this order:
#   hack/test.sh unit        what needs nothing but Go, with the race detector
#   hack/test.sh api         what needs a real API server and etcd
#   hack/test.sh oldest      the same with the oldest Kubernetes that is supported
#   hack/test.sh chart       the Helm chart, with the real helm and promtool
#   hack/test.sh docs        the site, built from docs/
#   hack/test.sh release     what a release consists of, made twice
#   hack/test.sh dataplane   the sampler against servers and callers of other makers
#   hack/test.sh peers       the same with their own programs and conformance suites
#   hack/test.sh e2e         the product on a real cluster
#
# What a phase needs is installed or built when it is missing (Debian, as root).
# A phase that cannot run on this machine is skipped loudly; with CI=true that is
# a failure.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf '\n=== %s\n' "$*"; }
usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}" >&2; }

skipped=()
skip() { # PHASE REASON
	say "$1: SKIPPED: $2"
	if [[ ${CI:-} == true ]]; then
		echo "a skipped phase is a failure where CI=true" >&2
		return 1
	fi
	skipped+=("$1 ($2)")
}

# The race detector is the only thing here that wants a C compiler.
need_compiler() {
	command -v "$(go env CC)" >/dev/null && return
	if [[ $(id -u) != 0 ]] || ! command -v apt-get >/dev/null; then
		echo "the race detector needs a C compiler: install gcc and the headers of libc" >&2
		return 1
	fi
	echo "installing gcc, for the race detector"
	export DEBIAN_FRONTEND=noninteractive
	local install=(apt-get install -y -qq --no-install-recommends gcc libc6-dev)
	{ "${install[@]}" || { apt-get update -qq && "${install[@]}"; }; } >/dev/null
}

# go_test is go test, which prints once more at its end what failed.
go_test() { go tool -modfile=hack/tools/go.mod gotestsum --format=standard-quiet --hide-summary=skipped -- "$@"; }

# why_no_components says why the components of Kubernetes cannot be built here.
why_no_components() {
	if [[ $(go env GOOS) != linux ]]; then echo "the API server for tests is built on Linux only, this is $(go env GOOS)"; fi
}

# why_no_cluster says why there is no cluster to be had here.
why_no_cluster() {
	case ${CLUSTER:-own} in
	own)
		if [[ $(go env GOOS) != linux ]]; then
			echo "a cluster without Docker runs on Linux only: set CLUSTER=kind or CLUSTER=current"
		elif [[ $(id -u) != 0 ]]; then
			echo "a cluster without Docker needs root: run as root, or set CLUSTER=kind or CLUSTER=current"
		fi
		;;
	esac
}

# packages PHASE lists the packages whose tests belong to it. That of the API
# server is known by its imports, so that nobody has to keep a list.
packages() {
	local module all api
	module=$(go list -m)
	all=$(go list ./... | grep -v "^$module/test/e2e")
	api=$(go list -test -f '{{if .ForTest}}{{.ForTest}} {{join .Deps " "}}{{end}}' ./... |
		awk '/ sigs.k8s.io\/controller-runtime\/pkg\/envtest/ {print $1}' | sort -u | grep -v "^$module/test/e2e" || true)
	local chart="^$module/test/(chart|observe)$" site="^$module/test/docs/site" dataplane="^$module/(test/dataplane|examples)(/|$)" peers="^$module/test/peers" release="^$module/test/release"
	case $1 in
	api) echo "$api" ;;
	chart) grep -E "$chart" <<<"$all" ;;
	dataplane) grep -E "$dataplane" <<<"$all" ;;
	unit) grep -vE -e "$chart" -e "$site" -e "$dataplane" -e "$peers" -e "$release" <<<"$all" | grep -vxF -f <(echo "${api:-none}") ;;
	esac
}

# fuzzed lists the packages that are fuzzed for a moment: not those that import the
# client of a model API, which take longer to compile for it than all else.
fuzzed() {
	go list -f '{{.ImportPath}} {{join .Deps " "}}' ./internal/sampler/... |
		awk '!/ github.com\/(openai\/openai-go|anthropics\/anthropic-sdk-go)| google.golang.org\/genai/ {print $1}'
}

phase_unit() {
	need_compiler
	hack/redis.sh >/dev/null
	local list
	list=$(packages unit)
	# shellcheck disable=SC2086 # one argument a package
	go_test -race -timeout 10m $list
	# A moment with what strangers send; `make fuzz` takes its time.
	# shellcheck disable=SC2046
	hack/fuzz.sh 3s $(fuzzed)
	go test -C hack/tools -timeout 10m ./...
}

phase_api() {
	local why list
	why=$(why_no_components)
	if [[ $why ]]; then
		skip api "$why"
		return
	fi
	need_compiler
	KUBEBUILDER_ASSETS=$(hack/cluster/build.sh --print envtest)
	export KUBEBUILDER_ASSETS
	list=$(packages api)
	# shellcheck disable=SC2086
	go_test -race -timeout 15m $list
	go test -C hack/cluster -timeout 10m ./...
}

# Not the storm, which is of the operator and not of the API server.
phase_oldest() {
	local why list
	why=$(why_no_components)
	if [[ $why ]]; then
		skip oldest "$why"
		return
	fi
	KUBEBUILDER_ASSETS=$(hack/cluster/build.sh --print envtest-oldest)
	export KUBEBUILDER_ASSETS
	list=$(packages api | grep -v /test/scale/)
	# shellcheck disable=SC2086
	go_test -timeout 15m $list
}

phase_chart() {
	local why
	why=$(why_no_components)
	if [[ $why ]] && ! command -v helm >/dev/null; then
		skip chart "there is no helm on the PATH, and $why"
		return
	fi
	# Not cached: go test does not see that helm or kustomize read the chart.
	go_test -count=1 -timeout 10m ./test/chart/... ./test/observe
}

phase_docs() {
	hack/python.sh hack/docs/requirements.txt >/dev/null # the slow part of it
	# Not cached: go test does not see the pages.
	go_test -count=1 -timeout 10m ./test/docs/site
}

phase_release() {
	local why
	why=$(why_no_components)
	if [[ $why ]]; then
		skip release "$why"
		return
	fi
	go test -C hack/release -timeout 5m ./...
	# Not cached: go test does not see what is built.
	go_test -count=1 -timeout 15m ./test/release
}

phase_dataplane() {
	need_compiler
	# The slow parts of it, before the tests' deadline runs.
	hack/redis.sh >/dev/null
	hack/collector.sh >/dev/null
	hack/python.sh >/dev/null
	hack/python.sh hack/demo/requirements-fastmcp.txt hack/peers/requirements-fastmcp-examples.txt >/dev/null
	hack/python.sh hack/demo/small-model/requirements.txt >/dev/null
	local list
	list=$(packages dataplane)
	# shellcheck disable=SC2086
	go_test -race -timeout 15m $list
}

phase_peers() {
	hack/peers.sh >/dev/null # the slow part of it, before the tests' deadline runs
	# Not cached: go test does not see the programs that it runs.
	# Much of it is waiting, so more at a time than there are processors.
	go_test -count=1 -parallel 6 -timeout 10m ./test/peers
}

phase_e2e() {
	local why
	why=$(why_no_cluster)
	if [[ $why ]]; then
		skip e2e "$why"
		return
	fi
	CLUSTER_NAME=e2e hack/e2e.sh
}

run() { # PHASE...
	local phase started took
	for phase in "$@"; do
		say "$phase"
		started=$SECONDS
		current=$phase
		"phase_$phase"
		took=$((SECONDS - started))
		if [[ " ${skipped[*]-}" != *" $phase ("* ]]; then
			say "$phase: passed in $((took / 60))m$((took % 60))s"
		fi
	done
	current=
}

current=
finish() {
	local status=$? took=$SECONDS
	took=$((took / 60))m$((took % 60))s
	if [[ $status != 0 ]]; then
		say "TESTS FAILED${current:+ in $current}, after $took. Again only this: make test-${current:-unit}"
	elif ((${#skipped[@]})); then
		say "TESTS PASSED in $took, BUT SKIPPED: ${skipped[*]}"
	else
		say "TESTS PASSED in $took"
	fi
}

case ${1:-} in
all) trap finish EXIT && run unit api oldest chart docs release dataplane peers e2e ;;
unit | api | oldest | chart | docs | release | dataplane | peers | e2e) trap finish EXIT && run "$1" ;;
-h | --help) usage ;;
*) usage && exit 2 ;;
esac
