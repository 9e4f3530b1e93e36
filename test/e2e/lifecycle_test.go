package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
)

func testServiceSource(t *testing.T) {
	s := newSpace(t)
	s.runFakeModel(t)
	server := &mcpv1alpha1.MCPServer{
		ObjectMeta: metav1.ObjectMeta{Name: "front"},
		Spec:       mcpv1alpha1.MCPServerSpec{Service: &mcpv1alpha1.ServerService{Name: "backend", Port: 8000}},
	}
	policy := newPolicy("policy", "front")
	s.create(t, server, policy)
	s.await(t, server, wantCondition{
		conditionType: mcpv1alpha1.ConditionResolvedRefs, status: metav1.ConditionFalse,
		reason: mcpv1alpha1.ReasonServiceNotFound, message: []string{"backend"},
	})
	s.run(t, "backend", 8000, "/gosdkserver")
	s.awaitReady(t, server, policy)
	if _, err := parseEcho(s.callInCluster(t, server, "Boats float on water.")); err != nil {
		t.Error(err)
	}
	err := s.get(t.Context(), &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "front-server"}})
	if client.IgnoreNotFound(err) != nil || err == nil {
		t.Errorf("a Deployment was made for a server that is already there (error %v)", err)
	}
}

// The scale subresource is what kubectl scale and autoscalers use.
func testScale(t *testing.T) {
	s := newSpace(t)
	s.runFakeModel(t)
	server, policy := newServer("summarizer"), newPolicy("policy", "summarizer")
	s.create(t, server, policy)
	s.awaitReady(t, server, policy)

	scaleTo := func(replicas int32) {
		t.Helper()
		_, err := s.kubectl(t.Context(), "", "scale", "mcps/summarizer", "-n", s.name, fmt.Sprintf("--replicas=%d", replicas))
		must(t, err)
		eventually(t, patience, fmt.Sprintf("%d pods of the server", replicas), func(ctx context.Context) error {
			if err := s.get(ctx, server); err != nil {
				return err
			}
			if server.Status.Replicas != replicas || server.Status.ReadyReplicas != replicas {
				return fmt.Errorf("status has %d replicas, %d of them ready", server.Status.Replicas, server.Status.ReadyReplicas)
			}
			return nil
		})
	}
	scaleTo(2)
	selector, err := labels.Parse(server.Status.Selector)
	must(t, err)
	var pods corev1.PodList
	must(t, s.client.List(t.Context(), &pods, client.InNamespace(s.name), client.MatchingLabelsSelector{Selector: selector}))
	if len(pods.Items) != 2 {
		t.Errorf("status.selector selects %d pods, want the 2 of the server", len(pods.Items))
	}
	// Sessions live in one of the two pods each.
	for range 4 {
		caller := s.dial(t, server)
		for range 2 {
			if _, err := caller.summarize(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	scaleTo(0)
	s.await(t, server, wantCondition{conditionType: mcpv1alpha1.ConditionAvailable, status: metav1.ConditionFalse, reason: mcpv1alpha1.ReasonScaledToZero})
	scaleTo(1)
	s.awaitReady(t, server, policy)
}

func testDelete(t *testing.T) {
	s := newSpace(t)
	s.runFakeModel(t)
	server, other := newServer("summarizer"), newServer("other")
	policy := newPolicy("policy", "summarizer", "other")
	s.create(t, server, other, policy)
	s.awaitReady(t, server, policy)
	s.awaitReady(t, other, policy)
	kept := s.belongingTo(t.Context(), t, other)
	if made := s.belongingTo(t.Context(), t, server); len(made) < 6 {
		t.Fatalf("only %v belong to the server: this test would show nothing", made)
	}

	_, err := s.kubectl(t.Context(), "", "delete", "mcps", "summarizer", "-n", s.name)
	must(t, err)
	took := eventually(t, patience, "the end of all that belonged to the server", func(ctx context.Context) error {
		if left := s.belongingTo(ctx, t, server); len(left) > 0 {
			return fmt.Errorf("left: %s", strings.Join(left, ", "))
		}
		return nil
	})
	t.Logf("all is gone after %s", took.Round(time.Millisecond))
	if now := s.belongingTo(t.Context(), t, other); !slices.Equal(kept, now) {
		t.Errorf("the other server had %v, has %v", kept, now)
	}
	eventually(t, patience, "the policy to count one target less", func(ctx context.Context) error {
		if err := s.get(ctx, policy); err != nil {
			return err
		}
		if policy.Status.Targets.Attached != 1 {
			return fmt.Errorf("it counts %d", policy.Status.Targets.Attached)
		}
		return nil
	})

	// What an earlier server leaves for the garbage collector is in nobody's way.
	must(t, s.client.Delete(t.Context(), other))
	again := newServer("other")
	s.create(t, again)
	s.awaitReady(t, again, policy)
	if _, err := s.dial(t, again).summarize(t.Context()); err != nil {
		t.Errorf("a server that was made again at once: %v", err)
	}
}

// belongingTo lists every object of every kind in the namespace that carries
// the server's label or is owned, through however many others, by it.
func (s *space) belongingTo(ctx context.Context, t *testing.T, server *mcpv1alpha1.MCPServer) []string {
	t.Helper()
	resources, err := s.clientset.Discovery().ServerPreferredNamespacedResources()
	must(t, err)
	var objects []metav1.PartialObjectMetadata
	for _, group := range resources {
		gv, err := schema.ParseGroupVersion(group.GroupVersion)
		must(t, err)
		for _, resource := range group.APIResources {
			if !slices.Contains(resource.Verbs, "list") || resource.Kind == "Event" {
				continue
			}
			list := &metav1.PartialObjectMetadataList{}
			list.SetGroupVersionKind(gv.WithKind(resource.Kind + "List"))
			must(t, s.client.List(ctx, list, client.InNamespace(s.name)))
			for i := range list.Items {
				list.Items[i].Kind = resource.Kind
			}
			objects = append(objects, list.Items...)
		}
	}
	owners := map[types.UID]bool{server.UID: true}
	var found []string
	for range 4 { // owner of an owner of an owner
		for _, o := range objects {
			if owners[o.UID] || !(o.Labels["app.kubernetes.io/instance"] == server.Name || slices.ContainsFunc(o.OwnerReferences, func(r metav1.OwnerReference) bool { return owners[r.UID] })) {
				continue
			}
			owners[o.UID] = true
			found = append(found, o.Kind+"/"+o.Name)
		}
	}
	slices.Sort(found)
	return found
}
