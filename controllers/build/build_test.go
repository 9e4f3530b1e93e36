package build_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	appsv1ac "k8s.io/client-go/applyconfigurations/apps/v1"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
	"github.com/mcp-sampling/mcp-sampling-operator/controllers/build"
	"github.com/mcp-sampling/mcp-sampling-operator/controllers/resolve"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/config"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/testing/golden"
)

var options = build.Options{
	SamplerImage: "example.com/sampler:v1", SamplerImagePullPolicy: corev1.PullIfNotPresent,
	NetworkPolicies: &build.NetworkPolicies{
		Operator: &build.Peer{Namespace: "operators", Labels: map[string]string{"app": "manager"}},
		MetricsFrom: []networkingv1.NetworkPolicyPeer{{NamespaceSelector: &metav1.LabelSelector{
			MatchLabels: map[string]string{corev1.LabelMetadataName: "monitoring"},
		}}},
	},
}

// result is what a golden file shows.
type result struct {
	Apply    []map[string]any  `json:"apply,omitempty"`
	Unwanted []string          `json:"unwanted,omitempty"`
	Refusals []resolve.Refusal `json:"refusals,omitempty"`
}

// TestFor shows all objects, or those that the first line names: "# show:
// Kind/name …".
func TestFor(t *testing.T) {
	golden.Run(t, "testdata", func(t *testing.T, in golden.Documents) any {
		server := golden.One[mcpv1alpha1.MCPServer](t, in, "MCPServer")
		plan := resolve.Server(resolve.Input{
			Server:   server,
			Policies: golden.All[mcpv1alpha1.SamplingPolicy](t, in, "SamplingPolicy"),
		})
		objects, err := build.For(server, plan, nil, options)
		if err != nil {
			t.Fatalf("build: %v", err)
		}
		show := strings.Fields(strings.TrimPrefix(in.Comment, "show:"))
		out := result{Refusals: objects.Refusals}
		for _, o := range objects.Apply {
			object := toMap(t, o)
			checkConfig(t, plan, object)
			if len(show) == 0 || contains(show, object) {
				out.Apply = append(out.Apply, object)
			}
		}
		for _, o := range objects.Unwanted {
			out.Unwanted = append(out.Unwanted, fmt.Sprintf("%T %s/%s", o, o.GetNamespace(), o.GetName()))
		}
		return out
	})
}

func toMap(t *testing.T, o runtime.ApplyConfiguration) map[string]any {
	t.Helper()
	data, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	var out map[string]any
	if err := json.Unmarshal(data, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func contains(show []string, object map[string]any) bool {
	metadata, _ := object["metadata"].(map[string]any)
	for _, s := range show {
		if s == fmt.Sprintf("%s/%s", object["kind"], metadata["name"]) {
			return true
		}
	}
	return false
}

// checkConfig reads every configuration that is built as a sampler would.
func checkConfig(t *testing.T, plan resolve.Plan, object map[string]any) {
	t.Helper()
	if object["kind"] != "ConfigMap" {
		return
	}
	data, _ := object["data"].(map[string]any)
	text, _ := data[build.ConfigKey].(string)
	got, err := config.Decode([]byte(text))
	if err != nil {
		t.Fatalf("a sampler would refuse the configuration: %v", err)
	}
	if got.Hash() != plan.Config.Hash() {
		t.Errorf("a sampler would report the hash %s, and %s is awaited", got.Hash(), plan.Config.Hash())
	}
}

// The sampler's image runs in front of every server, and in the pods of those over
// stdio.
func TestPullSecretsAreForWhatRunsTheSamplersImage(t *testing.T) {
	for name, tc := range map[string]struct {
		transport mcpv1alpha1.TransportType
		want      map[string][]string
	}{
		"a server over HTTP":  {mcpv1alpha1.TransportStreamableHTTP, map[string][]string{"demo-sampler": {"a", "b"}, "demo-server": nil}},
		"a server over stdio": {mcpv1alpha1.TransportStdio, map[string][]string{"demo-sampler": {"a", "b"}, "demo-server": {"a", "b"}}},
	} {
		t.Run(name, func(t *testing.T) {
			server := &mcpv1alpha1.MCPServer{
				ObjectMeta: metav1.ObjectMeta{Name: "demo", Namespace: "team"},
				Spec: mcpv1alpha1.MCPServerSpec{
					Transport: mcpv1alpha1.Transport{Type: tc.transport},
					Container: &mcpv1alpha1.ServerContainer{Image: "any", Command: []string{"/any"}},
				},
			}
			opts := options
			opts.SamplerImagePullSecrets = []string{"a", "b"}
			objects, err := build.For(server, resolve.Server(resolve.Input{Server: server}), nil, opts)
			if err != nil {
				t.Fatal(err)
			}
			got := map[string][]string{}
			for _, o := range objects.Apply {
				if d, ok := o.(*appsv1ac.DeploymentApplyConfiguration); ok {
					got[*d.Name] = nil
					for _, ref := range d.Spec.Template.Spec.ImagePullSecrets {
						got[*d.Name] = append(got[*d.Name], *ref.Name)
					}
				}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("pull secrets (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAPolicyChangesNoPodTemplate(t *testing.T) {
	server := &mcpv1alpha1.MCPServer{
		ObjectMeta: metav1.ObjectMeta{Name: "demo", Namespace: "team"},
		Spec:       mcpv1alpha1.MCPServerSpec{Container: &mcpv1alpha1.ServerContainer{Image: "any"}},
	}
	deployments := func(policies ...mcpv1alpha1.SamplingPolicy) string {
		plan := resolve.Server(resolve.Input{Server: server, Policies: policies})
		objects, err := build.For(server, plan, nil, options)
		if err != nil {
			t.Fatal(err)
		}
		var all []map[string]any
		for _, o := range objects.Apply {
			if object := toMap(t, o); object["kind"] == "Deployment" {
				all = append(all, object)
			}
		}
		data, err := json.Marshal(all)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	policy := mcpv1alpha1.SamplingPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: "policy"},
		Spec: mcpv1alpha1.SamplingPolicySpec{
			TargetRefs: []mcpv1alpha1.TargetRef{{Name: "demo"}},
			Providers:  []mcpv1alpha1.Provider{{Name: "local", Type: mcpv1alpha1.ProviderOpenAI}},
			Models:     mcpv1alpha1.Models{Default: "m", Allowed: []mcpv1alpha1.Model{{Name: "m", Provider: "local"}}},
		},
	}
	without, with := deployments(), deployments(policy)
	if without != with {
		t.Errorf("a policy without a Secret changes a Deployment:\n%s\n%s", without, with)
	}
}

// FuzzPodTemplate looks for patches that crash the operator or get a pod out of
// its sight.
func FuzzPodTemplate(f *testing.F) {
	for _, seed := range []string{
		`{}`, `null`, `[]`, `{"spec":null}`, `{"spec":{"containers":null}}`, `{"spec":{"containers":[null]}}`,
		`{"spec":{"containers":[{"$patch":"delete","name":"server"}]}}`, `{"spec":{"$patch":"replace"}}`, `{"$patch":"delete"}`,
		`{"metadata":{"labels":{"app.kubernetes.io/instance":"x"}}}`, `{"metadata":null}`, `{"metadata":{"labels":null}}`,
		`{"spec":{"$retainKeys":["containers"]}}`, `{"spec":{"$setElementOrder/containers":[{"name":"a"}]}}`,
		`{"spec":{"containers":[{"name":"server","readinessProbe":{"httpGet":{"port":1}}}]}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, patch []byte) {
		if !json.Valid(patch) {
			return // the API server stores JSON only
		}
		server := &mcpv1alpha1.MCPServer{
			ObjectMeta: metav1.ObjectMeta{Name: "demo", Namespace: "team"},
			Spec: mcpv1alpha1.MCPServerSpec{
				Container:   &mcpv1alpha1.ServerContainer{Image: "any"},
				PodTemplate: &apiextensionsv1.JSON{Raw: patch},
			},
		}
		objects, err := build.For(server, resolve.Server(resolve.Input{Server: server}), nil, options)
		if err != nil {
			t.Fatalf("a patch must be refused by a condition, not by an error: %v", err)
		}
		for _, o := range objects.Apply {
			object := toMap(t, o)
			if !contains([]string{"Deployment/demo-server"}, object) {
				continue
			}
			labels := object["spec"].(map[string]any)["template"].(map[string]any)["metadata"].(map[string]any)["labels"].(map[string]any)
			for key, want := range build.ServerSelector(server) {
				if labels[key] != want {
					t.Errorf("label %s is %v, want %s", key, labels[key], want)
				}
			}
		}
	})
}
