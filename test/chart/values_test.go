package chart

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
)

func TestLintFindsNothing(t *testing.T) {
	program, err := helm()
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range goldenValues {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "values.yaml")
			if err := os.WriteFile(file, []byte(values), 0o600); err != nil {
				t.Fatal(err)
			}
			out, err := output(exec.Command(program, "lint", "--strict", chartDir, "--values", file))
			if err != nil || strings.Contains(out, "[WARNING]") {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// The README is generated: what has no words in values.yaml has none there.
func TestEveryValueIsDescribed(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join(chartDir, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	described := map[string]bool{}
	for _, row := range regexp.MustCompile(`(?m)^\| ([A-Za-z.]+) \| \S+ \| .* \| (.*) \|$`).FindAllStringSubmatch(string(readme), -1) {
		described[row[1]] = strings.TrimSpace(row[2]) != ""
	}
	data, err := os.ReadFile(filepath.Join(chartDir, "values.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var values map[string]any
	if err := yaml.Unmarshal(data, &values); err != nil {
		t.Fatal(err)
	}
	var walk func(path string, value any)
	walk = func(path string, value any) {
		if described[path] {
			return
		}
		group, ok := value.(map[string]any)
		if !ok || len(group) == 0 {
			t.Errorf("%s is not described: write a comment that begins with \"# --\" before it in values.yaml, then make generate", path)
		}
		for key, value := range group {
			walk(path+"."+key, value)
		}
	}
	for key, value := range values {
		walk(key, value)
	}
}

// "Everything" is there to be looked at: a value that it leaves as it is shows nothing.
func TestEverythingIsOtherThanTheDefault(t *testing.T) {
	var defaults, everything map[string]any
	for file, into := range map[string]*map[string]any{
		filepath.Join(chartDir, "values.yaml"): &defaults,
		"testdata/everything.values.yaml":      &everything,
	} {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := yaml.UnmarshalStrict(data, into); err != nil {
			t.Fatal(err)
		}
	}
	for key := range defaults {
		if _, ok := everything[key]; !ok && key != "crds" {
			t.Errorf("%s is not in testdata/everything.values.yaml", key)
		}
	}
}

// What a user reads who has mistyped something.
func TestTheComplaintSaysWhereAndWhat(t *testing.T) {
	for values, want := range map[string]string{
		"image: {repo: x}":                  "- at '/image': additional properties 'repo' not allowed",
		`replicas: "2"`:                     "- at '/replicas': got string, want integer",
		"log: {level: trace}":               "- at '/log/level': value must be one of 'debug', 'info', 'warn', 'error'",
		"tolerations: [{keys: a}]":          "- at '/tolerations/0': additional properties 'keys' not allowed",
		"samplerImagePullSecrets: [secret]": "- at '/samplerImagePullSecrets/0': got string, want object",
	} {
		_, err := template(t, values)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: the complaint does not hold %q: %v", values, want, err)
		}
	}
}

func TestMemoryLimitOfGo(t *testing.T) {
	for name, tc := range map[string]struct{ values, want string }{
		"as it is by default":            {"", "241591910"},
		"a limit in gibibytes":           {"resources: {limits: {memory: 1Gi}}", "966367641"},
		"a limit with a fraction":        {"resources: {limits: {memory: 1.5Gi}}", "1449551462"},
		"a limit in bytes":               {"resources: {limits: {memory: 1000000000}}", "900000000"},
		"a limit as a power of ten":      {"resources: {limits: {memory: 1e9}}", "900000000"},
		"no limit":                       {"resources: {limits: null}", ""},
		"no resources at all":            {"resources: null", ""},
		"somebody says it by a variable": {"extraEnv: [{name: GOMEMLIMIT, value: 1GiB}]", "1GiB"},
	} {
		t.Run(name, func(t *testing.T) {
			got := ""
			for _, env := range container(t, render(t, tc.values)).Env {
				if env.Name == "GOMEMLIMIT" {
					got += env.Value
				}
			}
			if got != tc.want {
				t.Errorf("GOMEMLIMIT is %q, want %q", got, tc.want)
			}
		})
	}
}

func TestReferencesOfImages(t *testing.T) {
	const digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	for name, tc := range map[string]struct{ values, want string }{
		"as it is by default":                 {"", "ghcr.io/mcp-sampling/mcp-sampling-operator:v0.3.0"},
		"a tag":                               {"image: {tag: v9}", "ghcr.io/mcp-sampling/mcp-sampling-operator:v9"},
		"a digest goes before a tag":          {"image: {tag: v9, digest: '" + digest + "'}", "ghcr.io/mcp-sampling/mcp-sampling-operator@" + digest},
		"a registry for all":                  {"global: {imageRegistry: r.example.com}", "r.example.com/mcp-sampling/mcp-sampling-operator:v0.3.0"},
		"a registry with a path and a port":   {"global: {imageRegistry: r:5000/hub}", "r:5000/hub/mcp-sampling/mcp-sampling-operator:v0.3.0"},
		"a repository of this machine":        {"{global: {imageRegistry: r}, image: {repository: localhost/x}}", "r/x:v0.3.0"},
		"a repository that names no registry": {"{global: {imageRegistry: r}, image: {repository: team/x}}", "r/team/x:v0.3.0"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := container(t, render(t, tc.values)).Image; got != tc.want {
				t.Errorf("the image is %s, want %s", got, tc.want)
			}
		})
	}
}

// What helm test makes has to be taken by the API, and looked at by the operator.
func TestHelmTestIsForANamespaceThatIsLookedAt(t *testing.T) {
	for name, tc := range map[string]struct{ values, want string }{
		"all namespaces":               {"", namespace},
		"a list with the release's":    {"watchNamespaces: [team-a, " + namespace + "]", namespace},
		"a list without the release's": {"watchNamespaces: [team-a, team-b]", "team-a"},
		"a name as long as can be":     {"fullnameOverride: " + strings.Repeat("x", 70), namespace},
		"only some nodes":              {"{nodeSelector: {a: b}, tolerations: [{operator: Exists}]}", namespace},
	} {
		t.Run(name, func(t *testing.T) {
			var tests []object
			for _, o := range render(t, tc.values) {
				if text(o, "metadata", "annotations", "helm.sh/hook") != "test" {
					continue
				}
				if got := text(o, "metadata", "namespace"); got != tc.want {
					t.Errorf("%s is not in namespace %s", o.key(), tc.want)
				}
				tests = append(tests, o)
			}
			server := as[mcpv1alpha1.MCPServer](t, only(t, tests, mcpv1alpha1.KindMCPServer))
			policy := as[mcpv1alpha1.SamplingPolicy](t, only(t, tests, mcpv1alpha1.KindSamplingPolicy))
			service := as[corev1.Service](t, only(t, tests, "Service"))
			pod := as[corev1.Pod](t, only(t, tests, "Pod"))
			const longest = 56 // the API says so
			if len(server.Name) > longest || policy.Spec.TargetRefs[0].Name != server.Name {
				t.Errorf("the server is named %s, the policy is for %v", server.Name, policy.Spec.TargetRefs)
			}
			if want := "http://" + service.Name + "." + tc.want + ".svc.cluster.local:8080/"; policy.Spec.Providers[0].BaseURL != want {
				t.Errorf("the model is at %s, want %s", policy.Spec.Providers[0].BaseURL, want)
			}
			if !contains(pod.Labels, service.Spec.Selector) {
				t.Errorf("the Service selects %v, the pod has %v", service.Spec.Selector, pod.Labels)
			}
			manager := as[appsv1.Deployment](t, only(t, render(t, tc.values), "Deployment"))
			if contains(pod.Labels, manager.Spec.Selector.MatchLabels) {
				t.Error("the pod is taken for one of the manager's")
			}
		})
	}
}

// Who looks for images to mirror or to scan reads them there.
func TestTheChartNamesTheImagesThatItRuns(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(chartDir, "Chart.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var about struct {
		Annotations map[string]string `json:"annotations"`
	}
	if err := yaml.Unmarshal(data, &about); err != nil {
		t.Fatal(err)
	}
	manager := container(t, render(t, ""))
	images := []string{manager.Image}
	for _, env := range manager.Env {
		if env.Name == "SAMPLER_IMAGE" {
			images = append(images, env.Value)
		}
	}
	if len(images) != 2 {
		t.Fatalf("the manager knows of %q, want itself and the sampler", images)
	}
	for _, image := range images {
		if !strings.Contains(about.Annotations["artifacthub.io/images"], "image: "+image+"\n") {
			t.Errorf("annotation artifacthub.io/images of Chart.yaml does not name %s", image)
		}
	}
	var examples []object
	if err := yaml.UnmarshalStrict([]byte(about.Annotations["artifacthub.io/crdsExamples"]), &examples); err != nil {
		t.Fatal(err)
	}
	as[mcpv1alpha1.MCPServer](t, only(t, examples, mcpv1alpha1.KindMCPServer))
	as[mcpv1alpha1.SamplingPolicy](t, only(t, examples, mcpv1alpha1.KindSamplingPolicy))
}
