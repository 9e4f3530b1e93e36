#!/usr/bin/env bash
# Builds the images of the manager and the sampler as docker archives in the
# cache folder and prints their paths, one a line; what is there already is not
# built again:
#
#   $MCP_SAMPLING_CACHE/images/mcp-sampling-operator-<hash>.tar
#   $MCP_SAMPLING_CACHE/images/mcp-sampler-<hash>.tar
#
# The hash is that of the contents, and the image's tag, so that a cluster which
# has the tag has this very image: mcp-sampler:<hash>. TAG sets another tag.
# With --refs each line is "IMAGE:TAG PATH". Needs a docker daemon or buildah as
# root.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { echo "images.sh: $*" >&2; }
usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}" >&2; }

refs=
case ${1:-} in
"") ;;
--refs) refs=yes ;;
-h | --help) usage && exit ;;
*) usage && exit 2 ;;
esac

cache=${MCP_SAMPLING_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/mcp-sampling-operator}
mkdir -p "$cache/images" dist
arch=$(go env GOARCH)

# Several targets may build at the same time: they share dist/ and the cache.
exec 9>"$cache/images/.lock"
flock 9

engine=buildah
if docker info >/dev/null 2>&1; then engine=docker; fi
base=${BASE:-scratch} # nothing to pull, and nothing is missing

versions=$(go list -m)/internal/version

# build NAME DIR: the static binary dist/NAME of package DIR, the same bytes for
# the same sources. TAG is also the version that it tells. What Google's client
# links of gRPC would otherwise keep the linker from leaving out what nobody calls.
build() {
	CGO_ENABLED=0 GOOS=linux GOARCH=$arch go build -trimpath -buildvcs=false -tags grpcnotrace \
		-ldflags="-s -w${TAG:+ -X $versions.version=$TAG}" -o "dist/$1" "$2"
}

build_with_docker() { # TARGET REF ARCHIVE
	docker build --quiet --target "$1" --build-arg "BASE=$base" --platform "linux/$arch" --tag "$2" . >&2
	docker save --output "$3" "$2"
}

# buildah keeps its storage in a folder that is thrown away, so that the user's
# own images stay as they are.
build_with_buildah() { # TARGET REF ARCHIVE
	local storage
	storage=$(mktemp -d "$cache/images/buildah.XXXXXX")
	local bud=(buildah --root "$storage/root" --runroot "$storage/run" --storage-driver vfs)
	local status=0
	{
		"${bud[@]}" bud --quiet --isolation chroot --timestamp 0 --target "$1" --build-arg "BASE=$base" \
			--platform "linux/$arch" --tag "$2" . &&
			"${bud[@]}" push --quiet "$2" "docker-archive:$3:$2"
	} >/dev/null || status=$?
	rm -rf "$storage"
	return "$status"
}

archive() { # TARGET NAME
	local binary=dist/$1 hash ref path
	hash=$({ sha256sum <"$binary"; cat Dockerfile; echo "$base $arch ${TAG:-}"; } | sha256sum | cut -c1-16)
	ref=$2:${TAG:-$hash}
	path=$cache/images/$2-$hash.tar
	if [[ ! -e $path ]]; then
		if [[ $engine == buildah ]] && ! command -v buildah >/dev/null; then
			if [[ $(id -u) != 0 ]]; then
				say "needs a docker daemon, or buildah as root: start docker, or run this as root"
				exit 3
			fi
			hack/cluster/install-deps.sh >&2
		fi
		say "building $ref with $engine"
		rm -f "$path.part"
		"build_with_$engine" "$1" "$ref" "$path.part"
		mv "$path.part" "$path"
		# Old ones go, but not those that somebody may be loading just now.
		find "$cache/images" -name "$2-*.tar" -mtime +7 -delete
	fi
	if [[ $refs ]]; then echo "$ref $path"; else echo "$path"; fi
}

build manager ./cmd/manager
build sampler ./cmd/sampler
archive manager mcp-sampling-operator
archive sampler mcp-sampler
