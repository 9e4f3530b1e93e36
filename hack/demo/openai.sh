# shellcheck shell=bash
# shellcheck disable=SC2154 # the variables are those of hack/demo.sh
# Part of hack/demo.sh: the policy's model is OpenAI, or a server compatible with
# it, in place of the small model. The key goes from the environment into a
# Secret by standard input: it is on no command line and in no file.

uses_openai() { [[ -n ${OPENAI_API_KEY:-} ]]; }

openai_model=${OPENAI_MODEL:-gpt-4o-mini}

check_openai() {
	[[ $openai_model =~ ^[A-Za-z0-9._:/@+-]+$ ]] ||
		fail "OPENAI_MODEL=$openai_model is no model's name"
	[[ -z ${OPENAI_BASE_URL:-} || $OPENAI_BASE_URL =~ ^https?://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]+)?(/[A-Za-z0-9./_~%-]*)?$ ]] ||
		fail "OPENAI_BASE_URL must be a URL such as https://llm.example.com/v1, without credentials or a query"
	[[ $CLUSTER == own || $(base_url) == "${OPENAI_BASE_URL:-}" ]] ||
		fail "OPENAI_BASE_URL=$OPENAI_BASE_URL is this machine's own address, which the pods of CLUSTER=$CLUSTER can't reach: name one that they can"
}

# base_url prints OPENAI_BASE_URL for use in the cluster: there 127.0.0.1 would be
# the pod itself, and the own cluster's proxy has another name for the machine.
base_url() {
	sed -E 's,^(https?://)(localhost|127(\.[0-9]+){3}|\[::1\])(:|/|$),\1host.devcluster.internal\4,I' <<<"${OPENAI_BASE_URL:-}"
}

# openai_policy prints policy-openai.yaml for the model and base URL that the
# environment names.
openai_policy() {
	local base
	base=$(base_url)
	sed -e "s|gpt-4o-mini|$openai_model|g" \
		-e "s|^\( *\)# baseURL: .*|${base:+\1baseURL: $base}|" \
		examples/quickstart/policy-openai.yaml
}

apply_openai() {
	printf '%s' "$OPENAI_API_KEY" |
		kubectl_ create secret generic openai -n "$namespace" --from-file=api-key=/dev/stdin --dry-run=client -o yaml |
		kubectl_ apply --server-side --force-conflicts -f - | sed 's/^/    /'
	openai_policy | kubectl_ apply -f - | sed 's/^/    /'
}

# The pods of the own cluster have no way out of it, so it offers an HTTP proxy
# that the samplers then use to reach the provider.
needs_egress() { [[ $CLUSTER == own ]] && uses_openai; }

start_with_egress() { hack/cluster/cluster.sh up --egress; }

# sampler_proxy prints what an MCPServer of the quickstart gets behind its last
# line, if its sampler needs a proxy.
egress=
sampler_proxy() {
	needs_egress || return 0
	egress=${egress:-$(hack/cluster/cluster.sh egress)}
	cat <<EOF
  sampler:
    podTemplate:
      spec:
        containers:
        - name: sampler
          env:
          - {name: HTTPS_PROXY, value: "$egress"}
          - {name: HTTP_PROXY, value: "$egress"}
          - {name: NO_PROXY, value: ".cluster.local,.svc,localhost,127.0.0.1,10.244.0.0/16,10.96.0.0/16,10.250.0.0/30"}
EOF
}
