package metrics

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/common/expfmt"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
)

func condition(conditionType string, status metav1.ConditionStatus, reason string) metav1.Condition {
	return metav1.Condition{Type: conditionType, Status: status, Reason: reason}
}

func TestObjectsAreCountedByCondition(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := mcpv1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	server := func(name string, conditions ...metav1.Condition) *mcpv1alpha1.MCPServer {
		return &mcpv1alpha1.MCPServer{
			ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: name},
			Status:     mcpv1alpha1.MCPServerStatus{Conditions: conditions},
		}
	}
	policy := &mcpv1alpha1.SamplingPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "p"},
		Status:     mcpv1alpha1.SamplingPolicyStatus{Conditions: []metav1.Condition{condition("Programmed", "False", "Pending")}},
	}
	objects := fake.NewClientBuilder().WithScheme(scheme).WithObjects(
		server("a", condition("Ready", "True", "Ready")), server("b", condition("Ready", "True", "Ready")),
		server("c", condition("Ready", "False", "NotMCP"), condition("Verified", "False", "NotMCP")), policy,
	).Build()
	want := `
# HELP mcp_sampling_policies SamplingPolicies by the status and the reason of each of their conditions.
# TYPE mcp_sampling_policies gauge
mcp_sampling_policies{condition="Programmed",namespace="team",reason="Pending",status="False"} 1
# HELP mcp_sampling_servers MCPServers by the status and the reason of each of their conditions.
# TYPE mcp_sampling_servers gauge
mcp_sampling_servers{condition="Ready",namespace="team",reason="NotMCP",status="False"} 1
mcp_sampling_servers{condition="Ready",namespace="team",reason="Ready",status="True"} 2
mcp_sampling_servers{condition="Verified",namespace="team",reason="NotMCP",status="False"} 1
`
	m := New(objects, time.Now)
	if err := testutil.CollectAndCompare(m, strings.NewReader(want), "mcp_sampling_servers", "mcp_sampling_policies"); err != nil {
		t.Error(err)
	}
	if problems, err := testutil.CollectAndLint(m); err != nil || len(problems) > 0 {
		t.Errorf("the linter says %v, %v", problems, err)
	}
}

func TestPropagationIsTimedFromTheChange(t *testing.T) {
	type look struct {
		after      time.Duration // since the one before
		generation int64
		attached   int32
		programmed bool
	}
	for name, tc := range map[string]struct {
		looks     []look
		wantCount string
		wantSum   string
	}{
		"a new policy":                       {[]look{{0, 1, 2, false}, {time.Second, 1, 2, false}, {time.Second, 1, 2, true}}, "1", "2"},
		"a change":                           {[]look{{0, 1, 2, true}, {time.Minute, 2, 2, false}, {time.Second, 2, 2, true}}, "1", "1"},
		"two changes, of which one was lost": {[]look{{0, 1, 2, true}, {time.Second, 2, 2, false}, {time.Second, 3, 2, false}, {time.Second, 3, 2, true}}, "1", "1"},
		"it is looked at again":              {[]look{{0, 1, 2, false}, {time.Second, 1, 2, true}, {time.Hour, 1, 2, true}}, "1", "1"},
		"another server comes later":         {[]look{{0, 1, 1, false}, {time.Second, 1, 1, true}, {time.Hour, 1, 2, false}, {time.Second, 1, 2, true}}, "1", "1"},
		"the operator was restarted":         {[]look{{0, 7, 2, true}, {time.Hour, 7, 2, true}}, "0", "0"},
		"its first server comes days later":  {[]look{{0, 1, 0, false}, {48 * time.Hour, 1, 0, false}, {time.Second, 1, 1, false}, {2 * time.Second, 1, 1, true}}, "1", "3"},
		"it governs nothing":                 {[]look{{0, 1, 0, false}, {time.Second, 1, 0, true}}, "0", "0"},
	} {
		t.Run(name, func(t *testing.T) {
			clock := time.Unix(0, 0)
			m := New(fake.NewClientBuilder().Build(), func() time.Time { return clock })
			for _, l := range tc.looks {
				clock = clock.Add(l.after)
				m.Seen(&mcpv1alpha1.SamplingPolicy{ObjectMeta: metav1.ObjectMeta{UID: "1", Generation: l.generation}}, l.attached, l.programmed)
			}
			text, err := testutil.CollectAndFormat(m, expfmt.TypeTextPlain, "mcp_sampling_policy_propagation_seconds")
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range []string{"_count " + tc.wantCount + "\n", "_sum " + tc.wantSum + "\n"} {
				if !strings.Contains(string(text), "mcp_sampling_policy_propagation_seconds"+want) {
					t.Errorf("no %q in\n%s", want, text)
				}
			}
		})
	}
}
