package status_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
	"github.com/mcp-sampling/mcp-sampling-operator/controllers/observe"
	"github.com/mcp-sampling/mcp-sampling-operator/controllers/resolve"
	"github.com/mcp-sampling/mcp-sampling-operator/controllers/status"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/statusz"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/testing/golden"
)

var now = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// finding is a document of kind Report: what one sampler pod said. The hash
// "wanted" stands for the one that it is to load.
type finding struct {
	Kind   string          `json:"kind"`
	Pod    string          `json:"pod"`
	Report *statusz.Report `json:"report"` // absent: it could not be read
}

// refusal is a document of kind Refusal.
type refusal struct {
	Kind            string `json:"kind"`
	resolve.Refusal `json:",inline"`
}

func TestServer(t *testing.T) {
	golden.Run(t, "testdata/server", func(t *testing.T, in golden.Documents) any {
		server := golden.One[mcpv1alpha1.MCPServer](t, in, "MCPServer")
		plan := resolve.Server(resolve.Input{
			Server:   server,
			Policies: golden.All[mcpv1alpha1.SamplingPolicy](t, in, "SamplingPolicy"),
			Service:  golden.One[corev1.Service](t, in, "Service"),
		})
		input := status.ServerInput{Server: server, Plan: plan, Now: now}
		for _, r := range golden.All[refusal](t, in, "Refusal") {
			input.Refusals = append(input.Refusals, r.Refusal)
		}
		for _, d := range golden.All[appsv1.Deployment](t, in, "Deployment") {
			if strings.HasSuffix(d.Name, "-server") {
				input.ServerDeployment = &d
			} else {
				input.SamplerDeployment = &d
			}
		}
		for _, p := range golden.All[corev1.Pod](t, in, "Pod") {
			if strings.HasPrefix(p.Name, "server") {
				input.ServerPods = append(input.ServerPods, p)
			} else {
				input.SamplerPods = append(input.SamplerPods, p)
			}
		}
		for _, f := range golden.All[finding](t, in, "Report") {
			if f.Report == nil {
				input.Findings = append(input.Findings, observe.Finding{Pod: f.Pod, Err: errors.New("no answer")})
				continue
			}
			if f.Report.ConfigHash == "wanted" {
				f.Report.ConfigHash = plan.Config.Hash()
			}
			input.Findings = append(input.Findings, observe.Finding{Pod: f.Pod, Report: f.Report})
		}

		out := status.Server(input)
		checkAgain(t, input, out)
		if out.SamplingPolicy != nil && out.SamplingPolicy.Hash == plan.Config.Hash() {
			out.SamplingPolicy.Hash = "wanted"
		}
		return out
	})
}

// checkAgain holds that a status depends on nothing but what is observed: a
// minute later, and from that status, it is the same.
func checkAgain(t *testing.T, input status.ServerInput, out mcpv1alpha1.MCPServerStatus) {
	t.Helper()
	input.Server = input.Server.DeepCopy()
	input.Server.Status = out
	input.Now = input.Now.Add(time.Minute)
	slices.Reverse(input.Findings)
	slices.Reverse(input.ServerPods)
	slices.Reverse(input.SamplerPods)
	again := status.Server(input)
	for i := range again.Conditions {
		if again.Conditions[i] != out.Conditions[i] {
			t.Errorf("computed again, the condition\n%+v\nis\n%+v", out.Conditions[i], again.Conditions[i])
		}
	}
}

func TestPolicy(t *testing.T) {
	golden.Run(t, "testdata/policy", func(t *testing.T, in golden.Documents) any {
		policies := golden.All[mcpv1alpha1.SamplingPolicy](t, in, "SamplingPolicy")
		servers := golden.All[mcpv1alpha1.MCPServer](t, in, "MCPServer")
		there := make([]metav1.Object, 0, len(servers))
		byName := map[string]*mcpv1alpha1.MCPServer{}
		for i := range servers {
			there = append(there, &servers[i])
			byName[servers[i].Name] = &servers[i]
		}
		return status.Policy(status.PolicyInput{
			Policy:  &policies[0],
			Plan:    resolve.Policies(policies, there)[0],
			Servers: byName,
			Now:     now,
		})
	})
}

func TestMessagesStayShortWhateverOthersSay(t *testing.T) {
	long := strings.Repeat("x", 100_000) + "\n\x1b[31m"
	server := &mcpv1alpha1.MCPServer{Spec: mcpv1alpha1.MCPServerSpec{Container: &mcpv1alpha1.ServerContainer{Image: "any"}}}
	pod := corev1.Pod{Status: corev1.PodStatus{
		Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
	}}
	waiting := corev1.Pod{Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{
		Name: long, Image: long,
		State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CreateContainerError", Message: long}},
	}}}}
	refused := &appsv1.Deployment{Status: appsv1.DeploymentStatus{Conditions: []appsv1.DeploymentCondition{
		{Type: appsv1.DeploymentReplicaFailure, Status: corev1.ConditionTrue, Message: strings.Repeat(long+", ", 10)},
	}}}
	for _, deployment := range []*appsv1.Deployment{nil, refused} {
		out := status.Server(status.ServerInput{
			Server: server, Plan: resolve.Server(resolve.Input{Server: server}), ServerDeployment: deployment,
			SamplerPods: []corev1.Pod{pod}, ServerPods: []corev1.Pod{waiting},
			Findings: []observe.Finding{{Report: &statusz.Report{
				ConfigHash: long, ConfigError: long,
				Server: statusz.Server{State: statusz.ServerNotMCP, Name: long, Version: long, ProtocolVersion: long, Detail: long},
			}}},
		})
		for _, c := range out.Conditions {
			if len(c.Message) > 1024 || strings.ContainsAny(c.Message, "\n\x1b") {
				t.Errorf("the message of %s has %d bytes, or control characters", c.Type, len(c.Message))
			}
		}
		if len(out.Server.Name) > 256 || len(out.Server.Version) > 256 || len(out.Server.ProtocolVersion) > 256 {
			t.Error("status.server is longer than the API allows")
		}
	}
}

func TestANodeGetsTimeToMountTheKey(t *testing.T) {
	server := &mcpv1alpha1.MCPServer{
		ObjectMeta: metav1.ObjectMeta{Name: "demo", Namespace: "team"},
		Spec:       mcpv1alpha1.MCPServerSpec{Service: &mcpv1alpha1.ServerService{Name: "any", Port: 80}},
	}
	pod := corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "sampler-1", CreationTimestamp: metav1.NewTime(now)},
		Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{
			Name: "sampler", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ContainerCreating"}},
		}}},
	}
	for name, tc := range map[string]struct {
		after time.Duration
		want  bool
	}{
		"it has just been given the pod": {10 * time.Second, false},
		"it has had it for a while":      {30 * time.Second, true},
	} {
		t.Run(name, func(t *testing.T) {
			out := status.Server(status.ServerInput{
				Server: server, Plan: resolve.Server(resolve.Input{Server: server}),
				SamplerPods: []corev1.Pod{pod}, Now: now.Add(tc.after),
			})
			c := meta.FindStatusCondition(out.Conditions, mcpv1alpha1.ConditionAvailable)
			if c == nil || strings.Contains(c.Message, "Secret demo-sampler has no key session-key") != tc.want {
				t.Errorf("the condition is %+v, the Secret named should be %t", c, tc.want)
			}
		})
	}
}
