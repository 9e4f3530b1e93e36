package controllers

import (
	"context"
	"fmt"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"sigs.k8s.io/controller-runtime/pkg/client"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
)

// patchStatus writes the status of updated, if it is not the same as before. An
// object that is gone needs no status. The write fails with a conflict if the
// object has changed since it was read.
func patchStatus(ctx context.Context, c client.Client, before, updated client.Object, same bool) (changed bool, err error) {
	if same {
		return false, nil
	}
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	err = c.Status().Patch(ctx, updated, patch, client.FieldOwner(mcpv1alpha1.FieldOwner))
	switch {
	case apierrors.IsNotFound(err):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("write the status of %s: %w", updated.GetName(), err)
	}
	return true, nil
}

// writes remembers the version of each object after the last status write. A
// cache that is behind would make a pass compare with a status that is no longer
// there, and so write nothing where it must, or the same event twice.
type writes struct {
	now func() time.Time

	mu   sync.Mutex
	last map[types.NamespacedName]write
}

type write struct {
	version string
	at      time.Time
}

// patience is how long a cache may be behind. After that the remembered version
// is taken for wrong, as after the cluster was restored from a backup.
const patience = 5 * time.Second

func newWrites(now func() time.Time) *writes {
	return &writes{now: now, last: map[types.NamespacedName]write{}}
}

func (w *writes) remember(obj client.Object) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.last[client.ObjectKeyFromObject(obj)] = write{version: obj.GetResourceVersion(), at: w.now()}
}

// seen says whether obj is at least as new as the last write.
func (w *writes) seen(obj client.Object) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	last, ok := w.last[client.ObjectKeyFromObject(obj)]
	if !ok || w.now().Sub(last.at) > patience {
		return true
	}
	order, err := resourceversion.CompareResourceVersion(obj.GetResourceVersion(), last.version)
	return err != nil || order >= 0
}

// since says how long ago the last write was; very long if there was none.
func (w *writes) since(obj client.Object) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now().Sub(w.last[client.ObjectKeyFromObject(obj)].at)
}

func (w *writes) forget(key types.NamespacedName) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.last, key)
}
