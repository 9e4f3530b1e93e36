package apply

import (
	"context"
	"encoding/json"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// handoverSuffix makes the name of the second field owner from that of the first.
const handoverSuffix = "-handover"

// handover returns what has to be applied before wanted so that a Deployment
// keeps its number of replicas when wanted no longer says one; nil if nothing.
//
// The API server removes a field that its only owner no longer applies, and
// spec.replicas then falls back to its default, one, however many there were.
// So the number as it is gets a second owner first. It never takes the field
// from anybody: whoever scales the Deployment becomes its owner.
func (a *Applier) handover(live client.Object, wanted *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	if wanted.GetKind() != "Deployment" || !a.appliedReplicas(live) {
		return nil, nil
	}
	if _, said, err := unstructured.NestedFieldNoCopy(wanted.Object, "spec", "replicas"); said || err != nil {
		return nil, err
	}
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(live)
	if err != nil {
		return nil, err
	}
	replicas, there, err := unstructured.NestedInt64(content, "spec", "replicas")
	if !there || err != nil {
		return nil, err
	}
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": wanted.GetAPIVersion(),
		"kind":       wanted.GetKind(),
		"metadata": map[string]any{
			"name": wanted.GetName(), "namespace": wanted.GetNamespace(), "uid": string(live.GetUID()),
		},
		"spec": map[string]any{"replicas": replicas},
	}}, nil
}

// appliedReplicas says whether the field owner has applied spec.replicas.
func (a *Applier) appliedReplicas(live client.Object) bool {
	for _, entry := range live.GetManagedFields() {
		if entry.Manager != string(a.fieldOwner) || entry.Operation != metav1.ManagedFieldsOperationApply ||
			entry.Subresource != "" || entry.FieldsV1 == nil {
			continue
		}
		var fields struct {
			Spec map[string]json.RawMessage `json:"f:spec"`
		}
		if err := json.Unmarshal(entry.FieldsV1.GetRawBytes(), &fields); err != nil {
			return false
		}
		_, ours := fields.Spec["f:replicas"]
		return ours
	}
	return false
}

// handOver applies what handover has returned. A conflict says that somebody
// else has set another number by now, which then stays. An object that has been
// replaced since is for the apply that follows to complain about.
func (a *Applier) handOver(ctx context.Context, object *unstructured.Unstructured) error {
	err := a.client.Apply(ctx, client.ApplyConfigurationFromUnstructured(object), a.fieldOwner+handoverSuffix)
	if err != nil && !apierrors.IsConflict(err) && !wasReplaced(err) {
		return fmt.Errorf("keep the replicas of %s %s: %w", object.GetKind(), client.ObjectKeyFromObject(object), err)
	}
	return nil
}
