package controllers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
	"github.com/mcp-sampling/mcp-sampling-operator/controllers/apply"
	"github.com/mcp-sampling/mcp-sampling-operator/controllers/build"
	"github.com/mcp-sampling/mcp-sampling-operator/controllers/observe"
	"github.com/mcp-sampling/mcp-sampling-operator/controllers/resolve"
	"github.com/mcp-sampling/mcp-sampling-operator/controllers/status"
)

// +kubebuilder:rbac:groups=mcp-sampling.dev,resources=mcpservers,verbs=get;list;watch
// +kubebuilder:rbac:groups=mcp-sampling.dev,resources=mcpservers/status,verbs=patch
// +kubebuilder:rbac:groups=mcp-sampling.dev,resources=mcpservers/finalizers,verbs=update
// +kubebuilder:rbac:groups=mcp-sampling.dev,resources=samplingpolicies,verbs=get;list;watch
// +kubebuilder:rbac:groups=apps,resources=deployments,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups="",resources=services;configmaps,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=networking.k8s.io,resources=networkpolicies,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=policy,resources=poddisruptionbudgets,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups="",resources=secrets,verbs=create
// +kubebuilder:rbac:groups="",resources=pods,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

// Observer asks sampler pods for their reports.
type Observer interface {
	Observe(ctx context.Context, targets []observe.Target) []observe.Finding
}

// ServerReconciler makes an MCPServer be as it says.
type ServerReconciler struct {
	client   client.Client
	confirm  *confirmer
	applier  *apply.Applier
	observer Observer
	opts     Options

	pace    *pacer
	written *writes
	given   givens
	keys    *keyTries
	events  *eventSink
}

// snapshot is what one pass starts from.
type snapshot struct {
	server *mcpv1alpha1.MCPServer
	// policies are all of the namespace. They are the cache's own and stay as they
	// are.
	policies []mcpv1alpha1.SamplingPolicy
	service  *corev1.Service
}

// children is what there is of a server in the cluster.
type children struct {
	serverDeployment, samplerDeployment *appsv1.Deployment
	serverPods, samplerPods             []corev1.Pod
}

// Reconcile does one pass over one MCPServer.
func (r *ServerReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	snap, err := r.gather(ctx, req.NamespacedName)
	if err != nil {
		return ctrl.Result{}, err
	}
	if snap == nil {
		r.forget(req.NamespacedName)
		return ctrl.Result{}, nil
	}
	if !r.written.seen(snap.server) {
		return ctrl.Result{RequeueAfter: staleRetry}, nil
	}

	plan := r.plan(snap)
	if moves(plan, snap.server.Status.SamplingPolicy) || r.given.differs(req.NamespacedName, plan) {
		switch snap, err = r.confirm.confirm(ctx, snap); {
		case errors.Is(err, errUnsteady):
			// Its pace slows down, and the log says so: it may be for long.
			return ctrl.Result{}, err
		case err != nil || snap == nil:
			return ctrl.Result{}, err
		}
		plan = r.plan(snap)
	}
	// Before the pods that wait for it.
	keyed := judge(r.sessionKey(ctx, snap.server))
	r.given.remember(req.NamespacedName, plan)
	applied, err := r.carryOut(ctx, snap.server, plan)
	if err != nil {
		return ctrl.Result{}, err
	}
	applied = keyed.and(applied)

	kids, err := r.children(ctx, snap.server)
	if err != nil {
		return ctrl.Result{}, errors.Join(applied.err, err)
	}
	hash := plan.Config.Hash()
	touched, touchErr := r.announce(ctx, kids.samplerPods, hash)
	findings := r.observer.Observe(ctx, targetsOf(kids.samplerPods, status.ServesSince(kids.serverPods)))
	again, againErr := r.remind(ctx, kids.samplerPods, findings, hash, touched)

	next := status.Server(status.ServerInput{
		Server: snap.server, Plan: plan,
		Refusals:         applied.refusals,
		ServerDeployment: kids.serverDeployment, SamplerDeployment: kids.samplerDeployment,
		ServerPods: kids.serverPods, SamplerPods: kids.samplerPods,
		Findings: findings, Now: r.opts.now(),
	})
	statusErr := r.writeStatus(ctx, snap.server, next)
	if apierrors.IsConflict(statusErr) {
		return ctrl.Result{RequeueAfter: staleRetry}, nil
	}
	if err := errors.Join(applied.err, touchErr, againErr, statusErr); err != nil {
		return ctrl.Result{}, err
	}
	wait := r.pace.next(req.NamespacedName, unsettled(next))
	if again > 0 {
		wait = min(wait, again)
	}
	return ctrl.Result{RequeueAfter: wait}, nil
}

// gather reads what the pass depends on. It returns nil for a server that is
// gone or going: its objects go with it, and must not be made again.
func (r *ServerReconciler) gather(ctx context.Context, key types.NamespacedName) (*snapshot, error) {
	server := &mcpv1alpha1.MCPServer{}
	if err := r.client.Get(ctx, key, server); err != nil {
		if apierrors.IsNotFound(err) {
			return nil, nil
		}
		return nil, fmt.Errorf("get MCPServer: %w", err)
	}
	if !server.DeletionTimestamp.IsZero() {
		return nil, nil
	}
	policies, err := policiesIn(ctx, r.client, key.Namespace, client.UnsafeDisableDeepCopy)
	if err != nil {
		return nil, err
	}
	snap := &snapshot{server: server, policies: policies}
	if source := server.Spec.Service; source != nil {
		service := &corev1.Service{}
		err := r.client.Get(ctx, types.NamespacedName{Namespace: key.Namespace, Name: source.Name}, service)
		switch {
		case err == nil:
			snap.service = service
		case !apierrors.IsNotFound(err):
			return nil, fmt.Errorf("get Service %s: %w", source.Name, err)
		}
	}
	return snap, nil
}

func (r *ServerReconciler) plan(snap *snapshot) resolve.Plan {
	return resolve.Server(resolve.Input{
		Server: snap.server, Policies: snap.policies, Service: snap.service, ClusterDomain: r.opts.ClusterDomain,
	})
}

// children reads what the earlier passes have made and what became of it.
func (r *ServerReconciler) children(ctx context.Context, server *mcpv1alpha1.MCPServer) (children, error) {
	var out children
	var err error
	if out.serverDeployment, err = r.deployment(ctx, server, resolve.ServerObject(server.Name)); err != nil {
		return out, err
	}
	if out.samplerDeployment, err = r.deployment(ctx, server, build.SamplerObject(server.Name)); err != nil {
		return out, err
	}
	pods := &corev1.PodList{}
	if err := r.client.List(ctx, pods, client.InNamespace(server.Namespace), client.MatchingFields{indexInstance: server.Name}); err != nil {
		return out, fmt.Errorf("list pods: %w", err)
	}
	isServers, isSamplers := labels.SelectorFromSet(build.ServerSelector(server)), labels.SelectorFromSet(build.SamplerSelector(server))
	for _, pod := range pods.Items {
		switch of := labels.Set(pod.Labels); {
		case isServers.Matches(of):
			out.serverPods = append(out.serverPods, pod)
		case isSamplers.Matches(of):
			out.samplerPods = append(out.samplerPods, pod)
		}
	}
	return out, nil
}

func (r *ServerReconciler) deployment(ctx context.Context, server *mcpv1alpha1.MCPServer, name string) (*appsv1.Deployment, error) {
	d := &appsv1.Deployment{}
	err := r.client.Get(ctx, types.NamespacedName{Namespace: server.Namespace, Name: name}, d)
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("get Deployment %s: %w", name, err)
	case !metav1.IsControlledBy(d, server):
		return nil, nil
	}
	return d, nil
}

// writeStatus writes the status if it has changed, and then says so in events.
func (r *ServerReconciler) writeStatus(ctx context.Context, server *mcpv1alpha1.MCPServer, next mcpv1alpha1.MCPServerStatus) error {
	earlier := server.Status
	updated := server.DeepCopy()
	updated.Status = next
	same := equality.Semantic.DeepEqual(earlier, next)
	if progresses(earlier, next) && r.written.since(server) < time.Second {
		same = true // the next pass, which is soon, tells more
	}
	changed, err := patchStatus(ctx, r.client, server, updated, same)
	if err != nil || !changed {
		return err
	}
	r.written.remember(updated)
	r.events.record(updated, serverEvents(earlier, next))
	return nil
}

// progresses says whether a server that is not ready yet is only on its way to be.
func progresses(earlier, next mcpv1alpha1.MCPServerStatus) bool {
	return earlier.ObservedGeneration == next.ObservedGeneration && unsettled(next) != "" &&
		equality.Semantic.DeepEqual(earlier.SamplingPolicy, next.SamplingPolicy) &&
		slices.EqualFunc(earlier.Conditions, next.Conditions, func(a, b metav1.Condition) bool {
			return a.Type == b.Type && (a.Status == b.Status && a.Reason == b.Reason || passes(a.Reason) && passes(b.Reason))
		})
}

func (r *ServerReconciler) forget(key types.NamespacedName) {
	r.applier.Forget(key)
	r.pace.forget(key)
	r.written.forget(key)
	r.keys.forget(key)
	r.given.forget(key)
}

// unsettled says what is still to be waited for, "" if nothing is.
func unsettled(s mcpv1alpha1.MCPServerStatus) string {
	what := ""
	pending := slices.ContainsFunc(s.Conditions, func(c metav1.Condition) bool {
		return c.Reason == mcpv1alpha1.ReasonPending || c.Reason == mcpv1alpha1.ReasonNotVerified
	})
	if !pending && meta.IsStatusConditionTrue(s.Conditions, mcpv1alpha1.ConditionReady) {
		return ""
	}
	for _, c := range s.Conditions {
		if c.Status != metav1.ConditionTrue {
			what += c.Type + "=" + c.Reason + ","
		}
	}
	if s.SamplingPolicy != nil {
		what += s.SamplingPolicy.Hash
	}
	return what
}

// staleRetry is how soon to look again when the cache is behind.
const staleRetry = 50 * time.Millisecond
