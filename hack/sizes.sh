#!/usr/bin/env bash
# Prints what the project promises to keep small, each beside its limit: the
# images, the CRDs, and the memory of an idle sampler. Fails if one is too big.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

failed=
row() { # NAME KIB LIMIT_KIB
	local verdict=ok
	if (($3 > 0 && $2 >= $3)); then
		verdict="TOO BIG"
		failed=yes
	fi
	awk -v name="$1" -v kib="$2" -v limit="$3" -v verdict="$verdict" 'BEGIN {
		unit = "MiB"; d = 1024
		if (limit > 0 && limit < 1024) { unit = "KiB"; d = 1 }
		bound = limit > 0 ? sprintf("below %d %s", limit / d, unit) : "-"
		printf "%-44s %8.1f %s   %-14s %s\n", name, kib / d, unit, bound, verdict
	}'
}

while read -r ref path; do
	limit=0
	if [[ $ref == mcp-sampler:* ]]; then limit=$((60 * 1024)); fi
	row "image ${ref%:*}" $(($(stat -c %s "$path") / 1024)) "$limit"
done < <(hack/images.sh --refs)

for crd in config/crd/bases/*.yaml; do
	row "CRD $(basename "$crd" .yaml)" $((($(stat -c %s "$crd") + 1023) / 1024)) 64
done

make --silent --no-print-directory build
work=$(mktemp -d)
pid=
trap 'if [[ $pid ]]; then kill "$pid" && wait "$pid" || true; fi 2>/dev/null; rm -rf "$work"' EXIT
port() { # a free one
	local p
	for p in $(shuf -i 20000-29999 -n 50); do
		if ! (exec 3<>"/dev/tcp/127.0.0.1/$p") 2>/dev/null; then echo "$p" && return; fi
	done
}
admin=$(port)
cat >"$work/sampler.yaml" <<'CONFIG'
apiVersion: sampler.mcp-sampling.dev/v1alpha1
server: {name: idle}
upstream: {url: "http://127.0.0.1:9/mcp"}
policy:
  name: idle
  providers: [{name: local, type: OpenAI, baseURL: "http://127.0.0.1:9/v1"}]
  models: {default: small, allowed: [{name: small, provider: local}]}
CONFIG
bin/sampler serve --config "$work/sampler.yaml" --listen "127.0.0.1:$(port)" --admin-listen "127.0.0.1:$admin" --metrics-listen "127.0.0.1:$(port)" >"$work/log" 2>&1 &
pid=$!
for _ in $(seq 50); do
	if (exec 3<>"/dev/tcp/127.0.0.1/$admin") 2>/dev/null; then break; fi
	if ! kill -0 "$pid" 2>/dev/null; then break; fi
	sleep 0.1
done
if ! kill -0 "$pid" 2>/dev/null; then
	echo "the sampler did not start:" >&2
	cat "$work/log" >&2
	pid=
	exit 1
fi
sleep 5 # past the work of the start: what it needs when nobody calls
row "memory of an idle sampler (RSS)" "$(awk '/^VmRSS/ {print $2}' "/proc/$pid/status")" $((20 * 1024))

[[ -z $failed ]]
