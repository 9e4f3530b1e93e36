// Package cluster is how the plugin reaches a cluster: with the kubeconfig and the
// rights of its user, and no more of them than a command needs.
package cluster

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
	"github.com/mcp-sampling/mcp-sampling-operator/controllers/build"
)

// Cluster is a cluster, seen from one namespace.
type Cluster struct {
	Namespace string
	config    *rest.Config
	client    client.Client
	clientset kubernetes.Interface
}

// Connect reads the kubeconfig. It asks the cluster nothing yet.
func Connect(flags *genericclioptions.ConfigFlags) (*Cluster, error) {
	loader := flags.ToRawKubeConfigLoader()
	namespace, _, err := loader.Namespace()
	if err != nil {
		return nil, fmt.Errorf("read the kubeconfig: %w", err)
	}
	config, err := flags.ToRESTConfig()
	if err != nil {
		return nil, fmt.Errorf("read the kubeconfig: %w", err)
	}
	config.QPS, config.Burst = 50, 100
	config.WarningHandler = rest.NoWarnings{}
	scheme := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(scheme); err != nil {
		return nil, err
	}
	if err := mcpv1alpha1.AddToScheme(scheme); err != nil {
		return nil, err
	}
	c, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("connect to the cluster: %w", err)
	}
	clientset, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("connect to the cluster: %w", err)
	}
	return &Cluster{Namespace: namespace, config: config, client: c, clientset: clientset}, nil
}

// Server returns an MCPServer.
func (c *Cluster) Server(ctx context.Context, name string) (*mcpv1alpha1.MCPServer, error) {
	server := &mcpv1alpha1.MCPServer{}
	if err := c.client.Get(ctx, client.ObjectKey{Namespace: c.Namespace, Name: name}, server); err != nil {
		return nil, c.explainGet(ctx, "MCPServer", name, err)
	}
	return server, nil
}

// Policy returns a SamplingPolicy.
func (c *Cluster) Policy(ctx context.Context, name string) (*mcpv1alpha1.SamplingPolicy, error) {
	policy := &mcpv1alpha1.SamplingPolicy{}
	if err := c.client.Get(ctx, client.ObjectKey{Namespace: c.Namespace, Name: name}, policy); err != nil {
		return nil, c.explain("get samplingpolicies", err)
	}
	return policy, nil
}

// Servers returns the MCPServers of the namespace, or of all if it is empty.
func (c *Cluster) Servers(ctx context.Context) ([]mcpv1alpha1.MCPServer, error) {
	var list mcpv1alpha1.MCPServerList
	if err := c.client.List(ctx, &list, client.InNamespace(c.Namespace)); err != nil {
		return nil, c.explain("list mcpservers", err)
	}
	return list.Items, nil
}

// Policies returns the SamplingPolicies of the namespace, or of all if it is empty.
func (c *Cluster) Policies(ctx context.Context) ([]mcpv1alpha1.SamplingPolicy, error) {
	var list mcpv1alpha1.SamplingPolicyList
	if err := c.client.List(ctx, &list, client.InNamespace(c.Namespace)); err != nil {
		return nil, c.explain("list samplingpolicies", err)
	}
	return list.Items, nil
}

// Pods returns the pods of the servers and samplers of the namespace, or of all if
// it is empty.
func (c *Cluster) Pods(ctx context.Context) ([]corev1.Pod, error) {
	return c.pods(ctx, labels.Set{build.LabelManagedBy: build.ManagedBy})
}

// Samplers returns the sampler pods of one server, or of all if name is empty.
func (c *Cluster) Samplers(ctx context.Context, name string) ([]corev1.Pod, error) {
	set := labels.Set{build.LabelManagedBy: build.ManagedBy, build.LabelComponent: build.ComponentSampler}
	if name != "" {
		set[build.LabelInstance] = name
	}
	return c.pods(ctx, set)
}

func (c *Cluster) pods(ctx context.Context, set labels.Set) ([]corev1.Pod, error) {
	var list corev1.PodList
	if err := c.client.List(ctx, &list, client.InNamespace(c.Namespace), client.MatchingLabels(set)); err != nil {
		return nil, c.explain("list pods", err)
	}
	slices.SortFunc(list.Items, func(a, b corev1.Pod) int { return strings.Compare(a.Name, b.Name) })
	return list.Items, nil
}

// Log opens the log of a sampler.
func (c *Cluster) Log(ctx context.Context, pod *corev1.Pod, since time.Time, follow bool) (io.ReadCloser, error) {
	options := &corev1.PodLogOptions{Container: "sampler", Follow: follow}
	if !since.IsZero() {
		options.SinceTime = &metav1.Time{Time: since}
	}
	stream, err := c.clientset.CoreV1().Pods(pod.Namespace).GetLogs(pod.Name, options).Stream(ctx)
	if err != nil {
		return nil, c.explain("get pods/log", err)
	}
	return stream, nil
}

// Apply writes an object by server-side apply; with dryRun the cluster only says
// whether it would take it.
func (c *Cluster) Apply(ctx context.Context, object client.Object, dryRun bool) error {
	object.SetNamespace(c.Namespace)
	patch, err := newApply(object)
	if err != nil {
		return err
	}
	options := []client.PatchOption{client.FieldOwner(FieldOwner)}
	if dryRun {
		options = append(options, client.DryRunAll)
	}
	if err := c.client.Patch(ctx, object, patch, options...); err != nil {
		return c.explain(fmt.Sprintf("patch %s", resourceOf(object)), err)
	}
	return nil
}

// Annotate sets an annotation of an MCPServer.
func (c *Cluster) Annotate(ctx context.Context, server *mcpv1alpha1.MCPServer, key, value string) error {
	before := server.DeepCopy()
	if server.Annotations == nil {
		server.Annotations = map[string]string{}
	}
	server.Annotations[key] = value
	if err := c.client.Patch(ctx, server, client.MergeFrom(before), client.FieldOwner(FieldOwner)); err != nil {
		return c.explain("patch mcpservers", err)
	}
	return nil
}

// OperatorImages returns the images of the operators that run in the cluster, by
// namespace/name of their Deployments.
func (c *Cluster) OperatorImages(ctx context.Context) (map[string]string, error) {
	list, err := c.clientset.AppsV1().Deployments(metav1.NamespaceAll).List(ctx, metav1.ListOptions{
		LabelSelector: labels.Set{build.LabelName: build.ManagedBy}.String(),
	})
	if err != nil {
		return nil, c.explain("list deployments.apps in all namespaces", err)
	}
	images := map[string]string{}
	for i := range list.Items {
		d := &list.Items[i]
		if containers := d.Spec.Template.Spec.Containers; len(containers) > 0 {
			images[d.Namespace+"/"+d.Name] = containers[0].Image
		}
	}
	return images, nil
}
