#!/usr/bin/env bash
# Prints the path of a Python virtual environment that holds what files of
# requirements pin, FastMCP 3.4 where none is named: for tests that run MCP
# servers on this machine. Nothing is installed that the files do not name. Made
# once and cached by the hash of the pins: the second call returns at once.
#
#   "$(hack/python.sh [REQUIREMENTS...])/bin/python" server.py
set -euo pipefail
cd "$(dirname "$0")/.."

requirements=("${@:-hack/demo/requirements-fastmcp.txt}")
cache=${MCP_SAMPLING_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/mcp-sampling-operator}
python=${PYTHON:-/usr/bin/python3} # the distribution's own: others come and go with version managers

say() { echo "python.sh: $*" >&2; }

if [[ ! -x $python ]] || ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
	if [[ $(id -u) != 0 ]] || ! command -v apt-get >/dev/null; then
		say "needs $python with its venv module: install the packages python3 and python3-venv, or set PYTHON"
		exit 3
	fi
	say "installing python3 and python3-venv"
	export DEBIAN_FRONTEND=noninteractive
	{ apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends python3 python3-venv ||
		{ apt-get update -qq && apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends python3 python3-venv; }; } >&2
fi

pins=$({ "$python" -V; cat "${requirements[@]}"; } | sha256sum | cut -c1-16)
venv=$cache/py/$pins
if [[ ! -e $venv/.complete ]]; then
	mkdir -p "$cache/py"
	exec 9>"$cache/py/.lock"
	flock 9 # another call may be making the same one
	if [[ ! -e $venv/.complete ]]; then
		say "making $venv (about a minute)"
		rm -rf "$venv"
		"$python" -m venv "$venv" >&2
		log=$cache/py/$pins.log
		if ! "$venv/bin/pip" install --disable-pip-version-check --no-input --no-deps "${requirements[@]/#/--requirement=}" >"$log" 2>&1; then
			tail -n 20 "$log" >&2
			say "pip could not install ${requirements[*]}; the whole log: $log"
			exit 1
		fi
		touch "$venv/.complete"
	fi
fi
echo "$venv"
