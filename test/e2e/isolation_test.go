package e2e

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
)

// The pods of these tests connect, or can't. Where one can't, the test also shows
// the same pod connect as soon as a policy lets it: nothing else was in its way.

// enforced skips a test where nothing enforces NetworkPolicies. The cluster that
// is made for these tests does.
func (s *space) enforced(t *testing.T) {
	t.Helper()
	const listener = "listener"
	s.run(t, listener, 8080, "/fakellm")
	s.runProber(t)
	address := listener + ":8080"
	s.reaches(t, prober, address)
	deny := &networkingv1.NetworkPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: "nobody"},
		Spec:       networkingv1.NetworkPolicySpec{PodSelector: metav1.LabelSelector{MatchLabels: map[string]string{"app": listener}}},
	}
	s.create(t, deny)
	deadline := time.Now().Add(30 * time.Second)
	for s.probe(t.Context(), prober, "connect", address) == nil {
		if time.Now().After(deadline) {
			if cmp.Or(os.Getenv("CLUSTER"), "own") == "own" {
				t.Fatal("the cluster does not enforce NetworkPolicies")
			}
			t.Skip("SKIPPED: this cluster's network enforces no NetworkPolicies")
		}
	}
	must(t, s.client.Delete(t.Context(), deny))
	t.Logf("a policy is lifted after %s", s.reaches(t, prober, address).Round(time.Millisecond))
}

// prober is a pod that does nothing until it is asked to connect.
const prober = "prober"

func (s *space) runProber(t *testing.T) {
	t.Helper()
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: prober, Labels: map[string]string{"app": prober}},
		Spec: corev1.PodSpec{
			AutomountServiceAccountToken:  new(false),
			TerminationGracePeriodSeconds: new(int64(1)),
			Containers: []corev1.Container{{
				Name: prober, Image: peersImage(), ImagePullPolicy: corev1.PullIfNotPresent,
				Command: []string{"/probe", "wait"}, SecurityContext: restricted(),
			}},
		},
	}
	s.create(t, pod)
	eventually(t, patience, "the prober to run", func(ctx context.Context) error {
		if err := s.get(ctx, pod); err != nil {
			return err
		}
		if pod.Status.Phase != corev1.PodRunning {
			return fmt.Errorf("it is %s", pod.Status.Phase)
		}
		return nil
	})
}

// probe runs the probe in a pod that has it.
func (s *space) probe(ctx context.Context, pod string, words ...string) error {
	_, err := s.kubectl(ctx, "", append([]string{"exec", "-n", s.name, pod, "--", "/probe"}, words...)...)
	return err
}

// reaches waits until the pod connects, and returns how long it took.
func (s *space) reaches(t *testing.T, pod, address string) time.Duration {
	t.Helper()
	return eventually(t, patience, fmt.Sprintf("pod %s to reach %s", pod, address), func(ctx context.Context) error {
		return s.probe(ctx, pod, "connect", address)
	})
}

// cannotReach waits until the pod can't connect.
func (s *space) cannotReach(t *testing.T, pod, address string) {
	t.Helper()
	eventually(t, patience, fmt.Sprintf("pod %s to be kept from %s", pod, address), func(ctx context.Context) error {
		err := s.probe(ctx, pod, "connect", address)
		switch {
		case err == nil:
			return errors.New("it connects")
		case ctx.Err() != nil:
			return err
		default:
			return nil
		}
	})
}

// let makes a policy that lets the selected pods of the namespace connect to
// others of it.
func (s *space) let(t *testing.T, name string, from, to map[string]string) {
	t.Helper()
	s.create(t, &networkingv1.NetworkPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: networkingv1.NetworkPolicySpec{
			PodSelector: metav1.LabelSelector{MatchLabels: to},
			PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress},
			Ingress: []networkingv1.NetworkPolicyIngressRule{{
				From: []networkingv1.NetworkPolicyPeer{{PodSelector: &metav1.LabelSelector{MatchLabels: from}}},
			}},
		},
	})
}

// podsOf are the labels of a server's pods, or of its samplers.
func podsOf(server, component string) map[string]string {
	return map[string]string{"app.kubernetes.io/instance": server, "app.kubernetes.io/component": component}
}

// address returns where the only pod of a server, or its only sampler, listens.
func (s *space) address(t *testing.T, server, component, port string) string {
	t.Helper()
	pods := s.labelled(t, "app.kubernetes.io/instance="+server+",app.kubernetes.io/component="+component)
	if len(pods) != 1 {
		t.Fatalf("%s has %d pods of its %s, want 1", server, len(pods), component)
	}
	return net.JoinHostPort(pods[0].Status.PodIP, port)
}

func testAccessFrom(t *testing.T) {
	own, other := newSpace(t), newSpace(t)
	own.enforced(t)
	own.runFakeModel(t)
	other.runProber(t)
	server, policy := newServer("summarizer"), newPolicy("policy", "summarizer")
	own.create(t, server, policy)
	own.awaitReady(t, server, policy)
	at, err := url.Parse(server.Status.URL)
	must(t, err)
	address := net.JoinHostPort(at.Hostname(), cmp.Or(at.Port(), "80"))
	before := own.pods(t)

	// Omitted means Same.
	own.reaches(t, prober, address)
	other.cannotReach(t, prober, address)
	if _, err := parseEcho(own.callInCluster(t, server, "Boats float on water.")); err != nil {
		t.Errorf("a caller of the server's own namespace: %v", err)
	}

	set := func(access mcpv1alpha1.Access) {
		t.Helper()
		patch(t, own, server, func(server *mcpv1alpha1.MCPServer) { server.Spec.Access = access })
	}
	named := func(namespace string) mcpv1alpha1.Access {
		return mcpv1alpha1.Access{
			From:              mcpv1alpha1.AccessFromSelector,
			NamespaceSelector: &mcpv1alpha1.LabelSelector{MatchLabels: map[string]mcpv1alpha1.LabelValue{corev1.LabelMetadataName: mcpv1alpha1.LabelValue(namespace)}},
		}
	}
	set(named(other.name))
	t.Logf("a namespace that is selected gets in after %s", other.reaches(t, prober, address).Round(time.Millisecond))
	own.cannotReach(t, prober, address) // It is not selected by itself.

	set(named("somewhere-else"))
	other.cannotReach(t, prober, address)

	set(mcpv1alpha1.Access{From: mcpv1alpha1.AccessFromAll})
	t.Logf("everybody gets in after %s", other.reaches(t, prober, address).Round(time.Millisecond))
	own.reaches(t, prober, address)

	set(mcpv1alpha1.Access{From: mcpv1alpha1.AccessFromSame})
	other.cannotReach(t, prober, address)
	own.reaches(t, prober, address)

	own.awaitReady(t, server, policy) // The operator was never kept out.
	after := own.pods(t)
	if !equalPods(before, after) {
		t.Errorf("pods changed because of who may connect:\nbefore %v\nafter  %v", before, after)
	}
}

func testOnlySamplersReachServers(t *testing.T) {
	s, other := newSpace(t), newSpace(t)
	s.enforced(t)
	s.runFakeModel(t)
	other.runProber(t)
	server, policy := newServer("summarizer"), newPolicy("policy", "summarizer")
	s.create(t, server, policy)
	s.awaitReady(t, server, policy) // Its own samplers reach it.
	address := s.address(t, server.Name, "server", "8000")
	s.cannotReach(t, prober, address)
	other.cannotReach(t, prober, address)

	// Nor do the samplers of another server, though they are samplers.
	backend := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "backdoor"},
		Spec: corev1.ServiceSpec{
			Selector: podsOf(server.Name, "server"),
			Ports:    []corev1.ServicePort{{Port: 8000}},
		},
	}
	thief := &mcpv1alpha1.MCPServer{
		ObjectMeta: metav1.ObjectMeta{Name: "thief"},
		Spec:       mcpv1alpha1.MCPServerSpec{Service: &mcpv1alpha1.ServerService{Name: backend.Name, Port: 8000}},
	}
	s.create(t, backend, thief)
	s.await(t, thief, wantCondition{conditionType: mcpv1alpha1.ConditionVerified, status: metav1.ConditionFalse})
	s.let(t, "samplers-of-the-thief", podsOf(thief.Name, "sampler"), podsOf(server.Name, "server"))
	s.await(t, thief, wantCondition{conditionType: mcpv1alpha1.ConditionVerified, status: metav1.ConditionTrue})

	s.let(t, "the-prober", map[string]string{"app": prober}, podsOf(server.Name, "server"))
	s.reaches(t, prober, address)
	other.cannotReach(t, prober, address)
}

func testOnlyTheOperatorReachesAdminPorts(t *testing.T) {
	s, other := newSpace(t), newSpace(t)
	s.enforced(t)
	s.runFakeModel(t)
	other.runProber(t)
	server, policy := newServer("summarizer"), newPolicy("policy", "summarizer")
	server.Spec.Access = mcpv1alpha1.Access{From: mcpv1alpha1.AccessFromAll}
	s.create(t, server, policy)
	// What a policy's condition Programmed says, the operator heard there.
	s.awaitReady(t, server, policy)
	other.reaches(t, prober, s.address(t, server.Name, "sampler", "8080"))
	address := s.address(t, server.Name, "sampler", "9090")
	s.cannotReach(t, prober, address)
	other.cannotReach(t, prober, address)
	s.let(t, "the-prober", map[string]string{"app": prober}, podsOf(server.Name, "sampler"))
	s.reaches(t, prober, address)
}

// Whoever scrapes may be anywhere, and nobody else has to reach the manager.
func testManagersPorts(t *testing.T) {
	s := newSpace(t)
	s.enforced(t)
	var managers corev1.PodList
	must(t, s.client.List(t.Context(), &managers, client.InNamespace(operatorNamespace), client.HasLabels{"app.kubernetes.io/name"}))
	if len(managers.Items) == 0 {
		t.Fatalf("no pod of the manager in namespace %s", operatorNamespace)
	}
	manager := managers.Items[0]
	metrics, health := net.JoinHostPort(manager.Status.PodIP, "8080"), net.JoinHostPort(manager.Status.PodIP, "8081")
	s.cannotReach(t, prober, metrics) // of the namespace that may, a real Prometheus does
	s.cannotReach(t, prober, health)

	open := &networkingv1.NetworkPolicy{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "e2e-", Namespace: operatorNamespace},
		Spec: networkingv1.NetworkPolicySpec{
			PodSelector: metav1.LabelSelector{MatchLabels: map[string]string{"app.kubernetes.io/name": manager.Labels["app.kubernetes.io/name"]}},
			Ingress:     []networkingv1.NetworkPolicyIngressRule{{}},
		},
	}
	must(t, s.client.Create(t.Context(), open))
	t.Cleanup(func() {
		if err := s.client.Delete(context.WithoutCancel(t.Context()), open); err != nil {
			t.Errorf("delete the policy that opens the manager: %v", err)
		}
	})
	s.reaches(t, prober, health)
	s.reaches(t, prober, metrics)
}

func testServerEgress(t *testing.T) {
	s := newSpace(t)
	s.enforced(t)
	s.runFakeModel(t)
	server, policy := newServer("summarizer", running(peersImage(), "/gosdkserver")), newPolicy("policy", "summarizer")
	server.Spec.Access = mcpv1alpha1.Access{Egress: mcpv1alpha1.EgressRestricted}
	s.create(t, server, policy)
	s.awaitReady(t, server, policy)
	pods := s.labelled(t, "app.kubernetes.io/instance=summarizer,app.kubernetes.io/component=server")
	if len(pods) != 1 {
		t.Fatalf("the server has %d pods, want 1", len(pods))
	}
	pod, model, api := pods[0].Name, fakeModel+":8080", "kubernetes.default.svc:443"

	if err := s.probe(t.Context(), pod, "resolve", fakeModel); err != nil {
		t.Errorf("names: %v", err)
	}
	s.cannotReach(t, pod, model)
	s.cannotReach(t, pod, api)
	// It samples all the same: that is an answer to its sampler.
	if _, err := s.dial(t, server).summarize(t.Context()); err != nil {
		t.Error(err)
	}

	patch(t, s, server, func(server *mcpv1alpha1.MCPServer) { server.Spec.Access.Egress = mcpv1alpha1.EgressOpen })
	t.Logf("everything is open after %s", s.reaches(t, pod, model).Round(time.Millisecond))
	s.reaches(t, pod, api)

	patch(t, s, server, func(server *mcpv1alpha1.MCPServer) { server.Spec.Access.Egress = mcpv1alpha1.EgressRestricted })
	s.cannotReach(t, pod, model)
	s.cannotReach(t, pod, api)
}
