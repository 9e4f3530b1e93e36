package node

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/mcp-sampling/mcp-sampling-operator/hack/cluster/internal/settings"
)

// apiClient talks to the API server as the administrator.
type apiClient struct {
	kubernetes.Interface
}

func newAPIClient(kubeconfig string) (*apiClient, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig %s: %w", kubeconfig, err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("making a client from %s: %w", kubeconfig, err)
	}
	return &apiClient{client}, nil
}

func (a *apiClient) ready(ctx context.Context) error {
	_, err := a.Discovery().RESTClient().Get().AbsPath("/readyz").DoRaw(ctx)
	return err
}

func (a *apiClient) nodeReady(name string) check {
	return func(ctx context.Context) error {
		node, err := a.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		for _, c := range node.Status.Conditions {
			if c.Type == corev1.NodeReady && c.Status != corev1.ConditionTrue {
				return fmt.Errorf("the node says: %s", c.Message)
			}
			if c.Type == corev1.NodeReady {
				return nil
			}
		}
		return fmt.Errorf("the node %s has not reported yet", name)
	}
}

// serviceAccountExists waits for what every pod needs: without it the first pods are refused.
func (a *apiClient) serviceAccountExists(ctx context.Context) error {
	_, err := a.CoreV1().ServiceAccounts(metav1.NamespaceDefault).Get(ctx, "default", metav1.GetOptions{})
	return err
}

// createDNS makes the Service by which pods reach CoreDNS, which is a process of the node and no
// pod, and lets it read what it answers from.
func (a *apiClient) createDNS(ctx context.Context) error {
	meta := metav1.ObjectMeta{Name: settings.DNSUser}
	if _, err := a.RbacV1().ClusterRoles().Create(ctx, &rbacv1.ClusterRole{
		ObjectMeta: meta,
		Rules: []rbacv1.PolicyRule{
			{APIGroups: []string{""}, Resources: []string{"services", "pods", "namespaces"}, Verbs: []string{"list", "watch"}},
			{APIGroups: []string{"discovery.k8s.io"}, Resources: []string{"endpointslices"}, Verbs: []string{"list", "watch"}},
		},
	}, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("creating the role of CoreDNS: %w", err)
	}
	if _, err := a.RbacV1().ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{
		ObjectMeta: meta,
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: meta.Name},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: settings.DNSUser}},
	}, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("binding the role of CoreDNS: %w", err)
	}

	const service = "kube-dns"
	if _, err := a.CoreV1().Services(metav1.NamespaceSystem).Create(ctx, &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: service, Labels: map[string]string{"k8s-app": service}},
		Spec: corev1.ServiceSpec{
			ClusterIP: settings.DNSAddress,
			Ports: []corev1.ServicePort{
				{Name: "dns", Port: 53, Protocol: corev1.ProtocolUDP, TargetPort: intstr.FromInt32(53)},
				{Name: "dns-tcp", Port: 53, Protocol: corev1.ProtocolTCP, TargetPort: intstr.FromInt32(53)},
			},
		},
	}, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("creating the DNS service: %w", err)
	}
	ports := []discoveryv1.EndpointPort{
		{Name: new("dns"), Port: new(int32(53)), Protocol: new(corev1.ProtocolUDP)},
		{Name: new("dns-tcp"), Port: new(int32(53)), Protocol: new(corev1.ProtocolTCP)},
	}
	if _, err := a.DiscoveryV1().EndpointSlices(metav1.NamespaceSystem).Create(ctx, &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Name: service, Labels: map[string]string{discoveryv1.LabelServiceName: service}},
		AddressType: discoveryv1.AddressTypeIPv4,
		Endpoints:   []discoveryv1.Endpoint{{Addresses: []string{settings.NodeIP}}},
		Ports:       ports,
	}, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("creating the endpoints of the DNS service: %w", err)
	}
	return nil
}
