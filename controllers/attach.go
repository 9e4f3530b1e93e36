package controllers

import (
	"context"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
	"github.com/mcp-sampling/mcp-sampling-operator/controllers/resolve"
)

// targetsOfPolicy returns the servers that a policy is for. It is called for the
// policy as it was and as it is, so that a server that is no longer a target
// hears of it too.
func (r *ServerReconciler) targetsOfPolicy(ctx context.Context, obj client.Object) []reconcile.Request {
	policy, ok := obj.(*mcpv1alpha1.SamplingPolicy)
	if !ok {
		return nil
	}
	servers := &mcpv1alpha1.MCPServerList{}
	if err := r.client.List(ctx, servers, client.InNamespace(policy.Namespace), client.UnsafeDisableDeepCopy); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "List MCPServers of a SamplingPolicy")
		return nil
	}
	there, _ := present(servers.Items)
	var out []reconcile.Request
	for _, name := range resolve.TargetsOf(policy, there) {
		out = append(out, request(policy.Namespace, name))
	}
	return out
}

// namespaceOf makes passes over the policies of a namespace, at most one in a
// while: an edit that a thousand servers report to have loaded is not worth a
// thousand looks at all of them.
func (r *PolicyReconciler) namespaceOf() handler.EventHandler {
	type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]
	add := func(obj client.Object, q queue) {
		q.AddAfter(request(obj.GetNamespace(), ""), r.pace.wait(obj.GetNamespace()))
	}
	return handler.Funcs{
		CreateFunc: func(_ context.Context, e event.CreateEvent, q queue) { add(e.Object, q) },
		UpdateFunc: func(_ context.Context, e event.UpdateEvent, q queue) { add(e.ObjectNew, q) },
		DeleteFunc: func(_ context.Context, e event.DeleteEvent, q queue) {
			if policy, ok := e.Object.(*mcpv1alpha1.SamplingPolicy); ok {
				r.written.forget(client.ObjectKeyFromObject(policy))
				r.metrics.Forget(policy)
			}
			add(e.Object, q)
		},
	}
}

// specOrLabels leaves out changes of the status, and of annotations that are not
// the operator's.
var specOrLabels = predicate.Or(predicate.GenerationChangedPredicate{}, predicate.LabelChangedPredicate{}, predicate.Funcs{
	UpdateFunc: func(e event.UpdateEvent) bool {
		const asked = mcpv1alpha1.AnnotationRestartedAt
		return e.ObjectOld.GetAnnotations()[asked] != e.ObjectNew.GetAnnotations()[asked]
	},
})

// attachmentChanged leaves out what no policy's status depends on.
var attachmentChanged = predicate.Funcs{
	UpdateFunc: func(e event.UpdateEvent) bool {
		before, ok := e.ObjectOld.(*mcpv1alpha1.MCPServer)
		after, ok2 := e.ObjectNew.(*mcpv1alpha1.MCPServer)
		if !ok || !ok2 {
			return false
		}
		return before.DeletionTimestamp.IsZero() != after.DeletionTimestamp.IsZero() ||
			!equality.Semantic.DeepEqual(before.Labels, after.Labels) ||
			!equality.Semantic.DeepEqual(before.Status.SamplingPolicy, after.Status.SamplingPolicy) ||
			whyNotLoaded(before) != whyNotLoaded(after)
	},
}

// whyNotLoaded is what a policy repeats of a server that has not loaded it.
func whyNotLoaded(server *mcpv1alpha1.MCPServer) string {
	if p := server.Status.SamplingPolicy; p == nil || p.ProgrammedGeneration != 0 {
		return ""
	}
	if c := meta.FindStatusCondition(server.Status.Conditions, mcpv1alpha1.ConditionSamplingReady); c != nil {
		return c.Reason + ": " + c.Message
	}
	return ""
}

// spacing keeps the passes over one namespace apart: the more servers they look at,
// the further. The first one does not wait.
type spacing struct {
	now func() time.Time

	mu   sync.Mutex
	last map[string]pass
}

type pass struct {
	began   time.Time
	servers int
}

// apart is how far the beginnings of two passes are apart at least.
func (p pass) apart() time.Duration {
	return min(max(100*time.Millisecond, time.Duration(p.servers)*time.Second/4000), time.Second)
}

func newSpacing(now func() time.Time) *spacing {
	return &spacing{now: now, last: map[string]pass{}}
}

// wait is how long to wait before the next pass.
func (s *spacing) wait(namespace string) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := s.last[namespace]
	// A clock that was set back must not stop it.
	return max(0, min(last.apart(), last.began.Add(last.apart()).Sub(s.now())))
}

func (s *spacing) begin(namespace string, servers int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last[namespace] = pass{began: s.now(), servers: servers}
}

func (s *spacing) forget(namespace string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.last, namespace)
}
