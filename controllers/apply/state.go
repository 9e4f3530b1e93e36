package apply

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// identify reads which object an apply configuration is about.
func identify(data []byte) (*metav1.PartialObjectMetadata, error) {
	named := &metav1.PartialObjectMetadata{}
	if err := json.Unmarshal(data, named); err != nil {
		return nil, fmt.Errorf("decode: %w", err)
	}
	if named.Kind == "" || named.APIVersion == "" || named.Name == "" {
		return nil, errors.New("apiVersion, kind and name are needed")
	}
	return named, nil
}

// toUnstructured makes an object that takes the API server's whole answer,
// including what a typed configuration has no field for.
func toUnstructured(data []byte) (*unstructured.Unstructured, error) {
	u := &unstructured.Unstructured{}
	if err := utiljson.Unmarshal(data, &u.Object); err != nil {
		return nil, fmt.Errorf("decode: %w", err)
	}
	return u, nil
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
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
		sorted, err := json.Marshal(value)
		if err != nil {
			return ""
		}
		return digest(sorted)
	}
	return ""
}
