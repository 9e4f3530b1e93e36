package settings

import (
	"fmt"

	"github.com/mcp-sampling/mcp-sampling-operator/hack/cluster/internal/layout"
)

// Files returns the configuration files of a cluster, by their name in its config folder.
func Files(c layout.Cluster) map[string]string {
	return map[string]string{
		"containerd.toml":            containerd(c),
		"cni/10-devcluster.conflist": cni(),
		"kubelet.yaml":               kubelet(c),
		"kube-proxy.yaml":            kubeProxy(c),
		"Corefile":                   corefile(c),
		"resolv.conf":                "# The node has no network but its own: there is nobody to ask for other names.\n",
	}
}

func containerd(c layout.Cluster) string {
	return fmt.Sprintf(`version = 2
root = %[1]q
state = "/run/containerd"
# Those need file systems or devices that a container on overlayfs does not.
disabled_plugins = ["io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs", "io.containerd.internal.v1.tracing", "io.containerd.tracing.processor.v1.otlp"]

[grpc]
  address = %[2]q

[plugins."io.containerd.internal.v1.opt"]
  path = %[3]q

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = %[4]q
  # Without CAP_SYS_RESOURCE a score below one's own is refused, and the container never starts.
  restrict_oom_score_adj = true

  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = %[5]q

  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"

    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"

      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
`, c.Path("containerd"), ContainerdSocket, c.Path("opt"), PauseImage, c.Config("cni"))
}

func cni() string {
	return fmt.Sprintf(`{
  "cniVersion": "0.4.0",
  "name": "devcluster",
  "plugins": [
    {
      "type": "bridge",
      "bridge": "cni0",
      "isGateway": true,
      "ipMasq": false,
      "hairpinMode": true,
      "ipam": {
        "type": "host-local",
        "ranges": [[{"subnet": %q}]],
        "routes": [{"dst": "0.0.0.0/0"}]
      }
    },
    {
      "type": "portmap",
      "capabilities": {"portMappings": true}
    }
  ]
}
`, PodSubnet)
}

func kubelet(c layout.Cluster) string {
	return fmt.Sprintf(`apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: %[1]s
authentication:
  anonymous: {enabled: false}
  webhook: {enabled: true}
  x509: {clientCAFile: %[2]q}
authorization: {mode: Webhook}
tlsCertFile: %[3]q
tlsPrivateKeyFile: %[4]q
containerRuntimeEndpoint: unix://%[5]s
cgroupDriver: cgroupfs
cgroupRoot: /%[6]s
# Nothing is reserved for the machine's own programs: the cgroups hold pods alone.
enforceNodeAllocatable: []
failCgroupV1: false
failSwapOn: false
clusterDNS: [%[7]s]
clusterDomain: %[8]s
resolvConf: %[9]q
volumePluginDir: /run/kubelet-plugins
# Images are loaded by hand and can't be pulled again, and the disk is the user's: nothing is
# removed or evicted because it fills up.
imageGCHighThresholdPercent: 100
evictionHard:
  memory.available: 50Mi
  nodefs.available: 0%%
  nodefs.inodesFree: 0%%
  imagefs.available: 0%%
  imagefs.inodesFree: 0%%
`, NodeIP, c.PKI("ca.crt"), c.PKI("kubelet.crt"), c.PKI("kubelet.key"), ContainerdSocket, c.Cgroup(),
		DNSAddress, Domain, c.Config("resolv.conf"))
}

func kubeProxy(c layout.Cluster) string {
	return fmt.Sprintf(`apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
clusterCIDR: %s
clientConnection:
  kubeconfig: %q
# The limit of tracked connections belongs to the whole machine: leave it as it is.
conntrack:
  maxPerCore: 0
`, PodNetwork, c.PKI("kube-proxy.kubeconfig"))
}

func corefile(c layout.Cluster) string {
	return fmt.Sprintf(`.:53 {
    errors
    ready 127.0.0.1:8181
    kubernetes %s in-addr.arpa ip6.arpa {
        kubeconfig %q
        pods insecure
        ttl 5
    }
}
`, Domain, c.PKI("coredns.kubeconfig"))
}
