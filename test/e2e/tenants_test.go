package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
)

// tenant is a user who may write our two kinds and nothing else.
const tenant = "tenant"

// asTenant runs kubectl as the tenant.
func (s *space) asTenant(ctx context.Context, stdin string, args ...string) (string, error) {
	return s.kubectl(ctx, stdin, append([]string{"--as", tenant, "--as-group", "system:authenticated", "-n", s.name}, args...)...)
}

// bind gives the tenant a role in the namespace.
func (s *space) bind(t *testing.T, kind, role string) {
	t.Helper()
	s.create(t, &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "tenant-"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: kind, Name: role},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: tenant}},
	})
}

// testTenant goes the way of a tenant who wants a model with a key: he is told
// which right he lacks, gets it, and works.
func testTenant(t *testing.T) {
	s := newSpace(t)
	s.runFakeModel(t, "--key="+rightKey)
	s.create(t, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "model-key"}, StringData: map[string]string{"api-key": rightKey}})
	s.bind(t, "ClusterRole", operatorNamespace+"-mcp-sampling-operator-edit")
	checkAdmissionPolicies(t)

	server, policy := newServer("summarizer"), withKey(newPolicy("policy", "summarizer"), "model-key", "api-key")
	server.Spec.Replicas = new(int32(1))
	apply := func(obj client.Object) func(context.Context) error {
		gvk, err := s.client.GroupVersionKindFor(obj)
		must(t, err)
		obj.GetObjectKind().SetGroupVersionKind(gvk)
		manifest, err := yaml.Marshal(obj)
		must(t, err)
		return func(ctx context.Context) error {
			_, err := s.asTenant(ctx, string(manifest), "apply", "-f", "-")
			return err
		}
	}
	eventually(t, patience, "the tenant's own server is taken", apply(server))
	applyPolicy := apply(policy)
	want := "this refers to secrets/model-key, which you have no right to use: ask for a Role in namespace " + s.name
	if err := applyPolicy(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
		t.Fatalf("a key that the tenant may not use: got %v, want in it %s", err, want)
	}

	s.create(t, &rbacv1.Role{
		ObjectMeta: metav1.ObjectMeta{Name: "use-model-key"},
		Rules:      []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"secrets"}, ResourceNames: []string{"model-key"}, Verbs: []string{"use"}}},
	})
	s.bind(t, "Role", "use-model-key")
	eventually(t, patience, "a key that the tenant may use", applyPolicy)
	s.awaitReady(t, server, policy)
	if _, err := s.dial(t, server).summarize(t.Context()); err != nil {
		t.Error(err)
	}
	if out, err := s.asTenant(t.Context(), "", "get", "secret", "model-key"); err == nil {
		t.Errorf("the tenant reads the key:\n%s", out)
	}
	if _, err := s.asTenant(t.Context(), "", "scale", "mcps", "summarizer", "--replicas=2"); err != nil {
		t.Errorf("the tenant cannot scale his server: %v", err)
	}
	must(t, s.get(t.Context(), server))
	patched := fmt.Sprintf(`{"spec":{"podTemplate":{"spec":{"serviceAccountName":%q}}}}`, "default")
	if _, err := s.asTenant(t.Context(), "", "patch", "mcps", "summarizer", "--type=merge", "-p", patched); err == nil || !strings.Contains(err.Error(), "spec.podTemplate") {
		t.Errorf("a pod template of the tenant's: got %v, want it refused", err)
	}
	_, err := s.asTenant(t.Context(), "", "delete", "mcps,smp", "--all", "--wait=false")
	must(t, err)
	eventually(t, patience, "the tenant's server is gone", func(ctx context.Context) error {
		if err := s.get(ctx, &mcpv1alpha1.MCPServer{ObjectMeta: metav1.ObjectMeta{Name: "summarizer"}}); err == nil {
			return errors.New("it is there")
		}
		return nil
	})
}

// checkAdmissionPolicies asks Kubernetes whether the expressions fit our types.
func checkAdmissionPolicies(t *testing.T) {
	t.Helper()
	eventually(t, patience, "Kubernetes has checked both admission policies", func(ctx context.Context) error {
		var policies admissionregistrationv1.ValidatingAdmissionPolicyList
		if err := theCluster.client.List(ctx, &policies, client.MatchingLabels{"app.kubernetes.io/name": "mcp-sampling-operator"}); err != nil {
			return err
		}
		checked := 0
		for _, policy := range policies.Items {
			if policy.Status.TypeChecking == nil {
				continue
			}
			checked++
			for _, warning := range policy.Status.TypeChecking.ExpressionWarnings {
				t.Errorf("%s: %s: %s", policy.Name, warning.FieldRef, warning.Warning)
			}
		}
		if checked != 2 {
			return fmt.Errorf("%d of %d are checked, want 2", checked, len(policies.Items))
		}
		return nil
	})
}
