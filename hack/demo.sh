#!/usr/bin/env bash
# The demo: a real Kubernetes, the operator installed by Helm, two MCP servers
# and a policy (examples/quickstart), and a caller that cannot sample, whose tool
# calls are answered with the help of a real model all the same.
#
#   hack/demo.sh up                                everything, up to the answers
#   hack/demo.sh call SERVER [TOOL [NAME=VALUE…]]  call a tool again
#   hack/demo.sh kubectl ARGUMENTS…                look around
#   hack/demo.sh down                              take it all down
#
# The model is a small one that runs in the cluster. With OPENAI_API_KEY in the
# environment it is OpenAI, or what OPENAI_BASE_URL says; OPENAI_MODEL names the
# model (default gpt-4o-mini). CLUSTER=own|kind|current chooses the cluster as
# for hack/cluster/cluster.sh; with current the images of the examples have to be
# where DEMO_REGISTRY says ($DEMO_REGISTRY/summarizer-go:dev and so on).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

export CLUSTER=${CLUSTER:-own} CLUSTER_NAME=${CLUSTER_NAME:-demo}
namespace=mcp-demo
servers=(summarizer-go summarizer-fastmcp)
text='The harbour of Bergen burned down in 1702. Merchants paid for new wooden houses on the old foundations, and the town has repaired them ever since. Today the houses are a museum and a market.'
patience=${DEMO_PATIENCE:-180} # seconds until everything is ready
tmp=
bold='' dim='' red='' green='' normal=''
if [[ -t 1 && -z ${NO_COLOR:-} ]]; then
	bold=$'\e[1m' dim=$'\e[2m' red=$'\e[31m' green=$'\e[32m' normal=$'\e[0m'
fi

source hack/demo/watch.sh
source hack/demo/openai.sh

usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; }
say() { printf '    %s\n' "$*"; }
fail() {
	printf '%s\n' "$*" >&2
	exit 1
}

# The step that runs, for the message when it fails.
current=
step() {
	current=$*
	printf '\n%s==> %s%s\n' "$bold" "$*" "$normal"
}

# kubectl_ is the cluster's kubectl, found once: the way there costs a moment.
kubectl=()
find_kubectl() {
	[[ ${#kubectl[@]} == 0 ]] || return 0
	local config program=kubectl
	config=$(hack/cluster/cluster.sh kubeconfig)
	if [[ $CLUSTER == own ]]; then program=$(hack/cluster/build.sh --print tools)/kubectl; fi
	kubectl=(env "KUBECONFIG=$config" "$program")
}
kubectl_() {
	find_kubectl
	"${kubectl[@]}" "$@"
}

# in_background NAME COMMAND… starts a part that needs nobody else. What it says
# is shown behind its name, what it prints is kept in $tmp/NAME.
declare -A parts=()
in_background() {
	local name=$1
	shift
	set -m # a process group of its own, so that all of it can be ended
	{
		local begun=$SECONDS status=0
		"$@" >"$tmp/$name" 2> >(sed -u "s/^/    ${dim}[$name]$normal /" >&2) || status=$?
		[[ $status != 0 ]] || say "${dim}[$name]$normal ${green}done$normal in $((SECONDS - begun)) s"
		exit "$status"
	} &
	set +m
	parts[$name]=$!
}
wait_for() {
	local name
	for name; do
		current="$name (part of: $current)"
		wait "${parts[$name]}"
		unset "parts[$name]"
		current=${current#*part of: } current=${current%)}
	done
}

# quickstart FILE prints a file of the quickstart, with the images from where
# they are.
quickstart() { sed "s|image: localhost/|image: ${DEMO_REGISTRY:-localhost}/|" "examples/quickstart/$1"; }

up() {
	case $CLUSTER in
	own | current) ;;
	kind)
		local program
		for program in docker kind kubectl helm; do
			command -v "$program" >/dev/null || fail "CLUSTER=kind needs $program on the PATH; CLUSTER=own (as root) needs none of that"
		done
		;;
	*) fail "CLUSTER=$CLUSTER is unknown: use own, kind or current" ;;
	esac
	tmp=$(mktemp -d)
	trap finish EXIT
	local images=(summarizer-go summarizer-fastmcp)
	if uses_openai; then check_openai; else images+=(small-model); fi
	if [[ $CLUSTER == current && -z ${DEMO_REGISTRY:-} ]]; then
		fail "CLUSTER=current needs the images of the examples in a registry that the cluster pulls from: push what hack/example-images.sh prints, then set DEMO_REGISTRY to where they are (and IMAGE and SAMPLER_IMAGE, see make install)"
	fi

	step "Building images and starting the cluster, side by side"
	[[ $CLUSTER != own ]] || hack/cluster/install-deps.sh
	in_background caller go build -o "$tmp/bin-caller" ./examples/caller
	in_background cluster start_cluster
	if [[ $CLUSTER != current ]]; then
		in_background examples hack/example-images.sh "${images[@]}"
		in_background operator hack/images.sh
		wait_for operator examples
	fi
	wait_for cluster caller

	if [[ $CLUSTER != current ]]; then
		step "Loading the images into the cluster"
		local archives
		mapfile -t archives <"$tmp/examples"
		hack/cluster/cluster.sh load "${archives[@]}" >"$tmp/load"
		printf '    %s\n' "${archives[@]##*/}"
	fi

	step "Namespace $namespace$(uses_openai || echo ', with the small model in it')"
	kubectl_ apply -f examples/quickstart/namespace.yaml | sed 's/^/    /'
	uses_openai || quickstart model.yaml | kubectl_ apply -f - | sed 's/^/    /'
	renew_pods

	step "Installing the operator by Helm"
	hack/install.sh >"$tmp/install" 2>&1 || {
		cat "$tmp/install" >&2
		exit 1
	}
	sed -n 's/^\(NAME\|NAMESPACE\|STATUS\):/    \1:/p' "$tmp/install"

	step "Applying two MCP servers and one policy (examples/quickstart)"
	apply_servers
	apply_policy

	step "Waiting until both servers are ready"
	watch_conditions

	local server
	for server in "${servers[@]}"; do
		step "Calling summarize of $server"
		call "$server" summarize text="$text"
	done

	step "What there is now"
	kubectl_ get mcps,smp -n "$namespace"
	current=
	next_steps
}

start_cluster() {
	if needs_egress; then start_with_egress; else hack/cluster/cluster.sh up; fi
}

apply_servers() {
	local server
	for server in "${servers[@]}"; do
		{ quickstart "$server.yaml" && sampler_proxy; } | kubectl_ apply -f - | sed 's/^/    /'
	done
}

apply_policy() {
	if uses_openai; then apply_openai; else kubectl_ apply -f examples/quickstart/policy.yaml | sed 's/^/    /'; fi
}

# renew_pods restarts what runs with images of an earlier call: their tag is the
# same, so nobody else would.
renew_pods() {
	[[ -s $tmp/examples ]] || return 0
	local now before key=mcp-sampling.dev/demo-images
	now=$(sha256sum <"$tmp/examples" | cut -c1-16)
	before=$(kubectl_ get namespace "$namespace" -o "jsonpath={.metadata.annotations.${key//./\\.}}")
	[[ $now != "$before" ]] || return 0
	[[ -z $before ]] || kubectl_ delete pod -n "$namespace" -l 'app.kubernetes.io/name in (mcp-server,small-model)' --wait=false | sed 's/^/    /'
	kubectl_ annotate namespace "$namespace" --overwrite "$key=$now" >/dev/null
}

# call SERVER [TOOL [NAME=VALUE…]] calls through the server's Service, as callers
# in the cluster do.
call() {
	local server=$1 log=$tmp/forward-$1 port='' url forwarder status=0 _
	shift
	find_kubectl
	url=$("${kubectl[@]}" get -n "$namespace" mcpservers "$server" -o 'jsonpath={.status.url}')
	: >"$log"
	"${kubectl[@]}" port-forward -n "$namespace" "svc/$server" :80 >"$log" 2>&1 &
	forwarder=$!
	for _ in {1..100}; do
		port=$(sed -n 's/^Forwarding from 127.0.0.1:\([0-9]*\) .*/\1/p' "$log")
		[[ -z $port ]] || break
		kill -0 "$forwarder" 2>/dev/null || break # it says why in its log
		sleep 0.1
	done
	if [[ $port ]]; then
		"$tmp/bin-caller" "http://127.0.0.1:$port/${url#*://*/}" "$@" || status=$?
	else
		cat "$log" >&2
		status=1
	fi
	kill "$forwarder" 2>/dev/null || true
	wait "$forwarder" 2>/dev/null || true
	return "$status"
}

next_steps() {
	cat <<EOF

${bold}${green}Both answers came from the policy's model; the caller has none.$normal  ($SECONDS s)

${bold}Next$normal
  Change the policy; no pod restarts, the next sampling request follows it:
    hack/demo.sh kubectl patch smp summarizers -n $namespace --type=merge -p '{"spec":{"parameters":{"maxTokens":{"max":8}}}}'
    hack/demo.sh call summarizer-go summarize text='Bees dance to tell the others where flowers are.'
  Or by hand:            hack/demo.sh kubectl edit smp summarizers -n $namespace
  Other tools:           hack/demo.sh call summarizer-fastmcp
  What a status says:    hack/demo.sh kubectl describe mcps summarizer-go -n $namespace
  Take all of it down:   make demo-down
EOF
}

# finish ends the background parts and says which step failed.
finish() {
	local status=$? pid
	for pid in "${parts[@]}"; do kill -- "-$pid" 2>/dev/null || true; done
	if [[ $status != 0 && $current ]]; then
		printf '\n%s==> Failed: %s%s\n' "$red$bold" "$current" "$normal" >&2
		explain_failure >&2 || true
	fi
	rm -rf "$tmp"
	exit "$status"
}

down() {
	if [[ $CLUSTER == current ]]; then
		hack/cluster/cluster.sh kubectl delete namespace "$namespace" --ignore-not-found
		say "the operator is still installed; remove it with: make uninstall CLUSTER=current"
	fi
	hack/cluster/cluster.sh down
}

action=${1:-}
[[ $# == 0 ]] || shift
case $action in
up) up ;;
down) down ;;
call)
	[[ $# -gt 0 ]] || fail "name a server: hack/demo.sh call summarizer-go"
	tmp=$(mktemp -d)
	trap 'rm -rf "$tmp"' EXIT
	go build -o "$tmp/bin-caller" ./examples/caller
	call "$@"
	;;
kubectl) kubectl_ "$@" ;;
-h | --help | help) usage ;;
*)
	usage >&2
	exit 2
	;;
esac
