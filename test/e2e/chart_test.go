package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
)

// testHelmTest tries the installation as its user does, and looks at what is left.
func testHelmTest(t *testing.T) {
	t.Helper()
	out, err := theCluster.helm(t.Context(), "test", helmRelease, "--namespace", operatorNamespace, "--logs", "--timeout", "5m")
	must(t, err)
	for _, want := range []string{"Succeeded", "the server sampled, the model answered"} {
		if !strings.Contains(out, want) {
			t.Errorf("helm test does not say %q:\n%s", want, out)
		}
	}
	eventually(t, patience, "the end of what helm test has made", nothingOfTheHelmTest)
}

// nothingOfTheHelmTest complains of objects that helm test has made.
func nothingOfTheHelmTest(ctx context.Context) error {
	var left []error
	for _, list := range []client.ObjectList{
		&mcpv1alpha1.MCPServerList{}, &mcpv1alpha1.SamplingPolicyList{}, &corev1.ServiceList{}, &corev1.PodList{},
		&networkingv1.NetworkPolicyList{},
	} {
		if err := theCluster.client.List(ctx, list, client.InNamespace(operatorNamespace)); err != nil {
			return err
		}
		err := meta.EachListItem(list, func(item runtime.Object) error {
			if o, ok := item.(client.Object); ok && strings.HasPrefix(o.GetName(), "helm-test-") {
				left = append(left, fmt.Errorf("%T %s is left", o, o.GetName()))
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return errors.Join(left...)
}

// testHighAvailability installs the values for two managers, and takes that back.
func testHighAvailability(t *testing.T) {
	before := helmValues(t) // helm reads a comma in its path as two files: none in the name of the test
	upgrade := func(values ...string) {
		t.Helper()
		args := []string{"upgrade", helmRelease, thisChart, "--namespace", operatorNamespace, "--wait", "--timeout", "3m"}
		for _, file := range values {
			args = append(args, "--values", file)
		}
		_, err := theCluster.helm(t.Context(), args...)
		must(t, err)
	}
	upgrade(thisChart+"/values-ha.yaml", before)

	eventually(t, patience, "a budget that lets one manager of two go", func(ctx context.Context) error {
		budget := &policyv1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Namespace: operatorNamespace, Name: helmRelease}}
		if err := theCluster.client.Get(ctx, client.ObjectKeyFromObject(budget), budget); err != nil {
			return err
		}
		if s := budget.Status; s.ExpectedPods != 2 || s.CurrentHealthy != 2 || s.DisruptionsAllowed != 1 {
			return fmt.Errorf("of %d pods %d are well and %d may go", s.ExpectedPods, s.CurrentHealthy, s.DisruptionsAllowed)
		}
		return nil
	})
	// Whichever leads, the installation works.
	testHelmTest(t)
	upgrade(before)
}
