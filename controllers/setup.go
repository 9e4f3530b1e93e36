package controllers

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
	"github.com/mcp-sampling/mcp-sampling-operator/controllers/apply"
	"github.com/mcp-sampling/mcp-sampling-operator/controllers/build"
	"github.com/mcp-sampling/mcp-sampling-operator/controllers/metrics"
	"github.com/mcp-sampling/mcp-sampling-operator/controllers/observe"
)

// Options are the same for all servers.
type Options struct {
	// Build says what the objects of every server have in common.
	Build build.Options
	// ClusterDomain is the DNS domain of the cluster; empty means
	// resolve.DefaultClusterDomain.
	ClusterDomain string
	// Observer asks samplers; nil means the one of package observe.
	Observer Observer
	// Now is the clock; nil means the real one.
	Now func() time.Time
	// Metrics is where metrics are registered; nil registers none.
	Metrics prometheus.Registerer
	// SkipNameValidation lets several managers in one process have controllers
	// of the same name. Only tests need that.
	SkipNameValidation bool
}

func (o Options) now() time.Time {
	if o.Now == nil {
		return time.Now()
	}
	return o.Now()
}

// Fields that the cache is indexed by.
const (
	// indexService is the Service that an MCPServer is behind.
	indexService = "spec.service.name"
	// indexInstance is the MCPServer that a pod belongs to.
	indexInstance = "metadata.labels." + build.LabelInstance
)

// concurrency is how many servers are worked on at the same time. A pass waits
// mostly for samplers that do not answer.
const concurrency = 8

// namespaces is how many namespaces' policies are looked at at the same time.
const namespaces = 4

// Setup adds both reconcilers to a manager.
func Setup(ctx context.Context, mgr ctrl.Manager, opts Options) error {
	if opts.Build.SamplerImage == "" {
		return errors.New("no image for the samplers is given")
	}
	if opts.Observer == nil {
		opts.Observer = observe.New(observe.Options{})
	}
	if err := index(ctx, mgr.GetFieldIndexer()); err != nil {
		return err
	}
	recorder := mgr.GetEventRecorder(mcpv1alpha1.FieldOwner)
	servers := &ServerReconciler{
		client:   mgr.GetClient(),
		confirm:  &confirmer{live: mgr.GetAPIReader()},
		applier:  apply.New(mgr.GetClient(), mcpv1alpha1.FieldOwner),
		observer: opts.Observer,
		opts:     opts,
		pace:     newPacer(opts.now),
		written:  newWrites(opts.now),
		keys:     newKeyTries(opts.now),
		events:   newEventSink(recorder, opts.now),
	}
	if err := servers.setup(mgr); err != nil {
		return fmt.Errorf("set up the controller of MCPServers: %w", err)
	}
	figures := metrics.New(mgr.GetClient(), opts.now)
	if opts.Metrics != nil {
		if err := opts.Metrics.Register(figures); err != nil {
			return fmt.Errorf("register metrics: %w", err)
		}
	}
	policies := &PolicyReconciler{
		client:  mgr.GetClient(),
		metrics: figures,
		opts:    opts,
		pace:    newSpacing(opts.now),
		written: newWrites(opts.now),
		events:  newEventSink(recorder, opts.now),
	}
	if err := policies.setup(mgr); err != nil {
		return fmt.Errorf("set up the controller of SamplingPolicies: %w", err)
	}
	return nil
}

func index(ctx context.Context, indexer client.FieldIndexer) error {
	err := indexer.IndexField(ctx, &mcpv1alpha1.MCPServer{}, indexService, func(obj client.Object) []string {
		if server, ok := obj.(*mcpv1alpha1.MCPServer); ok && server.Spec.Service != nil {
			return []string{server.Spec.Service.Name}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("index MCPServers by Service: %w", err)
	}
	err = indexer.IndexField(ctx, &corev1.Pod{}, indexInstance, func(obj client.Object) []string {
		return []string{obj.GetLabels()[build.LabelInstance]}
	})
	if err != nil {
		return fmt.Errorf("index pods by MCPServer: %w", err)
	}
	return nil
}

func (r *ServerReconciler) setup(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("mcpserver").
		For(&mcpv1alpha1.MCPServer{}, builder.WithPredicates(specOrLabels)).
		Owns(&appsv1.Deployment{}).
		Owns(&corev1.Service{}).
		Owns(&corev1.ConfigMap{}).
		Owns(&networkingv1.NetworkPolicy{}).
		Owns(&policyv1.PodDisruptionBudget{}).
		Watches(&corev1.Pod{}, handler.EnqueueRequestsFromMapFunc(serverOfPod), builder.WithPredicates(podChanged)).
		Watches(&corev1.Service{}, handler.EnqueueRequestsFromMapFunc(r.serversBehind), builder.WithPredicates(predicate.ResourceVersionChangedPredicate{})).
		Watches(&mcpv1alpha1.SamplingPolicy{}, handler.EnqueueRequestsFromMapFunc(r.targetsOfPolicy), builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		WithOptions(r.opts.controller(concurrency)).
		Complete(r)
}

func (r *PolicyReconciler) setup(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("samplingpolicy").
		Watches(&mcpv1alpha1.SamplingPolicy{}, r.namespaceOf(), builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&mcpv1alpha1.MCPServer{}, r.namespaceOf(), builder.WithPredicates(attachmentChanged)).
		WithOptions(r.opts.controller(namespaces)).
		Complete(r)
}

func (o Options) controller(workers int) controller.Options {
	return controller.Options{
		MaxConcurrentReconciles: workers,
		SkipNameValidation:      &o.SkipNameValidation,
		// Failures slow down, but never so far that a repair seems to do nothing.
		RateLimiter: workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](200*time.Millisecond, time.Minute),
	}
}

// serverOfPod goes by labels: a pod belongs to a ReplicaSet, and those are not
// watched.
func serverOfPod(_ context.Context, pod client.Object) []reconcile.Request {
	labels := pod.GetLabels()
	if labels[build.LabelManagedBy] != build.ManagedBy || labels[build.LabelInstance] == "" {
		return nil
	}
	return []reconcile.Request{request(pod.GetNamespace(), labels[build.LabelInstance])}
}

// serversBehind returns the MCPServers whose server is behind a Service.
func (r *ServerReconciler) serversBehind(ctx context.Context, service client.Object) []reconcile.Request {
	list := &mcpv1alpha1.MCPServerList{}
	err := r.client.List(ctx, list, client.InNamespace(service.GetNamespace()), client.MatchingFields{indexService: service.GetName()})
	if err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "List MCPServers of a Service")
		return nil
	}
	out := make([]reconcile.Request, 0, len(list.Items))
	for i := range list.Items {
		out = append(out, request(list.Items[i].Namespace, list.Items[i].Name))
	}
	return out
}

func request(namespace, name string) reconcile.Request {
	return reconcile.Request{NamespacedName: types.NamespacedName{Namespace: namespace, Name: name}}
}

// podChanged leaves out the annotation that the operator itself writes.
var podChanged = predicate.Funcs{
	UpdateFunc: func(e event.UpdateEvent) bool {
		before, ok := e.ObjectOld.(*corev1.Pod)
		after, ok2 := e.ObjectNew.(*corev1.Pod)
		if !ok || !ok2 {
			return false
		}
		return before.DeletionTimestamp.IsZero() != after.DeletionTimestamp.IsZero() ||
			!equality.Semantic.DeepEqual(before.Labels, after.Labels) ||
			!equality.Semantic.DeepEqual(before.Status, after.Status)
	},
}
