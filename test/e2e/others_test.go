package e2e

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
)

// theirs are pods and a Service that are not ours, as another operator makes
// them for a server "notes".
type theirs struct {
	name   string
	labels map[string]string
	port   int32
	// service is without selector; nil is no Service.
	service *corev1.Service
}

// Each is as the operator's own code makes it, down to names and labels.
var otherOperators = map[string]theirs{
	"toolhive.yaml": {
		name: "notes",
		labels: map[string]string{
			"app": "mcpserver", "app.kubernetes.io/name": "mcpserver", "app.kubernetes.io/instance": "notes",
			"toolhive": "true", "toolhive-name": "notes",
		},
		port: 8080,
		service: &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Name: "mcp-notes-proxy"},
			Spec: corev1.ServiceSpec{
				SessionAffinity: corev1.ServiceAffinityClientIP,
				Ports:           []corev1.ServicePort{{Name: "http", Port: 8080, TargetPort: intstr.FromInt32(8080)}},
			},
		},
	},
	"kmcp.yaml": {
		name:   "notes",
		labels: map[string]string{"app.kubernetes.io/name": "notes", "app.kubernetes.io/instance": "notes"},
		port:   3000,
		service: &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Name: "notes"},
			Spec: corev1.ServiceSpec{
				Ports: []corev1.ServicePort{{Name: "http", Port: 3000, TargetPort: intstr.FromInt32(3000), AppProtocol: new("kgateway.dev/mcp")}},
			},
		},
	},
	"mcp-lifecycle-operator.yaml": {
		name:   "notes",
		labels: map[string]string{"mcp-server": "notes"},
		port:   8000,
		service: &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Name: "notes", Labels: map[string]string{"app": "mcp-server", "mcp-server": "notes"}},
			Spec: corev1.ServiceSpec{
				SessionAffinity: corev1.ServiceAffinityClientIP,
				Ports:           []corev1.ServicePort{{Name: "mcp", Port: 8000, TargetPort: intstr.FromString("mcp")}},
			},
		},
	},
}

// create makes the pods, and the Service, and waits until they are there.
func (o theirs) create(t *testing.T, s *space) {
	t.Helper()
	deployment := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: o.name, Labels: o.labels},
		Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: o.labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: o.labels},
				Spec: corev1.PodSpec{
					AutomountServiceAccountToken: new(false),
					Containers: []corev1.Container{{
						Name: "mcp", Image: peersImage(), ImagePullPolicy: corev1.PullIfNotPresent,
						Command:         []string{"/gosdkserver", fmt.Sprintf("-listen=:%d", o.port)},
						Ports:           []corev1.ContainerPort{{Name: "mcp", ContainerPort: o.port}},
						SecurityContext: restricted(),
						ReadinessProbe: &corev1.Probe{
							PeriodSeconds: 1,
							ProbeHandler:  corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromInt32(o.port)}},
						},
					}},
				},
			},
		},
	}
	s.create(t, deployment)
	if o.service != nil {
		service := o.service.DeepCopy()
		service.Spec.Selector = o.labels
		s.create(t, service)
	}
	eventually(t, patience, "the other operator's Deployment", func(ctx context.Context) error {
		if err := s.get(ctx, deployment); err != nil {
			return err
		}
		for _, c := range deployment.Status.Conditions {
			// The last that is ever written to a Deployment that stays as it is.
			if c.Type == appsv1.DeploymentProgressing && c.Reason == "NewReplicaSetAvailable" && deployment.Status.AvailableReplicas == 1 {
				return nil
			}
		}
		return fmt.Errorf("%d pods are available", deployment.Status.AvailableReplicas)
	})
}

// versions returns the version of each Service, Deployment and EndpointSlice of
// theirs: any write changes it.
func (s *space) versions(t *testing.T) map[string]string {
	t.Helper()
	var services corev1.ServiceList
	var deployments appsv1.DeploymentList
	var endpoints discoveryv1.EndpointSliceList
	must(t, errors.Join(
		s.client.List(t.Context(), &services, client.InNamespace(s.name)),
		s.client.List(t.Context(), &deployments, client.InNamespace(s.name)),
		s.client.List(t.Context(), &endpoints, client.InNamespace(s.name)),
	))
	out := map[string]string{}
	note := func(kind string, obj client.Object) {
		if name := obj.GetName(); !strings.Contains(name, "-sampling") && !strings.HasPrefix(name, fakeModel) {
			out[kind+" "+name] = obj.GetResourceVersion()
		}
	}
	for i := range services.Items {
		note("Service", &services.Items[i])
	}
	for i := range deployments.Items {
		note("Deployment", &deployments.Items[i])
	}
	for i := range endpoints.Items {
		note("EndpointSlice", &endpoints.Items[i])
	}
	return out
}

// gone deletes a server of ours and waits until nothing belongs to it.
func (s *space) gone(t *testing.T, server *mcpv1alpha1.MCPServer) {
	t.Helper()
	must(t, s.client.Delete(t.Context(), server))
	eventually(t, patience, "the end of all that belonged to "+server.Name, func(ctx context.Context) error {
		if left := s.belongingTo(ctx, t, server); len(left) > 0 {
			return fmt.Errorf("left: %s", strings.Join(left, ", "))
		}
		return nil
	})
}

// A file of examples/other-operators gives sampling to a server that another
// operator runs, and nothing of theirs is written to.
func testOtherOperators(t *testing.T) {
	for file, other := range otherOperators {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			s := newSpace(t)
			s.runFakeModel(t)
			other.create(t, s)
			before := s.versions(t)

			data, err := os.ReadFile("../../examples/other-operators/" + file)
			must(t, err)
			_, err = s.kubectl(t.Context(), strings.ReplaceAll(string(data), "http://model:8080", "http://"+fakeModel+":8080"), "apply", "-n", s.name, "-f", "-")
			must(t, err)
			meta := metav1.ObjectMeta{Name: "notes-sampling"}
			server, policy := &mcpv1alpha1.MCPServer{ObjectMeta: meta}, &mcpv1alpha1.SamplingPolicy{ObjectMeta: meta}
			s.awaitReady(t, server, policy)
			caller := s.dial(t, server)
			for range 2 {
				if _, err := caller.summarize(t.Context()); err != nil {
					t.Error(err)
				}
			}
			if other.service.Name == other.name {
				s.sameNameIsRefused(t, other.name, other.port)
			}
			s.gone(t, server)
			if after := s.versions(t); !maps.Equal(before, after) {
				t.Errorf("what is theirs was written to:\nbefore %v\nafter  %v", before, after)
			}
		})
	}
}

// sameNameIsRefused makes a server of ours that needs a Service of the name that
// theirs has.
func (s *space) sameNameIsRefused(t *testing.T, name string, port int32) {
	t.Helper()
	err := s.client.Create(t.Context(), &mcpv1alpha1.MCPServer{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.name, Name: name},
		Spec:       mcpv1alpha1.MCPServerSpec{Service: &mcpv1alpha1.ServerService{Name: name, Port: port}},
	})
	if want := "give the MCPServer another name than the Service"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("a server of the name of their Service: error %v, want %q in it", err, want)
	}
}

// Services of every type, in front of one server.
func testServicesOfEveryType(t *testing.T) {
	s := newSpace(t)
	s.runFakeModel(t)
	backend := theirs{name: "backend", labels: map[string]string{"app": "backend"}, port: 8000}
	backend.create(t, s)
	pods := s.labelled(t, "app=backend")
	if len(pods) != 1 {
		t.Fatalf("%d pods of the backend, want 1", len(pods))
	}
	ports := []corev1.ServicePort{{Name: "mcp", Port: 8000}}
	specs := map[string]corev1.ServiceSpec{
		"node-port": {Type: corev1.ServiceTypeNodePort, Selector: backend.labels, Ports: ports},
		"headless":  {ClusterIP: corev1.ClusterIPNone, Selector: backend.labels, Ports: ports},
		"other-port": {Selector: backend.labels, Ports: []corev1.ServicePort{
			{Name: "mcp", Port: 80, TargetPort: intstr.FromString("mcp")}, {Name: "metrics", Port: 9000},
		}},
		"alias":    {Type: corev1.ServiceTypeExternalName, ExternalName: "headless." + s.name + ".svc.cluster.local"},
		"by-hand":  {Ports: ports},
		"no-ready": {Selector: map[string]string{"app": "nobody"}, Ports: ports},
	}
	policy := newPolicy("policy")
	servers := map[string]*mcpv1alpha1.MCPServer{}
	for name, spec := range specs {
		s.create(t, &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: spec})
		port := int32(8000)
		if name == "other-port" {
			port = 80
		}
		servers[name] = &mcpv1alpha1.MCPServer{
			ObjectMeta: metav1.ObjectMeta{Name: name + "-sampling"},
			Spec:       mcpv1alpha1.MCPServerSpec{Service: &mcpv1alpha1.ServerService{Name: name, Port: port}},
		}
		policy.Spec.TargetRefs = append(policy.Spec.TargetRefs, mcpv1alpha1.TargetRef{Name: name + "-sampling"})
	}
	s.create(t, &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Name: "by-hand", Labels: map[string]string{discoveryv1.LabelServiceName: "by-hand"}},
		AddressType: discoveryv1.AddressTypeIPv4,
		Endpoints:   []discoveryv1.Endpoint{{Addresses: []string{pods[0].Status.PodIP}}},
		Ports:       []discoveryv1.EndpointPort{{Name: new("mcp"), Port: new(int32(8000))}},
	})
	eventually(t, patience, "the EndpointSlices of the Services", func(context.Context) error {
		for _, name := range []string{"node-port", "headless", "other-port"} {
			if _, _, err := s.endpoint(t.Context(), name); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
		return nil
	})
	before := s.versions(t)
	s.create(t, policy)
	for _, server := range servers {
		s.create(t, server)
	}
	for name, server := range servers {
		if name == "no-ready" {
			s.await(t, server, wantCondition{conditionType: mcpv1alpha1.ConditionVerified, status: metav1.ConditionFalse, reason: mcpv1alpha1.ReasonServerUnreachable})
			continue
		}
		s.await(t, server,
			wantCondition{conditionType: mcpv1alpha1.ConditionReady, status: metav1.ConditionTrue},
			wantCondition{conditionType: mcpv1alpha1.ConditionSamplingReady, status: metav1.ConditionTrue},
		)
		if _, err := s.dial(t, server).summarize(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, server := range servers {
		s.gone(t, server)
	}
	if after := s.versions(t); !maps.Equal(before, after) {
		t.Errorf("what is theirs was written to:\nbefore %v\nafter  %v", before, after)
	}
}
