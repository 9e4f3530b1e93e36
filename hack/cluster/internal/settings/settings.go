// Package settings renders what the parts of a cluster are told: their certificates' names, their
// configuration files and their command lines. It writes nothing and starts nothing.
package settings

import "net"

// Every cluster has a network namespace of its own, so all of them use the same addresses.
const (
	NodeIP      = "10.250.0.2"
	NodeNetwork = "10.250.0.2/30"
	NodeBridge  = "node0"
	PodNetwork  = "10.244.0.0/16"
	PodSubnet   = "10.244.0.0/24"
	ServiceNet  = "10.96.0.0/16"
	DNSAddress  = "10.96.0.10"
	Domain      = "cluster.local"

	// APIPort is the API server's port inside the namespace. The host reaches it by a forwarder.
	APIPort = "6443"

	// EgressPort is the node's port of the way out, if the cluster has one.
	EgressPort = 3128

	// PoliciesHealth is where the enforcer of NetworkPolicies says whether rules are in force.
	PoliciesHealth = "127.0.0.1:10300"

	// PauseImage holds a pod's namespaces. It is made on the spot: no registry can be reached.
	PauseImage = "devcluster.local/pause:1"

	// ContainerdSocket is containerd's address inside the mount namespace.
	ContainerdSocket = "/run/containerd/containerd.sock"
)

// apiServiceIP is the first address of ServiceNet, which Kubernetes gives to the API server.
const apiServiceIP = "10.96.0.1"

// APIServerNames are the names by which clients call the API server.
func APIServerNames(node string) []string {
	return []string{
		"localhost", node,
		"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc." + Domain,
	}
}

// APIServerIPs are the addresses by which clients call the API server: the forwarder's on the host
// is 127.0.0.1 too.
func APIServerIPs() []net.IP {
	return []net.IP{net.IPv4(127, 0, 0, 1), net.ParseIP(NodeIP), net.ParseIP(apiServiceIP)}
}
