package e2e

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
)

const (
	// operatorNamespace is where hack/install.sh installs the chart.
	operatorNamespace = "mcp-sampling-system"
	// patience is for everything that starts a pod.
	patience = 2 * time.Minute
	// poll is short against everything that is waited for.
	poll = 50 * time.Millisecond
)

// cluster is how tests reach the cluster.
type cluster struct {
	kubeconfig string
	config     *rest.Config
	client     client.Client
	clientset  *kubernetes.Clientset
}

// theCluster is set by TestMain.
var theCluster *cluster

func connect(kubeconfig string) (*cluster, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("read E2E_KUBECONFIG: %w", err)
	}
	config.QPS, config.Burst = 100, 200
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
	return &cluster{kubeconfig: kubeconfig, config: config, client: c, clientset: clientset}, nil
}

// command runs kubectl or helm (named by an environment variable) as a user
// does and returns what they print.
func (c *cluster) command(ctx context.Context, variable, program, stdin string, args ...string) (string, error) {
	if path := os.Getenv(variable); path != "" {
		program = path
	}
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+c.kubeconfig)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("%s %s: %w\n%s", program, strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

func (c *cluster) kubectl(ctx context.Context, stdin string, args ...string) (string, error) {
	return c.command(ctx, "E2E_KUBECTL", "kubectl", stdin, args...)
}

func (c *cluster) helm(ctx context.Context, args ...string) (string, error) {
	return c.command(ctx, "E2E_HELM", "helm", "", args...)
}

// space is a namespace of one test's own. It enforces the Pod Security level
// restricted, so that every pod of every test shows that it fits.
type space struct {
	*cluster
	name string
}

func newSpace(t *testing.T) *space {
	t.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		GenerateName: "e2e-",
		Labels:       map[string]string{"pod-security.kubernetes.io/enforce": "restricted"},
		Annotations:  map[string]string{"mcp-sampling.dev/test": t.Name()},
	}}
	must(t, theCluster.client.Create(t.Context(), ns))
	s := &space{cluster: theCluster, name: ns.Name}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if t.Failed() {
			s.diagnose(ctx, t)
		}
		if err := s.client.Delete(ctx, ns); err != nil {
			t.Errorf("delete the test's namespace: %v", err)
		}
	})
	return s
}

func (s *space) create(t *testing.T, objs ...client.Object) {
	t.Helper()
	for _, obj := range objs {
		obj.SetNamespace(s.name)
		must(t, s.client.Create(t.Context(), obj))
	}
}

// apply is `kubectl apply` of an object that has no status.
func (s *space) apply(t *testing.T, obj client.Object) {
	t.Helper()
	gvk, err := s.client.GroupVersionKindFor(obj)
	must(t, err)
	obj.GetObjectKind().SetGroupVersionKind(gvk)
	manifest, err := yaml.Marshal(obj)
	must(t, err)
	_, err = s.kubectl(t.Context(), string(manifest), "apply", "-n", s.name, "-f", "-")
	must(t, err)
}

// patch changes an object as it is now, whoever else wrote to it meanwhile.
func patch[T client.Object](t *testing.T, s *space, obj T, change func(T)) {
	t.Helper()
	must(t, s.get(t.Context(), obj))
	before, ok := obj.DeepCopyObject().(client.Object)
	if !ok {
		t.Fatalf("%T has no metadata", obj)
	}
	change(obj)
	must(t, s.client.Patch(t.Context(), obj, client.MergeFrom(before)))
}

func (s *space) get(ctx context.Context, obj client.Object) error {
	return s.client.Get(ctx, client.ObjectKey{Namespace: s.name, Name: obj.GetName()}, obj)
}

// logs returns what a pod's only container printed.
func (c *cluster) logs(ctx context.Context, namespace, pod string, options *corev1.PodLogOptions) (string, error) {
	stream, err := c.clientset.CoreV1().Pods(namespace).GetLogs(pod, options).Stream(ctx)
	if err != nil {
		return "", fmt.Errorf("logs of pod %s: %w", pod, err)
	}
	defer stream.Close()
	data, err := io.ReadAll(io.LimitReader(stream, 4<<20))
	return string(data), err
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// eventually returns how long it took until check found nothing to complain
// about.
func eventually(t *testing.T, limit time.Duration, what string, check func(ctx context.Context) error) time.Duration {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	tick := time.NewTicker(poll)
	defer tick.Stop()
	start := time.Now()
	for {
		err := check(ctx)
		if err == nil {
			return time.Since(start)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%s: not within %s: %v", what, limit, err)
		}
	}
}
