package lifecycle

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/mcp-sampling/mcp-sampling-operator/hack/cluster/internal/layout"
)

// Healthy returns nil if the cluster runs, answers, and its node is ready.
func Healthy(ctx context.Context, c layout.Cluster) error {
	entry, ok, err := lookup(c)
	if err != nil {
		return err
	}
	if !ok || !entry.Init.Alive() {
		return ErrNotRunning
	}
	config, err := clientcmd.BuildConfigFromFlags("", c.Kubeconfig())
	if err != nil {
		return fmt.Errorf("reading the cluster's kubeconfig: %w", err)
	}
	config.Timeout = 5 * time.Second
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("making a client for the cluster: %w", err)
	}
	node, err := client.CoreV1().Nodes().Get(ctx, c.Node(), metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("asking the API server for the node: %w", err)
	}
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady && condition.Status == corev1.ConditionTrue {
			return nil
		}
	}
	return fmt.Errorf("the node %s is not ready", c.Node())
}
