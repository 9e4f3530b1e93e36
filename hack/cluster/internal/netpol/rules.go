// Package netpol enforces NetworkPolicies on the cluster's node. The enforcers that clusters
// usually have can't be had as a Go module, so this is a small one, for development and tests only:
// rules.go says what the kernel's packet filter should do, enforcer.go tells it whenever something
// changes.
package netpol

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// table is the packet filter's table that holds all our rules and nothing else.
const table = "devcluster_policies"

// State is what the rules follow from.
type State struct {
	Namespaces []*corev1.Namespace
	Pods       []*corev1.Pod
	Policies   []*networkingv1.NetworkPolicy
}

// Rules returns the input of nft that replaces all rules at once. What belongs to a connection that
// was let in passes, and so does what the node itself sends, such as the kubelet's probes: it does
// not come by the hooks used here.
func Rules(s State) (string, error) {
	c := newCluster(s)
	var chains, egress, ingress []string
	for i, p := range c.pods {
		for _, d := range []struct {
			direction networkingv1.PolicyType
			entries   *[]string
		}{{networkingv1.PolicyTypeEgress, &egress}, {networkingv1.PolicyTypeIngress, &ingress}} {
			body, isolated, err := c.chain(p, d.direction, s.Policies)
			if err != nil {
				return "", err
			}
			if !isolated {
				continue
			}
			// nft refuses some words as names of chains: the number keeps clear of them.
			name := fmt.Sprintf("%s_%d", strings.ToLower(string(d.direction)), i)
			*d.entries = append(*d.entries, fmt.Sprintf("%s : jump %s", p.ip, name))
			chains = append(chains, fmt.Sprintf("\t# %s/%s\n\tchain %s {\n%s\t\tdrop\n\t}\n", p.namespace, p.name, name, body))
		}
	}
	var b strings.Builder
	// Adding the table first makes that deleting it never fails.
	fmt.Fprintf(&b, "table ip %[1]s\ndelete table ip %[1]s\ntable ip %[1]s {\n%s", table, strings.Join(chains, ""))
	// Pods reach the node's own programs, such as the API server, by the hook input.
	fmt.Fprintf(&b, "\tchain to_node {\n\t\ttype filter hook input priority filter; policy accept;\n\t\tct state established,related accept\n%s\t}\n", verdicts("saddr", egress))
	fmt.Fprintf(&b, "\tchain to_pods {\n\t\ttype filter hook forward priority filter; policy accept;\n\t\tct state established,related accept\n%s%s\t}\n}\n",
		verdicts("saddr", egress), verdicts("daddr", ingress))
	return b.String(), nil
}

func verdicts(side string, entries []string) string {
	if len(entries) == 0 {
		return ""
	}
	return fmt.Sprintf("\t\tip %s vmap { %s }\n", side, strings.Join(entries, ", "))
}

// pod is a pod that has an address of its own.
type pod struct {
	namespace, name string
	ip              netip.Addr
	created         time.Time
	labels          labels.Set
	ports           []corev1.ContainerPort
}

type cluster struct {
	pods       []pod
	namespaces map[string]labels.Set
}

func newCluster(s State) cluster {
	c := cluster{namespaces: map[string]labels.Set{}}
	for _, n := range s.Namespaces {
		c.namespaces[n.Name] = n.Labels
	}
	for _, p := range s.Pods {
		// An address may be another pod's as soon as this one has ended.
		if p.Spec.HostNetwork || p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed {
			continue
		}
		ip, err := netip.ParseAddr(p.Status.PodIP)
		if err != nil || !ip.Is4() {
			continue // It has no address yet.
		}
		one := pod{namespace: p.Namespace, name: p.Name, ip: ip, created: p.CreationTimestamp.Time, labels: p.Labels}
		for _, containers := range [][]corev1.Container{p.Spec.InitContainers, p.Spec.Containers} {
			for _, container := range containers {
				one.ports = append(one.ports, container.Ports...)
			}
		}
		c.pods = append(c.pods, one)
	}
	// A pod that is ending may still be listed with an address that a new one has by now.
	slices.SortFunc(c.pods, func(a, b pod) int {
		return cmp.Or(a.ip.Compare(b.ip), b.created.Compare(a.created))
	})
	c.pods = slices.CompactFunc(c.pods, func(a, b pod) bool { return a.ip == b.ip })
	return c
}

// chain returns the rules for one direction of a pod's traffic, and whether any policy restricts
// it. A rule that lets a packet pass says return: the other end of the connection has a say too.
func (c cluster) chain(p pod, direction networkingv1.PolicyType, policies []*networkingv1.NetworkPolicy) (string, bool, error) {
	var lines []string
	isolated := false
	for _, policy := range policies {
		selected, err := matches(&policy.Spec.PodSelector, p.labels)
		if err != nil {
			return "", false, fmt.Errorf("reading the podSelector of NetworkPolicy %s/%s: %w", policy.Namespace, policy.Name, err)
		}
		if policy.Namespace != p.namespace || !selected || !restricts(policy.Spec, direction) {
			continue
		}
		isolated = true
		more, err := c.allowed(p, direction, policy)
		if err != nil {
			return "", false, fmt.Errorf("reading NetworkPolicy %s/%s: %w", policy.Namespace, policy.Name, err)
		}
		lines = append(lines, more...)
	}
	// No policy keeps a pod from itself, not by its Service either.
	side := "saddr"
	if direction == networkingv1.PolicyTypeEgress {
		side = "daddr"
	}
	lines = append(lines, fmt.Sprintf("ip %s %s return", side, p.ip))
	slices.Sort(lines)
	var b strings.Builder
	for _, line := range slices.Compact(lines) {
		fmt.Fprintf(&b, "\t\t%s\n", line)
	}
	return b.String(), isolated, nil
}

// restricts tells whether the policy is about that direction. Without types it is about ingress,
// and about egress if it has rules for it.
func restricts(spec networkingv1.NetworkPolicySpec, direction networkingv1.PolicyType) bool {
	if len(spec.PolicyTypes) > 0 {
		return slices.Contains(spec.PolicyTypes, direction)
	}
	return direction == networkingv1.PolicyTypeIngress || len(spec.Egress) > 0
}

func (c cluster) allowed(p pod, direction networkingv1.PolicyType, policy *networkingv1.NetworkPolicy) ([]string, error) {
	var lines []string
	if direction == networkingv1.PolicyTypeIngress {
		for _, rule := range policy.Spec.Ingress {
			pods, blocks, err := c.peers(policy.Namespace, rule.From)
			if err != nil {
				return nil, err
			}
			for _, peer := range slices.Concat(anyPeer(rule.From), addresses("saddr", pods), blockPeers("saddr", blocks)) {
				lines = append(lines, join(peer, portMatches(rule.Ports, p.ports))...)
			}
		}
		return lines, nil
	}
	for _, rule := range policy.Spec.Egress {
		pods, blocks, err := c.peers(policy.Namespace, rule.To)
		if err != nil {
			return nil, err
		}
		// A port's name means what the pod at the other end calls so.
		for _, peer := range slices.Concat(anyPeer(rule.To), addresses("daddr", pods), blockPeers("daddr", blocks)) {
			lines = append(lines, join(peer, portMatches(rule.Ports, nil))...)
		}
		if len(rule.To) == 0 {
			pods = c.pods
		}
		for _, other := range pods {
			lines = append(lines, join("ip daddr "+other.ip.String(), namedMatches(named(rule.Ports), other.ports))...)
		}
	}
	return lines, nil
}

// join puts a peer and each match of a port together.
func join(peer string, ports []string) []string {
	lines := make([]string, 0, len(ports))
	for _, port := range ports {
		lines = append(lines, strings.Join(strings.Fields(peer+" "+port+" return"), " "))
	}
	return lines
}

// anyPeer is the match of everybody, if no peers are named.
func anyPeer(peers []networkingv1.NetworkPolicyPeer) []string {
	if len(peers) == 0 {
		return []string{""}
	}
	return nil
}

func addresses(side string, pods []pod) []string {
	if len(pods) == 0 {
		return nil
	}
	ips := make([]string, 0, len(pods))
	for _, p := range pods {
		ips = append(ips, p.ip.String())
	}
	return []string{fmt.Sprintf("ip %s { %s }", side, strings.Join(ips, ", "))}
}

func blockPeers(side string, blocks []networkingv1.IPBlock) []string {
	var matches []string
	for _, block := range blocks {
		match := fmt.Sprintf("ip %s %s", side, block.CIDR)
		for _, except := range block.Except {
			match += fmt.Sprintf(" ip %s != %s", side, except)
		}
		matches = append(matches, match)
	}
	return matches
}

// peers returns the pods and the IPv4 blocks that the peers mean, each pod once.
func (c cluster) peers(namespace string, peers []networkingv1.NetworkPolicyPeer) ([]pod, []networkingv1.IPBlock, error) {
	var blocks []networkingv1.IPBlock
	chosen := make([]bool, len(c.pods))
	for _, peer := range peers {
		if peer.IPBlock != nil {
			prefix, err := netip.ParsePrefix(peer.IPBlock.CIDR)
			if err != nil {
				return nil, nil, fmt.Errorf("reading an ipBlock: %w", err)
			}
			if prefix.Addr().Is4() {
				blocks = append(blocks, *peer.IPBlock)
			}
			continue
		}
		for i, p := range c.pods {
			match, err := c.peerMatches(namespace, peer, p)
			if err != nil {
				return nil, nil, err
			}
			chosen[i] = chosen[i] || match
		}
	}
	var pods []pod
	for i, p := range c.pods {
		if chosen[i] {
			pods = append(pods, p)
		}
	}
	return pods, blocks, nil
}

func (c cluster) peerMatches(namespace string, peer networkingv1.NetworkPolicyPeer, p pod) (bool, error) {
	inNamespace := p.namespace == namespace
	if peer.NamespaceSelector != nil {
		var err error
		if inNamespace, err = matches(peer.NamespaceSelector, c.namespaces[p.namespace]); err != nil {
			return false, fmt.Errorf("reading a namespaceSelector: %w", err)
		}
	}
	if !inNamespace || peer.PodSelector == nil {
		return inNamespace, nil
	}
	match, err := matches(peer.PodSelector, p.labels)
	if err != nil {
		return false, fmt.Errorf("reading a podSelector: %w", err)
	}
	return match, nil
}

func matches(selector *metav1.LabelSelector, set labels.Set) (bool, error) {
	parsed, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		return false, err
	}
	return parsed.Matches(set), nil
}

// portMatches returns the match of each port, that of all if none are asked for. Names are looked
// up in what the pod that is connected to declares.
func portMatches(ports []networkingv1.NetworkPolicyPort, declared []corev1.ContainerPort) []string {
	if len(ports) == 0 {
		return []string{""}
	}
	matches := namedMatches(named(ports), declared)
	for _, port := range ports {
		protocol := protocolOf(port)
		switch {
		case isNamed(port):
		case port.Port == nil:
			matches = append(matches, "ip protocol "+protocol)
		case port.EndPort != nil:
			matches = append(matches, fmt.Sprintf("%s dport %d-%d", protocol, port.Port.IntVal, *port.EndPort))
		default:
			matches = append(matches, fmt.Sprintf("%s dport %d", protocol, port.Port.IntVal))
		}
	}
	return matches
}

func namedMatches(ports []networkingv1.NetworkPolicyPort, declared []corev1.ContainerPort) []string {
	var matches []string
	for _, port := range ports {
		for _, d := range declared {
			protocol := strings.ToLower(string(cmp.Or(d.Protocol, corev1.ProtocolTCP)))
			if d.Name == port.Port.StrVal && protocol == protocolOf(port) {
				matches = append(matches, fmt.Sprintf("%s dport %d", protocol, d.ContainerPort))
			}
		}
	}
	return matches
}

func isNamed(port networkingv1.NetworkPolicyPort) bool {
	return port.Port != nil && port.Port.Type == intstr.String
}

func named(ports []networkingv1.NetworkPolicyPort) []networkingv1.NetworkPolicyPort {
	return slices.DeleteFunc(slices.Clone(ports), func(p networkingv1.NetworkPolicyPort) bool { return !isNamed(p) })
}

func protocolOf(port networkingv1.NetworkPolicyPort) string {
	if port.Protocol == nil {
		return "tcp"
	}
	return strings.ToLower(string(*port.Protocol))
}
