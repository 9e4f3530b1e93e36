// Package overview puts policies, servers and pods together as a tree: which policy
// governs which servers, whose pods run where, what is wrong and what to do.
package overview

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
	"github.com/mcp-sampling/mcp-sampling-operator/controllers/build"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/kubectl/diagnose"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/kubectl/terminal"
)

// State is how something is.
type State string

// States.
const (
	OK      State = "OK"
	Waiting State = "Waiting" // nobody knows yet
	Problem State = "Problem"
)

// Overview is one or more namespaces.
type Overview struct {
	Policies []Policy `json:"policies"`
	// Ungoverned are the servers without a policy.
	Ungoverned []Server `json:"ungoverned"`
	// Notes are what could not be looked at.
	Notes []string `json:"notes,omitempty"`
}

// Policy is a SamplingPolicy with the servers that it governs.
type Policy struct {
	Namespace string   `json:"namespace"`
	Name      string   `json:"name"`
	State     State    `json:"state"`
	Reason    string   `json:"reason"`
	Model     string   `json:"model"`
	Mode      string   `json:"mode,omitempty"`
	Problems  []string `json:"problems,omitempty"`
	Servers   []Server `json:"servers"`
}

// Server is an MCPServer with its pods.
type Server struct {
	Namespace string   `json:"namespace"`
	Name      string   `json:"name"`
	State     State    `json:"state"`
	Reason    string   `json:"reason"`
	URL       string   `json:"url,omitempty"`
	Says      string   `json:"says,omitempty"` // name and version that it gives itself
	Protocol  string   `json:"protocol,omitempty"`
	Tools     *int32   `json:"tools,omitempty"`
	Problems  []string `json:"problems,omitempty"`
	Hints     []string `json:"hints,omitempty"`
	Pods      []Pod    `json:"pods,omitempty"`
}

// Pod is a pod of a server or its sampler.
type Pod struct {
	Name     string `json:"name"`
	Role     string `json:"role"`
	State    State  `json:"state"`
	Reason   string `json:"reason"`
	Restarts int32  `json:"restarts,omitempty"`
	Node     string `json:"node,omitempty"`
	Image    string `json:"image,omitempty"`
}

// Input is what is there.
type Input struct {
	Policies []mcpv1alpha1.SamplingPolicy
	Servers  []mcpv1alpha1.MCPServer
	Pods     []corev1.Pod
	// Names chooses servers and policies; empty chooses all.
	Names []string
	Notes []string
}

// Make puts the tree together. missing are the names that nothing has.
func Make(in Input) (_ *Overview, missing []string) {
	out := &Overview{Policies: []Policy{}, Ungoverned: []Server{}, Notes: in.Notes}
	found := map[string]bool{}
	chosen := func(name string) bool {
		if len(in.Names) == 0 {
			return true
		}
		if slices.Contains(in.Names, name) {
			found[name] = true
			return true
		}
		return false
	}
	pods := map[[2]string][]Pod{}
	for i := range in.Pods {
		p := &in.Pods[i]
		key := [2]string{p.Namespace, p.Labels[build.LabelInstance]}
		pods[key] = append(pods[key], pod(p))
	}
	governed := map[[2]string]bool{}
	for i := range in.Policies {
		policy := &in.Policies[i]
		whole := chosen(policy.Name)
		p := onePolicy(policy)
		for j := range in.Servers {
			s := &in.Servers[j]
			if s.Namespace != policy.Namespace || s.Status.SamplingPolicy == nil || s.Status.SamplingPolicy.Name != policy.Name {
				continue
			}
			governed[[2]string{s.Namespace, s.Name}] = true
			if chosen(s.Name) || whole {
				p.Servers = append(p.Servers, oneServer(s, pods[[2]string{s.Namespace, s.Name}]))
			}
		}
		if whole || len(p.Servers) > 0 {
			sortServers(p.Servers)
			out.Policies = append(out.Policies, p)
		}
	}
	for i := range in.Servers {
		s := &in.Servers[i]
		if !governed[[2]string{s.Namespace, s.Name}] && chosen(s.Name) {
			out.Ungoverned = append(out.Ungoverned, oneServer(s, pods[[2]string{s.Namespace, s.Name}]))
		}
	}
	sortServers(out.Ungoverned)
	slices.SortFunc(out.Policies, func(a, b Policy) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	for _, name := range in.Names {
		if !found[name] {
			missing = append(missing, name)
		}
	}
	return out, missing
}

func sortServers(list []Server) {
	slices.SortFunc(list, func(a, b Server) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
}

func onePolicy(policy *mcpv1alpha1.SamplingPolicy) Policy {
	p := Policy{
		Namespace: policy.Namespace, Name: policy.Name, Mode: string(policy.Spec.Mode), Servers: []Server{},
		Model: policy.Spec.Models.Default,
	}
	for i := range policy.Spec.Models.Allowed {
		if m := &policy.Spec.Models.Allowed[i]; m.Name == policy.Spec.Models.Default {
			p.Model += " at " + m.Provider
		}
	}
	p.State, p.Reason = OK, mcpv1alpha1.ReasonProgrammed
	for _, name := range []string{mcpv1alpha1.ConditionAccepted, mcpv1alpha1.ConditionProgrammed} {
		c := meta.FindStatusCondition(policy.Status.Conditions, name)
		if c == nil {
			p.State, p.Reason, p.Problems = Waiting, "NotSeen", []string{diagnose.NotSeen}
			return p
		}
		if c.Status != metav1.ConditionTrue {
			p.State, p.Reason = stateOf(c), c.Reason
			p.Problems = append(p.Problems, terminal.Line(c.Message))
			break
		}
	}
	if policy.Status.ObservedGeneration < policy.Generation {
		p.State, p.Reason = worst(p.State, Waiting), cmp.Or(reasonIf(p.State, p.Reason), "Changed")
	}
	for _, problem := range policy.Status.Problems {
		target, message := terminal.Line(problem.Target), terminal.Line(problem.Message)
		text := target + ": " + problem.Reason
		if message != "" {
			text += ": " + message
		}
		// The condition has said that of the first target.
		if said := cmp.Or(message, fmt.Sprintf("%q", target)); slices.ContainsFunc(p.Problems, func(s string) bool { return strings.Contains(s, said) }) {
			continue
		}
		// That of a server that is governed stands below the server.
		if problem.Policy != "" || problem.Reason == mcpv1alpha1.ReasonTargetNotFound {
			p.Problems = append(p.Problems, text)
		}
	}
	return p
}

// reasonIf keeps the reason of what is wrong already.
func reasonIf(state State, reason string) string {
	if state == OK {
		return ""
	}
	return reason
}

func oneServer(server *mcpv1alpha1.MCPServer, pods []Pod) Server {
	s := Server{Namespace: server.Namespace, Name: server.Name, URL: server.Status.URL, Pods: pods}
	if info := server.Status.Server; info != nil {
		s.Says, s.Protocol, s.Tools = terminal.Line(strings.TrimSpace(info.Name+" "+info.Version)), terminal.Line(info.ProtocolVersion), info.Tools
	}
	ready := meta.FindStatusCondition(server.Status.Conditions, mcpv1alpha1.ConditionReady)
	if ready == nil {
		s.State, s.Reason, s.Problems = Waiting, "NotSeen", []string{diagnose.NotSeen}
		return s
	}
	s.State, s.Reason = stateOf(ready), ready.Reason
	said := map[string]bool{}
	for _, name := range []string{
		mcpv1alpha1.ConditionReady, mcpv1alpha1.ConditionAccepted, mcpv1alpha1.ConditionResolvedRefs,
		mcpv1alpha1.ConditionAvailable, mcpv1alpha1.ConditionVerified, mcpv1alpha1.ConditionSamplingReady,
	} {
		c := meta.FindStatusCondition(server.Status.Conditions, name)
		if c == nil || c.Status == metav1.ConditionTrue || said[c.Message] {
			continue
		}
		said[c.Message] = true
		switch {
		// What does not hold Ready back is no problem.
		case s.State == OK, c.Reason == mcpv1alpha1.ReasonNoPolicy:
			s.Hints = append(s.Hints, terminal.Line(c.Message))
		// What only waits for the first problem says nothing of its own.
		case len(s.Problems) == 0 || c.Status == metav1.ConditionFalse:
			s.Problems = append(s.Problems, terminal.Line(c.Message))
		}
	}
	if server.Status.ObservedGeneration < server.Generation {
		s.Reason = cmp.Or(reasonIf(s.State, s.Reason), "Changed")
		s.State = worst(s.State, Waiting)
	}
	return s
}

func stateOf(c *metav1.Condition) State {
	switch c.Status {
	case metav1.ConditionTrue:
		return OK
	case metav1.ConditionFalse:
		return Problem
	default:
		return Waiting
	}
}

func worst(a, b State) State {
	rank := map[State]int{OK: 0, Waiting: 1, Problem: 2}
	if rank[b] > rank[a] {
		return b
	}
	return a
}

func pod(p *corev1.Pod) Pod {
	out := Pod{Name: p.Name, Role: p.Labels[build.LabelComponent], Node: p.Spec.NodeName, State: Waiting, Reason: string(p.Status.Phase)}
	for i := range p.Spec.Containers {
		if c := &p.Spec.Containers[i]; c.Name == out.Role || out.Image == "" {
			out.Image = c.Image
		}
	}
	for i := range p.Status.ContainerStatuses {
		c := &p.Status.ContainerStatuses[i]
		out.Restarts += c.RestartCount
		if w := c.State.Waiting; w != nil && w.Reason != "" && w.Reason != "ContainerCreating" && w.Reason != "PodInitializing" {
			out.State, out.Reason = Problem, w.Reason
		}
		if t := c.State.Terminated; t != nil && t.ExitCode != 0 {
			out.State, out.Reason = Problem, cmp.Or(t.Reason, "Error")
		}
	}
	switch {
	case p.DeletionTimestamp != nil:
		out.State, out.Reason = Waiting, "Terminating"
	case out.State == Problem:
	case p.Status.Phase == corev1.PodFailed:
		out.State, out.Reason = Problem, cmp.Or(p.Status.Reason, "Failed")
	case isReady(p):
		out.State, out.Reason = OK, "Ready"
	case p.Status.Phase == corev1.PodRunning:
		out.Reason = "NotReady"
	}
	return out
}

func isReady(p *corev1.Pod) bool {
	return slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}
