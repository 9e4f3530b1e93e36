#!/usr/bin/env bash
# Builds the images of the release before this one, from the project's history,
# for the test of an upgrade, and prints "IMAGE:TAG PATH" of each, as
# hack/images.sh --refs does. What was built once is kept in the cache folder.
# Its chart is in test/chart/testdata/previous.
#
# Prints nothing where the history is not there, as in a shallow clone.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

tag=v0.1.0
commit=5e813eed5573ac2ef62b0f9f584ffb89277434b9

cache=${MCP_SAMPLING_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/mcp-sampling-operator}
refs=$cache/images/previous-$commit.refs
if [[ -e $refs ]] && cut -d' ' -f2- "$refs" | xargs -d '\n' ls >/dev/null 2>&1; then
	cat "$refs"
	exit
fi
if ! git cat-file -e "$commit^{commit}" 2>/dev/null; then
	echo "previous-images.sh: commit $commit is not in this clone: git fetch --unshallow" >&2
	exit
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
git archive "$commit" | tar -x -C "$work"
(cd "$work" && TAG=$tag hack/images.sh --refs) >"$work/refs"
mv "$work/refs" "$refs"
cat "$refs"
