package chart

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// maxCRDBytes keeps `kubectl apply` and Helm far from their limits of 256 KiB
// and 1 MiB.
const maxCRDBytes = 64 * 1024

// goldenValues are the values of the golden files, by name. CRDs are left out: they are generated, and compared with
// their source below.
var goldenValues = map[string]string{
	"default":           "",
	"high-availability": readValues("values-ha.yaml"),
	"namespaced": `
rbac: {aggregate: false}
watchNamespaces: [team-a, team-b]
metrics: {service: true}
`,
	"everything": readValues("../../test/chart/testdata/everything.values.yaml"),
}

// readValues returns a file, from the folder of the chart.
func readValues(file string) string {
	data, err := os.ReadFile(filepath.Join(chartDir, file))
	if err != nil {
		panic(err)
	}
	return string(data)
}

func TestChartRendersAsItsGoldenFiles(t *testing.T) {
	for name, values := range goldenValues {
		t.Run(name, func(t *testing.T) {
			got, err := template(t, values, "crds.enabled=false")
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join("testdata", name+".yaml")
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatalf("%v: go test ./test/chart -update makes it", err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("not as in %s; if that is right: go test ./test/chart -update (-want +got):\n%s", file, diff)
			}
			deployment := as[appsv1.Deployment](t, only(t, parse(t, got), "Deployment"))
			if selector, labels := deployment.Spec.Selector.MatchLabels, deployment.Spec.Template.Labels; !contains(labels, selector) {
				t.Errorf("the Deployment selects %v and its pods are labelled %v", selector, labels)
			}
		})
	}
}

func TestSchemaRefusesWhatTheChartDoesNotKnow(t *testing.T) {
	for name, tc := range map[string]struct {
		values string
		want   string
	}{
		"an unknown key":                             {"replicaCount: 2", "replicaCount"},
		"an unknown key further down":                {"image: {repo: x}", "repo"},
		"an unknown pull policy":                     {"image: {pullPolicy: Sometimes}", "pullPolicy"},
		"a number of replicas that is a text":        {`replicas: "2"`, "replicas"},
		"a text where a list is wanted":              {"watchNamespaces: team-a", "watchNamespaces"},
		"a namespace that cannot be one":             {"watchNamespaces: [Team_A]", "watchNamespaces"},
		"the same namespace twice":                   {"watchNamespaces: [a, a]", "watchNamespaces"},
		"an unknown log level":                       {"log: {level: trace}", "level"},
		"an image without a repository":              {`image: {repository: ""}`, "repository"},
		"a ServiceAccount that is not named":         {"serviceAccount: {create: false}", "serviceAccount.name"},
		"an annotation that is not a text":           {"podAnnotations: {a: 1}", "podAnnotations"},
		"a yes or no that is a text":                 {`crds: {enabled: "no"}`, "enabled"},
		"a cluster domain that cannot be one":        {"clusterDomain: .local", "clusterDomain"},
		"an unknown log format":                      {"log: {format: xml}", "format"},
		"a sampler image with an unknown key":        {"samplerImage: {name: x}", "name"},
		"a digest that is none":                      {"image: {digest: latest}", "digest"},
		"a registry that is a URL":                   {"global: {imageRegistry: 'https://registry.example.com'}", "imageRegistry"},
		"a pull secret that is only a name":          {"samplerImagePullSecrets: [registry]", "samplerImagePullSecrets"},
		"a misspelt limit":                           {"resources: {limit: {memory: 1Gi}}", "limit"},
		"a variable without a name":                  {"extraEnv: [{value: x}]", "extraEnv"},
		"a label that is not a text":                 {"commonLabels: {a: 1}", "commonLabels"},
		"a misspelt security context":                {"securityContext: {runAsuser: 1}", "runAsuser"},
		"a misspelt toleration":                      {"tolerations: [{keys: a}]", "keys"},
		"an unknown affinity":                        {"affinity: {nodeafinity: {}}", "nodeafinity"},
		"a spread over nothing":                      {"topologySpreadConstraints: [{whenUnsatisfiable: DoNotSchedule}]", "topologyKey"},
		"a budget that lets no pod go":               {"podDisruptionBudget: {maxUnavailable: 0}", "maxUnavailable"},
		"a switch of budgets not there":              {"disruptionBudgets: {minAvailable: 1}", "minAvailable"},
		"a pull secret without a name":               {"imagePullSecrets: [{}]", "name"},
		"no replicas, so that nobody works":          {"replicas: 0", "replicas"},
		"metrics settings that are not there":        {"metrics: {serviceMonitor: true}", "serviceMonitor"},
		"alerts although nobody scrapes the manager": {"{alerts: {enabled: true}, metrics: {force: true}}", "set metrics.service to true"},
		"a switch of admission not there":            {"admission: {mode: Audit}", "mode"},
		"a switch of rbac that is not there":         {"rbac: {create: false}", "create"},
		"node selector values that are lists":        {"nodeSelector: {a: [b]}", "nodeSelector"},
		"tolerations that are texts":                 {"tolerations: [x]", "tolerations"},
		"a priority class that is not a text":        {"priorityClassName: 1", "priorityClassName"},
		"resources that are not an object":           {"resources: 1", "resources"},
		"a full name that is not a text":             {"fullnameOverride: [x]", "fullnameOverride"},
		"a service account that is not a text":       {"serviceAccount: {name: 1}", "name"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := template(t, tc.values)
			if err == nil {
				t.Fatalf("%q was taken", tc.values)
			}
			if !strings.Contains(err.Error(), tc.want) {
				t.Errorf("the message does not name %q: %v", tc.want, err)
			}
		})
	}
}

// mayTouch is everything that the manager has business with, and how. Whatever
// it needs beyond that is a decision: make it here.
var mayTouch = map[string][]string{
	"/configmaps": {"get", "list", "watch", "create", "patch", "delete"},
	"/services":   {"get", "list", "watch", "create", "patch", "delete"},
	// The key that seals names of sessions is made here, and never read.
	"/secrets":                                     {"create"},
	"networking.k8s.io/networkpolicies":            {"get", "list", "watch", "create", "patch", "delete"},
	"policy/poddisruptionbudgets":                  {"get", "list", "watch", "create", "patch", "delete"},
	"apps/deployments":                             {"get", "list", "watch", "create", "patch", "delete"},
	"/pods":                                        {"get", "list", "watch", "patch"},
	"/events":                                      {"create", "patch"},
	"events.k8s.io/events":                         {"create", "patch"},
	"coordination.k8s.io/leases":                   {"get", "create", "update"},
	"mcp-sampling.dev/mcpservers":                  {"get", "list", "watch"},
	"mcp-sampling.dev/mcpservers/finalizers":       {"update"},
	"mcp-sampling.dev/mcpservers/status":           {"get", "update", "patch"},
	"mcp-sampling.dev/samplingpolicies":            {"get", "list", "watch"},
	"mcp-sampling.dev/samplingpolicies/status":     {"get", "update", "patch"},
	"mcp-sampling.dev/samplingpolicies/finalizers": {"update"},
}

func TestManagerMayDoNoMoreThanItMust(t *testing.T) {
	rendered := map[string][]object{
		"by Helm":                        render(t, ""),
		"by Helm, with a namespace list": render(t, "watchNamespaces: [team-a]"),
		"by kustomize":                   renderKustomize(t),
	}
	for name, objects := range rendered {
		t.Run(name, func(t *testing.T) {
			all := grants(t, objects)
			if len(all) == 0 {
				t.Fatal("nothing is granted at all")
			}
			for _, grant := range all {
				for _, rule := range grant.Rules {
					checkRule(t, rule)
				}
			}
		})
	}
}

func checkRule(t *testing.T, rule rbacv1.PolicyRule) {
	t.Helper()
	if len(rule.NonResourceURLs) > 0 {
		t.Errorf("grants URLs: %v", rule.NonResourceURLs)
	}
	for _, group := range rule.APIGroups {
		for _, resource := range rule.Resources {
			allowed := mayTouch[group+"/"+resource]
			for _, verb := range rule.Verbs {
				if !slices.Contains(allowed, verb) {
					t.Errorf("grants %s on %s/%s, which the manager has no business with", verb, group, resource)
				}
			}
		}
	}
}

func TestNamespaceListGrantsNothingElsewhere(t *testing.T) {
	objects := render(t, "watchNamespaces: [team-a, team-b]")

	var got []string
	for _, grant := range grants(t, objects) {
		got = append(got, grant.Namespace)
	}
	slices.Sort(got)
	if diff := cmp.Diff([]string{namespace, "team-a", "team-b"}, got); diff != "" {
		t.Errorf("namespaces in which the manager is granted something (-want +got):\n%s", diff)
	}
	args := container(t, objects).Args
	if want := "--namespaces=team-a,team-b"; !slices.Contains(args, want) {
		t.Errorf("arguments %q lack %s", args, want)
	}
}

func TestCRDsAreThoseOfConfig(t *testing.T) {
	rendered := map[string]apiextensionsv1.CustomResourceDefinition{}
	for _, o := range ofKind(render(t, ""), "CustomResourceDefinition") {
		rendered[o.name()] = as[apiextensionsv1.CustomResourceDefinition](t, o)
	}
	files, err := filepath.Glob(filepath.Join(root, "config/crd/bases/*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no CRDs in config/crd/bases: %v", err)
	}
	if len(rendered) != len(files) {
		t.Errorf("the chart has %d CRDs, config/crd/bases %d", len(rendered), len(files))
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if len(data) >= maxCRDBytes {
			t.Errorf("%s has %d bytes, want fewer than %d", file, len(data), maxCRDBytes)
		}
		var source object
		if err := yaml.UnmarshalStrict(data, &source); err != nil {
			t.Fatal(err)
		}
		want := as[apiextensionsv1.CustomResourceDefinition](t, source)
		got := rendered[want.Name]
		if policy := got.Annotations["helm.sh/resource-policy"]; policy != "keep" {
			t.Errorf("%s: an uninstall would delete it and every object of it (resource policy %q)", want.Name, policy)
		}
		if diff := cmp.Diff(want.Spec, got.Spec); diff != "" {
			t.Errorf("%s differs from %s: run make generate (-config +chart):\n%s", want.Name, file, diff)
		}
	}
	if left := ofKind(render(t, "crds: {enabled: false}"), "CustomResourceDefinition"); len(left) > 0 {
		t.Errorf("crds.enabled=false leaves %d CRDs", len(left))
	}
}

// The first objects that a user copies must be ones that the API takes.
func TestFirstExamplesAreWrittenInTheAPI(t *testing.T) {
	_, heredoc, ok := strings.Cut(notes(t, "watchNamespaces: [team-a]"), "kubectl -n team-a apply -f - <<EOF\n")
	if !ok {
		t.Fatal("the chart's notes hold no objects to apply, or not for a watched namespace")
	}
	inNotes, _, ok := strings.Cut(heredoc, "\nEOF\n")
	if !ok {
		t.Fatal("the shell would not find the end of the objects in the chart's notes")
	}
	samples, err := output(exec.Command("go", "tool", "-modfile="+root+"/hack/tools/go.mod", "kustomize", "build", root+"/config/samples"))
	if err != nil {
		t.Fatal(err)
	}

	for name, documents := range map[string]string{"notes of the chart": inNotes, "config/samples": samples} {
		t.Run(name, func(t *testing.T) {
			objects := parse(t, documents)
			server := as[mcpv1alpha1.MCPServer](t, only(t, objects, mcpv1alpha1.KindMCPServer))
			policy := as[mcpv1alpha1.SamplingPolicy](t, only(t, objects, mcpv1alpha1.KindSamplingPolicy))
			if len(policy.Spec.TargetRefs) != 1 || policy.Spec.TargetRefs[0].Name != server.Name {
				t.Errorf("the policy is for %v and not for the server %s beside it", policy.Spec.TargetRefs, server.Name)
			}
		})
	}
}

// Whoever installs by kustomize gets the same manager with the same rights as
// whoever installs by Helm with the values as they are.
func TestKustomizeMakesTheSameAsHelm(t *testing.T) {
	byHelm, byKustomize := render(t, ""), renderKustomize(t)

	helmPod := as[appsv1.Deployment](t, only(t, byHelm, "Deployment")).Spec.Template.Spec
	kustomizePod := as[appsv1.Deployment](t, only(t, byKustomize, "Deployment")).Spec.Template.Spec
	kustomizePod.ServiceAccountName = helmPod.ServiceAccountName // a name of their own each
	for i, arg := range helmPod.Containers[0].Args {             // only a release has an instance
		helmPod.Containers[0].Args[i] = strings.Replace(arg, "app.kubernetes.io/instance=mcp-sampling,", "", 1)
	}
	if diff := cmp.Diff(helmPod, kustomizePod); diff != "" {
		t.Errorf("pods of the manager (-helm +kustomize):\n%s", diff)
	}
	if diff := cmp.Diff(grants(t, byHelm), grants(t, byKustomize)); diff != "" {
		t.Errorf("rights of the manager (-helm +kustomize):\n%s", diff)
	}
	if diff := cmp.Diff(aggregated(t, byHelm), aggregated(t, byKustomize)); diff != "" {
		t.Errorf("rights of users by label (-helm +kustomize):\n%s", diff)
	}
	if diff := cmp.Diff(admission(t, byHelm), admission(t, byKustomize)); diff != "" {
		t.Errorf("admission policies (-helm +kustomize):\n%s", diff)
	}
}

// admission returns the specs of the admission policies that are bound, by the
// resource that they are about.
func admission(t *testing.T, objects []object) map[string]admissionregistrationv1.ValidatingAdmissionPolicySpec {
	t.Helper()
	bound := map[string]bool{}
	for _, o := range ofKind(objects, "ValidatingAdmissionPolicyBinding") {
		bound[as[admissionregistrationv1.ValidatingAdmissionPolicyBinding](t, o).Spec.PolicyName] = true
	}
	found := map[string]admissionregistrationv1.ValidatingAdmissionPolicySpec{}
	for _, o := range ofKind(objects, "ValidatingAdmissionPolicy") {
		policy := as[admissionregistrationv1.ValidatingAdmissionPolicy](t, o)
		if !bound[policy.Name] {
			t.Errorf("nothing binds the admission policy %s", policy.Name)
		}
		found[policy.Spec.MatchConstraints.ResourceRules[0].Resources[0]] = policy.Spec
	}
	if len(found) != len(bound) || len(found) != 2 {
		t.Errorf("%d admission policies and %d that are bound, want 2", len(found), len(bound))
	}
	return found
}

// A namespace that joins watchNamespaces brings what was written in it before, so
// that has to be looked at, too. Without an operator nothing else would look at what
// is written, so the policies stay.
func TestAdmissionPoliciesAreForEveryNamespaceAndStay(t *testing.T) {
	for _, values := range []string{"", "watchNamespaces: [team-a, team-b]"} {
		objects := render(t, values)
		for _, o := range ofKind(objects, "ValidatingAdmissionPolicyBinding") {
			if match := as[admissionregistrationv1.ValidatingAdmissionPolicyBinding](t, o).Spec.MatchResources; match != nil {
				t.Errorf("%q: %s leaves something out: %v", values, o.name(), match)
			}
		}
		for _, o := range append(ofKind(objects, "ValidatingAdmissionPolicy"), ofKind(objects, "ValidatingAdmissionPolicyBinding")...) {
			if policy := text(o, "metadata", "annotations", "helm.sh/resource-policy"); policy != "keep" {
				t.Errorf("%q: an uninstall would delete %s (resource policy %q)", values, o.key(), policy)
			}
		}
	}
	for _, kind := range []string{"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"} {
		if left := ofKind(render(t, "admission: {enabled: false}"), kind); len(left) > 0 {
			t.Errorf("admission.enabled=false leaves %d objects of kind %s", len(left), kind)
		}
	}
}

// aggregated returns the rules that join the built-in roles, by label.
func aggregated(t *testing.T, objects []object) map[string][]rbacv1.PolicyRule {
	t.Helper()
	found := map[string][]rbacv1.PolicyRule{}
	for _, o := range ofKind(objects, "ClusterRole") {
		role := as[rbacv1.ClusterRole](t, o)
		for label := range role.Labels {
			if strings.HasPrefix(label, "rbac.authorization.k8s.io/aggregate-to-") {
				found[label] = append(found[label], role.Rules...)
			}
		}
	}
	for _, rules := range found {
		slices.SortFunc(rules, func(a, b rbacv1.PolicyRule) int {
			return strings.Compare(a.String(), b.String())
		})
	}
	return found
}

// container returns the manager's container.
func container(t *testing.T, objects []object) corev1.Container {
	t.Helper()
	containers := as[appsv1.Deployment](t, only(t, objects, "Deployment")).Spec.Template.Spec.Containers
	if len(containers) != 1 {
		t.Fatalf("%d containers, want 1", len(containers))
	}
	return containers[0]
}

// contains reports whether all has every pair of some.
func contains(all, some map[string]string) bool {
	for key, value := range some {
		if all[key] != value {
			return false
		}
	}
	return true
}
