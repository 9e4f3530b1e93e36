package crdcel

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
)

// widest is what fits a terminal of 120 columns: the objects of this test are
// two columns younger than one of "364d".
const widest = 118

const brokenServer = `
metadata: {name: summarizer-fastmcp, namespace: team-a}
spec:
  container: {image: "registry.example.com/team-a/summarizer:v1"}
status:
  url: http://summarizer-fastmcp.team-a.svc.cluster.local/mcp
  samplingPolicy: {name: summarizer-policy}
  server: {name: summarizer, tools: 12, protocolVersion: "2025-11-25"}
`

const brokenPolicy = `
metadata: {name: summarizer-policy, namespace: team-a}
spec:
  mode: Fallback
  targetRefs: [{name: summarizer-fastmcp}]
  providers:
  - {name: anthropic, type: Anthropic, credential: {secretKeyRef: {name: anthropic, key: api-key}}}
  models:
    default: claude-sonnet-4-5
    allowed: [{name: claude-sonnet-4-5, provider: anthropic}]
status:
  targets: {attached: 1}
`

// The summary fits the screen with the longest reason there is, and tells what is
// well and what is not; kubectl waits for the conditions that say so.
func TestKubectlTellsHealthAtAGlance(t *testing.T) {
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	scheme := runtime.NewScheme()
	must(corev1.AddToScheme(scheme))
	must(mcpv1alpha1.AddToScheme(scheme))
	c, err := client.New(server.Config(t), client.Options{Scheme: scheme})
	must(err)
	kubectl := func(args ...string) (string, error) {
		t.Helper()
		return server.Kubectl(t, "", append(args, "-n", "team-a")...)
	}
	mcp, policy := &mcpv1alpha1.MCPServer{}, &mcpv1alpha1.SamplingPolicy{}
	must(yaml.UnmarshalStrict([]byte(brokenServer), mcp))
	must(yaml.UnmarshalStrict([]byte(brokenPolicy), policy))
	mcpStatus, policyStatus := mcp.Status, policy.Status
	for _, o := range []client.Object{&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "team-a"}}, mcp, policy} {
		must(c.Create(t.Context(), o))
	}
	const message = "samplers do not reach the store of limits"
	say := func(status metav1.ConditionStatus, reason string) {
		t.Helper()
		conditions := func(types ...string) (out []metav1.Condition) {
			for _, conditionType := range types {
				out = append(out, metav1.Condition{
					Type: conditionType, Status: status, Reason: reason, Message: message,
					ObservedGeneration: 1, LastTransitionTime: metav1.Now(),
				})
			}
			return out
		}
		mcp.Status, policy.Status = mcpStatus, policyStatus
		mcp.Status.Conditions = conditions(mcpv1alpha1.ConditionReady)
		policy.Status.Conditions = conditions(mcpv1alpha1.ConditionAccepted, mcpv1alpha1.ConditionProgrammed)
		must(c.Status().Update(t.Context(), mcp))
		must(c.Status().Update(t.Context(), policy))
	}

	say(metav1.ConditionFalse, mcpv1alpha1.ReasonLimitStoreUnreachable)
	summary, err := kubectl("get", "mcps,smp")
	must(err)
	t.Logf("\n%s", summary)
	for line := range strings.Lines(summary) {
		if line = strings.TrimRight(line, " \n"); len(line) > widest {
			t.Errorf("%d columns, want at most %d:\n%s", len(line), widest, line)
		}
	}
	for _, want := range []string{"READY", "REASON", mcpv1alpha1.ReasonLimitStoreUnreachable, "PROGRAMMED", "False"} {
		if !strings.Contains(summary, want) {
			t.Errorf("the summary does not say %q:\n%s", want, summary)
		}
	}
	wide, err := kubectl("get", "mcps,smp", "-o", "wide")
	must(err)
	if got := strings.Count(wide, message); got != 2 {
		t.Errorf("the wide summary has the message %d times, want that of the server and that of the policy:\n%s", got, wide)
	}
	if !strings.Contains(wide, mcpStatus.URL) {
		t.Errorf("the wide summary does not have the URL:\n%s", wide)
	}

	wait := func() string {
		var problems strings.Builder
		for condition, object := range map[string]string{"Ready": "mcps/" + mcp.Name, "Programmed": "smp/" + policy.Name} {
			if _, err := kubectl("wait", "--for=condition="+condition, object, "--timeout=1s"); err != nil {
				problems.WriteString(err.Error())
			}
		}
		return problems.String()
	}
	if got := strings.Count(wait(), "timed out waiting"); got != 2 {
		t.Errorf("kubectl gives up waiting for %d of 2 broken objects", got)
	}
	say(metav1.ConditionTrue, mcpv1alpha1.ReasonReady)
	if problems := wait(); problems != "" {
		t.Errorf("kubectl waits for objects that are well:\n%s", problems)
	}
}
