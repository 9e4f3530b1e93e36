package e2e

import (
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
)

// fakeModel is the name of the fake model's Deployment and Service.
const fakeModel = "fake-model"

// newServer is an MCPServer that runs the mcp-go example.
func newServer(name string, changes ...func(*mcpv1alpha1.MCPServer)) *mcpv1alpha1.MCPServer {
	server := &mcpv1alpha1.MCPServer{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: mcpv1alpha1.MCPServerSpec{
			Container: &mcpv1alpha1.ServerContainer{
				Image:           image("summarizer-go", "dev"),
				ImagePullPolicy: corev1.PullIfNotPresent,
				SecurityContext: restricted(),
			},
		},
	}
	for _, change := range changes {
		change(server)
	}
	return server
}

// running replaces the server's image and command.
func running(image string, command ...string) func(*mcpv1alpha1.MCPServer) {
	return func(s *mcpv1alpha1.MCPServer) {
		s.Spec.Container.Image = image
		s.Spec.Container.Command = command
	}
}

// newPolicy answers for servers from the fake model: "fast" is the default,
// "large" is allowed.
func newPolicy(name string, servers ...string) *mcpv1alpha1.SamplingPolicy {
	policy := &mcpv1alpha1.SamplingPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: mcpv1alpha1.SamplingPolicySpec{
			Providers: []mcpv1alpha1.Provider{{
				Name: "fake", Type: mcpv1alpha1.ProviderOpenAI, BaseURL: "http://" + fakeModel + ":8080/v1",
			}},
			Models: mcpv1alpha1.Models{
				Default: "fast",
				Allowed: []mcpv1alpha1.Model{
					{Name: "fast", Provider: "fake", Model: "fast-1"},
					{Name: "large", Provider: "fake", Model: "large-1"},
				},
			},
			Parameters: &mcpv1alpha1.Parameters{MaxTokens: &mcpv1alpha1.MaxTokens{Max: 100}},
		},
	}
	for _, server := range servers {
		policy.Spec.TargetRefs = append(policy.Spec.TargetRefs, mcpv1alpha1.TargetRef{Name: server})
	}
	return policy
}

// withKey takes the provider's key from a Secret.
func withKey(policy *mcpv1alpha1.SamplingPolicy, secret, key string) *mcpv1alpha1.SamplingPolicy {
	policy.Spec.Providers[0].Credential = &mcpv1alpha1.Credential{
		SecretKeyRef: mcpv1alpha1.SecretKeyRef{Name: secret, Key: key},
	}
	return policy
}

// runFakeModel starts the fake model, and its Service, in the namespace.
func (s *space) runFakeModel(t *testing.T, args ...string) {
	t.Helper()
	s.run(t, fakeModel, 8080, append([]string{"/fakellm"}, args...)...)
}

// run starts a program of the peers' image behind a Service of the same name.
func (s *space) run(t *testing.T, name string, port int32, command ...string) {
	t.Helper()
	s.runWith(t, name, port, nil, command...)
}

// runWith is run with variables.
func (s *space) runWith(t *testing.T, name string, port int32, env []corev1.EnvVar, command ...string) {
	t.Helper()
	labels := map[string]string{"app": name}
	s.create(t,
		&appsv1.Deployment{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Spec: appsv1.DeploymentSpec{
				Selector: &metav1.LabelSelector{MatchLabels: labels},
				Template: corev1.PodTemplateSpec{
					ObjectMeta: metav1.ObjectMeta{Labels: labels},
					Spec: corev1.PodSpec{
						TerminationGracePeriodSeconds: new(int64(0)),
						Containers: []corev1.Container{{
							Name: "peer", Image: peersImage(), ImagePullPolicy: corev1.PullIfNotPresent,
							Command: command, Env: env, SecurityContext: restricted(),
							ReadinessProbe: &corev1.Probe{
								PeriodSeconds: 1,
								ProbeHandler:  corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromInt32(port)}},
							},
						}},
					},
				},
			},
		},
		&corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Spec: corev1.ServiceSpec{
				Selector: labels,
				Ports:    []corev1.ServicePort{{Port: port, TargetPort: intstr.FromInt32(port)}},
			},
		},
	)
}

// restricted is what the Pod Security level of the same name asks for.
func restricted() *corev1.SecurityContext {
	return &corev1.SecurityContext{
		RunAsNonRoot: new(true), RunAsUser: new(int64(65532)), RunAsGroup: new(int64(65532)),
		ReadOnlyRootFilesystem: new(true), AllowPrivilegeEscalation: new(false),
		Capabilities:   &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
	}
}
