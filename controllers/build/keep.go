package build

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	appsv1ac "k8s.io/client-go/applyconfigurations/apps/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
	"github.com/mcp-sampling/mcp-sampling-operator/controllers/resolve"
)

// Annotations of a server's Deployment.
const (
	// annotationSpec is a hash of what the user wants the pods to be.
	annotationSpec = "mcp-sampling.dev/spec-hash"
	// annotationTemplate is a hash of the pod template that a release made of it, and
	// so of what of the template is the operator's as long as nobody else changes it.
	annotationTemplate = "mcp-sampling.dev/template-hash"
)

// markTemplate writes down what a server's Deployment was made of, and what was
// made of it.
func markTemplate(d *appsv1ac.DeploymentApplyConfiguration, server *mcpv1alpha1.MCPServer) error {
	spec, err := hashOf(struct {
		Transport   mcpv1alpha1.Transport        `json:"transport"`
		Container   *mcpv1alpha1.ServerContainer `json:"container"`
		PodTemplate *apiextensionsv1.JSON        `json:"podTemplate"`
		Restarted   string                       `json:"restarted"`
	}{server.Spec.Transport, server.Spec.Container, server.Spec.PodTemplate, server.Annotations[mcpv1alpha1.AnnotationRestartedAt]})
	if err != nil {
		return fmt.Errorf("hash the spec of %s: %w", server.Name, err)
	}
	template, err := HashTemplate(d.Spec.Template)
	if err != nil {
		return err
	}
	d.WithAnnotations(map[string]string{annotationSpec: spec, annotationTemplate: template})
	return nil
}

// Keep lets the pods of a server be as an earlier release has made them, as long as
// their user wants nothing else of them: an upgrade of the operator is no reason to
// end processes that belong to others. live is the server's Deployment as it is, nil
// if there is none; owner is the field manager that has applied it.
func (o *Objects) Keep(server *mcpv1alpha1.MCPServer, live *appsv1.Deployment, owner string) error {
	if live == nil {
		return nil
	}
	for _, object := range o.Apply {
		wanted, ok := object.(*appsv1ac.DeploymentApplyConfiguration)
		if !ok || *wanted.Name != resolve.ServerObject(server.Name) {
			continue
		}
		if live.Annotations[annotationTemplate] == wanted.Annotations[annotationTemplate] || !sameSpec(server, live, wanted) {
			return nil
		}
		had, err := appsv1ac.ExtractDeployment(live, owner)
		if err != nil {
			return fmt.Errorf("read what was applied to Deployment %s: %w", live.Name, err)
		}
		if had.Spec == nil || had.Spec.Template == nil {
			return nil
		}
		// What others have changed is put right, and their pods are new ones anyway.
		if whole, err := isWhole(live, had.Spec.Template, owner); !whole {
			return err
		}
		wanted.Spec.Template = had.Spec.Template
		delete(wanted.Annotations, annotationTemplate)
		if made, ok := live.Annotations[annotationTemplate]; ok {
			wanted.Annotations[annotationTemplate] = made
		}
	}
	return nil
}

// Kept names everything of a server's Deployment that Keep depends on.
func Kept(server *mcpv1alpha1.MCPServer, live *appsv1.Deployment) string {
	if live == nil {
		return ""
	}
	kept := live.Annotations[annotationSpec] + " " + live.Annotations[annotationTemplate]
	if _, made := live.Annotations[annotationSpec]; !made {
		kept = live.ResourceVersion + strconv.FormatInt(server.Status.ObservedGeneration, 10)
	}
	return kept
}

// isWhole says whether all that was applied to a pod template is still there as it
// was. Others who change or remove a part of it take that from what was applied.
func isWhole(live *appsv1.Deployment, applied *corev1ac.PodTemplateSpecApplyConfiguration, owner string) (bool, error) {
	if made, ok := live.Annotations[annotationTemplate]; ok {
		now, err := HashTemplate(applied)
		return now == made, err
	}
	// Release 0.1 wrote nothing down: whoever else wrote to the template counts.
	return !slices.ContainsFunc(live.ManagedFields, func(m metav1.ManagedFieldsEntry) bool {
		return m.Manager != owner && m.FieldsV1 != nil && strings.Contains(m.FieldsV1.GetRawString(), `"f:template"`)
	}), nil
}

// sameSpec says whether a Deployment was made for what the user wants now.
func sameSpec(server *mcpv1alpha1.MCPServer, live *appsv1.Deployment, wanted *appsv1ac.DeploymentApplyConfiguration) bool {
	if made, ok := live.Annotations[annotationSpec]; ok {
		return made == wanted.Annotations[annotationSpec]
	}
	// Release 0.1 wrote nothing down, and what it has seen it may have failed to apply.
	if server.Status.ObservedGeneration != server.Generation || server.Annotations[mcpv1alpha1.AnnotationRestartedAt] != "" {
		return false
	}
	i := slices.IndexFunc(live.Spec.Template.Spec.Containers, func(c corev1.Container) bool { return c.Name == ServerContainer })
	if i < 0 {
		return false
	}
	runs, spec := &live.Spec.Template.Spec.Containers[i], server.Spec.Container
	return runs.Image == *containerNamed(wanted.Spec.Template, ServerContainer).Image &&
		(server.Spec.Transport.Type == mcpv1alpha1.TransportStdio || slices.Equal(runs.Command, spec.Command) && slices.Equal(runs.Args, spec.Args)) &&
		!slices.ContainsFunc(spec.Env, func(wanted corev1.EnvVar) bool {
			return !slices.ContainsFunc(runs.Env, func(v corev1.EnvVar) bool { return v.Name == wanted.Name && v.Value == wanted.Value })
		})
}

// HashTemplate is the same for a template that is applied and for what the API server
// then says was applied: that writes quantities in its own way, and has defaults in
// what is owned as a whole.
func HashTemplate(template *corev1ac.PodTemplateSpecApplyConfiguration) (string, error) {
	data, err := json.Marshal(template)
	if err != nil {
		return "", fmt.Errorf("hash a pod template: %w", err)
	}
	var typed corev1.PodTemplateSpec
	if err := json.Unmarshal(data, &typed); err != nil {
		return "", fmt.Errorf("hash a pod template: %w", err)
	}
	complete(&typed.Spec)
	return hashOf(typed)
}

// complete puts in the defaults of what is owned as a whole. Of one that is missing
// here the pods are replaced once more than they had to be.
func complete(spec *corev1.PodSpec) {
	field := func(ref *corev1.ObjectFieldSelector) {
		if ref != nil {
			ref.APIVersion = cmp.Or(ref.APIVersion, "v1")
		}
	}
	files := func(items []corev1.DownwardAPIVolumeFile) {
		for i := range items {
			field(items[i].FieldRef)
		}
	}
	for _, containers := range [][]corev1.Container{spec.Containers, spec.InitContainers} {
		for i := range containers {
			for j := range containers[i].Ports {
				port := &containers[i].Ports[j]
				port.Protocol = cmp.Or(port.Protocol, corev1.ProtocolTCP)
			}
			for _, env := range containers[i].Env {
				if env.ValueFrom != nil {
					field(env.ValueFrom.FieldRef)
				}
			}
		}
	}
	for i := range spec.Volumes {
		volume := &spec.Volumes[i]
		if volume.DownwardAPI != nil {
			files(volume.DownwardAPI.Items)
		}
		if volume.Projected == nil {
			continue
		}
		for _, source := range volume.Projected.Sources {
			if source.DownwardAPI != nil {
				files(source.DownwardAPI.Items)
			}
			if token := source.ServiceAccountToken; token != nil && token.ExpirationSeconds == nil {
				token.ExpirationSeconds = new(int64(3600))
			}
		}
	}
}

func hashOf(v any) (string, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:8]), nil
}
