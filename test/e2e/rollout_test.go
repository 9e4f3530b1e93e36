package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
)

// replaced waits until a Deployment has been rolled out and the pods from before
// are gone.
func (s *space) replaced(t *testing.T, name string, old []corev1.Pod) {
	t.Helper()
	deployment := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: name}}
	eventually(t, patience, "the end of the rollout of "+name, func(ctx context.Context) error {
		if err := s.get(ctx, deployment); err != nil {
			return err
		}
		want := *deployment.Spec.Replicas
		if d := deployment.Status; d.ObservedGeneration < deployment.Generation || d.UpdatedReplicas != want || d.Replicas != want || d.ReadyReplicas != want {
			return fmt.Errorf("it is at %+v", d)
		}
		for _, pod := range old {
			if err := s.get(ctx, pod.DeepCopy()); client.IgnoreNotFound(err) != nil || err == nil {
				return errors.Join(err, fmt.Errorf("pod %s is still there", pod.Name))
			}
		}
		return nil
	})
}

// A server is rolled out under calls, short ones and such of seconds: none fails,
// callers begin new sessions when they get 404, and these are on the new pods.
func testRolloutOfAServer(t *testing.T) {
	s := newSpace(t)
	s.runFakeModel(t)
	server, policy := newServer("gosdk", running(peersImage(), "/gosdkserver")), newPolicy("policy", "gosdk")
	server.Spec.Replicas = new(int32(2))
	s.create(t, server, policy)
	s.awaitReady(t, server, policy)
	s.serverPods(t, server, 2)
	c := s.callers(t)
	c.open(server.Status.URL)
	before := c.tell("/call", url.Values{"tool": {"where"}})
	if len(before.Texts) != 2 || before.OK != many {
		t.Fatalf("want sessions on both pods: %s", before)
	}
	old := s.labelled(t, "app.kubernetes.io/component=server,app.kubernetes.io/instance=gosdk")
	c.tell("/loop", url.Values{"tool": {"work", "where", "summarize"}, "again": {"yes"}})

	start := time.Now()
	patch(t, s, server, func(server *mcpv1alpha1.MCPServer) {
		server.Spec.Container.Env = []corev1.EnvVar{{Name: "RELEASE", Value: "next"}}
	})
	s.replaced(t, "gosdk-server", old)
	took := time.Since(start)
	got := c.tell("/stop", nil)
	t.Logf("a server was rolled out in %s under %d calls, %d sessions were begun anew: %s", took.Round(time.Millisecond), got.OK, got.Renewed, got)
	if got.Failed != 0 || len(got.Lost) != 0 {
		t.Errorf("want no call to fail: %s", got)
	}
	if got.Renewed < many {
		t.Errorf("%d sessions were begun anew, want all %d: both pods were replaced", got.Renewed, many)
	}
	after := c.tell("/call", url.Values{"tool": {"where"}})
	for _, pod := range old {
		if after.Texts[pod.Name] != 0 {
			t.Errorf("%d sessions are on %s, which is gone", after.Texts[pod.Name], pod.Name)
		}
	}
	if after.OK != many {
		t.Errorf("after the rollout: %s", after)
	}
	s.awaitReady(t, server, policy)
}

// serverPods waits until that many pods of a server are ready.
func (s *space) serverPods(t *testing.T, server *mcpv1alpha1.MCPServer, want int32) {
	t.Helper()
	eventually(t, patience, fmt.Sprintf("%d pods of the server", want), func(ctx context.Context) error {
		if err := s.get(ctx, server); err != nil {
			return err
		}
		if server.Status.Replicas != want || server.Status.ReadyReplicas != want {
			return fmt.Errorf("status has %d replicas, %d of them ready", server.Status.Replicas, server.Status.ReadyReplicas)
		}
		return nil
	})
}

// Draining a node evicts its pods. Of two only one may go at a time, and no call
// fails meanwhile.
func testEvictions(t *testing.T) {
	s := newSpace(t)
	s.runFakeModel(t)
	server, policy := newServer("gosdk", running(peersImage(), "/gosdkserver")), newPolicy("policy", "gosdk")
	server.Spec.Replicas, server.Spec.Sampler.Replicas = new(int32(2)), new(int32(2))
	s.create(t, server, policy)
	s.awaitReady(t, server, policy)
	s.serverPods(t, server, 2)
	s.samplers(t, server, 2)
	c := s.callers(t)
	c.open(server.Status.URL)
	c.tell("/loop", url.Values{"tool": {"where", "summarize"}, "again": {"yes"}})
	for _, component := range []string{"sampler", "server"} {
		s.evictBoth(t, server, component)
	}
	got := c.tell("/stop", nil)
	t.Logf("all pods were evicted under %d calls, %d sessions were begun anew: %s", got.OK, got.Renewed, got)
	if got.Failed != 0 || len(got.Lost) != 0 || got.OK < many {
		t.Errorf("want no call to fail: %s", got)
	}
	s.awaitReady(t, server, policy)
}

// evictBoth evicts the two pods of a component, as soon as each may go.
func (s *space) evictBoth(t *testing.T, server *mcpv1alpha1.MCPServer, component string) {
	t.Helper()
	selector := "app.kubernetes.io/instance=" + server.Name + ",app.kubernetes.io/component=" + component
	old := s.labelled(t, selector)
	if len(old) != 2 {
		t.Fatalf("there are %d pods of the %s, want 2", len(old), component)
	}
	evict := func(ctx context.Context, pod corev1.Pod) error {
		return s.clientset.PolicyV1().Evictions(s.name).Evict(ctx, &policyv1.Eviction{
			ObjectMeta:    metav1.ObjectMeta{Namespace: s.name, Name: pod.Name},
			DeleteOptions: &metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions(string(pod.UID))},
		})
	}
	eventually(t, patience, "the first "+component+" to be evicted", func(ctx context.Context) error { return evict(ctx, old[0]) })
	if err := evict(t.Context(), old[1]); !apierrors.IsTooManyRequests(err) {
		t.Fatalf("the second %s is evicted after the first: got %v, want it refused", component, err)
	}
	took := eventually(t, patience, "the second "+component+" to be evicted", func(ctx context.Context) error { return evict(ctx, old[1]) })
	t.Logf("the second %s may go after %s", component, took.Round(time.Millisecond))
	if ready := slices.IndexFunc(s.labelled(t, selector), isReady); ready < 0 {
		t.Errorf("the second %s was evicted when no other was ready", component)
	}
	s.replaced(t, server.Name+"-"+component, old)
}

// Where spec.replicas is absent the number of pods is somebody else's, such as an
// autoscaler's.
func testReplicasOfOthers(t *testing.T) {
	s := newSpace(t)
	server := newServer("gosdk", running(peersImage(), "/gosdkserver"))
	s.create(t, server)
	s.await(t, server, wantCondition{conditionType: mcpv1alpha1.ConditionReady, status: metav1.ConditionTrue})
	_, err := s.kubectl(t.Context(), "", "scale", "deployment/gosdk-server", "-n", s.name, "--replicas=2")
	must(t, err)
	s.serverPods(t, server, 2)

	// What else changes leaves it alone.
	old := s.labelled(t, "app.kubernetes.io/component=server,app.kubernetes.io/instance=gosdk")
	patch(t, s, server, func(server *mcpv1alpha1.MCPServer) {
		server.Spec.Container.Env = []corev1.EnvVar{{Name: "RELEASE", Value: "next"}}
	})
	eventually(t, patience, "two other pods", func(context.Context) error {
		now := s.labelled(t, "app.kubernetes.io/component=server,app.kubernetes.io/instance=gosdk")
		for _, pod := range now {
			for _, before := range old {
				if pod.UID == before.UID {
					return fmt.Errorf("%s is from before", pod.Name)
				}
			}
		}
		if len(now) != 2 {
			return fmt.Errorf("there are %d", len(now))
		}
		return nil
	})
	s.serverPods(t, server, 2)
}

// A call that runs when its MCPServer is deleted ends well; what comes later finds
// nobody.
func testDeleteUnderACall(t *testing.T) {
	s := newSpace(t)
	server := newServer("gosdk", running(peersImage(), "/gosdkserver"))
	s.create(t, server)
	s.await(t, server, wantCondition{conditionType: mcpv1alpha1.ConditionReady, status: metav1.ConditionTrue})
	caller, other := s.dial(t, server), s.dial(t, server)
	pods := s.labelled(t, "app.kubernetes.io/component=server,app.kubernetes.io/instance=gosdk")

	type result struct {
		text string
		err  error
	}
	done := make(chan result, 1)
	began := time.Now()
	go func() {
		text, err := caller.call(t.Context(), "work", "")
		done <- result{text, err}
	}()
	_, err := other.call(t.Context(), "where", "") // which takes as long as the first call takes to begin
	must(t, err)
	_, err = s.kubectl(t.Context(), "", "delete", "mcps", "gosdk", "-n", s.name)
	must(t, err)
	got := <-done
	t.Logf("the call ended after %s", time.Since(began).Round(time.Millisecond))
	if got.err != nil || len(pods) != 1 || got.text != pods[0].Name {
		t.Errorf("the call that ran says %q (error %v), want the name of the server's pod", got.text, got.err)
	}
	eventually(t, patience, "the end of all that belonged to the server", func(ctx context.Context) error {
		if left := s.belongingTo(ctx, t, server); len(left) > 0 {
			return fmt.Errorf("left: %s", strings.Join(left, ", "))
		}
		return nil
	})
}
