package netpol

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
)

func TestEnforcerFollowsTheClusterAndTriesAgain(t *testing.T) {
	defer goleak.VerifyNone(t)
	s := state(t)
	client := fake.NewClientset(s.Namespaces[0], s.Pods[0])
	applied := make(chan string, 10)
	refusals := 1
	e := newEnforcer(client, func(_ context.Context, rules string) error {
		if refusals > 0 {
			refusals--
			return errors.New("refused")
		}
		applied <- rules
		return nil
	})
	health := func() int {
		recorder := httptest.NewRecorder()
		e.ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/healthz", nil))
		return recorder.Code
	}
	if got := health(); got != http.StatusServiceUnavailable {
		t.Errorf("before any rules /healthz answers %d", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- e.run(ctx) }()
	defer func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("it ended with %v", err)
		}
	}()

	if rules := next(t, applied); strings.Contains(rules, "jump") {
		t.Errorf("without a policy something is restricted:\n%s", rules)
	}
	policies := client.NetworkingV1().NetworkPolicies("shop")
	policy := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "deny"}}
	if _, err := policies.Create(ctx, policy, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if rules := next(t, applied); !strings.Contains(rules, "10.244.0.2 : jump ingress_0") {
		t.Errorf("the policy is not in the rules:\n%s", rules)
	}
	if got := health(); got != http.StatusOK {
		t.Errorf("with rules in force /healthz answers %d", got)
	}
	if err := policies.Delete(ctx, "deny", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if rules := next(t, applied); strings.Contains(rules, "jump") {
		t.Errorf("the deleted policy still restricts:\n%s", rules)
	}
}

func next(t *testing.T, applied <-chan string) string {
	t.Helper()
	select {
	case rules := <-applied:
		return rules
	case <-time.After(20 * time.Second):
		t.Fatal("no rules were set")
		return ""
	}
}
