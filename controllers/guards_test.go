package controllers

import (
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
	"github.com/mcp-sampling/mcp-sampling-operator/controllers/build"
)

// sealing is a reconciler that makes NetworkPolicies.
func (b *bench) sealing() *ServerReconciler {
	r := b.reconciler()
	r.opts.Build.NetworkPolicies = &build.NetworkPolicies{}
	return r
}

func TestNoPodStartsUnsealed(t *testing.T) {
	b := newBench(t)
	b.server("demo")
	b.policy("p", "demo")
	quota := &corev1.ResourceQuota{
		ObjectMeta: metav1.ObjectMeta{Namespace: b.namespace, Name: "few"},
		Spec: corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{
			"count/networkpolicies.networking.k8s.io": resource.MustParse("0"),
		}},
	}
	if err := b.Create(t.Context(), quota); err != nil {
		t.Fatal(err)
	}
	// There is no controller of quotas to count what is there.
	quota.Status = corev1.ResourceQuotaStatus{Hard: quota.Spec.Hard, Used: quota.Spec.Hard}
	if err := b.Status().Update(t.Context(), quota); err != nil {
		t.Fatal(err)
	}
	r := b.sealing()
	b.eventually("the quota holds", func() error {
		_, err := r.Reconcile(t.Context(), request(b.namespace, "demo"))
		if err == nil {
			t.Fatal("NetworkPolicies could be made")
		}
		return nil
	})
	b.condition(&mcpv1alpha1.MCPServer{}, "demo", mcpv1alpha1.ConditionAccepted, metav1.ConditionFalse, mcpv1alpha1.ReasonQuotaExceeded)
	b.none("demo-server", &appsv1.Deployment{})
	b.none("demo-sampler", &appsv1.Deployment{})
	read(b, "demo-sampler", &corev1.ConfigMap{})

	if err := b.Delete(t.Context(), quota); err != nil {
		t.Fatal(err)
	}
	b.eventually("the Deployments", func() error {
		if _, err := r.Reconcile(t.Context(), request(b.namespace, "demo")); err != nil {
			return err
		}
		return b.Get(t.Context(), client.ObjectKey{Namespace: b.namespace, Name: "demo-server"}, &appsv1.Deployment{})
	})
}

// What an earlier release's users have under names that are needed now.
func TestGuardsOfOthersHoldBackPodsAtMost(t *testing.T) {
	selector := &metav1.LabelSelector{MatchLabels: map[string]string{"app.kubernetes.io/instance": "demo"}}
	name := func(b *bench) metav1.ObjectMeta {
		return metav1.ObjectMeta{Name: "demo-server", Namespace: b.namespace}
	}
	for what, tc := range map[string]struct {
		theirs     func(b *bench) client.Object
		wantReason string // of Accepted
		wantImage  string // of the server
	}{
		"a NetworkPolicy": {
			theirs: func(b *bench) client.Object {
				return &networkingv1.NetworkPolicy{ObjectMeta: name(b), Spec: networkingv1.NetworkPolicySpec{PodSelector: *selector}}
			},
			wantReason: mcpv1alpha1.ReasonNetworkPolicyConflict,
			wantImage:  "example.com/server:v1",
		},
		"a PodDisruptionBudget": {
			theirs: func(b *bench) client.Object {
				return &policyv1.PodDisruptionBudget{ObjectMeta: name(b), Spec: policyv1.PodDisruptionBudgetSpec{Selector: selector, MaxUnavailable: new(intstr.FromInt32(1))}}
			},
			wantReason: mcpv1alpha1.ReasonAccepted,
			wantImage:  "example.com/server:v2",
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.server("demo")
			b.policy("p", "demo")
			change(b, "demo", &mcpv1alpha1.MCPServer{}, func(s *mcpv1alpha1.MCPServer) { s.Spec.Container.Image = "example.com/server:v1" })
			b.pass(b.reconciler(), "demo")
			if err := b.Create(t.Context(), tc.theirs(b)); err != nil {
				t.Fatal(err)
			}
			change(b, "demo", &mcpv1alpha1.MCPServer{}, func(s *mcpv1alpha1.MCPServer) {
				s.Spec.Container.Image, s.Spec.Replicas = "example.com/server:v2", new(int32(3))
			})
			change(b, "p", &mcpv1alpha1.SamplingPolicy{}, maxTokens(7))
			b.pass(b.sealing(), "demo")

			b.condition(&mcpv1alpha1.MCPServer{}, "demo", mcpv1alpha1.ConditionAccepted, conditionOf(tc.wantReason), tc.wantReason)
			if got := read(b, "demo-server", &appsv1.Deployment{}).Spec.Template.Spec.Containers[0].Image; got != tc.wantImage {
				t.Errorf("the server's pods are of %s, want %s", got, tc.wantImage)
			}
			if got, want := given(b, "demo"), "p 7"; got != want {
				t.Errorf("samplers are given %s, want %s", got, want)
			}
			if left := read(b, "demo-server", tc.theirs(b)); metav1.GetControllerOf(left) != nil {
				t.Error("what belongs to somebody else was taken over")
			}
		})
	}
}

func conditionOf(reason string) metav1.ConditionStatus {
	if reason == mcpv1alpha1.ReasonAccepted {
		return metav1.ConditionTrue
	}
	return metav1.ConditionFalse
}

// An autoscaler says how many pods there are where the spec does not.
func TestDisruptionBudgetsFollowAnAutoscaler(t *testing.T) {
	b := newBench(t)
	b.server("demo")
	change(b, "demo", &mcpv1alpha1.MCPServer{}, func(s *mcpv1alpha1.MCPServer) { s.Spec.Replicas = nil })
	r := b.reconciler()
	b.pass(r, "demo")
	b.none("demo-server", &policyv1.PodDisruptionBudget{})
	follows := func(replicas int32) {
		t.Helper()
		b.pass(r, "demo")
		if replicas < 2 {
			b.none("demo-server", &policyv1.PodDisruptionBudget{})
		} else if got := read(b, "demo-server", &policyv1.PodDisruptionBudget{}).Spec.MaxUnavailable.IntValue(); got != 1 {
			t.Errorf("%d pods may be away, want 1", got)
		}
		if got := *read(b, "demo-server", &appsv1.Deployment{}).Spec.Replicas; got != replicas {
			t.Errorf("there are %d replicas, want %d", got, replicas)
		}
	}
	scale := func(replicas int32) {
		change(b, "demo-server", &appsv1.Deployment{}, func(d *appsv1.Deployment) { d.Spec.Replicas = &replicas })
	}
	for _, replicas := range []int32{3, 5, 1, 0, 2} {
		scale(replicas)
		follows(replicas)
	}
	// An operator that was not there at the time, as after an upgrade.
	r = b.reconciler()
	scale(1)
	follows(1)
	// The spec says how many, and then leaves them to the autoscaler.
	for _, replicas := range []*int32{new(int32(3)), nil} {
		change(b, "demo", &mcpv1alpha1.MCPServer{}, func(s *mcpv1alpha1.MCPServer) { s.Spec.Replicas = replicas })
		follows(3)
	}
}

// none fails the test if there is an object.
func (b *bench) none(name string, obj client.Object) {
	b.Helper()
	if err := b.Get(b.Context(), client.ObjectKey{Namespace: b.namespace, Name: name}, obj); err == nil {
		b.Errorf("%T %s is there", obj, name)
	}
}
