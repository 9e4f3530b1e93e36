package controllers

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/statusz"
)

func contains(text, want string) error {
	if !strings.Contains(text, want) {
		return fmt.Errorf("%q does not contain %q", text, want)
	}
	return nil
}

func TestPolicyIsProgrammedWhenSamplersReportIt(t *testing.T) {
	b := newBench(t)
	b.startManager()
	b.server("demo")
	b.policy("policy", "demo")
	policy, server := &mcpv1alpha1.SamplingPolicy{}, &mcpv1alpha1.MCPServer{}
	b.condition(policy, "policy", mcpv1alpha1.ConditionAccepted, metav1.ConditionTrue, mcpv1alpha1.ReasonAccepted)
	b.condition(policy, "policy", mcpv1alpha1.ConditionProgrammed, metav1.ConditionFalse, mcpv1alpha1.ReasonPending)

	b.serverPod("demo", "server-1")
	pod := b.samplerPod("demo", "sampler-1")
	healthy := func() statusz.Report {
		return statusz.Report{
			ConfigHash: loaded(b, "demo").Hash(),
			Providers:  []statusz.Provider{{Name: "openai", Credential: statusz.CredentialLoaded, CredentialRef: "Secret openai, key api-key", State: statusz.ProviderHealthy}},
			Server:     statusz.Server{State: statusz.ServerVerified, Name: "demo server"},
		}
	}
	governedBy(b, "demo", "policy")
	b.observer.report(pod.Name, healthy())
	b.condition(policy, "policy", mcpv1alpha1.ConditionProgrammed, metav1.ConditionTrue, mcpv1alpha1.ReasonProgrammed)
	b.condition(server, "demo", mcpv1alpha1.ConditionReady, metav1.ConditionTrue, mcpv1alpha1.ReasonReady)
	if diff := cmp.Diff(mcpv1alpha1.TargetCounts{Attached: 1, Programmed: 1}, policy.Status.Targets); diff != "" {
		t.Errorf("targets (-want +got):\n%s", diff)
	}

	// A change is announced to the pod and awaited; then the next one too, also
	// to a pod that was touched before.
	for generation := int64(2); generation <= 3; generation++ {
		earlier := loaded(b, "demo").Hash()
		change(b, "policy", &mcpv1alpha1.SamplingPolicy{}, func(p *mcpv1alpha1.SamplingPolicy) { p.Spec.Parameters.MaxTokens.Max = 10 * generation })
		b.condition(policy, "policy", mcpv1alpha1.ConditionProgrammed, metav1.ConditionFalse, mcpv1alpha1.ReasonPending)
		b.eventually("the pod is touched", func() error {
			hash := loaded(b, "demo").Hash()
			if hash == earlier {
				return errors.New("the configuration is still the old one")
			}
			return contains(read(b, pod.Name, &corev1.Pod{}).Annotations[mcpv1alpha1.AnnotationConfigHash], hash)
		})
		b.observer.report(pod.Name, healthy())
		b.condition(policy, "policy", mcpv1alpha1.ConditionProgrammed, metav1.ConditionTrue, mcpv1alpha1.ReasonProgrammed)
	}
	if got := read(b, "demo", &mcpv1alpha1.MCPServer{}).Status.SamplingPolicy.ProgrammedGeneration; got != 3 {
		t.Errorf("programmed generation is %d, want 3", got)
	}
}

func TestOldestPolicyGovernsAndTheNextOneFollows(t *testing.T) {
	b := newBench(t)
	b.startManager()
	b.server("demo")
	// Made within the same second or not, "a" comes first.
	first := b.policy("a", "demo")
	b.policy("b", "demo")
	policy := &mcpv1alpha1.SamplingPolicy{}
	b.condition(policy, "b", mcpv1alpha1.ConditionAccepted, metav1.ConditionFalse, mcpv1alpha1.ReasonConflicted)
	problems := policy.Status.Problems
	if len(problems) != 1 || problems[0].Target != "demo" || problems[0].Reason != "Conflicted" || problems[0].Policy != "a" {
		t.Errorf("problems are %+v", problems)
	}
	b.condition(policy, "a", mcpv1alpha1.ConditionAccepted, metav1.ConditionTrue, mcpv1alpha1.ReasonAccepted)

	if err := b.Delete(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	b.condition(policy, "b", mcpv1alpha1.ConditionAccepted, metav1.ConditionTrue, mcpv1alpha1.ReasonAccepted)
	governedBy(b, "demo", "b")
}

func TestPolicySaysThatItsTargetIsMissing(t *testing.T) {
	b := newBench(t)
	b.startManager()
	b.policy("policy", "demo")
	policy := &mcpv1alpha1.SamplingPolicy{}
	b.condition(policy, "policy", mcpv1alpha1.ConditionAccepted, metav1.ConditionFalse, mcpv1alpha1.ReasonTargetNotFound)
	b.condition(policy, "policy", mcpv1alpha1.ConditionProgrammed, metav1.ConditionFalse, mcpv1alpha1.ReasonTargetNotFound)
	server := b.server("demo")
	b.condition(policy, "policy", mcpv1alpha1.ConditionAccepted, metav1.ConditionTrue, mcpv1alpha1.ReasonAccepted)
	if err := b.Delete(t.Context(), server); err != nil {
		t.Fatal(err)
	}
	b.condition(policy, "policy", mcpv1alpha1.ConditionAccepted, metav1.ConditionFalse, mcpv1alpha1.ReasonTargetNotFound)
}

// What the API server cannot look into is said by the condition.
func TestPolicySaysWhatOnlySamplersCanTell(t *testing.T) {
	b := newBench(t)
	b.startManager()
	b.server("demo")
	b.policy("policy", "demo")
	policy, server := &mcpv1alpha1.SamplingPolicy{}, &mcpv1alpha1.MCPServer{}
	b.condition(policy, "policy", mcpv1alpha1.ConditionAccepted, metav1.ConditionTrue, mcpv1alpha1.ReasonAccepted)

	change(b, "policy", policy, func(p *mcpv1alpha1.SamplingPolicy) {
		p.Spec.Parameters.ExtraBody = &apiextensionsv1.JSON{Raw: []byte(`{"model": "another"}`)}
		p.Spec.Redaction = []mcpv1alpha1.RedactionRule{{Name: "key", Pattern: "(?=sk-)"}}
	})
	b.condition(policy, "policy", mcpv1alpha1.ConditionAccepted, metav1.ConditionFalse, mcpv1alpha1.ReasonInvalidPolicy)
	b.condition(server, "demo", mcpv1alpha1.ConditionSamplingReady, metav1.ConditionFalse, mcpv1alpha1.ReasonInvalidPolicy)
	for _, want := range []string{"spec.parameters.extraBody.model: cannot be set here", "spec.redaction[0].pattern: is no regular expression"} {
		if err := contains(meta.FindStatusCondition(policy.Status.Conditions, mcpv1alpha1.ConditionAccepted).Message, want); err != nil {
			t.Error(err)
		}
	}
	if got := loaded(b, "demo").Policy; got != nil {
		t.Errorf("samplers are given the policy %+v", got)
	}

	change(b, "policy", policy, func(p *mcpv1alpha1.SamplingPolicy) { p.Spec.Parameters.ExtraBody, p.Spec.Redaction = nil, nil })
	b.condition(policy, "policy", mcpv1alpha1.ConditionAccepted, metav1.ConditionTrue, mcpv1alpha1.ReasonAccepted)
	governedBy(b, "demo", "policy")
}

func TestServerThatIsNoLongerATargetLosesThePolicy(t *testing.T) {
	b := newBench(t)
	b.startManager()
	b.server("one")
	b.server("two")
	b.policy("policy", "one")
	governed := func(name string, want bool) {
		b.Helper()
		b.eventually(fmt.Sprintf("server %s: policy %t", name, want), func() error {
			s := read(b, name, &mcpv1alpha1.MCPServer{})
			if got := s.Status.SamplingPolicy != nil; got != want || s.Status.ObservedGeneration == 0 {
				return fmt.Errorf("status.samplingPolicy is %+v", s.Status.SamplingPolicy)
			}
			return nil
		})
	}
	governed("one", true)
	governed("two", false)
	change(b, "policy", &mcpv1alpha1.SamplingPolicy{}, func(p *mcpv1alpha1.SamplingPolicy) { p.Spec.TargetRefs[0].Name = "two" })
	governed("two", true)
	governed("one", false)
}
