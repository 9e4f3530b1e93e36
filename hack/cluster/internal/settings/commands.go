package settings

import "github.com/mcp-sampling/mcp-sampling-operator/hack/cluster/internal/layout"

// Commands returns the command line of every part, by the part's name. The first word is a program
// on the PATH or a component of this binary.
func Commands(c layout.Cluster) map[string][]string {
	return map[string][]string{
		"etcd":                    etcd(c),
		"containerd":              {"containerd", "--config", c.Config("containerd.toml")},
		"kube-apiserver":          apiServer(c),
		"kube-controller-manager": controllerManager(c),
		"kube-scheduler": {
			"kube-scheduler",
			"--kubeconfig=" + c.PKI("kube-scheduler.kubeconfig"),
			"--authentication-kubeconfig=" + c.PKI("kube-scheduler.kubeconfig"),
			"--authorization-kubeconfig=" + c.PKI("kube-scheduler.kubeconfig"),
			"--bind-address=127.0.0.1",
			"--leader-elect=false",
		},
		"kubelet": {
			"kubelet",
			"--config=" + c.Config("kubelet.yaml"),
			"--kubeconfig=" + c.PKI("kubelet.kubeconfig"),
			"--node-ip=" + NodeIP,
			"--hostname-override=" + c.Node(),
		},
		"kube-proxy": {
			"kube-proxy",
			"--config=" + c.Config("kube-proxy.yaml"),
			"--hostname-override=" + c.Node(),
		},
		"network-policies": {
			"network-policies",
			"--kubeconfig=" + c.PKI("admin.kubeconfig"),
			"--health=" + PoliciesHealth,
		},
		"coredns": {"coredns", "-conf", c.Config("Corefile")},
	}
}

func etcd(c layout.Cluster) []string {
	return []string{
		"etcd",
		"--name=devcluster",
		"--data-dir=" + c.Path("etcd"),
		"--listen-client-urls=http://127.0.0.1:2379",
		"--advertise-client-urls=http://127.0.0.1:2379",
		"--listen-peer-urls=http://127.0.0.1:2380",
		"--initial-advertise-peer-urls=http://127.0.0.1:2380",
		"--initial-cluster=devcluster=http://127.0.0.1:2380",
		// The data does not outlive the cluster.
		"--unsafe-no-fsync",
	}
}

func apiServer(c layout.Cluster) []string {
	return []string{
		"kube-apiserver",
		"--etcd-servers=http://127.0.0.1:2379",
		"--secure-port=" + APIPort,
		"--advertise-address=" + NodeIP,
		"--cert-dir=" + c.Path("pki"),
		"--tls-cert-file=" + c.PKI("kube-apiserver.crt"),
		"--tls-private-key-file=" + c.PKI("kube-apiserver.key"),
		"--client-ca-file=" + c.PKI("ca.crt"),
		"--authorization-mode=Node,RBAC",
		"--enable-admission-plugins=NodeRestriction",
		"--allow-privileged=true",
		"--kubelet-preferred-address-types=InternalIP",
		"--kubelet-certificate-authority=" + c.PKI("ca.crt"),
		"--kubelet-client-certificate=" + c.PKI("kube-apiserver-kubelet-client.crt"),
		"--kubelet-client-key=" + c.PKI("kube-apiserver-kubelet-client.key"),
		"--service-account-issuer=https://kubernetes.default.svc." + Domain,
		"--service-account-key-file=" + c.PKI("service-account.key"),
		"--service-account-signing-key-file=" + c.PKI("service-account.key"),
		"--service-cluster-ip-range=" + ServiceNet,
		"--requestheader-client-ca-file=" + c.PKI("front-proxy-ca.crt"),
		"--requestheader-allowed-names=front-proxy-client",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--requestheader-group-headers=X-Remote-Group",
		"--requestheader-username-headers=X-Remote-User",
		"--proxy-client-cert-file=" + c.PKI("front-proxy-client.crt"),
		"--proxy-client-key-file=" + c.PKI("front-proxy-client.key"),
	}
}

func controllerManager(c layout.Cluster) []string {
	kubeconfig := c.PKI("kube-controller-manager.kubeconfig")
	return []string{
		"kube-controller-manager",
		"--kubeconfig=" + kubeconfig,
		"--authentication-kubeconfig=" + kubeconfig,
		"--authorization-kubeconfig=" + kubeconfig,
		"--bind-address=127.0.0.1",
		"--use-service-account-credentials=true",
		"--root-ca-file=" + c.PKI("ca.crt"),
		"--service-account-private-key-file=" + c.PKI("service-account.key"),
		"--cluster-signing-cert-file=" + c.PKI("ca.crt"),
		"--cluster-signing-key-file=" + c.PKI("ca.key"),
		// Left alone it would make a folder below /usr/libexec.
		"--flex-volume-plugin-dir=/run/controller-manager-plugins",
		"--leader-elect=false",
	}
}
