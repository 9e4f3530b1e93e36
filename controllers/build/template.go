package build

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
)

// templateError says that a podTemplate is no patch on our pod template.
type templateError struct {
	field string
	err   error
}

func (e *templateError) Error() string {
	const most = 512
	text := fmt.Sprintf("%s is no valid strategic merge patch on a pod template (metadata and spec): %s",
		e.field, strings.ReplaceAll(e.err.Error(), "\n", "; "))
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}

func (e *templateError) Unwrap() error { return e.err }

// templatePatch is a user's patch on a pod template.
type templatePatch struct {
	// field is where the user wrote it.
	field string
	patch *apiextensionsv1.JSON
	// container must still be there afterwards.
	container string
	// keep are the labels by which Services, Deployments and the operator find
	// the pods; they stay as they are.
	keep map[string]string
}

// patchTemplate applies a user's patch. Every error is a *templateError.
func patchTemplate(base *corev1ac.PodTemplateSpecApplyConfiguration, p templatePatch) (*corev1ac.PodTemplateSpecApplyConfiguration, error) {
	if p.patch == nil || len(p.patch.Raw) == 0 || string(p.patch.Raw) == "null" {
		return base, nil
	}
	patched, err := mergeTemplate(base, p.patch.Raw)
	if err != nil {
		return nil, &templateError{field: p.field, err: err}
	}
	container := containerNamed(patched, p.container)
	if container == nil {
		return nil, &templateError{field: p.field, err: fmt.Errorf("it removes the container %q, which is needed", p.container)}
	}
	if name := withoutImage(patched); name != "" {
		return nil, &templateError{field: p.field, err: fmt.Errorf("the container %q has no image; the container to change is named %q", name, p.container)}
	}
	dropOwnHandler(container.ReadinessProbe)
	dropOwnReference(container.Env)
	shortenSleep(container.Lifecycle, patched.Spec.TerminationGracePeriodSeconds)
	if patched.ObjectMetaApplyConfiguration == nil {
		patched.WithLabels(nil)
	}
	if patched.Labels == nil {
		patched.Labels = map[string]string{}
	}
	maps.Copy(patched.Labels, p.keep)
	return patched, nil
}

// strategicMerge turns a panic into an error: the library takes a key such as a
// container's name for something that can be compared, and a patch can have an
// object there.
func strategicMerge(original, patch []byte) (merged []byte, err error) {
	defer func() {
		if recover() != nil {
			merged, err = nil, errors.New("a name or another key in it is an object or a list, must be a text or a number")
		}
	}()
	return strategicpatch.StrategicMergePatch(original, patch, corev1.PodTemplateSpec{})
}

func mergeTemplate(base *corev1ac.PodTemplateSpecApplyConfiguration, patch []byte) (*corev1ac.PodTemplateSpecApplyConfiguration, error) {
	var object map[string]any
	if err := json.Unmarshal(patch, &object); err != nil {
		return nil, errors.New("it is not an object")
	}
	for key := range object {
		if key != "metadata" && key != "spec" && !strings.HasPrefix(key, "$") {
			return nil, fmt.Errorf("unknown field %q: only metadata and spec are known here", key)
		}
	}
	original, err := json.Marshal(base)
	if err != nil {
		return nil, err
	}
	merged, err := strategicMerge(original, patch)
	if err != nil {
		return nil, err
	}
	out := &corev1ac.PodTemplateSpecApplyConfiguration{}
	var wrong *json.UnmarshalTypeError
	if errors.As(json.Unmarshal(merged, out), &wrong) {
		return nil, fmt.Errorf("%s is a %s, must be of type %s", wrong.Field, wrong.Value, wrong.Type)
	}
	var tree map[string]any
	if err := utiljson.Unmarshal(merged, &tree); err != nil {
		return nil, err
	}
	// This one knows case and unknown fields; its paths have indexes.
	out = &corev1ac.PodTemplateSpecApplyConfiguration{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(tree, out, true); err != nil {
		return nil, err
	}
	if out.Spec == nil {
		return nil, errors.New("it removes spec")
	}
	return out, nil
}

func containerNamed(template *corev1ac.PodTemplateSpecApplyConfiguration, name string) *corev1ac.ContainerApplyConfiguration {
	i := slices.IndexFunc(template.Spec.Containers, func(c corev1ac.ContainerApplyConfiguration) bool {
		return c.Name != nil && *c.Name == name
	})
	if i < 0 {
		return nil
	}
	return &template.Spec.Containers[i]
}

// withoutImage returns the name of a container that can only be a misspelling of
// another one's; empty if there is none.
func withoutImage(template *corev1ac.PodTemplateSpecApplyConfiguration) string {
	for _, c := range slices.Concat(template.Spec.InitContainers, template.Spec.Containers) {
		if c.Name != nil && (c.Image == nil || *c.Image == "") {
			return *c.Name
		}
	}
	return ""
}

// dropOwnHandler removes the default TCP check from a probe to which a patch has
// added another kind of check. Kubernetes allows only one, and nobody should
// have to know what the default is to replace it.
func dropOwnHandler(probe *corev1ac.ProbeApplyConfiguration) {
	if probe != nil && (probe.Exec != nil || probe.HTTPGet != nil || probe.GRPC != nil) {
		probe.TCPSocket = nil
	}
}

// shortenSleep makes way for what a patch says of the end of a pod: another
// handler than our sleep, of which Kubernetes allows one, or less time than it
// takes.
func shortenSleep(lifecycle *corev1ac.LifecycleApplyConfiguration, grace *int64) {
	if lifecycle == nil || lifecycle.PreStop == nil || lifecycle.PreStop.Sleep == nil {
		return
	}
	stop := lifecycle.PreStop
	switch own := stop.Sleep.Seconds != nil && *stop.Sleep.Seconds == leaveSeconds; {
	case stop.Exec != nil || stop.HTTPGet != nil || stop.TCPSocket != nil:
		stop.Sleep = nil
	case own && grace != nil && *grace < 2:
		lifecycle.PreStop = nil
	case own && grace != nil && *grace <= leaveSeconds:
		stop.Sleep.WithSeconds(*grace / 2)
	}
}

// dropOwnReference removes the reference from the memory limit that Go is told
// if a patch has given it a value. Kubernetes allows only one of them.
func dropOwnReference(env []corev1ac.EnvVarApplyConfiguration) {
	for i := range env {
		if e := &env[i]; e.Name != nil && *e.Name == memoryLimitEnv && e.Value != nil && *e.Value != "" {
			e.ValueFrom = nil
		}
	}
}

// convert copies the fields of from into the apply configuration to, by their
// JSON names.
func convert(from, to any) error {
	data, err := json.Marshal(from)
	if err != nil {
		return err
	}
	return json.Unmarshal(data, to)
}

func unlessEmpty(r corev1.ResourceRequirements) *corev1.ResourceRequirements {
	if reflect.DeepEqual(r, corev1.ResourceRequirements{}) {
		return nil
	}
	return &r
}
