package apply

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// toUnstructured copies an apply configuration. The copy takes the API server's
// whole answer, including what a typed configuration has no field for.
func toUnstructured(obj runtime.ApplyConfiguration) (*unstructured.Unstructured, error) {
	data, err := json.Marshal(obj)
	if err != nil {
		return nil, fmt.Errorf("encode %T: %w", obj, err)
	}
	u := &unstructured.Unstructured{}
	if err := utiljson.Unmarshal(data, &u.Object); err != nil {
		return nil, fmt.Errorf("decode %T: %w", obj, err)
	}
	if u.GetKind() == "" || u.GetAPIVersion() == "" || u.GetName() == "" {
		return nil, fmt.Errorf("%T needs apiVersion, kind and name", obj)
	}
	return u, nil
}

// hashOf is stable: encoding/json sorts the keys of maps.
func hashOf(v any) (string, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:]), nil
}

// fieldsOf hashes the set of fields of obj that were applied by the field
// owner, in the API server's own, sorted, encoding; "" if there is none.
func (a *Applier) fieldsOf(obj client.Object) string {
	for _, entry := range obj.GetManagedFields() {
		if entry.Manager != string(a.fieldOwner) || entry.Operation != metav1.ManagedFieldsOperationApply ||
			entry.Subresource != "" || entry.FieldsV1 == nil {
			continue
		}
		raw := entry.FieldsV1.GetRawBytes()
		// Read from the cache or as unstructured object, the bytes may be spaced
		// differently; the value is the same.
		var value any
		if err := json.Unmarshal(raw, &value); err != nil {
			return ""
		}
		hash, err := hashOf(value)
		if err != nil {
			return ""
		}
		return hash
	}
	return ""
}
