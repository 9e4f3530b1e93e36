#!/usr/bin/env bash
# The end-to-end tests: brings a real cluster up, builds and loads the images,
# installs the operator by Helm, runs test/e2e and takes the cluster down again.
#
#   hack/e2e.sh [GO TEST FLAGS…]     for example: hack/e2e.sh -run 'TestOperator/side_by_side/a_server'
#
# CLUSTER=own|kind|current chooses the cluster as for hack/cluster/cluster.sh,
# CLUSTER_NAME its name (default e2e). KEEP=yes leaves the cluster for looking.
# With CLUSTER=current the cluster pulls the images: E2E_IMAGES says from where,
# beside IMAGE and SAMPLER_IMAGE of hack/install.sh.
#
# Where no cluster is to be had the tests are skipped, loudly; with CI=true that
# is a failure.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

export CLUSTER=${CLUSTER:-own} CLUSTER_NAME=${CLUSTER_NAME:-e2e}
cache=${MCP_SAMPLING_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/mcp-sampling-operator}
servers=(summarizer-go summarizer-fastmcp server-everything small-model)
[[ ${E2E_SMALL_MODEL:-} != skip ]] || servers=(summarizer-go summarizer-fastmcp server-everything)

say() { printf '=== e2e [%3d s] %s\n' "$SECONDS" "$*"; }
usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}" >&2; }

# why_not says why there is no cluster to be had on this machine.
why_not() {
	[[ $CLUSTER == own ]] || return 0
	if [[ $(go env GOOS) != linux ]]; then
		echo "a cluster without Docker runs on Linux only, this is $(go env GOOS): set CLUSTER=kind or CLUSTER=current"
	elif [[ $(id -u) != 0 ]]; then
		echo "a cluster without Docker needs root: run as root, or set CLUSTER=kind or CLUSTER=current"
	fi
}

# archive_of NAME CONTEXT builds an image of what is in a folder, if that has
# changed, and prints its archive.
archive_of() {
	local name=$1 context=$2 hash ref archive
	hash=$(cd "$context" && find . -type f | sort | xargs cat | sha256sum | cut -c1-16)
	ref=localhost/$name:$hash
	archive=$cache/images/$name-$hash.tar
	mkdir -p "$cache/images"
	if [[ ! -e $archive ]]; then
		rm -f "$archive.part"
		if docker info >/dev/null 2>&1; then
			docker build --quiet --tag "$ref" "$context" >&2
			docker save --output "$archive.part" "$ref"
		else
			hack/cluster/install-deps.sh >&2
			local bud=(buildah --root "$work/$name-root" --runroot "$work/$name-run" --storage-driver vfs)
			"${bud[@]}" bud --quiet --isolation chroot --timestamp 0 --tag "$ref" "$context" >/dev/null
			"${bud[@]}" push --quiet "$ref" "docker-archive:$archive.part:$ref" >/dev/null
		fi
		mv "$archive.part" "$archive"
	fi
	echo "$archive"
}

# peers_image prints the archive of the image with the tests' own programs.
peers_image() {
	local context=$work/peers
	mkdir -p "$context"
	CGO_ENABLED=0 GOOS=linux go build -trimpath -buildvcs=false -ldflags='-s -w' -o "$context/" \
		./internal/testing/fakellm/cmd/fakellm ./internal/testing/gosdkserver ./internal/testing/manycallers ./internal/testing/probe ./examples/caller
	CGO_ENABLED=0 GOOS=linux go build -trimpath -buildvcs=false -ldflags='-s -w' -o "$context/handler" ./examples/webhook/go
	cp test/e2e/peers/Dockerfile "$context/"
	archive_of e2e-peers "$context"
}

# prometheus_image prints the archive of an image with a real Prometheus and the
# libraries that it is linked with.
prometheus_image() {
	local context=$work/prometheus program library
	program=$(hack/prometheus.sh)/prometheus
	mkdir -p "$context/root"
	cp "$program" "$context/root/"
	for library in $(ldd "$program" | grep -oE '/[^ ]+'); do install -D "$library" "$context/root$library"; done
	printf 'FROM scratch\nCOPY root /\nUSER 65532:65532\nENTRYPOINT ["/prometheus"]\n' >"$context/Dockerfile"
	archive_of e2e-prometheus "$context"
}

# in_background NAME COMMAND… keeps what the command prints in $work/NAME.out,
# and prefixes what it says.
declare -A parts=()
in_background() {
	local name=$1
	shift
	("$@" 2>&1 >"$work/$name.out" | sed -u "s/^/    [$name] /" >&2) &
	parts[$name]=$!
}
wait_for() {
	local name
	for name; do
		wait "${parts[$name]}" || {
			say "$name FAILED"
			return 1
		}
		say "$name: done"
	done
}

finish() {
	local status=$?
	trap - EXIT INT TERM
	# Parts that still run go first: they would start things again.
	local name
	for name in "${!parts[@]}"; do kill "${parts[$name]}" 2>/dev/null || true; done
	wait 2>/dev/null || true
	rm -rf "$work"
	if [[ ${KEEP:-} ]]; then
		say "the cluster stays: CLUSTER_NAME=$CLUSTER_NAME hack/cluster/cluster.sh kubectl …; take it down with CLUSTER_NAME=$CLUSTER_NAME hack/cluster/cluster.sh down"
	else
		say "taking the cluster down"
		hack/cluster/cluster.sh down || status=1
	fi
	if [[ $status == 0 ]]; then say "PASSED"; else say "FAILED"; fi
	exit "$status"
}

case ${1:-} in
-h | --help) usage && exit ;;
esac

why=$(why_not)
if [[ $why ]]; then
	say "SKIPPED: $why"
	if [[ ${CI:-} == true ]]; then
		echo "a skip is a failure where CI=true" >&2
		exit 1
	fi
	exit 0
fi

work=$(mktemp -d)
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

say "cluster, images and tests, side by side"
[[ $CLUSTER != own ]] || hack/cluster/install-deps.sh
in_background cluster hack/cluster/cluster.sh up
in_background tests go vet ./test/e2e # compiles what it imports
if [[ $CLUSTER != current ]]; then
	in_background peers peers_image
	in_background prometheus prometheus_image
	in_background servers hack/example-images.sh "${servers[@]}"
	in_background operator hack/images.sh
	in_background previous hack/previous-images.sh
	wait_for peers prometheus servers operator previous
	E2E_PEERS_TAG=$(sed -n 's/.*e2e-peers-\(.*\)\.tar$/\1/p' "$work/peers.out")
	E2E_PREVIOUS=$(cut -d' ' -f1 "$work/previous.out" | xargs)
	E2E_PROMETHEUS_TAG=$(sed -n 's/.*e2e-prometheus-\(.*\)\.tar$/\1/p' "$work/prometheus.out")
	export E2E_PEERS_TAG E2E_PREVIOUS E2E_PROMETHEUS_TAG
fi
wait_for cluster tests

if [[ $CLUSTER != current ]]; then
	say "loading images"
	mapfile -t archives < <(cat "$work/peers.out" "$work/prometheus.out" "$work/servers.out" && cut -d' ' -f2- "$work/previous.out")
	hack/cluster/cluster.sh load "${archives[@]}"
fi
say "installing the operator by Helm"
hack/install.sh

E2E_KUBECONFIG=$(hack/cluster/cluster.sh kubeconfig)
export E2E_KUBECONFIG
if [[ $CLUSTER == own ]]; then
	tools=$(hack/cluster/build.sh --print tools)
	export E2E_KUBECTL=$tools/kubectl E2E_HELM=$tools/helm
fi
say "go test ./test/e2e"
# It prints once more at its end what failed.
go tool -modfile=hack/tools/go.mod gotestsum --format=standard-verbose --hide-summary=skipped -- -count=1 -timeout 20m -parallel 4 ./test/e2e "$@"
