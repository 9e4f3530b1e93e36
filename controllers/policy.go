package controllers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
	"github.com/mcp-sampling/mcp-sampling-operator/controllers/metrics"
	"github.com/mcp-sampling/mcp-sampling-operator/controllers/resolve"
	"github.com/mcp-sampling/mcp-sampling-operator/controllers/status"
)

// +kubebuilder:rbac:groups=mcp-sampling.dev,resources=samplingpolicies/status,verbs=patch

// PolicyReconciler says in the status of each SamplingPolicy what it achieves. It
// changes nothing else: policies are carried out by the reconciler of the servers
// that they govern.
//
// One pass is over all policies of a namespace. What one achieves depends on all
// of them and on all servers, so that a pass over each alone would do the same
// work as often as there are policies.
type PolicyReconciler struct {
	client  client.Client
	metrics *metrics.Metrics
	opts    Options

	pace    *spacing
	written *writes
	events  *eventSink
}

// counting is how far two statuses of a policy are apart, at least, that differ in
// how many of its servers have loaded it only; longer while some have not, and where
// many policies count at the same time, as when the operator is new.
func counting(s mcpv1alpha1.SamplingPolicyStatus, policies int) time.Duration {
	if s.Targets.Programmed < s.Targets.Attached {
		return max(3*time.Second, time.Duration(policies)*time.Second/5)
	}
	return time.Second
}

// Reconcile does one pass over the SamplingPolicies of the namespace of the
// request, which has no name.
func (r *PolicyReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	policies, err := policiesIn(ctx, r.client, req.Namespace, client.UnsafeDisableDeepCopy)
	if err != nil {
		return ctrl.Result{}, err
	}
	if len(policies) == 0 {
		r.pace.forget(req.Namespace)
		return ctrl.Result{}, nil
	}
	servers := &mcpv1alpha1.MCPServerList{}
	if err := r.client.List(ctx, servers, client.InNamespace(req.Namespace), client.UnsafeDisableDeepCopy); err != nil {
		return ctrl.Result{}, fmt.Errorf("list MCPServers: %w", err)
	}
	r.pace.begin(req.Namespace, len(servers.Items))
	there, byName := present(servers.Items)
	var result ctrl.Result
	var problems []error
	for i, plan := range resolve.Policies(policies, there) {
		policy := &policies[i]
		switch {
		case !policy.DeletionTimestamp.IsZero():
			continue
		case !r.written.seen(policy):
			result = within(result, staleRetry)
			continue
		}
		next := status.Policy(status.PolicyInput{Policy: policy, Plan: plan, Servers: byName, Now: r.opts.now()})
		r.metrics.Seen(policy, next.Targets.Attached, meta.IsStatusConditionTrue(next.Conditions, mcpv1alpha1.ConditionProgrammed))
		if wait := counting(next, len(policies)) - r.written.since(policy); wait > 0 && onlyCounts(policy.Status, next) {
			result = within(result, wait)
			continue
		}
		err := r.writeStatus(ctx, policy, next)
		if apierrors.IsConflict(err) {
			result = within(result, staleRetry)
			continue
		}
		problems = append(problems, err)
	}
	if err := errors.Join(problems...); err != nil {
		return ctrl.Result{}, err
	}
	return result, nil
}

// writeStatus writes the status if it has changed. The policy is the cache's own
// and stays as it is.
func (r *PolicyReconciler) writeStatus(ctx context.Context, policy *mcpv1alpha1.SamplingPolicy, next mcpv1alpha1.SamplingPolicyStatus) error {
	if equality.Semantic.DeepEqual(policy.Status, next) {
		return nil
	}
	updated := policy.DeepCopy()
	updated.Status = next
	changed, err := patchStatus(ctx, r.client, policy, updated, false)
	if err != nil || !changed {
		return err
	}
	r.written.remember(updated)
	r.events.record(updated, policyEvents(policy.Status, next))
	return nil
}

// onlyCounts says whether a status tells no other conditions than the one before,
// for the same generation.
func onlyCounts(earlier, next mcpv1alpha1.SamplingPolicyStatus) bool {
	return earlier.ObservedGeneration == next.ObservedGeneration &&
		slices.EqualFunc(earlier.Conditions, next.Conditions, func(a, b metav1.Condition) bool {
			return a.Type == b.Type && a.Status == b.Status && a.Reason == b.Reason
		})
}

// within makes a result that comes back after wait, if not earlier.
func within(result ctrl.Result, wait time.Duration) ctrl.Result {
	if result.RequeueAfter == 0 || wait < result.RequeueAfter {
		result.RequeueAfter = wait
	}
	return result
}

// present returns the servers that are not going.
func present(servers []mcpv1alpha1.MCPServer) (list []metav1.Object, byName map[string]*mcpv1alpha1.MCPServer) {
	list = make([]metav1.Object, 0, len(servers))
	byName = make(map[string]*mcpv1alpha1.MCPServer, len(servers))
	for i := range servers {
		if s := &servers[i]; s.DeletionTimestamp.IsZero() {
			list = append(list, s)
			byName[s.Name] = s
		}
	}
	return list, byName
}

// policiesIn returns the SamplingPolicies of a namespace.
func policiesIn(ctx context.Context, from client.Reader, namespace string, opts ...client.ListOption) ([]mcpv1alpha1.SamplingPolicy, error) {
	list := &mcpv1alpha1.SamplingPolicyList{}
	if err := from.List(ctx, list, append(opts, client.InNamespace(namespace))...); err != nil {
		return nil, fmt.Errorf("list SamplingPolicies: %w", err)
	}
	return list.Items, nil
}
