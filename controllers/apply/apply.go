// Package apply brings objects into the cluster by server-side apply, under one
// field owner.
//
// It never takes over what belongs to somebody else: an object that is there
// and is not controlled by the owner is a *ConflictError, and then, with the
// exceptions that Apply names, nothing is written at all. It writes only what differs: an object is left alone while
// the configuration to apply and the set of fields that the API server
// attributes to the field owner are both as they were after the last apply.
// Whoever changes one of these fields takes it out of that set, so a drift is
// seen, and repaired, while fields of others and a busy status are not looked
// at. For this the cache behind the client must keep metadata.managedFields;
// without them every call applies, which the API server answers without a
// change.
//
// Objects are read through the client, thus from its cache. What the cache does
// not show is asked for once more as unstructured object, which
// controller-runtime's client reads from the API server: the cache may be
// restricted to labelled objects, and one without our labels is exactly what
// must not be overwritten. Of Services the cache must hold all.
//
// A field that is no longer said is removed, with one exception: a Deployment
// that says no number of replicas any more keeps the one that it has.
package apply

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Applier applies objects for their owners. It is safe for concurrent use, as
// long as no owner is worked on twice at the same time.
type Applier struct {
	client     client.Client
	fieldOwner client.FieldOwner

	mu      sync.Mutex
	applied map[types.NamespacedName]map[objectKey]record
	settled map[types.NamespacedName]string
}

// objectKey tells objects of one owner apart.
type objectKey struct {
	kind string
	types.NamespacedName
}

// record is what one object looked like after the last apply.
type record struct {
	desired string    // hash of the configuration
	uid     types.UID // of the object
	fields  string    // hash of the fields that are ours
	version string    // of the object, when the fields were seen last
	gvk     schema.GroupVersionKind
}

// New returns an Applier that writes as fieldOwner.
func New(c client.Client, fieldOwner string) *Applier {
	return &Applier{
		client:     c,
		fieldOwner: client.FieldOwner(fieldOwner),
		applied:    map[types.NamespacedName]map[objectKey]record{},
		settled:    map[types.NamespacedName]string{},
	}
}

// Settle notes that the count objects of an owner are all as they were applied, and
// what they were made of. It is for Settled, and does nothing if one was left out.
func (a *Applier) Settle(owner metav1.Object, madeOf string, count int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if name := nameOf(owner); len(a.applied[name]) == count {
		a.settled[name] = madeOf
	}
}

// Settled says whether applying the objects of an owner that are made of the same
// would do nothing, without the work of making them.
func (a *Applier) Settled(ctx context.Context, owner metav1.Object, madeOf string) bool {
	a.mu.Lock()
	settled := a.settled[nameOf(owner)] == madeOf
	records := maps.Clone(a.applied[nameOf(owner)])
	a.mu.Unlock()
	if !settled {
		return false
	}
	for key, last := range records {
		live, err := a.cached(ctx, last.gvk, key.NamespacedName)
		if err != nil || !metav1.IsControlledBy(live, owner) || !a.isAsApplied(owner, key, last.desired, live) {
			return false
		}
	}
	return true
}

// Apply makes each of objs as it says. Each must name owner as its controller.
// If one of them is there and belongs to somebody else, nothing is written and
// the error holds a *ConflictError for each such object; but for guards.
//
// A NetworkPolicy guards the Deployment of its name, and must stand before it in
// objs: if it cannot be written, the Deployment is not written either, and all else
// is. A PodDisruptionBudget of somebody else's stays, and nothing is wrong with that.
func (a *Applier) Apply(ctx context.Context, owner metav1.Object, objs ...runtime.ApplyConfiguration) error {
	todo := make([]*step, 0, len(objs))
	unguarded := map[string]bool{} // names of Deployments
	var problems, notes []error
	for _, obj := range objs {
		s, err := a.plan(ctx, owner, obj)
		var conflict *ConflictError
		switch {
		case errors.As(err, &conflict) && conflict.Kind == kindBudget:
		case errors.As(err, &conflict) && conflict.Kind == kindGuard:
			unguarded[conflict.Name] = true
			notes = append(notes, err)
		case err != nil:
			problems = append(problems, err)
		case s != nil:
			todo = append(todo, s)
		}
	}
	if len(problems) > 0 {
		return errors.Join(append(problems, notes...)...)
	}
	for _, s := range todo {
		if s.key.kind == kindGuarded && unguarded[s.key.Name] {
			continue
		}
		if err := a.write(ctx, owner, s); err != nil {
			notes = append(notes, err)
			if s.key.kind == kindGuard {
				unguarded[s.key.Name] = true
			}
		}
	}
	return errors.Join(notes...)
}

const (
	kindGuard   = "NetworkPolicy"
	kindGuarded = "Deployment"
	kindBudget  = "PodDisruptionBudget"
)

// step is one object that has to be written.
type step struct {
	key     objectKey
	desired string
	object  *unstructured.Unstructured
	// handover is applied before object; nil if nothing is handed over.
	handover *unstructured.Unstructured
}

// plan returns what has to be done for obj, nil if nothing.
func (a *Applier) plan(ctx context.Context, owner metav1.Object, obj runtime.ApplyConfiguration) (*step, error) {
	data, err := json.Marshal(obj)
	if err != nil {
		return nil, fmt.Errorf("encode %T: %w", obj, err)
	}
	named, err := identify(data)
	if err != nil {
		return nil, fmt.Errorf("%T: %w", obj, err)
	}
	key := objectKey{kind: named.Kind, NamespacedName: client.ObjectKeyFromObject(named)}
	if !metav1.IsControlledBy(named, owner) {
		return nil, fmt.Errorf("%s %s does not name %s as its controller", key.kind, key.NamespacedName, owner.GetName())
	}
	desired := digest(data)
	live, err := a.get(ctx, named.GroupVersionKind(), key.NamespacedName)
	missing := apierrors.IsNotFound(err)
	if err != nil && !missing {
		return nil, fmt.Errorf("get %s %s: %w", key.kind, key.NamespacedName, err)
	}
	switch {
	case missing:
		a.drop(owner, key)
	case !metav1.IsControlledBy(live, owner):
		return nil, conflictWith(live, named, key)
	case a.isAsApplied(owner, key, desired, live):
		return nil, nil
	}
	wanted, err := toUnstructured(data)
	if err != nil {
		return nil, fmt.Errorf("%T: %w", obj, err)
	}
	if missing {
		return &step{key: key, desired: desired, object: wanted}, nil
	}
	// The UID makes the API server refuse the write if the object has been
	// replaced by somebody else's since it was read.
	wanted.SetUID(live.GetUID())
	first, err := a.handover(live, wanted)
	if err != nil {
		return nil, fmt.Errorf("read the replicas of %s %s: %w", key.kind, key.NamespacedName, err)
	}
	return &step{key: key, desired: desired, object: wanted, handover: first}, nil
}

// isAsApplied says whether nothing is to be done for an object that is there.
func (a *Applier) isAsApplied(owner metav1.Object, key objectKey, desired string, live client.Object) bool {
	last, ok := a.last(owner, key)
	if !ok || last.desired != desired || last.uid != live.GetUID() {
		return false
	}
	if last.version == live.GetResourceVersion() {
		return true
	}
	if last.fields != a.fieldsOf(live) {
		return false
	}
	last.version = live.GetResourceVersion()
	a.remember(owner, key, last)
	return true
}

// get reads an object: from the cache, and if it is not there from the API server.
func (a *Applier) get(ctx context.Context, gvk schema.GroupVersionKind, key types.NamespacedName) (client.Object, error) {
	cached, err := a.cached(ctx, gvk, key)
	if !apierrors.IsNotFound(err) || gvk == serviceKind {
		// Of Services the cache holds all.
		return cached, err
	}
	direct := &unstructured.Unstructured{}
	direct.SetGroupVersionKind(gvk)
	if err := a.client.Get(ctx, key, direct); err != nil {
		return nil, err
	}
	return direct, nil
}

var serviceKind = schema.GroupVersionKind{Version: "v1", Kind: "Service"}

// cached reads an object from the cache only.
func (a *Applier) cached(ctx context.Context, gvk schema.GroupVersionKind, key types.NamespacedName) (client.Object, error) {
	typed, err := a.client.Scheme().New(gvk)
	if err != nil {
		return nil, err
	}
	object, ok := typed.(client.Object)
	if !ok {
		return nil, fmt.Errorf("%s has no metadata", gvk)
	}
	return object, a.client.Get(ctx, key, object)
}

// write applies one object and remembers what it looks like now.
func (a *Applier) write(ctx context.Context, owner metav1.Object, s *step) error {
	if s.handover != nil {
		if err := a.handOver(ctx, s.handover); err != nil {
			return err
		}
	}
	// The client decodes the answer into the object that it was given.
	object := s.object
	err := a.client.Apply(ctx, client.ApplyConfigurationFromUnstructured(object), a.fieldOwner, client.ForceOwnership)
	if err != nil {
		a.drop(owner, s.key)
		if wasReplaced(err) {
			err = errReplaced
		}
		return fmt.Errorf("apply %s %s: %w", s.key.kind, s.key.NamespacedName, err)
	}
	a.remember(owner, s.key, record{
		desired: s.desired, uid: object.GetUID(), fields: a.fieldsOf(object), version: object.GetResourceVersion(),
		gvk: object.GroupVersionKind(),
	})
	return nil
}

// errReplaced says that the cache is behind; trying again helps.
var errReplaced = errors.New("it was replaced since it was read")

// wasReplaced tells the API server's complaint about the UID from those about
// what is applied.
func wasReplaced(err error) bool {
	cause, found := apierrors.StatusCause(err, metav1.CauseTypeFieldValueInvalid)
	return found && cause.Field == "metadata.uid"
}

// DeleteOwned deletes those of objs (a type and a name each) that are there and
// controlled by owner. Others stay as they are.
func (a *Applier) DeleteOwned(ctx context.Context, owner metav1.Object, objs ...client.Object) error {
	var problems []error
	for _, obj := range objs {
		if err := a.deleteOwned(ctx, owner, obj); err != nil {
			problems = append(problems, err)
		}
	}
	return errors.Join(problems...)
}

func (a *Applier) deleteOwned(ctx context.Context, owner metav1.Object, obj client.Object) error {
	gvk, err := a.client.GroupVersionKindFor(obj)
	if err != nil {
		return fmt.Errorf("delete %T: %w", obj, err)
	}
	key := objectKey{kind: gvk.Kind, NamespacedName: client.ObjectKeyFromObject(obj)}
	live, ok := obj.DeepCopyObject().(client.Object)
	if !ok {
		return fmt.Errorf("%s has no metadata", gvk)
	}
	switch err := a.client.Get(ctx, key.NamespacedName, live); {
	case apierrors.IsNotFound(err):
		// The cache may not show yet what was applied. All else that it does not
		// show carries no label of ours: it is not ours.
		last, applied := a.last(owner, key)
		if !applied {
			return nil
		}
		live.SetUID(last.uid)
	case err != nil:
		return fmt.Errorf("get %s %s: %w", key.kind, key.NamespacedName, err)
	case !metav1.IsControlledBy(live, owner), !live.GetDeletionTimestamp().IsZero():
		return nil
	}
	uid := live.GetUID()
	err = a.client.Delete(ctx, live, client.Preconditions{UID: &uid}, client.PropagationPolicy(metav1.DeletePropagationBackground))
	gone := err == nil || apierrors.IsNotFound(err)
	if gone || apierrors.IsConflict(err) { // it is another one by now
		a.drop(owner, key)
	}
	if !gone {
		return fmt.Errorf("delete %s %s: %w", key.kind, key.NamespacedName, err)
	}
	return nil
}

// Forget drops what is remembered of an owner that is gone.
func (a *Applier) Forget(owner types.NamespacedName) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.applied, owner)
	delete(a.settled, owner)
}

func (a *Applier) last(owner metav1.Object, key objectKey) (record, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	r, ok := a.applied[nameOf(owner)][key]
	return r, ok
}

func (a *Applier) remember(owner metav1.Object, key objectKey, r record) {
	a.mu.Lock()
	defer a.mu.Unlock()
	name := nameOf(owner)
	if a.applied[name] == nil {
		a.applied[name] = map[objectKey]record{}
	}
	a.applied[name][key] = r
}

func (a *Applier) drop(owner metav1.Object, key objectKey) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.applied[nameOf(owner)], key)
}

func nameOf(owner metav1.Object) types.NamespacedName {
	return types.NamespacedName{Namespace: owner.GetNamespace(), Name: owner.GetName()}
}
