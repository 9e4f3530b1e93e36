package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
)

const (
	wrongKey = "sk-wrong-3f9c1d"
	rightKey = "sk-right-8b27e4"
)

func samplingNotReady(reason string, message ...string) wantCondition {
	return wantCondition{conditionType: mcpv1alpha1.ConditionSamplingReady, status: metav1.ConditionFalse, reason: reason, message: message}
}

// Each state of a key shows, and heals without anybody touching the server.
func testKeys(t *testing.T) {
	s := newSpace(t)
	s.runFakeModel(t, "--key="+rightKey)
	server, policy := newServer("summarizer"), withKey(newPolicy("policy", "summarizer"), "model-key", "api-key")
	s.create(t, server, policy)

	s.await(t, server, samplingNotReady(mcpv1alpha1.ReasonSecretNotFound, "model-key", "api-key"),
		wantCondition{conditionType: mcpv1alpha1.ConditionResolvedRefs, status: metav1.ConditionFalse, reason: mcpv1alpha1.ReasonSecretNotFound},
		wantCondition{conditionType: mcpv1alpha1.ConditionReady, status: metav1.ConditionFalse, reason: mcpv1alpha1.ReasonSecretNotFound},
	)
	before := s.pods(t)

	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "model-key"}, StringData: map[string]string{"api-key": wrongKey}}
	s.create(t, secret)
	took := s.await(t, server, samplingNotReady(mcpv1alpha1.ReasonCredentialRefused, "model-key"))
	t.Logf("a wrong key shows after %s", took.Round(time.Millisecond))
	caller := s.dial(t, server)
	answer, err := caller.call(t.Context(), "summarize", "Boats float on water.")
	if err == nil || answer == "" {
		t.Errorf("with a wrong key the tool says %q (error %v), want an error of the tool", answer, err)
	}
	if strings.Contains(answer, wrongKey) || strings.Contains(answer, "Incorrect API key") {
		t.Errorf("the tool's result holds what the provider said: %q", answer)
	}

	patch(t, s, secret, func(secret *corev1.Secret) { secret.Data = map[string][]byte{"api-key": []byte(rightKey)} })
	s.awaitReady(t, server, policy)
	if _, err := caller.summarize(t.Context()); err != nil {
		t.Errorf("the session that was open does not use the new key: %v", err)
	}
	if after := s.pods(t); !equalPods(before, after) {
		t.Errorf("pods changed because of a key:\nbefore %v\nafter  %v", before, after)
	}
	s.noKeyAnywhere(t)
}

// noKeyAnywhere looks for keys where they must never be.
func (s *space) noKeyAnywhere(t *testing.T) {
	t.Helper()
	for _, list := range []client.ObjectList{&mcpv1alpha1.MCPServerList{}, &mcpv1alpha1.SamplingPolicyList{}, &corev1.EventList{}, &corev1.ConfigMapList{}} {
		must(t, s.client.List(t.Context(), list, client.InNamespace(s.name)))
		data, err := json.Marshal(list)
		must(t, err)
		if strings.Contains(string(data), wrongKey) || strings.Contains(string(data), rightKey) {
			t.Errorf("%T holds a key", list)
		}
	}
	var samplers corev1.PodList
	must(t, s.client.List(t.Context(), &samplers, client.InNamespace(s.name), client.MatchingLabels{"app.kubernetes.io/component": "sampler"}))
	for _, pod := range samplers.Items {
		log, err := s.logs(t.Context(), s.name, pod.Name, &corev1.PodLogOptions{})
		must(t, err)
		if strings.Contains(log, wrongKey) || strings.Contains(log, rightKey) {
			t.Errorf("the log of pod %s holds a key", pod.Name)
		}
	}
}

func testUnreachableModel(t *testing.T) {
	s := newSpace(t)
	server, policy := newServer("summarizer"), newPolicy("policy", "summarizer")
	s.create(t, server, policy) // and no model
	s.await(t, server, samplingNotReady(mcpv1alpha1.ReasonProviderUnreachable, `"fake"`),
		wantCondition{conditionType: mcpv1alpha1.ConditionReady, status: metav1.ConditionFalse, reason: mcpv1alpha1.ReasonProviderUnreachable})
	if answer, err := s.dial(t, server).call(t.Context(), "summarize", "x"); err == nil || strings.Contains(answer, fakeModel) {
		t.Errorf("without a model the tool says %q (error %v), want an error without the provider's address", answer, err)
	}
	s.runFakeModel(t)
	s.awaitReady(t, server, policy)
}

func testCrashingServer(t *testing.T) {
	s := newSpace(t)
	s.runFakeModel(t)
	// The caller without arguments prints how to use it, and ends.
	server, policy := newServer("summarizer", running(peersImage(), "/caller")), newPolicy("policy", "summarizer")
	s.create(t, server, policy)
	took := s.await(t, server,
		wantCondition{conditionType: mcpv1alpha1.ConditionAvailable, status: metav1.ConditionFalse, reason: mcpv1alpha1.ReasonServerCrashing, message: []string{"kubectl logs"}},
		wantCondition{conditionType: mcpv1alpha1.ConditionReady, status: metav1.ConditionFalse, reason: mcpv1alpha1.ReasonServerCrashing},
	)
	t.Logf("the crash shows after %s", took.Round(time.Millisecond))
	patch(t, s, server, func(server *mcpv1alpha1.MCPServer) { server.Spec.Container.Command = []string{"/gosdkserver"} })
	s.awaitReady(t, server, policy)
}

func testImagePull(t *testing.T) {
	s := newSpace(t)
	server := newServer("summarizer", running("localhost/never-built:1"))
	s.create(t, server)
	s.await(t, server, wantCondition{
		conditionType: mcpv1alpha1.ConditionAvailable, status: metav1.ConditionFalse,
		reason: mcpv1alpha1.ReasonImagePullFailed, message: []string{"localhost/never-built:1"},
	})
}

func testNotMCP(t *testing.T) {
	s := newSpace(t)
	server := newServer("summarizer", running(peersImage(), "/fakellm", "--listen=:8000"))
	s.create(t, server)
	s.await(t, server, wantCondition{
		conditionType: mcpv1alpha1.ConditionVerified, status: metav1.ConditionFalse,
		reason: mcpv1alpha1.ReasonNotMCP, message: []string{"spec.transport.path"},
	})
}

// The session may be lost with its sampler, the next one works.
func testSamplerKilled(t *testing.T) {
	s := newSpace(t)
	s.runFakeModel(t)
	server, policy := newServer("summarizer"), newPolicy("policy", "summarizer")
	s.create(t, server, policy)
	s.awaitReady(t, server, policy)
	if _, err := s.dial(t, server).summarize(t.Context()); err != nil {
		t.Fatal(err)
	}
	killed, _, err := s.endpoint(t.Context(), server.Name)
	must(t, err)
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: s.name, Name: killed}}
	must(t, s.client.Delete(t.Context(), pod, client.GracePeriodSeconds(0)))
	took := eventually(t, patience, "another sampler pod", func(ctx context.Context) error {
		name, _, err := s.endpoint(ctx, server.Name)
		if err == nil && name == killed {
			err = fmt.Errorf("the Service still selects the pod that was killed")
		}
		return err
	})
	t.Logf("another sampler serves after %s", took.Round(time.Millisecond))
	if _, err := s.dial(t, server).summarize(t.Context()); err != nil {
		t.Error(err)
	}
	s.awaitReady(t, server, policy)
}

// Who may write an MCPServer need not be one who may look into the node.
func testPodSecurity(t *testing.T) {
	s := newSpace(t)
	server := newServer("summarizer", func(server *mcpv1alpha1.MCPServer) {
		server.Spec.PodTemplate = &apiextensionsv1.JSON{Raw: []byte(`{"spec":{"volumes":[{"name":"node","hostPath":{"path":"/"}}]}}`)}
	})
	s.create(t, server)
	s.await(t, server, wantCondition{
		conditionType: mcpv1alpha1.ConditionAccepted, status: metav1.ConditionFalse, reason: mcpv1alpha1.ReasonPodSecurity,
		message: []string{`the operator holds all pods to the Pod Security level "baseline"`, "spec.podTemplate", `hostPath volumes (volume "node")`, "podSecurity.level"},
	}, wantCondition{conditionType: mcpv1alpha1.ConditionReady, status: metav1.ConditionFalse, reason: mcpv1alpha1.ReasonPodSecurity})
	err := s.get(t.Context(), &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "summarizer-server"}})
	if !apierrors.IsNotFound(err) {
		t.Errorf("a Deployment of the server: got %v, want none", err)
	}

	patch(t, s, server, func(server *mcpv1alpha1.MCPServer) { server.Spec.PodTemplate = nil })
	s.await(t, server, wantCondition{conditionType: mcpv1alpha1.ConditionReady, status: metav1.ConditionTrue})
}
