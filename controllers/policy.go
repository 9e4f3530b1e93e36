package controllers

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
	"github.com/mcp-sampling/mcp-sampling-operator/controllers/resolve"
	"github.com/mcp-sampling/mcp-sampling-operator/controllers/status"
)

// +kubebuilder:rbac:groups=mcp-sampling.dev,resources=samplingpolicies/status,verbs=patch

// PolicyReconciler says in the status of a SamplingPolicy what it achieves. It
// changes nothing else: policies are carried out by the reconciler of the servers
// that they govern.
type PolicyReconciler struct {
	client client.Client
	opts   Options

	written *writes
	events  *eventSink
}

// Reconcile does one pass over one SamplingPolicy.
func (r *PolicyReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	policy := &mcpv1alpha1.SamplingPolicy{}
	if err := r.client.Get(ctx, req.NamespacedName, policy); err != nil {
		if apierrors.IsNotFound(err) {
			r.written.forget(req.NamespacedName)
			return ctrl.Result{}, nil
		}
		return ctrl.Result{}, fmt.Errorf("get SamplingPolicy: %w", err)
	}
	if !policy.DeletionTimestamp.IsZero() {
		return ctrl.Result{}, nil
	}
	if !r.written.seen(policy) {
		return ctrl.Result{RequeueAfter: staleRetry}, nil
	}
	policies := &mcpv1alpha1.SamplingPolicyList{}
	if err := r.client.List(ctx, policies, client.InNamespace(req.Namespace)); err != nil {
		return ctrl.Result{}, fmt.Errorf("list SamplingPolicies: %w", err)
	}
	servers := &mcpv1alpha1.MCPServerList{}
	if err := r.client.List(ctx, servers, client.InNamespace(req.Namespace)); err != nil {
		return ctrl.Result{}, fmt.Errorf("list MCPServers: %w", err)
	}

	plan := resolve.Policy(policy, policies.Items, present(servers.Items))
	next := status.Policy(status.PolicyInput{Policy: policy, Plan: plan, Servers: servers.Items, Now: r.opts.now()})
	err := r.writeStatus(ctx, policy, next)
	if apierrors.IsConflict(err) {
		return ctrl.Result{RequeueAfter: staleRetry}, nil
	}
	return ctrl.Result{}, err
}

func (r *PolicyReconciler) writeStatus(ctx context.Context, policy *mcpv1alpha1.SamplingPolicy, next mcpv1alpha1.SamplingPolicyStatus) error {
	earlier := policy.Status
	updated := policy.DeepCopy()
	updated.Status = next
	changed, err := patchStatus(ctx, r.client, policy, updated, equality.Semantic.DeepEqual(earlier, next))
	if err != nil || !changed {
		return err
	}
	r.written.remember(updated)
	r.events.record(updated, policyEvents(earlier, next))
	return nil
}

// present leaves out servers that are going.
func present(servers []mcpv1alpha1.MCPServer) []metav1.Object {
	out := make([]metav1.Object, 0, len(servers))
	for i := range servers {
		if servers[i].DeletionTimestamp.IsZero() {
			out = append(out, &servers[i])
		}
	}
	return out
}
