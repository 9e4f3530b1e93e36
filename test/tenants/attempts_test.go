package tenants

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
	"github.com/mcp-sampling/mcp-sampling-operator/controllers/resolve"
)

func TestPodTemplatesAreForThoseWhoMayCreatePods(t *testing.T) {
	guarded(t)
	for name, spec := range map[string]string{
		"another ServiceAccount": "{container: {image: x}, podTemplate: {spec: {serviceAccountName: admin}}}",
		"a Secret as a volume":   "{container: {image: x}, podTemplate: {spec: {volumes: [{name: v, secret: {secretName: s}}]}}}",
		"a claim as a volume":    "{container: {image: x}, podTemplate: {spec: {volumes: [{name: v, persistentVolumeClaim: {claimName: c}}]}}}",
		"a folder of the node":   "{container: {image: x}, podTemplate: {spec: {volumes: [{name: v, hostPath: {path: /}}]}}}",
		"other people's labels":  "{container: {image: x}, podTemplate: {metadata: {labels: {app: payments}}}}",
		"nothing at all":         "{container: {image: x}, podTemplate: {}}",
		"at the sampler":         "{container: {image: x}, sampler: {podTemplate: {spec: {serviceAccountName: admin}}}}",
		"at a remote's sampler":  "{remote: {url: 'https://example.com'}, sampler: {podTemplate: {spec: {hostNetwork: true}}}}",
	} {
		t.Run(name, func(t *testing.T) {
			for _, user := range []string{tenant, granted, reader} {
				err := as(t, user).Create(t.Context(), mcpServer(t, spec), client.DryRunAll)
				checkRefusal(t, err, "only those who may create pods in namespace "+team+" may write spec.podTemplate and spec.sampler.podTemplate")
			}
			for _, user := range []string{developer, admin} {
				if err := as(t, user).Create(t.Context(), mcpServer(t, spec), client.DryRunAll); err != nil {
					t.Errorf("who may create pods is refused: %v", err)
				}
			}
		})
	}
}

// The tenant's own work: servers and policies without anything of others.
func TestATenantWorksWithWhatNeedsNoRight(t *testing.T) {
	guarded(t)
	c := as(t, tenant)
	for name, o := range map[string]*unstructured.Unstructured{
		"a server from an image":          mcpServer(t, "{container: {image: x, env: [{name: A, value: b}, {name: F, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]}}"),
		"a server behind a Service":       mcpServer(t, "{service: {name: s, port: 80}}"),
		"a server somewhere else":         mcpServer(t, "{remote: {url: 'https://example.com', headers: [{name: X, value: v}]}}"),
		"a policy of a model with no key": samplingPolicy(t, "{mode: Always}"),
		"a policy with plain headers":     samplingPolicy(t, "{providers: [{name: p, type: OpenAI, headers: [{name: X, value: v}]}]}"),
		"a policy with a store":           samplingPolicy(t, "{limits: {concurrent: 1, store: {address: 'redis:6379'}}}"),
	} {
		t.Run(name, func(t *testing.T) {
			if err := c.Create(t.Context(), o, client.DryRunAll); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestATenantScalesAndNothingElseOfWhatOthersWrote(t *testing.T) {
	guarded(t)
	theirs := mcpServer(t, "{container: {image: x, envFrom: [{secretRef: {name: other}}]}, replicas: 1, podTemplate: {spec: {serviceAccountName: builder}}}")
	theirs.SetName("theirs")
	policy := samplingPolicy(t, "{providers: [{name: p, type: OpenAI, credential: {secretKeyRef: {name: other, key: k}}}]}")
	policy.SetName("theirs")
	create(t, as(t, admin), theirs.DeepCopy())
	create(t, as(t, admin), policy.DeepCopy())
	c := as(t, tenant)

	scale := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": map[string]any{}, "spec": map[string]any{"replicas": int64(2)},
	}}
	if err := c.SubResource("scale").Update(t.Context(), theirs.DeepCopy(), client.WithSubResourceBody(scale), client.DryRunAll); err != nil {
		t.Errorf("kubectl scale is refused: %v", err)
	}
	for name, tt := range map[string]struct {
		object *unstructured.Unstructured
		patch  string
		want   string // part of the refusal; accepted if empty
	}{
		"a label":                    {theirs, `{"metadata":{"labels":{"a":"b"}}}`, ""},
		"a label of a policy":        {policy, `{"metadata":{"labels":{"a":"b"}}}`, ""},
		"a finalizer that goes":      {theirs, `{"metadata":{"finalizers":null}}`, ""},
		"his image with their keys":  {theirs, `{"spec":{"container":{"image":"mine"}}}`, "spec.podTemplate"},
		"without their pod template": {theirs, `{"spec":{"container":{"image":"mine"},"podTemplate":null}}`, "secrets/other"},
		"without anything of theirs": {theirs, `{"spec":{"container":{"image":"mine","envFrom":null},"podTemplate":null}}`, ""},
		"their key to his address": {
			policy,
			`{"spec":{"providers":[{"name":"p","type":"OpenAI","baseURL":"https://mine.example.com","credential":{"secretKeyRef":{"name":"other","key":"k"}}}]}}`,
			"secrets/other",
		},
		"another model of theirs": {policy, `{"spec":{"models":{"default":"n","allowed":[{"name":"n","provider":"p"}]}}}`, "secrets/other"},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.Patch(t.Context(), tt.object.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(tt.patch)), client.DryRunAll)
			switch {
			case tt.want == "" && err != nil:
				t.Error(err)
			case tt.want != "":
				checkRefusal(t, err, tt.want)
			}
		})
	}
	t.Run("their status", func(t *testing.T) {
		for _, o := range []*unstructured.Unstructured{theirs, policy} {
			err := c.SubResource("status").Patch(t.Context(), o.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(`{"status":{"url":"http://mine"}}`)))
			if !apierrors.IsForbidden(err) {
				t.Errorf("%s: want Forbidden, got %v", o.GetKind(), err)
			}
		}
	})
}

// Questions to the authorizer are costly, and the API server stops at a budget:
// the most that may be asked must fit, also within the longest lists.
func TestTheMostThatOneMayReferToFits(t *testing.T) {
	guarded(t)
	long := strings.Repeat("n", 240)
	role := func(n int) {
		var names []string
		for i := range n {
			names = append(names, fmt.Sprintf("%s-%02d", long, i))
		}
		rule := func(verb string) map[string]any {
			return map[string]any{"apiGroups": []string{""}, "resources": []string{"secrets"}, "resourceNames": names, "verbs": []string{verb}}
		}
		o := &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
			"metadata": map[string]any{"namespace": team, "name": "many"}, "rules": []any{rule("get")},
		}}
		create(t, as(t, admin), o)
		bind(t, "many", "Role", "many")
		bind(t, "many", "ClusterRole", "mcp-sampling-edit")
	}
	role(13)
	// spec has 256 variables out of n Secrets.
	spec := func(n int) string {
		var env []any
		for i := range 256 {
			env = append(env, map[string]any{"name": fmt.Sprintf("V%d", i), "valueFrom": map[string]any{
				"secretKeyRef": map[string]any{"name": fmt.Sprintf("%s-%02d", long, i%n), "key": "k"},
			}})
		}
		data, err := yaml.Marshal(map[string]any{"container": map[string]any{"image": "x", "env": env}})
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	c := as(t, "many")
	if err := c.Create(t.Context(), mcpServer(t, spec(12)), client.DryRunAll); err != nil {
		t.Errorf("12 Secrets that one may read: %v", err)
	}
	checkRefusal(t, c.Create(t.Context(), mcpServer(t, spec(13)), client.DryRunAll), "this refers to more than 12 Secrets and ConfigMaps")
	checkRefusal(t, as(t, tenant).Create(t.Context(), mcpServer(t, spec(12)), client.DryRunAll), "this refers to secrets/"+long+"-00, which")
	checkRefusal(t, as(t, tenant).Create(t.Context(), mcpServer(t, spec(256)), client.DryRunAll), "this refers to more than 12 Secrets and ConfigMaps")
	if err := as(t, developer).Create(t.Context(), mcpServer(t, spec(256)), client.DryRunAll); err != nil {
		t.Errorf("256 Secrets by somebody who may create pods: %v", err)
	}
}

// Names and keys become paths in the sampler's pod.
func TestNamesAndKeysLeadNowhereElse(t *testing.T) {
	guarded(t)
	c := as(t, admin)
	for _, hostile := range []string{"../x", "a/b", "..", "/etc/passwd", `a\b`, "a\x00b"} {
		for kind, specs := range map[string][]string{
			"MCPServer": {
				"{remote: {url: 'https://example.com', caBundleRef: {name: %q}}}",
				"{remote: {url: 'https://example.com', caBundleRef: {name: ca, key: %q}}}",
				"{remote: {url: 'https://example.com', headers: [{name: X, valueFrom: {secretKeyRef: {name: %q, key: k}}}]}}",
				"{remote: {url: 'https://example.com', headers: [{name: X, valueFrom: {secretKeyRef: {name: s, key: %q}}}]}}",
			},
			"SamplingPolicy": {
				"{providers: [{name: p, type: OpenAI, credential: {secretKeyRef: {name: %q, key: k}}}]}",
				"{providers: [{name: p, type: OpenAI, credential: {secretKeyRef: {name: s, key: %q}}}]}",
				"{providers: [{name: p, type: OpenAI, caBundleRef: {name: %q}}]}",
			},
		} {
			for _, spec := range specs {
				build := mcpServer
				if kind == "SamplingPolicy" {
					build = samplingPolicy
				}
				o := build(t, fmt.Sprintf(spec, hostile))
				if err := c.Create(t.Context(), o, client.DryRunAll); !apierrors.IsInvalid(err) {
					t.Errorf("%s with %s: want it refused as invalid, got %v", kind, fmt.Sprintf(spec, hostile), err)
				}
			}
		}
	}
}

// Nothing can point at another namespace: there is no field for it, and what one
// makes up is refused.
func TestNoFieldNamesANamespace(t *testing.T) {
	files, err := filepath.Glob(config + "/crd/bases/*.yaml")
	if err != nil || len(files) != 2 {
		t.Fatalf("want 2 CRDs, found %v: %v", files, err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var crd apiextensionsv1.CustomResourceDefinition
		if err := yaml.UnmarshalStrict(data, &crd); err != nil {
			t.Fatal(err)
		}
		for _, version := range crd.Spec.Versions {
			for _, path := range fields("spec", version.Schema.OpenAPIV3Schema.Properties["spec"]) {
				last := strings.ToLower(path[strings.LastIndex(path, ".")+1:])
				// access.namespaceSelector lets others in and reaches out to nobody.
				if strings.Contains(last, "namespace") && path != "spec.access.namespaceSelector" {
					t.Errorf("%s: %s can point at another namespace", crd.Spec.Names.Kind, path)
				}
			}
		}
	}

	guarded(t)
	for name, o := range map[string]*unstructured.Unstructured{
		"a policy for another namespace's server": samplingPolicy(t, "{targetRefs: [{name: any, namespace: team-b}]}"),
		"another namespace's key":                 samplingPolicy(t, "{providers: [{name: p, type: OpenAI, credential: {secretKeyRef: {name: s, key: k, namespace: team-b}}}]}"),
		"another namespace's Service":             mcpServer(t, "{service: {name: s, port: 80, namespace: team-b}}"),
	} {
		t.Run(name, func(t *testing.T) {
			if err := as(t, admin).Create(t.Context(), o, client.DryRunAll); err == nil {
				t.Error("accepted")
			}
		})
	}
	// Another namespace in the name of a Service is a part of that name.
	server := &mcpv1alpha1.MCPServer{
		ObjectMeta: metav1.ObjectMeta{Namespace: team, Name: "any"},
		Spec:       mcpv1alpha1.MCPServerSpec{Service: &mcpv1alpha1.ServerService{Name: "s." + elsewhere, Port: 80}},
	}
	if plan := resolve.Server(resolve.Input{Server: server}); len(plan.Refusals) == 0 {
		t.Error("a Service of another namespace is looked for")
	}

	for _, o := range []*unstructured.Unstructured{mcpServer(t, "{container: {image: x}}"), samplingPolicy(t, "{mode: Always}")} {
		o.SetNamespace(elsewhere)
		if err := as(t, tenant).Create(t.Context(), o, client.DryRunAll); !apierrors.IsForbidden(err) {
			t.Errorf("%s in a namespace of others: want Forbidden, got %v", o.GetKind(), err)
		}
	}
}

// fields lists the paths of all fields below path.
func fields(path string, s apiextensionsv1.JSONSchemaProps) []string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		all = append(all, path+"."+name)
		all = append(all, fields(path+"."+name, s.Properties[name])...)
	}
	if s.Items != nil && s.Items.Schema != nil {
		all = append(all, fields(path+"[]", *s.Items.Schema)...)
	}
	return all
}

// What the tenant cannot do without us.
func TestATenantHasNoOtherRight(t *testing.T) {
	install(t)
	c := as(t, tenant)
	if err := c.Get(t.Context(), client.ObjectKey{Namespace: team, Name: "any"}, &corev1.Secret{}); !apierrors.IsForbidden(err) {
		t.Errorf("reading a Secret: want Forbidden, got %v", err)
	}
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: team, Name: "any"},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "x"}}},
	}
	if err := c.Create(t.Context(), pod, client.DryRunAll); !apierrors.IsForbidden(err) {
		t.Errorf("creating a pod: want Forbidden, got %v", err)
	}
}
