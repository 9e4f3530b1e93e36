package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
)

const (
	// signingKey is what requests to the handler are signed with; rightKey and
	// wrongKey are those of the fake model.
	signingKey = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="
	handler    = "handler"
)

// A model that is dead is replaced by another family: a handler of the user's own,
// whose requests are signed. Limits refuse with when to try again, and each
// request leaves a record in the sampler's log.
func testFallbackToAHandlerAndLimits(t *testing.T) {
	s := newSpace(t)
	s.create(t, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: handler}, StringData: map[string]string{"key": signingKey}})
	s.runWith(t, handler, 8080, []corev1.EnvVar{{Name: "WEBHOOK_KEY", ValueFrom: &corev1.EnvVarSource{
		SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: handler}, Key: "key"},
	}}}, "/handler")

	server, policy := newServer("summarizer"), newPolicy("policy", "summarizer")
	policy.Spec.Providers = append(policy.Spec.Providers, mcpv1alpha1.Provider{
		Name: handler, Type: mcpv1alpha1.ProviderWebhook, BaseURL: "http://" + handler + ":8080/",
		Credential: &mcpv1alpha1.Credential{SecretKeyRef: mcpv1alpha1.SecretKeyRef{Name: handler, Key: "key"}},
		Headers: []mcpv1alpha1.Header{{Name: "X-Team", ValueFrom: &mcpv1alpha1.HeaderSource{
			SecretKeyRef: mcpv1alpha1.SecretKeyRef{Name: handler, Key: "team"},
		}}},
	})
	policy.Spec.Models.Allowed = append(policy.Spec.Models.Allowed, mcpv1alpha1.Model{Name: "mine", Provider: handler})
	policy.Spec.Models.Fallbacks = []string{"mine"}
	policy.Spec.Providers[0].Retries = new(int32(0)) // nobody listens there
	s.create(t, server, policy)
	// What a header is to hold is not there yet.
	s.await(t, server, wantCondition{mcpv1alpha1.ConditionResolvedRefs, metav1.ConditionFalse, mcpv1alpha1.ReasonSecretNotFound, []string{handler, "team"}})
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: handler, Namespace: s.name}}
	patch(t, s, secret, func(secret *corev1.Secret) { secret.Data["team"] = []byte("tickets") })

	s.await(t, server, wantCondition{mcpv1alpha1.ConditionResolvedRefs, metav1.ConditionTrue, mcpv1alpha1.ReasonResolvedRefs, nil},
		wantCondition{conditionType: mcpv1alpha1.ConditionAvailable, status: metav1.ConditionTrue})

	caller := s.dial(t, server)
	eventually(t, patience, "an answer of the handler", func(ctx context.Context) error {
		answer, err := caller.call(ctx, "summarize", "Boats float on water.")
		if err != nil {
			return err
		}
		if !strings.Contains(answer, "You said:") || !strings.Contains(answer, "Boats float on water.") {
			t.Errorf("the answer %q is not the handler's", answer)
		}
		return nil
	})

	patch(t, s, policy, func(p *mcpv1alpha1.SamplingPolicy) {
		p.Spec.Limits.RequestsPerMinute = 1
		p.Spec.Limits.QueueTimeout = &metav1.Duration{}
	})
	eventually(t, 30*time.Second, "a refusal by the limit", func(ctx context.Context) error {
		_, err := caller.call(ctx, "summarize", "Boats float on water.")
		const want = "the sampling policy's limit requestsPerMinute (1) is used up: try again in "
		if err == nil || !strings.Contains(err.Error(), want) {
			return fmt.Errorf("%w, want %q", err, want)
		}
		return nil
	})
	s.wantRecords(t, server)
}

// wantRecords waits for the audit records in the log of a server's sampler, which
// are written when the answers are on their way.
func (s *space) wantRecords(t *testing.T, server *mcpv1alpha1.MCPServer) {
	t.Helper()
	pods, _ := s.samplers(t, server, 1)
	eventually(t, 30*time.Second, "records of answers and refusals", func(ctx context.Context) error {
		log, err := theCluster.logs(ctx, s.name, pods[0].Name, &corev1.PodLogOptions{})
		if err != nil {
			return err
		}
		if strings.Contains(log, strings.TrimPrefix(signingKey, "whsec_")) || strings.Contains(log, "Boats float") {
			t.Fatal("the log holds a key or what was said")
		}
		decisions := map[string]int{}
		for line := range strings.Lines(log) {
			var record struct {
				Type, Decision, Reason, Policy, Provider string
				Attempts                                 []struct{ Provider, Error string }
			}
			if json.Unmarshal([]byte(line), &record) != nil || record.Type != "audit" {
				continue
			}
			decisions[record.Decision+" "+record.Reason]++
			if record.Decision == "answered" && (record.Policy != "policy" || record.Provider != handler ||
				len(record.Attempts) == 0 || record.Attempts[len(record.Attempts)-1].Error != "") {
				t.Fatalf("the record does not say who answered: %s", line)
			}
		}
		if decisions["answered DefaultModel"] == 0 || decisions["refused LimitExceeded"] == 0 {
			return fmt.Errorf("records of %v", decisions)
		}
		return nil
	})
}
