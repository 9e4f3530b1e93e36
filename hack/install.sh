#!/usr/bin/env bash
# Builds the images, brings them into the cluster and installs the chart of this
# checkout. With CLUSTER=current the cluster pulls the images: push them, and
# say where they are by IMAGE and SAMPLER_IMAGE (REPOSITORY:TAG).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if [[ ${IMAGE:-} && ${SAMPLER_IMAGE:-} ]]; then
	manager=$IMAGE sampler=$SAMPLER_IMAGE
elif [[ ${CLUSTER:-own} == current ]]; then
	echo "install: push the images (make images) to a registry that the cluster pulls from, then: make install CLUSTER=current IMAGE=REPOSITORY:TAG SAMPLER_IMAGE=REPOSITORY:TAG" >&2
	exit 2
else
	refs=$(hack/images.sh --refs)
	mapfile -t paths < <(cut -d' ' -f2- <<<"$refs")
	hack/cluster/cluster.sh load "${paths[@]}"
	manager=$(sed -n '1s/ .*//p' <<<"$refs")
	sampler=$(sed -n '2s/ .*//p' <<<"$refs")
fi

hack/cluster/cluster.sh helm upgrade mcp-sampling-operator charts/mcp-sampling-operator --install \
	--namespace mcp-sampling-system --create-namespace --wait --timeout 3m \
	--set "image.repository=${manager%:*},image.tag=${manager##*:}" \
	--set "samplerImage.repository=${sampler%:*},samplerImage.tag=${sampler##*:}"
