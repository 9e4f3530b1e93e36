package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
)

// TestOperator is one test, because its parts have an order: what measures time
// runs alone, then all that mostly waits runs side by side, and at the end the
// operator is looked at, uninstalled, and upgraded from the release before.
func TestOperator(t *testing.T) {
	t.Run("a policy change reaches an open session", testPolicyChange)
	t.Run("fifty policy changes under calls", testPolicyLatency)
	t.Run("side by side", func(t *testing.T) {
		for _, test := range []struct {
			name string
			run  func(*testing.T)
		}{
			// The longest come first, so that none of them is left over at the end.
			{"examples do what their READMEs say", testExamples},
			{"a Service of every type", testServicesOfEveryType},
			{"the first three pages, word by word", testFirstPages},
			{"who may call a sampler", testAccessFrom},
			{"a node is drained under calls", testEvictions},
			{"a server over stdio", testStdioServer},
			{"a day with kubectl mcp", testPlugin},
			{"a real Prometheus has data for panels and alerts", testObserve},
			{"a server is rolled out under calls", testRolloutOfAServer},
			{"a deleted MCPServer leaves nothing behind", testDelete},
			{"samplers are replaced under calls", testRollingUpdateOfSamplers},
			{"a server that may resolve names only", testServerEgress},
			{"only its samplers reach a server", testOnlySamplersReachServers},
			{"servers of every SDK get their answers", testEverySDK},
			{"what cannot work is refused", testRefusals},
			{"without a policy there is no sampling", testNoPolicy},
			{"a caller's own model comes first if asked", testFallback},
			{"policies by label and by name", testAttachment},
			{"a key is missing, wrong, then right", testKeys},
			{"a model cannot be reached", testUnreachableModel},
			{"another family answers, within limits", testFallbackToAHandlerAndLimits},
			{"a server crashes, then does not", testCrashingServer},
			{"an image cannot be pulled", testImagePull},
			{"what listens is no MCP server", testNotMCP},
			{"what keeps a server from working is said", testWhatIsWrong},
			{"a provider does not know a model", testUnknownModel},
			{"a sampler pod is killed", testSamplerKilled},
			{"a server behind a Service of its own", testServiceSource},
			{"a server over HTTP+SSE", testSSEServer},
			{"a remote server with a key", testRemoteServer},
			{"a server of the stateless era", testModernEra},
			{"sessions outlive the sampler", testSessionsOutliveTheSampler},
			{"sessions outlive one of two samplers", testSessionsOfTwoSamplers},
			{"a server pod of two is killed", testSessionsOfAServerPod},
			{"others say how many pods a server has", testReplicasOfOthers},
			{"a server is deleted under a call", testDeleteUnderACall},
			{"a folder of the node is refused", testPodSecurity},
			{"a server is scaled", testScale},
			{"a tenant uses what he has a right to", testTenant},
			{"the page for tenants, word by word", testTenantsPage},
			{"servers that other operators run", testOtherOperators},
			{"only the operator reaches admin ports", testOnlyTheOperatorReachesAdminPorts},
			{"only Prometheus reaches the manager", testManagersPorts},
		} {
			t.Run(test.name, func(t *testing.T) {
				t.Parallel()
				test.run(t)
			})
		}
	})
	t.Run("the manager never restarted and logged no key", testManager)
	t.Run("helm test samples once beside two managers", testHighAvailability)
	t.Run("a list of namespaces bounds the operator", testNamespaceList)
	values := helmValues(t)
	t.Run("uninstalling the chart keeps CRDs and what runs", testUninstall)
	t.Run("an upgrade from the release before, and managers that come and go", func(t *testing.T) { testUpgrade(t, values) })
}

func testManager(t *testing.T) {
	var pods corev1.PodList
	must(t, theCluster.client.List(t.Context(), &pods, client.InNamespace(operatorNamespace)))
	if len(pods.Items) == 0 {
		t.Fatalf("no pod of the manager in namespace %s", operatorNamespace)
	}
	for _, pod := range pods.Items {
		log, err := theCluster.logs(t.Context(), operatorNamespace, pod.Name, &corev1.PodLogOptions{})
		must(t, err)
		for _, secret := range []string{wrongKey, rightKey} {
			if strings.Contains(log, secret) {
				t.Errorf("the log of pod %s holds a key", pod.Name)
			}
		}
		for _, status := range pod.Status.ContainerStatuses {
			if status.RestartCount != 0 || !status.Ready {
				t.Errorf("pod %s: ready %v after %d restarts, want none\n%s", pod.Name, status.Ready, status.RestartCount, log)
			}
		}
	}
}

// testNamespaceList narrows the operator's rights to one namespace, and takes
// that back at the end.
func testNamespaceList(t *testing.T) {
	inside, outside := newSpace(t), newSpace(t)
	upgrade := func(namespaces ...string) {
		t.Helper()
		list, err := json.Marshal(append([]string{}, namespaces...))
		must(t, err)
		_, err = theCluster.helm(t.Context(), "upgrade", "mcp-sampling-operator", "../../charts/mcp-sampling-operator",
			"--namespace", operatorNamespace, "--reuse-values", "--set-json", "watchNamespaces="+string(list), "--wait", "--timeout", "3m")
		must(t, err)
	}
	upgrade(inside.name)
	ignored := newServer("summarizer")
	outside.create(t, ignored)
	inside.runFakeModel(t)
	server, policy := newServer("summarizer"), newPolicy("policy", "summarizer")
	inside.create(t, server, policy)
	inside.awaitReady(t, server, policy)
	if _, err := inside.dial(t, server).summarize(t.Context()); err != nil {
		t.Error(err)
	}
	must(t, outside.get(t.Context(), ignored))
	if len(ignored.Status.Conditions) != 0 {
		t.Errorf("a namespace that is not in the list was looked at: %v", ignored.Status.Conditions)
	}
	upgrade()
	outside.await(t, ignored, wantCondition{conditionType: mcpv1alpha1.ConditionReady, status: metav1.ConditionTrue})
}

// testUninstall takes the operator away.
func testUninstall(t *testing.T) {
	s := newSpace(t)
	s.runFakeModel(t)
	server, policy := newServer("stays"), newPolicy("stays", "stays")
	s.create(t, server, policy)
	s.awaitReady(t, server, policy)

	out, err := theCluster.helm(t.Context(), "uninstall", "mcp-sampling-operator", "--namespace", operatorNamespace, "--wait")
	must(t, err)
	for _, kind := range []string{"mcpservers", "samplingpolicies"} {
		if !strings.Contains(out, kind+"."+mcpv1alpha1.GroupVersion.Group) {
			t.Errorf("helm uninstall does not say that it keeps the CRD of %s:\n%s", kind, out)
		}
	}
	// What is written meanwhile the next operator carries out. That it takes the
	// policies on the upgrade shows.
	var policies admissionregistrationv1.ValidatingAdmissionPolicyList
	var bindings admissionregistrationv1.ValidatingAdmissionPolicyBindingList
	ours := client.MatchingLabels{"app.kubernetes.io/instance": helmRelease}
	must(t, errors.Join(s.client.List(t.Context(), &policies, ours), s.client.List(t.Context(), &bindings, ours)))
	if len(policies.Items) != 2 || len(bindings.Items) != 2 {
		t.Errorf("%d admission policies and %d bindings are left, want 2 of each", len(policies.Items), len(bindings.Items))
	}
	eventually(t, patience, "the end of the manager", func(ctx context.Context) error {
		var deployments appsv1.DeploymentList
		if err := s.client.List(ctx, &deployments, client.InNamespace(operatorNamespace)); err != nil {
			return err
		}
		if n := len(deployments.Items); n != 0 {
			return fmt.Errorf("%d Deployments are left", n)
		}
		return nil
	})

	crds := &unstructured.UnstructuredList{}
	crds.SetGroupVersionKind(apiextensionsv1.SchemeGroupVersion.WithKind("CustomResourceDefinitionList"))
	must(t, s.client.List(t.Context(), crds))
	found := 0
	for _, crd := range crds.Items {
		if strings.HasSuffix(crd.GetName(), "."+mcpv1alpha1.GroupVersion.Group) {
			found++
		}
	}
	if found != 2 {
		t.Errorf("%d CRDs are left, want both", found)
	}
	must(t, s.get(t.Context(), server))
	if _, err := s.dial(t, server).summarize(t.Context()); err != nil {
		t.Error(errors.Join(errors.New("samplers do not go on without the operator"), err))
	}
}
