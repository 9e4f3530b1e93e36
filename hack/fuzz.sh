#!/usr/bin/env bash
# Runs every fuzz test for a while, one after the other:
#
#   hack/fuzz.sh [30s [PACKAGES...]]
#
# Go instruments all that a package imports: the first time, those with the client
# of a model API take some minutes to compile.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

time=${1:-30s}
shift || true
output=$(mktemp)
trap 'rm -f "$output"' EXIT

# fuzz runs one test. Before Go 1.27 it may fail because its time is up, and say only
# that (golang/go#75804); of what it finds it says which input it was.
fuzz() {
	local name=$1 dir=$2
	if go test -run='^$' -fuzz="^$name\$" -fuzztime="$time" "$dir" | tee "$output"; then
		return
	fi
	grep -Pzq "\n--- FAIL: $name \([0-9.]+s\)\n    context deadline exceeded\nFAIL\n" "$output" || return 1
	echo "(the time was up, nothing was found)"
}

for dir in $(go list -f '{{.Dir}}' "${@:-./...}"); do
	for name in $(grep -hoE '^func Fuzz[A-Za-z0-9_]+' "$dir"/*_test.go 2>/dev/null | sed 's/^func //'); do
		echo "=== ${dir#"$PWD"/} $name"
		fuzz "$name" "$dir"
	done
done
