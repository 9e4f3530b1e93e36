package settings

import (
	"net"

	"github.com/mcp-sampling/mcp-sampling-operator/hack/cluster/internal/layout"
	"github.com/mcp-sampling/mcp-sampling-operator/hack/cluster/internal/pki"
)

// masters is the group that may do everything.
const masters = "system:masters"

// Clients are those who talk to the API server by a kubeconfig, by the kubeconfig's name. Their
// names and groups are the ones that Kubernetes binds roles to by itself.
func Clients(c layout.Cluster) map[string]pki.Subject {
	return map[string]pki.Subject{
		"admin":                   {CommonName: "devcluster-admin", Organization: masters},
		"kube-controller-manager": {CommonName: "system:kube-controller-manager"},
		"kube-scheduler":          {CommonName: "system:kube-scheduler"},
		"kube-proxy":              {CommonName: "system:kube-proxy"},
		"kubelet":                 {CommonName: "system:node:" + c.Node(), Organization: "system:nodes"},
		"coredns":                 {CommonName: DNSUser},
	}
}

// DNSUser is the name of CoreDNS, for which the cluster's start binds a role.
const DNSUser = "system:coredns"

// Certificates are those that the cluster's authority signs and a part is given as files, by the
// files' name.
func Certificates(c layout.Cluster) map[string]pki.Subject {
	return map[string]pki.Subject{
		"kube-apiserver":                {CommonName: "kube-apiserver", DNSNames: APIServerNames(c.Node()), IPs: APIServerIPs()},
		"kube-apiserver-kubelet-client": {CommonName: "kube-apiserver-kubelet-client", Organization: masters},
		"kubelet": {
			CommonName: "system:node:" + c.Node(), Organization: "system:nodes",
			DNSNames: []string{c.Node()}, IPs: []net.IP{net.ParseIP(NodeIP), net.IPv4(127, 0, 0, 1)},
		},
	}
}
