#!/usr/bin/env bash
# One way to a cluster for development, whatever it is:
#   cluster.sh up [--egress]       start it (or say that it runs); --egress: with a way out for its pods
#   cluster.sh down                end it and remove all that belongs to it
#   cluster.sh status              say whether it runs
#   cluster.sh load IMAGE.tar…     make images from archives known to it
#   cluster.sh egress              print the URL of the proxy that is the way out of an own cluster
#   cluster.sh kubeconfig          print the path of its kubeconfig
#   cluster.sh kubectl ARGUMENTS…  run kubectl with it
#   cluster.sh helm ARGUMENTS…     run helm with it
#
# CLUSTER says which:
#   own      (default) a Kubernetes built from source, without Docker: Linux, root
#   kind     a kind cluster: needs docker, kind, kubectl and helm on the PATH
#   current  the cluster that your kubeconfig points at: needs kubectl and helm on the PATH
# CLUSTER_NAME is the cluster's name (default dev); clusters with different names run side by side.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${MCP_SAMPLING_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/mcp-sampling-operator}
kind_of=${CLUSTER:-own}
name=${CLUSTER_NAME:-dev}

fail() { # CODE MESSAGE
  echo "cluster.sh: $2" >&2
  exit "$1"
}

on_path() { # PROGRAM…
  local program
  for program in "$@"; do
    command -v "$program" >/dev/null || fail 3 "CLUSTER=$kind_of needs $program on the PATH"
  done
}

usage() { sed -n '2,17s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; }

# -- own ------------------------------------------------------------------------------------------

own_up() { # [--egress]
  "$here/install-deps.sh"
  local bin
  bin=$("$here/build.sh")
  "$bin" up --name "$name" "$@" >/dev/null
}
own_command() {
  local bin
  bin=$("$here/build.sh")
  "$bin" "$@" --name "$name"
}
own_down() { own_command down; }
own_status() { own_command status; }
own_kubeconfig() { own_command kubeconfig; }
own_egress() { own_command egress; }
own_load() { own_command load "$@"; }
own_client() { # kubectl|helm ARGUMENTS…
  local tools kubeconfig program=$1
  shift
  tools=$("$here/build.sh" --print tools)
  kubeconfig=$(own_kubeconfig)
  KUBECONFIG=$kubeconfig exec "$tools/$program" "$@"
}

# -- kind -----------------------------------------------------------------------------------------

kind_config=$cache/clusters/kind-$name/kubeconfig

kind_exists() { kind get clusters 2>/dev/null | grep -qxF -- "$name"; }
kind_up() {
  on_path docker kind kubectl helm
  mkdir -p "$(dirname "$kind_config")"
  if kind_exists; then
    kind export kubeconfig --name "$name" --kubeconfig "$kind_config"
    echo "kind cluster $name is there already" >&2
  else
    kind create cluster --name "$name" --kubeconfig "$kind_config" --wait 120s
  fi
}
kind_down() {
  on_path docker kind
  kind delete cluster --name "$name" --kubeconfig "$kind_config"
  rm -rf "$(dirname "$kind_config")"
}
kind_status() {
  on_path docker kind kubectl
  kind_exists || fail 1 "there is no kind cluster $name; start it with 'up'"
  kubectl --kubeconfig "$kind_config" get nodes
}
kind_kubeconfig() {
  [ -f "$kind_config" ] || fail 1 "there is no kubeconfig at $kind_config; start the cluster with 'up'"
  echo "$kind_config"
}
kind_load() {
  on_path docker kind
  local archive
  for archive in "$@"; do kind load image-archive "$archive" --name "$name"; done
}
kind_client() { # kubectl|helm ARGUMENTS…
  local kubeconfig program=$1
  shift
  on_path "$program"
  kubeconfig=$(kind_kubeconfig)
  KUBECONFIG=$kubeconfig exec "$program" "$@"
}

# -- current --------------------------------------------------------------------------------------

current_up() {
  on_path kubectl helm
  kubectl version >/dev/null || fail 1 "the cluster of your kubeconfig does not answer"
  echo "using the cluster of your kubeconfig: $(kubectl config current-context)" >&2
}
current_down() { echo "the cluster of your kubeconfig is left as it is" >&2; }
current_status() {
  on_path kubectl
  kubectl get nodes
}
current_kubeconfig() { echo "${KUBECONFIG:-$HOME/.kube/config}"; }
current_load() {
  cat >&2 <<EOF
cluster.sh: images can't be loaded into the cluster of your kubeconfig. Push them to a registry that
it can pull from, for example with
EOF
  local archive
  for archive in "$@"; do echo "  skopeo copy docker-archive:$archive docker://REGISTRY/NAME:TAG" >&2; done
  echo "and name them to the chart with its values image.repository and image.tag." >&2
  exit 3
}
current_client() { # kubectl|helm ARGUMENTS…
  on_path "$1"
  exec "$@"
}

# -------------------------------------------------------------------------------------------------

case "$kind_of" in
  own | kind | current) ;;
  *) fail 2 "CLUSTER=$kind_of is unknown: use own, kind or current" ;;
esac

action=${1:-}
[ $# -eq 0 ] || shift
case "$action" in
  up)
    [ $# -eq 0 ] || [ "$*" = --egress ] || fail 2 "up takes no argument but --egress (set CLUSTER_NAME to choose a cluster)"
    "${kind_of}_up" "$@"
    ;;
  egress)
    [ $# -eq 0 ] || fail 2 "egress takes no arguments (set CLUSTER_NAME to choose a cluster)"
    [ "$kind_of" = own ] || fail 2 "only CLUSTER=own needs a proxy as a way out: pods of other clusters have one"
    own_egress
    ;;
  down | status | kubeconfig)
    [ $# -eq 0 ] || fail 2 "$action takes no arguments (set CLUSTER_NAME to choose a cluster)"
    "${kind_of}_$action"
    ;;
  load)
    [ $# -gt 0 ] || fail 2 "load needs the path of an image archive"
    "${kind_of}_load" "$@"
    ;;
  kubectl | helm) "${kind_of}_client" "$action" "$@" ;;
  -h | --help | help) usage ;;
  "") usage >&2; exit 2 ;;
  *) fail 2 "unknown action $action; see --help" ;;
esac
