// Package sim is a cluster without containers: the real API server, controller
// manager and scheduler, with nodes and pods that are only said to run. Samplers
// are played by one fake that answers /statusz on every pod's address, and the
// operator's manager is the real program, with no more rights than it has
// anywhere.
//
// It is for what needs many servers, or an operator that is killed often. What a
// kubelet, a network or a sampler really does is tested elsewhere.
package sim

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/yaml"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
)

// managerUser is who the manager is for the API server.
const managerUser = "scale-manager"

// Options say what to start.
type Options struct {
	// Root is the folder of the repository.
	Root string
	// Assets is a folder with kube-apiserver, etcd and kubectl, which are one
	// program that also is the controller manager and the scheduler.
	Assets string
	// Kwok is the program that plays nodes and pods. Without it a fake kubelet
	// without nodes does, and there is no scheduler.
	Kwok string
	// Manager is the manager's program.
	Manager string
	// Work is a folder for what is written.
	Work string
}

// Cluster is one that runs.
type Cluster struct {
	// Config is that of an administrator.
	Config *rest.Config
	// Client reads from the API server.
	Client client.Client
	// Samplers play the samplers of all servers.
	Samplers *FakeSamplers

	opts       Options
	env        *envtest.Environment
	programs   []*Program
	managerKey string // the kubeconfig
	audit      string
}

// Start starts everything but the manager.
func Start(ctx context.Context, o Options) (*Cluster, error) {
	c := &Cluster{opts: o, audit: filepath.Join(o.Work, "audit.log")}
	if err := c.start(ctx); err != nil {
		return nil, errors.Join(err, c.Stop())
	}
	return c, nil
}

func (c *Cluster) start(ctx context.Context) error {
	if err := c.startAPIServer(); err != nil {
		return err
	}
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, mcpv1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			return fmt.Errorf("register kinds: %w", err)
		}
	}
	var err error
	if c.Client, err = client.New(c.Config, client.Options{Scheme: scheme}); err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	if err := c.allowManager(ctx); err != nil {
		return err
	}
	admin, err := c.kubeconfig("admin", "system:masters")
	if err != nil {
		return err
	}
	controllers, err := c.run("kube-controller-manager", c.component("kube-controller-manager"),
		"--kubeconfig="+admin, "--leader-elect=false", "--bind-address=127.0.0.1", "--secure-port=0",
		"--kube-api-qps=500", "--kube-api-burst=1000", "--concurrent-deployment-syncs=10", "--concurrent-gc-syncs=20",
		// Not those of endpoints: addresses of this machine are none for them.
		"--controllers=deployment-controller,replicaset-controller,garbage-collector-controller,namespace-controller,disruption-controller")
	if err != nil {
		return err
	}
	c.programs = append(c.programs, controllers)
	if c.Samplers, err = startSamplers(ctx, c.Config); err != nil {
		return err
	}
	if c.opts.Kwok == "" {
		return startKubelet(ctx, c.Config)
	}
	return c.startNodes(ctx, admin)
}

func (c *Cluster) startAPIServer() error {
	policy := filepath.Join(c.opts.Work, "audit-policy.yaml")
	rules := "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules:\n" +
		"- {level: Metadata, users: [" + managerUser + "]}\n- {level: None}\n"
	if err := os.WriteFile(policy, []byte(rules), 0o600); err != nil {
		return fmt.Errorf("write the audit policy: %w", err)
	}
	c.env = &envtest.Environment{
		BinaryAssetsDirectory: c.opts.Assets,
		CRDDirectoryPaths:     []string{filepath.Join(c.opts.Root, "config", "crd", "bases")},
		ErrorIfCRDPathMissing: true,
		// Two cores that are busy are slow.
		ControlPlaneStartTimeout: 90 * time.Second,
		ControlPlaneStopTimeout:  90 * time.Second,
	}
	c.env.ControlPlane.GetAPIServer().Configure().
		// Nobody here would take a node's first taints off.
		Append("disable-admission-plugins", "TaintNodesByCondition").
		Set("service-cluster-ip-range", "10.96.0.0/16"). // its own has room for 256
		Append("audit-policy-file", policy).
		Append("audit-log-path", c.audit)
	var err error
	if c.Config, err = c.env.Start(); err != nil {
		return fmt.Errorf("start the API server: %w", err)
	}
	c.Config.QPS = -1
	return nil
}

// allowManager gives the manager the rights that it has by kustomize and Helm.
func (c *Cluster) allowManager(ctx context.Context) error {
	data, err := os.ReadFile(filepath.Join(c.opts.Root, "config", "rbac", "role.yaml"))
	if err != nil {
		return fmt.Errorf("read the manager's role: %w", err)
	}
	role := &rbacv1.ClusterRole{}
	if err := yaml.UnmarshalStrict(data, role); err != nil {
		return fmt.Errorf("decode the manager's role: %w", err)
	}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: managerUser},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: managerUser}},
	}
	for _, obj := range []client.Object{role, binding} {
		if err := c.Client.Create(ctx, obj); err != nil {
			return fmt.Errorf("create the manager's %T: %w", obj, err)
		}
	}
	c.managerKey, err = c.kubeconfig(managerUser)
	return err
}

func (c *Cluster) kubeconfig(name string, groups ...string) (string, error) {
	user, err := c.env.AddUser(envtest.User{Name: name, Groups: groups}, nil)
	if err != nil {
		return "", fmt.Errorf("add user %s: %w", name, err)
	}
	data, err := user.KubeConfig()
	if err != nil {
		return "", fmt.Errorf("kubeconfig of %s: %w", name, err)
	}
	file := filepath.Join(c.opts.Work, name+".kubeconfig")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		return "", fmt.Errorf("write the kubeconfig of %s: %w", name, err)
	}
	return file, nil
}

// component returns a link by which the one program is another one.
func (c *Cluster) component(name string) string {
	return filepath.Join(c.opts.Work, name)
}

// run starts a program; one of Kubernetes' own is linked first.
func (c *Cluster) run(name, path string, args ...string) (*Program, error) {
	if strings.HasPrefix(name, "kube-") {
		program, err := filepath.EvalSymlinks(filepath.Join(c.opts.Assets, "kube-apiserver"))
		if err != nil {
			return nil, fmt.Errorf("find the components of Kubernetes: %w", err)
		}
		if err := os.Symlink(program, path); err != nil && !errors.Is(err, os.ErrExist) {
			return nil, fmt.Errorf("link %s: %w", name, err)
		}
	}
	return startProgram(filepath.Join(c.opts.Work, name+".log"), path, args...)
}

// nodes is how many nodes there are; each takes any number of pods.
const nodes = 20

func (c *Cluster) startNodes(ctx context.Context, kubeconfig string) error {
	stages := filepath.Join(c.opts.Root, "test", "scale", "sim", "kwok.yaml")
	kwok, err := c.run("kwok", c.opts.Kwok, "--kubeconfig="+kubeconfig, "--manage-all-nodes",
		"--cidr=127.64.0.0/10", "--node-ip=127.0.0.1", "--server-address=127.0.0.1:0", "--config="+stages)
	if err != nil {
		return err
	}
	c.programs = append(c.programs, kwok)
	scheduler, err := c.run("kube-scheduler", c.component("kube-scheduler"), "--kubeconfig="+kubeconfig,
		"--leader-elect=false", "--bind-address=127.0.0.1", "--secure-port=0", "--kube-api-qps=500", "--kube-api-burst=1000")
	if err != nil {
		return err
	}
	c.programs = append(c.programs, scheduler)
	for i := range nodes {
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{
			Name:        fmt.Sprintf("node-%d", i),
			Labels:      map[string]string{corev1.LabelHostname: fmt.Sprintf("node-%d", i)},
			Annotations: map[string]string{"kwok.x-k8s.io/node": "fake"},
		}}
		if err := c.Client.Create(ctx, node); err != nil {
			return fmt.Errorf("create a node: %w", err)
		}
	}
	return nil
}

// StartManager starts the operator. The caller ends it.
func (c *Cluster) StartManager() (*Program, error) {
	return c.run("manager", c.opts.Manager, "--kubeconfig="+c.managerKey, "--sampler-image=sampler:any",
		"--metrics-bind-address=0", "--health-probe-bind-address=0", "--operator-namespace=operators", "--metrics-from=[]")
}

// Broken returns an error if a program of the cluster has ended.
func (c *Cluster) Broken() error {
	for _, p := range c.programs {
		if p.Ended() {
			return fmt.Errorf("%s has ended: %s", filepath.Base(p.cmd.Path), p.LastWords())
		}
	}
	return nil
}

// Stop ends everything.
func (c *Cluster) Stop() error {
	var problems []error
	for _, p := range c.programs {
		problems = append(problems, p.Kill())
	}
	if c.Samplers != nil {
		problems = append(problems, c.Samplers.close())
	}
	if c.env != nil {
		problems = append(problems, c.env.Stop())
	}
	return errors.Join(problems...)
}
