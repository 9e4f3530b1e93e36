package netpol

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// The cluster of the cases: shop has web, db and an ended job; lab has a tester and an agent on the
// node's network.
func state(t *testing.T, specs ...string) State {
	t.Helper()
	pod := func(namespace, name, ip string, ports ...corev1.ContainerPort) *corev1.Pod {
		return &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{"app": name}},
			Spec:       corev1.PodSpec{Containers: []corev1.Container{{Ports: ports}}},
			Status:     corev1.PodStatus{Phase: corev1.PodRunning, PodIP: ip},
		}
	}
	namespace := func(name, team string) *corev1.Namespace {
		return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"team": team}}}
	}
	s := State{
		Namespaces: []*corev1.Namespace{namespace("shop", "sales"), namespace("lab", "research")},
		Pods: []*corev1.Pod{
			pod("shop", "web", "10.244.0.2", corev1.ContainerPort{Name: "http", ContainerPort: 8080}),
			pod("shop", "db", "10.244.0.3", corev1.ContainerPort{Name: "http", ContainerPort: 9000}),
			pod("lab", "tester", "10.244.0.4", corev1.ContainerPort{Name: "http", ContainerPort: 7000, Protocol: corev1.ProtocolUDP}),
			pod("shop", "job", "10.244.0.5"),
			pod("lab", "agent", "10.250.0.2"),
			pod("lab", "starting", ""),
		},
	}
	s.Pods[3].Status.Phase = corev1.PodSucceeded
	s.Pods[4].Spec.HostNetwork = true
	for i, spec := range specs {
		policy := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: fmt.Sprintf("policy-%d", i)}}
		if err := yaml.UnmarshalStrict([]byte(spec), &policy.Spec); err != nil {
			t.Fatal(err)
		}
		s.Policies = append(s.Policies, policy)
	}
	return s
}

func TestWhatAPolicyLetsPass(t *testing.T) {
	const web = "podSelector: {matchLabels: {app: web}}\n"
	for sentence, test := range map[string]struct {
		policies []string
		// want are the rules of web's chains before the drop, by their direction.
		wantIngress, wantEgress []string
	}{
		"without a policy everything passes": {},
		"a policy of other pods changes nothing": {
			policies: []string{"podSelector: {matchLabels: {app: db}}"},
		},
		"a policy without rules lets nobody in but the pod itself": {
			policies:    []string{web},
			wantIngress: []string{"ip saddr 10.244.0.2 return"},
		},
		"an empty rule lets everybody in": {
			policies:    []string{web + "ingress: [{}]"},
			wantIngress: []string{"ip saddr 10.244.0.2 return", "return"},
		},
		"an empty list of ports means all": {
			policies:    []string{web + "ingress: [{from: [{podSelector: {}}], ports: []}]"},
			wantIngress: []string{"ip saddr 10.244.0.2 return", "ip saddr { 10.244.0.2, 10.244.0.3 } return"},
		},
		"a podSelector alone means the policy's namespace": {
			policies:    []string{web + "ingress: [{from: [{podSelector: {}}]}]"},
			wantIngress: []string{"ip saddr 10.244.0.2 return", "ip saddr { 10.244.0.2, 10.244.0.3 } return"},
		},
		"a namespaceSelector means all pods of these namespaces": {
			policies:    []string{web + "ingress: [{from: [{namespaceSelector: {matchLabels: {team: research}}}]}]"},
			wantIngress: []string{"ip saddr 10.244.0.2 return", "ip saddr { 10.244.0.4 } return"},
		},
		"both selectors together have to match": {
			policies:    []string{web + "ingress: [{from: [{namespaceSelector: {}, podSelector: {matchLabels: {app: db}}}]}]"},
			wantIngress: []string{"ip saddr 10.244.0.2 return", "ip saddr { 10.244.0.3 } return"},
		},
		"two peers are an or": {
			policies:    []string{web + "ingress: [{from: [{podSelector: {matchLabels: {app: db}}}, {namespaceSelector: {matchLabels: {team: research}}}]}]"},
			wantIngress: []string{"ip saddr 10.244.0.2 return", "ip saddr { 10.244.0.3, 10.244.0.4 } return"},
		},
		"peers that nobody is let nobody in": {
			policies:    []string{web + "ingress: [{from: [{podSelector: {matchLabels: {app: none}}}]}]"},
			wantIngress: []string{"ip saddr 10.244.0.2 return"},
		},
		"a block without its exceptions, and no block of the other family": {
			policies: []string{web + "ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16, 10.2.0.0/16]}}, {ipBlock: {cidr: 'fd00::/8'}}]}]"},
			wantIngress: []string{
				"ip saddr 10.0.0.0/8 ip saddr != 10.1.0.0/16 ip saddr != 10.2.0.0/16 return",
				"ip saddr 10.244.0.2 return",
			},
		},
		"ports by number, range, protocol and the name that the pod gives": {
			policies: []string{web + "ingress: [{ports: [{port: 80}, {port: 90, endPort: 99}, {protocol: UDP}, {port: http}, {port: other}, {port: http, protocol: UDP}]}]"},
			wantIngress: []string{
				"ip protocol udp return", "ip saddr 10.244.0.2 return",
				"tcp dport 80 return", "tcp dport 8080 return", "tcp dport 90-99 return",
			},
		},
		"policies add up": {
			policies:    []string{web + "ingress: [{ports: [{port: 80}]}]", web + "ingress: [{ports: [{port: 81}]}]"},
			wantIngress: []string{"ip saddr 10.244.0.2 return", "tcp dport 80 return", "tcp dport 81 return"},
		},
		"egress only": {
			policies:   []string{web + "policyTypes: [Egress]\negress: [{ports: [{port: 53, protocol: UDP}]}]"},
			wantEgress: []string{"ip daddr 10.244.0.2 return", "udp dport 53 return"},
		},
		"without types, rules for egress make it both": {
			policies:    []string{web + "egress: [{to: [{podSelector: {matchLabels: {app: db}}}]}]"},
			wantIngress: []string{"ip saddr 10.244.0.2 return"},
			wantEgress:  []string{"ip daddr 10.244.0.2 return", "ip daddr { 10.244.0.3 } return"},
		},
		"a port's name on the way out means what the other pod calls so": {
			policies:   []string{web + "policyTypes: [Egress]\negress: [{to: [{podSelector: {}}, {namespaceSelector: {}}], ports: [{port: http}]}]"},
			wantEgress: []string{"ip daddr 10.244.0.2 return", "ip daddr 10.244.0.2 tcp dport 8080 return", "ip daddr 10.244.0.3 tcp dport 9000 return"},
		},
		"a port's name on the way out to anybody": {
			policies:   []string{web + "policyTypes: [Egress]\negress: [{ports: [{port: http, protocol: UDP}]}]"},
			wantEgress: []string{"ip daddr 10.244.0.2 return", "ip daddr 10.244.0.4 udp dport 7000 return"},
		},
	} {
		t.Run(sentence, func(t *testing.T) {
			rules, err := Rules(state(t, test.policies...))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.wantIngress, chainOf(rules, "ip daddr", "10.244.0.2")); diff != "" {
				t.Errorf("ingress (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.wantEgress, chainOf(rules, "ip saddr", "10.244.0.2")); diff != "" {
				t.Errorf("egress (-want +got):\n%s", diff)
			}
			takes(t, rules)
		})
	}
}

// chainOf returns the rules of the chain that the address leads to, without the drop at its end.
func chainOf(rules, side, ip string) []string {
	_, hook, _ := strings.Cut(rules, "chain to_pods {")
	for line := range strings.Lines(hook) {
		if !strings.Contains(line, side+" vmap") {
			continue
		}
		_, rest, found := strings.Cut(line, ip+" : jump ")
		if !found {
			continue
		}
		name := strings.FieldsFunc(rest, func(r rune) bool { return r == ' ' || r == ',' })[0]
		_, body, _ := strings.Cut(rules, "chain "+name+" {\n")
		body, _, _ = strings.Cut(body, "\t\tdrop\n")
		lines := strings.Split(strings.TrimSpace(body), "\n")
		for i := range lines {
			lines[i] = strings.TrimSpace(lines[i])
		}
		return lines
	}
	return nil
}

// takes has the kernel take the rules, in a network of their own, where that is possible.
func takes(t *testing.T, rules string) {
	t.Helper()
	if _, err := exec.LookPath("nft"); err != nil || os.Geteuid() != 0 {
		t.Log("the kernel was not asked: that needs root and nft")
		return
	}
	// Twice: the second time there is something to replace.
	for range 2 {
		cmd := exec.CommandContext(t.Context(), "unshare", "--net", "nft", "-f", "-")
		cmd.Stdin = strings.NewReader(rules + rules)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("nft: %v: %s in\n%s", err, out, rules)
		}
	}
}

func TestRulesAsAWhole(t *testing.T) {
	rules, err := Rules(state(t, "podSelector: {matchLabels: {app: web}}\npolicyTypes: [Ingress, Egress]"))
	if err != nil {
		t.Fatal(err)
	}
	want := `table ip devcluster_policies
delete table ip devcluster_policies
table ip devcluster_policies {
	# shop/web
	chain egress_0 {
		ip daddr 10.244.0.2 return
		drop
	}
	# shop/web
	chain ingress_0 {
		ip saddr 10.244.0.2 return
		drop
	}
	chain to_node {
		type filter hook input priority filter; policy accept;
		ct state established,related accept
		ip saddr vmap { 10.244.0.2 : jump egress_0 }
	}
	chain to_pods {
		type filter hook forward priority filter; policy accept;
		ct state established,related accept
		ip saddr vmap { 10.244.0.2 : jump egress_0 }
		ip daddr vmap { 10.244.0.2 : jump ingress_0 }
	}
}
`
	if diff := cmp.Diff(want, rules); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAnAddressIsTheNewestPods(t *testing.T) {
	s := state(t, "podSelector: {matchLabels: {app: web}}")
	s.Pods[1].Status.PodIP = s.Pods[0].Status.PodIP
	s.Pods[1].CreationTimestamp = metav1.NewTime(time.Unix(1000, 0))
	rules, err := Rules(s)
	if err != nil {
		t.Fatal(err)
	}
	if got := chainOf(rules, "ip daddr", "10.244.0.2"); got != nil {
		t.Errorf("db has the address of web, which has ended, and is restricted as web was: %q", got)
	}
}
