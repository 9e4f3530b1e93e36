package controllers

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
	"github.com/mcp-sampling/mcp-sampling-operator/controllers/apply"
	"github.com/mcp-sampling/mcp-sampling-operator/controllers/build"
	"github.com/mcp-sampling/mcp-sampling-operator/controllers/resolve"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/statusz"
)

// outcome is what became of applying: what the user has to put right, and what
// has to be tried again.
type outcome struct {
	refusals []resolve.Refusal
	err      error
}

// and adds what came of something else.
func (o outcome) and(other outcome) outcome {
	return outcome{refusals: append(o.refusals, other.refusals...), err: errors.Join(o.err, other.err)}
}

// carryOut makes everything be there as the plan says. Most passes find that it is:
// then nothing is built.
func (r *ServerReconciler) carryOut(ctx context.Context, server *mcpv1alpha1.MCPServer, plan resolve.Plan) (outcome, error) {
	var live *appsv1.Deployment
	if server.Spec.Container != nil {
		var err error
		if live, err = r.deployment(ctx, server, resolve.ServerObject(server.Name)); err != nil {
			return outcome{}, err
		}
	}
	made := madeOf(server, plan, live)
	if r.applier.Settled(ctx, server, made) {
		return outcome{}, nil
	}
	objects, err := build.For(server, plan, live, r.opts.Build)
	if err != nil {
		return outcome{}, err
	}
	if err := objects.Keep(server, live, mcpv1alpha1.FieldOwner); err != nil {
		return outcome{}, err
	}
	out := r.apply(ctx, server, objects)
	if out.err == nil && len(out.refusals)+len(objects.Refusals) == 0 {
		r.applier.Settle(server, made, len(objects.Apply))
	}
	return outcome{refusals: objects.Refusals}.and(out), nil
}

// madeOf names everything that the objects of a server depend on, but for what is
// the same as long as the operator runs.
func madeOf(server *mcpv1alpha1.MCPServer, plan resolve.Plan, live *appsv1.Deployment) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %d %q %s %v %v %s %t", server.UID, server.Generation, server.Annotations[mcpv1alpha1.AnnotationRestartedAt],
		plan.Config.Hash(), plan.Secrets, plan.CABundles, build.Kept(server, live), build.SeveralServers(server, live)))
	return string(sum[:])
}

func (r *ServerReconciler) apply(ctx context.Context, server *mcpv1alpha1.MCPServer, objects build.Objects) outcome {
	out := judge(r.applier.Apply(ctx, server, objects.Apply...))
	unwanted := make([]client.Object, 0, len(objects.Unwanted))
	for _, o := range objects.Unwanted {
		unwanted = append(unwanted, o)
	}
	if err := r.applier.DeleteOwned(ctx, server, unwanted...); err != nil {
		out.err = errors.Join(out.err, err)
	}
	return out
}

// judge tells the errors that only the user can put right from those that go
// away by trying again.
func judge(err error) outcome {
	var out outcome
	var again []error
	for _, e := range leaves(err) {
		refusal, retry := refusalOf(e)
		if refusal != nil {
			out.refusals = append(out.refusals, *refusal)
		}
		if retry {
			again = append(again, e)
		}
	}
	out.err = errors.Join(again...)
	return out
}

// refusalOf turns an error into what the user is told about it, if anything, and
// says whether trying again may help.
func refusalOf(err error) (refusal *resolve.Refusal, retry bool) {
	var conflict *apply.ConflictError
	if errors.As(err, &conflict) {
		refusal := &resolve.Refusal{
			Condition: mcpv1alpha1.ConditionAccepted,
			Reason:    mcpv1alpha1.ReasonNameConflict,
			Message:   conflict.Error(),
		}
		if conflict.Guards() {
			refusal.Reason = mcpv1alpha1.ReasonNetworkPolicyConflict
		}
		return refusal, false
	}
	if namespaceGoes(err) {
		return nil, false
	}
	invalid, forbidden := apierrors.IsInvalid(err), apierrors.IsForbidden(err)
	if !invalid && !forbidden {
		return nil, true
	}
	// There is nothing but the words to tell a quota by.
	if forbidden && strings.Contains(err.Error(), "exceeded quota") {
		return &resolve.Refusal{
			Condition: mcpv1alpha1.ConditionAccepted,
			Reason:    mcpv1alpha1.ReasonQuotaExceeded,
			Message:   "a ResourceQuota of the namespace leaves no room for an object of the server: raise it, or delete what is no longer needed: " + explain(err),
		}, true
	}
	return &resolve.Refusal{
		Condition: mcpv1alpha1.ConditionAccepted,
		Reason:    mcpv1alpha1.ReasonObjectRefused,
		Message:   "the API server refuses an object made from the spec: " + explain(err),
	}, forbidden
}

// namespaceGoes says whether the namespace is being deleted or gone, and the
// server with it: then there is nothing to do and nobody to tell.
func namespaceGoes(err error) bool {
	if apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
		return true
	}
	var status apierrors.APIStatus
	if !apierrors.IsNotFound(err) || !errors.As(err, &status) {
		return false
	}
	details := status.Status().Details
	return details != nil && details.Kind == "namespaces"
}

// explain names the fields that the API server does not like.
func explain(err error) string {
	const most = 3
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return statusz.Clean(err.Error())
	}
	details := status.Status().Details
	if details == nil || len(details.Causes) == 0 {
		return statusz.Clean(status.Status().Message)
	}
	parts := make([]string, 0, most)
	for _, cause := range details.Causes[:min(len(details.Causes), most)] {
		parts = append(parts, fmt.Sprintf("%s: %s", cause.Field, statusz.Clean(cause.Message)))
	}
	return fmt.Sprintf("%s %q, %s", details.Kind, details.Name, strings.Join(parts, "; "))
}

// leaves takes joined errors apart.
func leaves(err error) []error {
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var out []error
	for _, e := range joined.Unwrap() {
		out = append(out, leaves(e)...)
	}
	return out
}
