package apply

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ConflictError says that an object with a name that is needed is there and
// belongs to somebody else.
type ConflictError struct {
	// Kind and Name are those of the object.
	Kind, Name string
	// Owner is the object's controller as "Kind/name"; empty without one.
	Owner string
	// Leftover says that the controller has the kind and name of the owner but
	// is an earlier object that was deleted: the object goes away by itself.
	Leftover bool
}

// Guards says whether the object is one without which pods are neither started nor
// replaced, and everything else is written.
func (e *ConflictError) Guards() bool { return e.Kind == kindGuard }

// Error says what is there and what to do about it.
func (e *ConflictError) Error() string {
	switch {
	case e.Guards() && !e.Leftover:
		return fmt.Sprintf("%s %q is already there and was not made by this operator: delete it or give it another name; until then no pods are started or replaced behind it, and what runs goes on", e.Kind, e.Name)
	case e.Leftover:
		return fmt.Sprintf("%s %q still belongs to a deleted %s and is being removed", e.Kind, e.Name, e.Owner)
	case e.Owner != "":
		return fmt.Sprintf("%s %q is already there and belongs to %s: choose another name", e.Kind, e.Name, e.Owner)
	default:
		return fmt.Sprintf("%s %q is already there and was not made by this operator: delete it or choose another name", e.Kind, e.Name)
	}
}

// conflictWith describes an object that the controller of wanted does not
// control.
func conflictWith(live, wanted metav1.Object, key objectKey) *ConflictError {
	conflict := &ConflictError{Kind: key.kind, Name: key.Name}
	controller := metav1.GetControllerOf(live)
	if controller == nil {
		return conflict
	}
	conflict.Owner = controller.Kind + "/" + controller.Name
	ours := metav1.GetControllerOf(wanted)
	conflict.Leftover = controller.Kind == ours.Kind && controller.Name == ours.Name && controller.UID != ours.UID
	return conflict
}
