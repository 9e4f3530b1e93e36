package apply_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	applyappsv1 "k8s.io/client-go/applyconfigurations/apps/v1"
	applycorev1 "k8s.io/client-go/applyconfigurations/core/v1"
	applymetav1 "k8s.io/client-go/applyconfigurations/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/mcp-sampling/mcp-sampling-operator/controllers/apply"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/testing/apiserver"
)

var server apiserver.Server

func TestMain(m *testing.M) { os.Exit(server.Main(m)) }

const fieldOwner = "apply-test"

// world is a namespace with an owner object in it and an Applier whose writes
// are counted.
type world struct {
	client    client.Client
	counting  client.Client
	applier   *apply.Applier
	namespace string
	owner     *corev1.ConfigMap
	writes    int
}

func newWorld(t *testing.T) *world {
	t.Helper()
	c, err := client.NewWithWatch(server.Config(t), client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{client: c}
	w.counting = interceptor.NewClient(c, interceptor.Funcs{
		Apply: func(ctx context.Context, c client.WithWatch, obj runtime.ApplyConfiguration, opts ...client.ApplyOption) error {
			w.writes++
			return c.Apply(ctx, obj, opts...)
		},
		Delete: func(ctx context.Context, c client.WithWatch, obj client.Object, opts ...client.DeleteOption) error {
			w.writes++
			return c.Delete(ctx, obj, opts...)
		},
	})
	w.applier = apply.New(w.counting, fieldOwner)
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "apply-"}}
	w.must(t, c.Create(t.Context(), ns))
	w.namespace = ns.Name
	w.owner = w.newOwner(t, "owner")
	return w
}

func (w *world) newOwner(t *testing.T, name string) *corev1.ConfigMap {
	t.Helper()
	owner := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name}}
	w.must(t, w.client.Create(t.Context(), owner))
	return owner
}

func (w *world) must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (w *world) ownerReference() *applymetav1.OwnerReferenceApplyConfiguration {
	return applymetav1.OwnerReference().WithAPIVersion("v1").WithKind("ConfigMap").
		WithName(w.owner.Name).WithUID(w.owner.UID).WithController(true).WithBlockOwnerDeletion(true)
}

func (w *world) configMap(name, value string) *applycorev1.ConfigMapApplyConfiguration {
	return applycorev1.ConfigMap(name, w.namespace).WithOwnerReferences(w.ownerReference()).
		WithData(map[string]string{"key": value})
}

func (w *world) deployment(name, image string) *applyappsv1.DeploymentApplyConfiguration {
	labels := map[string]string{"app": name}
	return applyappsv1.Deployment(name, w.namespace).WithOwnerReferences(w.ownerReference()).
		WithSpec(applyappsv1.DeploymentSpec().
			WithSelector(applymetav1.LabelSelector().WithMatchLabels(labels)).
			WithTemplate(applycorev1.PodTemplateSpec().WithLabels(labels).
				WithSpec(applycorev1.PodSpec().WithContainers(applycorev1.Container().WithName("c").WithImage(image)))))
}

// apply calls Apply and returns the number of writes that it made.
func (w *world) apply(t *testing.T, objs ...runtime.ApplyConfiguration) int {
	t.Helper()
	before := w.writes
	w.must(t, w.applier.Apply(t.Context(), w.owner, objs...))
	return w.writes - before
}

func (w *world) getConfigMap(t *testing.T, name string) *corev1.ConfigMap {
	t.Helper()
	got := &corev1.ConfigMap{}
	w.must(t, w.client.Get(t.Context(), client.ObjectKey{Namespace: w.namespace, Name: name}, got))
	return got
}

func (w *world) getDeployment(t *testing.T, name string) *appsv1.Deployment {
	t.Helper()
	got := &appsv1.Deployment{}
	w.must(t, w.client.Get(t.Context(), client.ObjectKey{Namespace: w.namespace, Name: name}, got))
	return got
}

func TestApplyCreatesAndChangesObjects(t *testing.T) {
	w := newWorld(t)
	if got := w.apply(t, w.configMap("a", "1"), w.deployment("b", "image:1")); got != 2 {
		t.Errorf("%d writes to create two objects", got)
	}
	cm := w.getConfigMap(t, "a")
	if diff := cmp.Diff(map[string]string{"key": "1"}, cm.Data); diff != "" {
		t.Error(diff)
	}
	if !metav1.IsControlledBy(cm, w.owner) {
		t.Errorf("not controlled by the owner: %v", cm.OwnerReferences)
	}
	if got := w.apply(t, w.configMap("a", "2"), w.deployment("b", "image:1")); got != 1 {
		t.Errorf("%d writes to change one object of two", got)
	}
	if got := w.getConfigMap(t, "a").Data["key"]; got != "2" {
		t.Errorf("data is %q after the change", got)
	}
}

func TestApplyWritesOnlyWhatDiffers(t *testing.T) {
	tests := map[string]struct {
		between    func(t *testing.T, w *world)
		wantWrites int
	}{
		"nothing happened": {
			between: func(*testing.T, *world) {},
		},
		"the status changed": {
			between: func(t *testing.T, w *world) {
				d := w.getDeployment(t, "b")
				d.Status.ObservedGeneration = d.Generation
				w.must(t, w.client.Status().Update(t.Context(), d))
			},
		},
		"somebody scaled what we leave open": {
			between: func(t *testing.T, w *world) {
				w.must(t, w.client.Patch(t.Context(), w.getDeployment(t, "b"),
					client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"replicas":3}}`))))
			},
		},
		"somebody added an annotation": {
			between: func(t *testing.T, w *world) {
				w.must(t, w.client.Patch(t.Context(), w.getConfigMap(t, "a"),
					client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"annotations":{"x":"y"}}}`))))
			},
		},
		"somebody changed a field of ours": {
			between: func(t *testing.T, w *world) {
				cm := w.getConfigMap(t, "a")
				cm.Data["key"] = "drift"
				w.must(t, w.client.Update(t.Context(), cm))
			},
			wantWrites: 1,
		},
		"somebody removed a field of ours": {
			between: func(t *testing.T, w *world) {
				cm := w.getConfigMap(t, "a")
				cm.Data = nil
				w.must(t, w.client.Update(t.Context(), cm))
			},
			wantWrites: 1,
		},
		"somebody applied another image by force": {
			between: func(t *testing.T, w *world) {
				other := w.deployment("b", "image:drift")
				other.OwnerReferences = nil
				w.must(t, w.client.Apply(t.Context(), other, client.FieldOwner("somebody"), client.ForceOwnership))
			},
			wantWrites: 1,
		},
		"somebody deleted an object": {
			between: func(t *testing.T, w *world) {
				w.must(t, w.client.Delete(t.Context(), w.getConfigMap(t, "a")))
			},
			wantWrites: 1,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			objs := []runtime.ApplyConfiguration{w.configMap("a", "1"), w.deployment("b", "image:1")}
			w.apply(t, objs...)
			tt.between(t, w)
			if got := w.apply(t, objs...); got != tt.wantWrites {
				t.Errorf("%d writes, want %d", got, tt.wantWrites)
			}
			if got := w.getConfigMap(t, "a").Data["key"]; got != "1" {
				t.Errorf("the ConfigMap holds %q, want what was applied", got)
			}
			if got := w.getDeployment(t, "b").Spec.Template.Spec.Containers[0].Image; got != "image:1" {
				t.Errorf("the Deployment's image is %q, want what was applied", got)
			}
			if got := w.apply(t, objs...); got != 0 {
				t.Errorf("%d writes after the repair, want none", got)
			}
		})
	}
}

func TestApplyRemovesAFieldThatIsNoLongerSaid(t *testing.T) {
	w := newWorld(t)
	more := w.configMap("a", "1")
	more.Data["second"] = "x"
	w.apply(t, more)
	w.apply(t, w.configMap("a", "1"))
	if diff := cmp.Diff(map[string]string{"key": "1"}, w.getConfigMap(t, "a").Data); diff != "" {
		t.Error(diff)
	}
}

func TestApplyHandsReplicasOver(t *testing.T) {
	scale := func(t *testing.T, w *world, replicas int32) {
		t.Helper()
		body := &autoscalingv1.Scale{Spec: autoscalingv1.ScaleSpec{Replicas: replicas}}
		w.must(t, w.client.SubResource("scale").Update(t.Context(), w.getDeployment(t, "b"),
			client.WithSubResourceBody(body), client.FieldOwner("autoscaler")))
	}
	tests := map[string]struct {
		between      func(t *testing.T, w *world)
		wantWrites   int
		wantReplicas int32
	}{
		"the number stays": {
			between:      func(*testing.T, *world) {},
			wantWrites:   2,
			wantReplicas: 5,
		},
		"somebody else has set another one": {
			between:      func(t *testing.T, w *world) { scale(t, w, 7) },
			wantWrites:   1,
			wantReplicas: 7,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			said, open := w.deployment("b", "image:1"), w.deployment("b", "image:1")
			said.Spec.WithReplicas(5)
			w.apply(t, said)
			tt.between(t, w)
			if got := w.apply(t, open); got != tt.wantWrites {
				t.Errorf("%d writes to hand the field over, want %d", got, tt.wantWrites)
			}
			if got := *w.getDeployment(t, "b").Spec.Replicas; got != tt.wantReplicas {
				t.Errorf("%d replicas when the field is no longer said, want %d", got, tt.wantReplicas)
			}
			if got := w.apply(t, open); got != 0 {
				t.Errorf("%d writes after that, want none", got)
			}
			// The field is free now: it can be scaled, and taken back.
			scale(t, w, 3)
			if got := w.apply(t, open); got != 0 {
				t.Errorf("%d writes after somebody has scaled, want none", got)
			}
			if got := *w.getDeployment(t, "b").Spec.Replicas; got != 3 {
				t.Errorf("%d replicas after somebody has scaled to 3", got)
			}
			w.apply(t, said)
			if got := *w.getDeployment(t, "b").Spec.Replicas; got != 5 {
				t.Errorf("%d replicas when the field says 5 again", got)
			}
		})
	}
}

// The cache may still show a field as ours that somebody else has taken.
func TestApplyHandsNothingOverThatSomebodyHasTaken(t *testing.T) {
	w := newWorld(t)
	said := w.deployment("b", "image:1")
	said.Spec.WithReplicas(5)
	w.apply(t, said)
	stale := w.getDeployment(t, "b")
	w.must(t, w.client.Patch(t.Context(), w.getDeployment(t, "b"),
		client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"replicas":7}}`))))

	base, err := client.NewWithWatch(server.Config(t), client.Options{})
	w.must(t, err)
	old := interceptor.NewClient(base, interceptor.Funcs{
		Get: func(_ context.Context, _ client.WithWatch, _ client.ObjectKey, obj client.Object, _ ...client.GetOption) error {
			stale.DeepCopyInto(obj.(*appsv1.Deployment))
			return nil
		},
	})
	w.must(t, apply.New(old, fieldOwner).Apply(t.Context(), w.owner, w.deployment("b", "image:1")))
	if got := *w.getDeployment(t, "b").Spec.Replicas; got != 7 {
		t.Errorf("%d replicas, want the 7 that somebody else has set", got)
	}
}

// A Deployment that was made anew since it was read is not scaled, and no fault
// of the spec.
func TestApplyHandsNothingOverToAnotherObject(t *testing.T) {
	w := newWorld(t)
	said := w.deployment("b", "image:1")
	said.Spec.WithReplicas(5)
	w.apply(t, said)
	stale := w.getDeployment(t, "b")
	w.must(t, w.client.Delete(t.Context(), stale))
	w.must(t, w.client.Apply(t.Context(), w.deployment("b", "image:1"), client.FieldOwner("somebody")))

	base, err := client.NewWithWatch(server.Config(t), client.Options{})
	w.must(t, err)
	old := interceptor.NewClient(base, interceptor.Funcs{
		Get: func(_ context.Context, _ client.WithWatch, _ client.ObjectKey, obj client.Object, _ ...client.GetOption) error {
			stale.DeepCopyInto(obj.(*appsv1.Deployment))
			return nil
		},
	})
	err = apply.New(old, fieldOwner).Apply(t.Context(), w.owner, w.deployment("b", "image:1"))
	if err == nil || apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "replaced") {
		t.Fatalf("error is %v, want one that says that the object was replaced", err)
	}
	if got := *w.getDeployment(t, "b").Spec.Replicas; got != 1 {
		t.Errorf("%d replicas of the new object, want it untouched", got)
	}
}

func TestApplyLeavesItsArgumentsAlone(t *testing.T) {
	w := newWorld(t)
	obj := w.configMap("a", "1")
	w.apply(t, obj)
	if diff := cmp.Diff(w.configMap("a", "1"), obj); diff != "" {
		t.Errorf("the apply configuration was changed (-want +got):\n%s", diff)
	}
}

func TestApplyTakesNothingOver(t *testing.T) {
	controlledBy := func(name string) []metav1.OwnerReference {
		return []metav1.OwnerReference{{APIVersion: "v1", Kind: "ConfigMap", Name: name, UID: "of-another-object", Controller: new(true)}}
	}
	tests := map[string]struct {
		owners []metav1.OwnerReference
		want   apply.ConflictError
	}{
		"an object that nobody controls": {
			want: apply.ConflictError{Kind: "ConfigMap", Name: "b"},
		},
		"an object of another owner": {
			owners: controlledBy("other"),
			want:   apply.ConflictError{Kind: "ConfigMap", Name: "b", Owner: "ConfigMap/other"},
		},
		"an object of an earlier owner of that name": {
			owners: controlledBy("owner"),
			want:   apply.ConflictError{Kind: "ConfigMap", Name: "b", Owner: "ConfigMap/owner", Leftover: true},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			foreign := &corev1.ConfigMap{
				ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "b", OwnerReferences: tt.owners},
				Data:       map[string]string{"theirs": "1"},
			}
			w.must(t, w.client.Create(t.Context(), foreign))

			err := w.applier.Apply(t.Context(), w.owner, w.configMap("a", "1"), w.configMap("b", "1"))
			var conflict *apply.ConflictError
			if !errors.As(err, &conflict) {
				t.Fatalf("error is %v, want a ConflictError", err)
			}
			if diff := cmp.Diff(tt.want, *conflict); diff != "" {
				t.Error(diff)
			}
			if w.writes != 0 {
				t.Errorf("%d writes in spite of the conflict", w.writes)
			}
			if diff := cmp.Diff(foreign, w.getConfigMap(t, "b")); diff != "" {
				t.Errorf("the foreign object changed (-before +after):\n%s", diff)
			}
		})
	}
}

// A cache that shows labelled objects only must not make us blind to the rest.
func TestApplySeesForeignObjectsThatTheCacheHides(t *testing.T) {
	w := newWorld(t)
	w.must(t, w.client.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "b"}}))
	base, err := client.NewWithWatch(server.Config(t), client.Options{})
	w.must(t, err)
	blind := interceptor.NewClient(base, interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
			if _, typed := obj.(*corev1.ConfigMap); typed {
				return apierrors.NewNotFound(corev1.Resource("configmaps"), key.Name)
			}
			return c.Get(ctx, key, obj, opts...)
		},
	})
	err = apply.New(blind, fieldOwner).Apply(t.Context(), w.owner, w.configMap("b", "1"))
	var conflict *apply.ConflictError
	if !errors.As(err, &conflict) {
		t.Fatalf("error is %v, want a ConflictError", err)
	}
}

// The cache may still show an object that has been deleted and made anew by
// somebody else.
func TestApplyIsRefusedWhenTheObjectWasReplaced(t *testing.T) {
	w := newWorld(t)
	w.apply(t, w.configMap("a", "1"))
	stale := w.getConfigMap(t, "a")
	w.must(t, w.client.Delete(t.Context(), stale))
	w.must(t, w.client.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "a"}}))

	base, err := client.NewWithWatch(server.Config(t), client.Options{})
	w.must(t, err)
	old := interceptor.NewClient(base, interceptor.Funcs{
		Get: func(_ context.Context, _ client.WithWatch, _ client.ObjectKey, obj client.Object, _ ...client.GetOption) error {
			stale.DeepCopyInto(obj.(*corev1.ConfigMap))
			return nil
		},
	})
	err = apply.New(old, fieldOwner).Apply(t.Context(), w.owner, w.configMap("a", "2"))
	if err == nil || apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "replaced") {
		t.Fatalf("error is %v, want one that says that the object was replaced", err)
	}
	if got := w.getConfigMap(t, "a").Data; len(got) != 0 {
		t.Errorf("the new object holds %v, want it untouched", got)
	}
}

func TestApplyRefusesAnObjectThatItWouldNotOwn(t *testing.T) {
	w := newWorld(t)
	err := w.applier.Apply(t.Context(), w.owner, applycorev1.ConfigMap("a", w.namespace))
	if err == nil || w.writes != 0 {
		t.Fatalf("error %v after %d writes, want a refusal", err, w.writes)
	}
}

func TestDeleteOwned(t *testing.T) {
	w := newWorld(t)
	w.apply(t, w.configMap("ours", "1"), w.configMap("kept", "1"))
	w.must(t, w.client.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "foreign"}}))

	object := func(name string) client.Object {
		return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name}}
	}
	w.must(t, w.applier.DeleteOwned(t.Context(), w.owner, object("ours"), object("foreign"), object("absent")))

	var list corev1.ConfigMapList
	w.must(t, w.client.List(t.Context(), &list, client.InNamespace(w.namespace)))
	var got []string
	for _, cm := range list.Items {
		got = append(got, cm.Name)
	}
	if diff := cmp.Diff([]string{"foreign", "kept", "owner"}, got); diff != "" {
		t.Errorf("ConfigMaps left (-want +got):\n%s", diff)
	}
	if got := w.apply(t, w.configMap("ours", "1")); got != 1 {
		t.Errorf("%d writes to bring back what was deleted", got)
	}
}

// What was applied a moment ago is deleted although the cache does not show it yet,
// and nothing that has come in its place is.
func TestDeleteOwnedSeesWhatTheCacheDoesNotShowYet(t *testing.T) {
	w := newWorld(t)
	base, err := client.NewWithWatch(server.Config(t), client.Options{})
	w.must(t, err)
	deletions := 0
	late := interceptor.NewClient(base, interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
			if _, typed := obj.(*corev1.ConfigMap); typed {
				return apierrors.NewNotFound(corev1.Resource("configmaps"), key.Name)
			}
			return c.Get(ctx, key, obj, opts...)
		},
		Delete: func(ctx context.Context, c client.WithWatch, obj client.Object, opts ...client.DeleteOption) error {
			deletions++
			return c.Delete(ctx, obj, opts...)
		},
	})
	applier := apply.New(late, fieldOwner)
	w.must(t, applier.Apply(t.Context(), w.owner, w.configMap("ours", "1"), w.configMap("replaced", "1")))
	object := func(name string) *corev1.ConfigMap {
		return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name}}
	}
	w.must(t, w.client.Delete(t.Context(), object("replaced")))
	w.must(t, w.client.Create(t.Context(), object("replaced")))

	w.must(t, applier.DeleteOwned(t.Context(), w.owner, object("ours")))
	if err := w.client.Get(t.Context(), client.ObjectKeyFromObject(object("ours")), object("ours")); !apierrors.IsNotFound(err) {
		t.Errorf("what was applied is read with %v, want it gone", err)
	}
	if err := applier.DeleteOwned(t.Context(), w.owner, object("replaced")); !apierrors.IsConflict(err) {
		t.Errorf("the error is %v, want a conflict that the next pass looks at", err)
	}
	w.getConfigMap(t, "replaced")
	before := deletions
	w.must(t, applier.DeleteOwned(t.Context(), w.owner, object("ours"), object("replaced"), object("absent")))
	if deletions != before {
		t.Errorf("%d deletions of what is not ours any more, want none", deletions-before)
	}
}

func TestForgetMakesTheNextApplyWrite(t *testing.T) {
	w := newWorld(t)
	w.apply(t, w.configMap("a", "1"))
	w.applier.Forget(client.ObjectKeyFromObject(w.owner))
	before := w.getConfigMap(t, "a").ResourceVersion
	if got := w.apply(t, w.configMap("a", "1")); got != 1 {
		t.Errorf("%d writes, want one", got)
	}
	if got := w.getConfigMap(t, "a").ResourceVersion; got != before {
		t.Errorf("the resource version went from %s to %s although nothing changed", before, got)
	}
}
