// Package status computes the whole status of an MCPServer and of a
// SamplingPolicy from what is planned, what is there and what samplers report.
//
// It is pure: the same observations give the same status, and nothing is
// remembered in it between two calls but the time of the last transition of each
// condition. Messages tell the user what to do next. They hold no counters, no
// times and no long text of others, so that a status changes only when something
// has changed.
package status

import (
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
	"github.com/mcp-sampling/mcp-sampling-operator/controllers/build"
	"github.com/mcp-sampling/mcp-sampling-operator/controllers/observe"
	"github.com/mcp-sampling/mcp-sampling-operator/controllers/resolve"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/statusz"
)

// ServerInput is everything that the status of an MCPServer depends on.
type ServerInput struct {
	// Server is the MCPServer with its earlier status.
	Server *mcpv1alpha1.MCPServer
	Plan   resolve.Plan
	// Refusals are those that came after the plan: of building and applying.
	Refusals []resolve.Refusal
	// ServerDeployment and SamplerDeployment are nil where they are not there.
	ServerDeployment, SamplerDeployment *appsv1.Deployment
	ServerPods, SamplerPods             []corev1.Pod
	// Findings are what the samplers reported.
	Findings []observe.Finding
	Now      time.Time
}

// Server returns the status of an MCPServer.
func Server(in ServerInput) mcpv1alpha1.MCPServerStatus {
	reports := gatherReports(in)
	out := mcpv1alpha1.MCPServerStatus{
		ObservedGeneration: in.Server.Generation,
		URL:                in.Plan.URL,
		Server:             serverInfo(reports),
	}
	if in.Plan.Policy != nil {
		out.SamplingPolicy = &mcpv1alpha1.AttachedPolicy{
			Name: in.Plan.Policy.Name, UID: in.Plan.Policy.UID, Hash: in.Plan.Config.Hash(),
		}
		if reports.programmed() && in.Plan.Config.Policy != nil {
			out.SamplingPolicy.ProgrammedGeneration = in.Plan.Policy.Generation
		}
	}
	if in.Server.Spec.Container != nil {
		out.Selector = labels.SelectorFromSet(build.ServerSelector(in.Server)).String()
		if d := in.ServerDeployment; d != nil {
			out.Replicas = d.Status.Replicas
			out.ReadyReplicas = d.Status.ReadyReplicas
		}
	}

	c := newConditions(in.Server.Status.Conditions, in.Server.Generation, in.Now)
	c.set(mcpv1alpha1.ConditionAccepted, accepted(in))
	c.set(mcpv1alpha1.ConditionResolvedRefs, resolvedRefs(in, reports))
	c.set(mcpv1alpha1.ConditionAvailable, available(in, reports))
	c.set(mcpv1alpha1.ConditionVerified, verified(in, reports))
	c.set(mcpv1alpha1.ConditionSamplingReady, samplingReady(in, reports))
	c.set(mcpv1alpha1.ConditionReady, ready(in, reports, c.list))
	out.Conditions = c.list
	return out
}

// verdict is what a condition says.
type verdict struct {
	status          metav1.ConditionStatus
	reason, message string
}

func yes(reason, message string) verdict {
	return verdict{metav1.ConditionTrue, reason, message}
}

func no(reason, message string) verdict {
	return verdict{metav1.ConditionFalse, reason, message}
}

func unknown(reason, message string) verdict {
	return verdict{metav1.ConditionUnknown, reason, message}
}

func refusedBy(r *resolve.Refusal) verdict { return no(r.Reason, r.Message) }

// firstRefusal returns what stands against a condition: in the plan, then in
// what came after it.
func (in ServerInput) firstRefusal(condition string) *resolve.Refusal {
	if r := in.Plan.Refused(condition); r != nil {
		return r
	}
	return resolve.Plan{Refusals: in.Refusals}.Refused(condition)
}

// blocked says whether nothing can be written for the server, because a name is
// taken: what its objects look like is then somebody else's, or old.
func (in ServerInput) blocked() bool {
	r := in.firstRefusal(mcpv1alpha1.ConditionAccepted)
	return r != nil && r.Reason == mcpv1alpha1.ReasonNameConflict
}

func accepted(in ServerInput) verdict {
	if r := in.firstRefusal(mcpv1alpha1.ConditionAccepted); r != nil {
		return refusedBy(r)
	}
	return yes(mcpv1alpha1.ReasonAccepted, "the spec is valid and every object of the server could be written")
}

// loadingPatience is how long samplers may take to load another configuration. A
// kubelet that is not told looks about once a minute.
const loadingPatience = 2 * time.Minute

// ready sums up: the first condition that is false decides, then the first one
// that is not known yet. A server that was ready stays so while its samplers
// load another configuration: they serve with the one before until then. But not
// for ever: what does not come to an end is a failure that nobody would see.
func ready(in ServerInput, r reports, conditions []metav1.Condition) verdict {
	wasReady := meta.IsStatusConditionTrue(in.Server.Status.Conditions, mcpv1alpha1.ConditionReady)
	loading := false
	for _, wanted := range []metav1.ConditionStatus{metav1.ConditionFalse, metav1.ConditionUnknown} {
		for _, c := range conditions {
			switch {
			case c.Status != wanted || harmless(c):
			case wasReady && (c.Reason == mcpv1alpha1.ReasonPending || c.Reason == mcpv1alpha1.ReasonNotVerified) && in.Now.Sub(c.LastTransitionTime.Time) < loadingPatience:
				loading = true
			default:
				return verdict{wanted, c.Reason, c.Message}
			}
		}
	}
	also := differentKeys(in, r)
	if loading {
		return yes(mcpv1alpha1.ReasonReady, "callers can use the server; its samplers are taking up what is new"+also)
	}
	if in.Plan.Policy == nil {
		return yes(mcpv1alpha1.ReasonReady, "callers can use the server; no SamplingPolicy targets it, so nobody answers its sampling requests"+also)
	}
	return yes(mcpv1alpha1.ReasonReady, "callers can use the server, and its sampling requests are answered under SamplingPolicy "+quote(in.Plan.Policy.Name)+also)
}

// harmless conditions are not met because the user wants it so.
func harmless(c metav1.Condition) bool {
	switch c.Type {
	case mcpv1alpha1.ConditionVerified:
		return c.Reason == mcpv1alpha1.ReasonAuthorizationRequired || c.Reason == mcpv1alpha1.ReasonResidentSessionOff
	case mcpv1alpha1.ConditionSamplingReady:
		return c.Reason == mcpv1alpha1.ReasonNoPolicy
	}
	return false
}

// conditions collects the conditions of one object.
type conditions struct {
	earlier    []metav1.Condition
	generation int64
	now        metav1.Time
	list       []metav1.Condition
}

func newConditions(earlier []metav1.Condition, generation int64, now time.Time) *conditions {
	// The API server keeps whole seconds.
	return &conditions{earlier: earlier, generation: generation, now: metav1.NewTime(now.UTC().Truncate(time.Second))}
}

func (c *conditions) set(conditionType string, v verdict) {
	next := metav1.Condition{
		Type:               conditionType,
		Status:             v.status,
		ObservedGeneration: c.generation,
		LastTransitionTime: c.now,
		Reason:             v.reason,
		Message:            v.message,
	}
	for _, old := range c.earlier {
		if old.Type == conditionType && old.Status == v.status && !old.LastTransitionTime.IsZero() {
			next.LastTransitionTime = old.LastTransitionTime
		}
	}
	c.list = append(c.list, next)
}

// quote shows a name that a user has chosen, or a short text of somebody else.
func quote(s string) string {
	return `"` + strings.ReplaceAll(statusz.Clean(s), `"`, "'") + `"`
}
