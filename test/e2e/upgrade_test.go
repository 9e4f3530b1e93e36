package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
)

const (
	helmRelease = "mcp-sampling-operator"
	thisChart   = "../../charts/mcp-sampling-operator"
	// previousChart is the chart of the release before; hack/previous-images.sh
	// builds its images.
	previousChart = "../chart/testdata/previous/mcp-sampling-operator-0.1.0.tgz"
)

// helmValues are those that the chart is installed with, as a file.
func helmValues(t *testing.T) string {
	t.Helper()
	values, err := theCluster.helm(t.Context(), "get", "values", helmRelease, "--namespace", operatorNamespace, "--output", "yaml")
	must(t, err)
	file := filepath.Join(t.TempDir(), "values.yaml")
	must(t, os.WriteFile(file, []byte(values), 0o600))
	return file
}

// The life of an installation: the previous release runs servers, is upgraded
// under calls, of which none is lost, to this one with two managers, which then
// restart and lose their leader. The values are those of the installation that was
// there.
func testUpgrade(t *testing.T, values string) {
	manager, sampler, _ := strings.Cut(os.Getenv("E2E_PREVIOUS"), " ")
	if manager == "" || sampler == "" {
		t.Log("SKIPPED: E2E_PREVIOUS does not name the images of the release before")
		return
	}
	helm := func(chart string, args ...string) {
		t.Helper()
		args = append([]string{
			"upgrade", helmRelease, chart, "--install", "--namespace", operatorNamespace, "--wait", "--timeout", "3m",
		}, args...)
		_, err := theCluster.helm(t.Context(), args...)
		must(t, err)
	}
	image := func(key, ref string) string {
		colon := strings.LastIndex(ref, ":")
		return fmt.Sprintf("%s.repository=%s,%s.tag=%s", key, ref[:colon], key, ref[colon+1:])
	}
	helm(previousChart, "--set", image("image", manager), "--set", image("samplerImage", sampler))
	if hasField(t, "samplingpolicies", "targetSelector") {
		t.Fatal("the CRDs are not those of the previous release: this test would show nothing")
	}

	// Of one half of the servers the pods are ours, of the other not.
	s := newSpace(t)
	s.runFakeModel(t)
	s.run(t, "backend", 8000, "/gosdkserver")
	servers := map[string][]*mcpv1alpha1.MCPServer{}
	policy := newPolicy("policy")
	for i := range upgradedServers {
		kind, server := "ours", newServer(fmt.Sprintf("ours-%d", i), running(peersImage(), "/gosdkserver"))
		server.Spec.Replicas = new(int32(1 + i%2))
		if i >= upgradedServers/2 {
			kind, server = "theirs", &mcpv1alpha1.MCPServer{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("theirs-%d", i)}}
			server.Spec.Service = &mcpv1alpha1.ServerService{Name: "backend", Port: 8000}
			server.Spec.Sampler.Replicas = new(int32(1 + i%2))
		}
		server.Labels = map[string]string{"half": kind}
		policy.Spec.TargetRefs = append(policy.Spec.TargetRefs, mcpv1alpha1.TargetRef{Name: server.Name})
		s.create(t, server)
		servers[kind] = append(servers[kind], server)
	}
	s.create(t, policy)
	calls := map[string]*callers{}
	for kind, group := range servers {
		var urls []string
		for _, server := range group {
			s.awaitReady(t, server, policy)
			urls = append(urls, server.Status.URL)
		}
		s.run(t, "callers-of-"+kind, 8080, "/manycallers")
		calls[kind] = &callers{t: t, addr: s.forward(t, "callers-of-"+kind)}
		calls[kind].open(urls...)
		calls[kind].tell("/loop", url.Values{"tool": {"where", "summarize"}, "again": {"yes"}})
	}
	before, specs := s.deployments(t), s.specs(t)

	helm(thisChart, "--values", values, "--set", "replicas=2")
	if !hasField(t, "samplingpolicies", "targetSelector") {
		t.Error("the upgrade left the CRDs as they were")
	}
	// New fields may have got their defaults; what was there stays.
	for name, spec := range specs {
		if lost := lostIn(name, spec, s.specs(t)[name]); len(lost) > 0 {
			t.Errorf("the upgrade changed objects of users: %q", lost)
		}
	}
	for name, deployment := range before {
		if same := s.upgraded(t, name, deployment); same != strings.HasSuffix(name, "-server") {
			t.Errorf("the upgrade has left the pods of %s as they were: %t", name, same)
		}
	}
	for _, group := range servers {
		for _, server := range group {
			s.awaitReady(t, server, policy)
		}
	}

	// What is new can be used.
	naming, selecting := newPolicy("naming"), newPolicy("selecting")
	for _, server := range servers["ours"] {
		naming.Spec.TargetRefs = append(naming.Spec.TargetRefs, mcpv1alpha1.TargetRef{Name: server.Name})
	}
	selecting.Spec.TargetSelector = &mcpv1alpha1.LabelSelector{MatchLabels: map[string]mcpv1alpha1.LabelValue{"half": "theirs"}}
	s.create(t, naming, selecting)
	must(t, s.client.Delete(t.Context(), policy))
	for kind, next := range map[string]*mcpv1alpha1.SamplingPolicy{"ours": naming, "theirs": selecting} {
		for _, server := range servers[kind] {
			s.awaitReady(t, server, next)
		}
	}

	testManagersComeAndGo(t, s, selecting)

	for kind, c := range calls {
		got := c.tell("/stop", nil)
		t.Logf("calls to %s: %s; %d sessions were begun anew", kind, got, got.Renewed)
		if len(got.Lost) != 0 || got.Failed != 0 || got.OK < many {
			t.Errorf("calls to %s: %s; want none to be lost", kind, got)
		}
	}
	s.replacedOnRequest(t, servers["ours"][1], before)
}

// upgradedServers is how many servers there are when the operator is upgraded.
const upgradedServers = 10

// replacedOnRequest asks for new pods of a server, which this release makes.
func (s *space) replacedOnRequest(t *testing.T, server *mcpv1alpha1.MCPServer, before map[string]runs) {
	t.Helper()
	_, err := theCluster.kubectl(t.Context(), "", "annotate", "--namespace", s.name, "mcps/"+server.Name, mcpv1alpha1.AnnotationRestartedAt+"=now")
	must(t, err)
	name := server.Name + "-server"
	eventually(t, patience, "another template of "+name, func(ctx context.Context) error {
		var now appsv1.Deployment
		must(t, s.client.Get(ctx, client.ObjectKey{Namespace: s.name, Name: name}, &now))
		if cmp.Equal(before[name].Spec.Template, now.Spec.Template) {
			return errors.New("it is still the same")
		}
		return nil
	})
	if s.upgraded(t, name, before[name]) {
		t.Errorf("pods of %s are as they were", name)
	}
}

// testManagersComeAndGo restarts both managers, and then takes away the one that
// works: what runs goes on as it is, and changes are heard of again.
func testManagersComeAndGo(t *testing.T, s *space, policy *mcpv1alpha1.SamplingPolicy) {
	before := s.children(t)
	_, err := theCluster.kubectl(t.Context(), "", "rollout", "restart", "deployment/"+helmRelease, "-n", operatorNamespace)
	must(t, err)
	_, err = theCluster.kubectl(t.Context(), "", "rollout", "status", "deployment/"+helmRelease, "-n", operatorNamespace, "--timeout=2m")
	must(t, err)
	start := time.Now()
	s.programmed(t, policy, 77)
	t.Logf("restarted managers took up a change after %s", time.Since(start).Round(time.Millisecond))

	var pod *corev1.Pod
	eventually(t, patience, "a leader that runs", func(ctx context.Context) error {
		pod, err = leader(ctx)
		return err
	})
	must(t, s.client.Delete(t.Context(), pod, client.GracePeriodSeconds(0)))
	start = time.Now()
	s.programmed(t, policy, 78)
	t.Logf("%s, which led, was killed; the other one took up a change after %s", pod.Name, time.Since(start).Round(time.Millisecond))
	eventually(t, patience, "another leader", func(ctx context.Context) error {
		now, err := leader(ctx)
		if err == nil && now.UID == pod.UID {
			err = errors.New("it is the same")
		}
		return err
	})
	if diff := cmp.Diff(before, s.children(t)); diff != "" {
		t.Errorf("managers that came and went changed objects (-before +after):\n%s", diff)
	}
}

// programmed changes a limit of a policy and waits until all samplers have it.
func (s *space) programmed(t *testing.T, policy *mcpv1alpha1.SamplingPolicy, maxTokens int64) {
	t.Helper()
	patch(t, s, policy, func(p *mcpv1alpha1.SamplingPolicy) { p.Spec.Parameters.MaxTokens.Max = maxTokens })
	s.await(t, policy, wantCondition{conditionType: mcpv1alpha1.ConditionProgrammed, status: metav1.ConditionTrue})
}

// leader returns the manager's pod that holds the lease.
func leader(ctx context.Context) (*corev1.Pod, error) {
	var leases coordinationv1.LeaseList
	var pods corev1.PodList
	in := client.InNamespace(operatorNamespace)
	if err := errors.Join(theCluster.client.List(ctx, &leases, in), theCluster.client.List(ctx, &pods, in)); err != nil {
		return nil, err
	}
	for _, lease := range leases.Items {
		for i := range pods.Items {
			// The holder is the pod's name and something random.
			if h := lease.Spec.HolderIdentity; h != nil && strings.HasPrefix(*h, pods.Items[i].Name+"_") && pods.Items[i].DeletionTimestamp == nil {
				return &pods.Items[i], nil
			}
		}
	}
	return nil, errors.New("no pod holds the lease")
}

// hasField reports whether the CRD of a kind has this field in the spec.
func hasField(t *testing.T, plural, field string) bool {
	t.Helper()
	crd := &unstructured.Unstructured{}
	crd.SetGroupVersionKind(apiextensionsv1.SchemeGroupVersion.WithKind("CustomResourceDefinition"))
	must(t, theCluster.client.Get(t.Context(), client.ObjectKey{Name: plural + "." + mcpv1alpha1.GroupVersion.Group}, crd))
	data, err := json.Marshal(crd.Object["spec"])
	must(t, err)
	return strings.Contains(string(data), `"`+field+`":`)
}

// runs is a Deployment and the pods that it has.
type runs struct {
	appsv1.Deployment

	pods []corev1.Pod
}

// deployments returns those of the product, by name.
func (s *space) deployments(t *testing.T) map[string]runs {
	t.Helper()
	var list appsv1.DeploymentList
	must(t, s.client.List(t.Context(), &list, client.InNamespace(s.name), client.HasLabels{"app.kubernetes.io/instance"}))
	found := map[string]runs{}
	for _, d := range list.Items {
		selector, err := metav1.LabelSelectorAsSelector(d.Spec.Selector)
		must(t, err)
		found[d.Name] = runs{d, s.labelled(t, selector.String())}
	}
	return found
}

// specs returns what users wrote, by name and generation.
func (s *space) specs(t *testing.T) map[string]any {
	t.Helper()
	found := map[string]any{}
	for _, kind := range []string{mcpv1alpha1.KindMCPServer, mcpv1alpha1.KindSamplingPolicy} {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(mcpv1alpha1.GroupVersion.WithKind(kind + "List"))
		must(t, s.client.List(t.Context(), list, client.InNamespace(s.name)))
		for _, o := range list.Items {
			found[fmt.Sprintf("%s %s, generation %d", kind, o.GetName(), o.GetGeneration())] = o.Object["spec"]
		}
	}
	return found
}

// lostIn names what of before is not the same in after, which may hold more.
func lostIn(path string, before, after any) (lost []string) {
	switch before := before.(type) {
	case map[string]any:
		other, _ := after.(map[string]any)
		for key, value := range before {
			lost = append(lost, lostIn(path+"."+key, value, other[key])...)
		}
		return lost
	case []any:
		other, _ := after.([]any)
		if len(other) == len(before) {
			for i, value := range before {
				lost = append(lost, lostIn(fmt.Sprintf("%s[%d]", path, i), value, other[i])...)
			}
			return lost
		}
	}
	if !cmp.Equal(before, after) {
		lost = append(lost, fmt.Sprintf("%s was %v, is %v", path, before, after))
	}
	return lost
}

// upgraded waits until a Deployment has the pods that the new release wants: others
// than before where its template has changed, the same where not, which it reports.
func (s *space) upgraded(t *testing.T, name string, before runs) (same bool) {
	t.Helper()
	var now appsv1.Deployment
	if strings.HasSuffix(name, "-sampler") { // whose image has changed
		eventually(t, patience, "another template of "+name, func(ctx context.Context) error {
			must(t, s.client.Get(ctx, client.ObjectKey{Namespace: s.name, Name: name}, &now))
			if cmp.Equal(before.Spec.Template, now.Spec.Template) {
				return errors.New("it is still the same")
			}
			return nil
		})
	}
	eventually(t, patience, "the end of the rollout of "+name, func(ctx context.Context) error {
		must(t, s.client.Get(ctx, client.ObjectKey{Namespace: s.name, Name: name}, &now))
		want := *now.Spec.Replicas
		if d := now.Status; d.ObservedGeneration < now.Generation || d.UpdatedReplicas != want || d.Replicas != want || d.ReadyReplicas != want {
			return fmt.Errorf("it is at %+v", d)
		}
		return nil
	})
	same = cmp.Equal(before.Spec.Template, now.Spec.Template)
	for _, pod := range before.pods {
		uid := pod.UID
		if err := s.get(t.Context(), &pod); same && (err != nil || pod.UID != uid) {
			t.Errorf("pod %s was replaced without cause", pod.Name)
		}
	}
	return same
}

// children says of every object that the operator made which one it is and in
// which generation, and of every pod that it has not restarted. The content of
// ConfigMaps is not looked at.
func (s *space) children(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	s.pods(t) // when none is on its way out
	for _, kind := range []string{
		"apps/v1 Deployment", "apps/v1 ReplicaSet", "v1 Pod", "v1 Service", "v1 ConfigMap",
		"networking.k8s.io/v1 NetworkPolicy", "policy/v1 PodDisruptionBudget",
	} {
		version, name, _ := strings.Cut(kind, " ")
		list := &unstructured.UnstructuredList{}
		list.SetAPIVersion(version)
		list.SetKind(name + "List")
		must(t, s.client.List(t.Context(), list, client.InNamespace(s.name), client.HasLabels{"app.kubernetes.io/instance"}))
		for _, o := range list.Items {
			what := fmt.Sprintf("uid %s, generation %d", o.GetUID(), o.GetGeneration())
			statuses, _, _ := unstructured.NestedSlice(o.Object, "status", "containerStatuses")
			for _, status := range statuses {
				if m, ok := status.(map[string]any); ok {
					what += fmt.Sprintf(", %v restarts", m["restartCount"])
				}
			}
			found[name+"/"+o.GetName()] = what
		}
	}
	if len(found) < 10 {
		t.Fatalf("only these objects are found: %v", found)
	}
	return found
}
