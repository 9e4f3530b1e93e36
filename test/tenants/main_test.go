package tenants

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/testing/apiserver"
)

const (
	config = "../../config"
	// team is the namespace of the tests; elsewhere is somebody else's.
	team, elsewhere = "team-a", "team-b"
	// patience is for the API server to take a policy into use.
	patience = time.Minute
)

// Who tries, by what they may do in the namespace team.
const (
	tenant    = "tenant"    // only our two kinds
	granted   = "granted"   // these, and the verb use on the Secret and the ConfigMap named allowed
	reader    = "reader"    // these, and get on the Secret and the ConfigMap named allowed
	developer = "developer" // the built-in role edit
	admin     = ""          // cluster administrator
)

var server apiserver.Server

func TestMain(m *testing.M) { os.Exit(server.Main(m)) }

// as returns a client of a user, as strict as kubectl.
func as(t *testing.T, user string) client.Client {
	t.Helper()
	cfg := server.Config(t)
	cfg.QPS = -1
	if user != admin {
		cfg.Impersonate = rest.ImpersonationConfig{UserName: user, Groups: []string{"system:authenticated"}}
	}
	c, err := client.New(cfg, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return client.WithFieldValidation(c, metav1.FieldValidationStrict)
}

// install puts what we ship into the cluster, and the users with their rights.
func install(t *testing.T) {
	t.Helper()
	c := as(t, admin)
	for _, name := range []string{team, elsewhere} {
		create(t, c, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})
	}
	for _, file := range []string{
		"rbac/mcp_edit_role.yaml",
		"admission/mcpservers.yaml", "admission/samplingpolicies.yaml", "admission/bindings.yaml",
	} {
		for _, o := range objectsOf(t, config+"/"+file) {
			if o.GetKind() == "ClusterRole" {
				o.SetName("mcp-sampling-" + o.GetName())
			}
			create(t, c, o)
		}
	}
	onAllowed := func(verb string) *rbacv1.Role {
		return &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Namespace: team, Name: verb + "-allowed"}, Rules: []rbacv1.PolicyRule{{
			APIGroups: []string{""}, Resources: []string{"secrets", "configmaps"}, ResourceNames: []string{"allowed"}, Verbs: []string{verb},
		}}}
	}
	create(t, c, onAllowed("use"))
	create(t, c, onAllowed("get"))
	for _, user := range []string{tenant, granted, reader, developer} {
		bind(t, user, "ClusterRole", "mcp-sampling-edit")
	}
	bind(t, granted, "Role", "use-allowed")
	bind(t, reader, "Role", "get-allowed")
	// The rules of the role edit are gathered from these by a controller that does
	// not run here.
	bind(t, developer, "ClusterRole", "system:aggregate-to-edit")
	bind(t, developer, "ClusterRole", "system:aggregate-to-view")
}

func bind(t *testing.T, user, kind, role string) {
	t.Helper()
	create(t, as(t, admin), &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: team, Name: user + "-" + strings.ReplaceAll(role, ":", "-")},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: kind, Name: role},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}},
	})
}

// create lets objects be that are there from an earlier test.
func create(t *testing.T, c client.Client, o client.Object) {
	t.Helper()
	if err := c.Create(t.Context(), o); err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(err)
	}
}

// guarded installs everything and waits until the API server follows it.
func guarded(t *testing.T) {
	t.Helper()
	install(t)
	c := as(t, tenant)
	for _, probe := range []*unstructured.Unstructured{
		mcpServer(t, "remote: {url: https://example.com, headers: [{name: X, valueFrom: {secretKeyRef: {name: s, key: k}}}]}"),
		samplingPolicy(t, "limits: {concurrent: 1, store: {address: \"redis:6379\", credential: {secretKeyRef: {name: s, key: k}}}}"),
	} {
		var last error
		err := wait.PollUntilContextTimeout(t.Context(), 50*time.Millisecond, patience, true, func(ctx context.Context) (bool, error) {
			err := c.Create(ctx, probe.DeepCopy(), client.DryRunAll)
			if ctx.Err() == nil {
				last = err
			}
			return err != nil && strings.Contains(err.Error(), "ValidatingAdmissionPolicy"), nil
		})
		if err != nil {
			t.Fatalf("the admission policy of %s does not take effect: %v: the last answer was %v", probe.GetKind(), err, last)
		}
	}
}

// mcpServer is a server with this spec.
func mcpServer(t *testing.T, spec string) *unstructured.Unstructured {
	t.Helper()
	return object(t, "MCPServer", spec)
}

// samplingPolicy is a policy with this spec; what must be there is filled in.
func samplingPolicy(t *testing.T, spec string) *unstructured.Unstructured {
	t.Helper()
	o := object(t, "SamplingPolicy", spec)
	fields, ok := o.Object["spec"].(map[string]any)
	if !ok {
		t.Fatalf("no spec in %q", spec)
	}
	for field, value := range map[string]string{
		"targetRefs": "[{name: any}]",
		"providers":  "[{name: p, type: OpenAI}]",
		"models":     "{default: m, allowed: [{name: m, provider: p}]}",
	} {
		if _, ok := fields[field]; ok {
			continue
		}
		var filled any
		if err := yaml.Unmarshal([]byte(value), &filled); err != nil {
			t.Fatal(err)
		}
		fields[field] = filled
	}
	return o
}

func object(t *testing.T, kind, spec string) *unstructured.Unstructured {
	t.Helper()
	var fields map[string]any
	if err := yaml.UnmarshalStrict([]byte(spec), &fields); err != nil {
		t.Fatalf("%v in %q", err, spec)
	}
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "mcp-sampling.dev/v1alpha1", "kind": kind,
		"metadata": map[string]any{"namespace": team, "name": "any"},
		"spec":     fields,
	}}
}

// objectsOf returns the objects of a file.
func objectsOf(t *testing.T, file string) []*unstructured.Unstructured {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	decoder := utilyaml.NewYAMLOrJSONDecoder(f, 4096)
	var all []*unstructured.Unstructured
	for {
		o := &unstructured.Unstructured{}
		switch err := decoder.Decode(&o.Object); {
		case errors.Is(err, io.EOF):
			return all
		case err != nil:
			t.Fatalf("%s: %v", file, err)
		}
		if len(o.Object) > 0 {
			all = append(all, o)
		}
	}
}
