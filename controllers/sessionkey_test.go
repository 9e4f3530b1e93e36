package controllers

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
	"github.com/mcp-sampling/mcp-sampling-operator/controllers/resolve"
)

// sessionKeyOf returns the key that a server's samplers mount.
func sessionKeyOf(b *bench, server string) []byte {
	b.Helper()
	return read(b, server+"-sampler", &corev1.Secret{}).Data[resolve.SessionKey]
}

func TestEachServerGetsASessionKeyOfItsOwnOnce(t *testing.T) {
	b := newBench(t)
	b.server("one")
	b.server("two")
	r := b.reconciler()
	b.pass(r, "one")
	b.pass(r, "two")

	one, two := sessionKeyOf(b, "one"), sessionKeyOf(b, "two")
	if len(one) != sessionKeyBytes || bytes.Equal(one, two) || bytes.Count(one, []byte{0}) > 8 {
		t.Errorf("the keys have %d and %d bytes, want %d random ones for each server", len(one), len(two), sessionKeyBytes)
	}
	// Another operator knows nothing of it, and leaves it as it is.
	b.pass(b.reconciler(), "one")
	if !bytes.Equal(one, sessionKeyOf(b, "one")) {
		t.Error("a second operator has replaced the key")
	}
}

func TestASessionKeyThatWasDeletedComesBack(t *testing.T) {
	b := newBench(t)
	b.server("demo")
	r := b.reconciler()
	now := time.Now()
	r.keys.now = func() time.Time { return now }
	there := func() bool {
		err := b.Get(b.Context(), client.ObjectKey{Namespace: b.namespace, Name: "demo-sampler"}, &corev1.Secret{})
		if err != nil && !apierrors.IsNotFound(err) {
			t.Fatal(err)
		}
		return err == nil
	}
	remove := func() {
		t.Helper()
		if err := b.Delete(b.Context(), read(b, "demo-sampler", &corev1.Secret{})); err != nil {
			t.Fatal(err)
		}
	}
	b.pass(r, "demo")

	remove()
	now = now.Add(keySoon)
	b.pass(r, "demo")
	if !there() {
		t.Error("no pod of the sampler is ready, and the key is not there again")
	}

	ready := read(b, "demo-sampler", &appsv1.Deployment{})
	ready.Status = appsv1.DeploymentStatus{
		ObservedGeneration: ready.Generation, Replicas: 1, UpdatedReplicas: 1, ReadyReplicas: 1, AvailableReplicas: 1,
	}
	if err := b.Client.Status().Update(b.Context(), ready); err != nil {
		t.Fatal(err)
	}
	remove()
	now = now.Add(keySoon)
	b.pass(r, "demo")
	if there() {
		t.Error("it tries to make the key again although every sampler is ready")
	}
	now = now.Add(keyAgain)
	b.pass(r, "demo")
	if !there() {
		t.Error("the key is not there after all that time")
	}
}

func TestAServerMadeAnewGetsAKeyToo(t *testing.T) {
	tries := newKeyTries(time.Now)
	server := &mcpv1alpha1.MCPServer{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "demo", UID: "1"}}
	tries.remember(server)
	if tries.due(server, false) {
		t.Error("a key that was just made is due")
	}
	server.UID = "2"
	if !tries.due(server, false) {
		t.Error("the key of another server of that name is not due")
	}
	server.UID = "1"
	tries.forget(keyOf(server))
	if !tries.due(server, false) {
		t.Error("the key of a server that is forgotten is not due")
	}
}

func TestWithoutTheRightToMakeSecretsTheUserIsTold(t *testing.T) {
	b := newBench(t)
	b.server("demo")
	r := b.reconciler()
	r.client = interceptor.NewClient(newClient(t), interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, obj client.Object, opts ...client.CreateOption) error {
			if _, ok := obj.(*corev1.Secret); ok {
				return apierrors.NewForbidden(schema.GroupResource{Resource: "secrets"}, obj.GetName(), nil)
			}
			return c.Create(ctx, obj, opts...)
		},
	})
	if _, err := r.Reconcile(t.Context(), request(b.namespace, "demo")); err == nil {
		t.Error("it does not try again")
	}
	got := &mcpv1alpha1.MCPServer{}
	b.condition(got, "demo", mcpv1alpha1.ConditionAccepted, metav1.ConditionFalse, mcpv1alpha1.ReasonObjectRefused)
	if text := message(got, mcpv1alpha1.ConditionAccepted); !strings.Contains(text, "secrets") {
		t.Errorf("the message %q does not say what is missing", text)
	}
	read(b, "demo-sampler", &appsv1.Deployment{}) // all else is there
}
