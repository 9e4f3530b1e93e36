package controllers

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
	"github.com/mcp-sampling/mcp-sampling-operator/controllers/apply"
)

func TestErrorsOfApplying(t *testing.T) {
	deployments := schema.GroupResource{Group: "apps", Resource: "deployments"}
	terminating := apierrors.NewForbidden(deployments, "demo", errors.New("namespace is being terminated"))
	terminating.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: corev1.NamespaceTerminatingCause}}
	invalid := apierrors.NewInvalid(schema.GroupKind{Group: "apps", Kind: "Deployment"}, "demo-server", field.ErrorList{
		field.Required(field.NewPath("spec", "template"), "needed"),
	})
	conflict := &apply.ConflictError{Kind: "Service", Name: "demo"}

	for name, tc := range map[string]struct {
		err         error
		wantReasons []string
		wantMessage string
		wantRetry   bool
	}{
		"nothing went wrong":                       {},
		"an object of somebody else":               {err: conflict, wantReasons: []string{mcpv1alpha1.ReasonNameConflict}, wantMessage: `Service "demo"`},
		"an object that cannot be":                 {err: fmt.Errorf("apply: %w", invalid), wantReasons: []string{mcpv1alpha1.ReasonObjectRefused}, wantMessage: "spec.template"},
		"an object that is forbidden, for now":     {err: apierrors.NewForbidden(deployments, "demo", errors.New("a webhook says no")), wantReasons: []string{mcpv1alpha1.ReasonObjectRefused}, wantMessage: "a webhook says no", wantRetry: true},
		"a namespace that is being deleted":        {err: fmt.Errorf("apply: %w", terminating)},
		"a namespace that is gone":                 {err: fmt.Errorf("apply: %w", apierrors.NewNotFound(schema.GroupResource{Resource: "namespaces"}, "team"))},
		"an API server that is busy":               {err: apierrors.NewTooManyRequests("later", 1), wantRetry: true},
		"an object that was replaced in between":   {err: apierrors.NewConflict(deployments, "demo", errors.New("uid")), wantRetry: true},
		"several errors, each is judged by itself": {err: errors.Join(conflict, errors.Join(fmt.Errorf("apply: %w", invalid), errors.New("broken"))), wantReasons: []string{mcpv1alpha1.ReasonNameConflict, mcpv1alpha1.ReasonObjectRefused}, wantRetry: true},
	} {
		t.Run(name, func(t *testing.T) {
			got := judge(tc.err)
			var reasons []string
			for _, r := range got.refusals {
				reasons = append(reasons, r.Reason)
			}
			if diff := cmp.Diff(tc.wantReasons, reasons); diff != "" {
				t.Errorf("reasons (-want +got):\n%s", diff)
			}
			if tc.wantMessage != "" && !strings.Contains(got.refusals[0].Message, tc.wantMessage) {
				t.Errorf("the message %q does not say %q", got.refusals[0].Message, tc.wantMessage)
			}
			if retry := got.err != nil; retry != tc.wantRetry {
				t.Errorf("try again: %t (%v), want %t", retry, got.err, tc.wantRetry)
			}
		})
	}
}
