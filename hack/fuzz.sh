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
for dir in $(go list -f '{{.Dir}}' "${@:-./...}"); do
	for name in $(grep -hoE '^func Fuzz[A-Za-z0-9_]+' "$dir"/*_test.go 2>/dev/null | sed 's/^func //'); do
		echo "=== ${dir#"$PWD"/} $name"
		go test -run='^$' -fuzz="^$name\$" -fuzztime="$time" "$dir"
	done
done
