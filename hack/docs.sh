#!/usr/bin/env bash
# Builds the site from docs/ into dist/site: nothing in it is loaded from
# elsewhere, search included, so that it can be read from the folder. A link that
# leads nowhere ends the build.
#
#   hack/docs.sh [FOLDER]      build into FOLDER (default dist/site)
#   hack/docs.sh --serve       build, and serve it at http://127.0.0.1:8099 (PORT)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

serve=
if [[ ${1:-} == --serve ]]; then
	serve=yes
	shift
fi
out=${1:-dist/site}
venv=$(hack/python.sh hack/docs/requirements.txt)

# Drawn pictures are kept: they take seconds each.
mkdir -p "$out"
find "$out" -mindepth 1 -maxdepth 1 ! -name _images -exec rm -rf {} +
# A build reads all pages anew: one that was removed must be missed.
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null || echo 0) \
	"$venv/bin/python" -m sphinx --color -q -W --keep-going -E -b html -c hack/docs -d "$out/.doctrees" docs "$out" >&2
rm -rf "$out/.doctrees" "$out/.buildinfo" "$out/objects.inv"
echo "$out/index.html"
if [[ $serve ]]; then
	exec "$venv/bin/python" -m http.server --bind 127.0.0.1 --directory "$out" "${PORT:-8099}"
fi
