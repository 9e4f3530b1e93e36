#!/usr/bin/env bash
# Regenerates, formats and lints, and fails if that changed any file. The
# comparison is with what was there a moment before and not with the last
# commit, so that it works in the middle of somebody's work, and it sees files
# that git does not know yet.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

snapshot() {
	git ls-files --cached --others --exclude-standard -z | sort -zu |
		while IFS= read -r -d '' file; do
			if [[ -f $file ]]; then printf '%s  %s\n' "$(git hash-object --no-filters -- "$file")" "$file"; fi
		done
}

before=$(mktemp) after=$(mktemp)
trap 'rm -f "$before" "$after"' EXIT

snapshot >"$before"
make --no-print-directory generate fmt
snapshot >"$after"

changed=$(diff "$before" "$after" | sed -n 's/^[<>] [0-9a-f]*  //p' | sort -u || true)
if [[ $changed ]]; then
	echo "check: these files were not as \`make generate fmt\` makes them; they are now, so look at them and commit them:" >&2
	while IFS= read -r file; do echo "  $file" >&2; done <<<"$changed"
	git --no-pager diff --stat -- . >&2 || true
	exit 1
fi

make --no-print-directory lint
echo "check: generated files are up to date, formatting and lint are clean"
