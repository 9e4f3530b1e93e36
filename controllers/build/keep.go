package build

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	appsv1ac "k8s.io/client-go/applyconfigurations/apps/v1"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
	"github.com/mcp-sampling/mcp-sampling-operator/controllers/resolve"
)

// Annotations of a server's Deployment.
const (
	// annotationSpec is a hash of what the user wants the pods to be.
	annotationSpec = "mcp-sampling.dev/spec-hash"
	// annotationTemplate is a hash of the pod template that a release made of it.
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
	template, err := hashOf(d.Spec.Template)
	if err != nil {
		return fmt.Errorf("hash the pod template of %s: %w", server.Name, err)
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

// sameSpec says whether a Deployment was made for what the user wants now.
func sameSpec(server *mcpv1alpha1.MCPServer, live *appsv1.Deployment, wanted *appsv1ac.DeploymentApplyConfiguration) bool {
	if made, ok := live.Annotations[annotationSpec]; ok {
		return made == wanted.Annotations[annotationSpec]
	}
	// Release 0.1 wrote nothing down.
	if server.Status.ObservedGeneration != server.Generation || server.Annotations[mcpv1alpha1.AnnotationRestartedAt] != "" {
		return false
	}
	i := slices.IndexFunc(live.Spec.Template.Spec.Containers, func(c corev1.Container) bool { return c.Name == ServerContainer })
	return i >= 0 && live.Spec.Template.Spec.Containers[i].Image == *containerNamed(wanted.Spec.Template, ServerContainer).Image
}

func hashOf(v any) (string, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:8]), nil
}
