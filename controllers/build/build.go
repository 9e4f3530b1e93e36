// Package build turns a plan into the objects that carry it out, as apply
// configurations: only the fields that the operator decides are in them, so
// that everything else stays with whoever set it.
//
// It is pure. The configuration of the samplers goes into a ConfigMap and into
// nothing else: a pod template changes only when pods have to be replaced, and
// a policy never needs that unless it refers to other Secrets.
package build

import (
	"errors"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	appsv1ac "k8s.io/client-go/applyconfigurations/apps/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"
	networkingv1ac "k8s.io/client-go/applyconfigurations/networking/v1"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
	"github.com/mcp-sampling/mcp-sampling-operator/controllers/resolve"
)

const (
	// ServerContainer is the name of the server's container.
	ServerContainer = "server"
	// SamplerContainer is the name of the sampler's container.
	SamplerContainer = "sampler"
	// AdminPort is where a sampler serves probes and its report.
	AdminPort int32 = 9090
	// MetricsPort is where a sampler serves its metrics.
	MetricsPort int32 = 9464
	// ServicePort is the port of the Service that callers use.
	ServicePort int32 = 80

	// ConfigDir is where the ConfigMap is mounted. It is mounted as a directory:
	// a single file would never be refreshed.
	ConfigDir = "/etc/mcp-sampling"
	// ConfigKey is the key of the ConfigMap, and so the name of the file.
	ConfigKey = "sampler.yaml"
)

// Options are the same for all servers.
type Options struct {
	// SamplerImage is the image of the samplers.
	SamplerImage string
	// SamplerImagePullPolicy may be empty.
	SamplerImagePullPolicy corev1.PullPolicy
	// SamplerImagePullSecrets are names of Secrets beside each MCPServer.
	SamplerImagePullSecrets []string
	// NetworkPolicies seal pods off; nil makes none.
	NetworkPolicies *NetworkPolicies
	// NoDisruptionBudgets leaves evictions to budgets of others.
	NoDisruptionBudgets bool
	// PodSecurity is the level that pods are held to.
	PodSecurity PodSecurity
	// OTLP is where samplers send what they measure; nil sends nothing.
	OTLP *OTLP
}

// Object is the name of something in the cluster, with its type.
type Object interface {
	metav1.Object
	runtime.Object
}

// Objects is what has to be there for one server, and what must not.
type Objects struct {
	// Apply has to be as it says, in this order.
	Apply []runtime.ApplyConfiguration
	// Unwanted must not be there (any more).
	Unwanted []Object
	// Refusals say which objects could not be built. Such an object is neither
	// in Apply nor in Unwanted: what runs goes on running.
	Refusals []resolve.Refusal
}

// SamplerObject is the name of the Deployment, of the ConfigMap and of the Secret
// of a server's samplers.
func SamplerObject(server string) string { return server + "-sampler" }

// For builds everything for one server. live is the server's Deployment as it is, nil
// if there is none.
func For(server *mcpv1alpha1.MCPServer, plan resolve.Plan, live *appsv1.Deployment, opts Options) (Objects, error) {
	var out Objects
	configMap, err := configMap(server, plan)
	if err != nil {
		return Objects{}, err
	}
	out.Apply = append(out.Apply, configMap, callersService(server), peersService(server))
	// Before the pods that they are about.
	if err := out.addGuards(server, live, opts); err != nil {
		return Objects{}, err
	}

	if server.Spec.Container == nil {
		name := nameOf(server, resolve.ServerObject(server.Name))
		out.Unwanted = append(out.Unwanted, &appsv1.Deployment{ObjectMeta: name}, &corev1.Service{ObjectMeta: name})
	} else {
		out.Apply = append(out.Apply, serverService(server))
		if err := out.addDeployment(serverDeployment(server, opts)); err != nil {
			return Objects{}, err
		}
	}
	if err := out.addDeployment(samplerDeployment(server, plan, opts)); err != nil {
		return Objects{}, err
	}
	return out, nil
}

// addGuards adds what keeps others away from the pods, and drains from taking all
// of them at once.
func (o *Objects) addGuards(server *mcpv1alpha1.MCPServer, live *appsv1.Deployment, opts Options) error {
	for _, part := range []struct {
		name      string
		component map[string]string
		there     bool // whether the operator runs these pods
		several   bool // whether there are to be more than one
		policy    func() (*networkingv1ac.NetworkPolicyApplyConfiguration, error)
	}{
		{
			SamplerObject(server.Name), samplerLabels, true, resolve.SamplerReplicas(server) > 1,
			func() (*networkingv1ac.NetworkPolicyApplyConfiguration, error) {
				return samplerNetworkPolicy(server, *opts.NetworkPolicies)
			},
		},
		{
			resolve.ServerObject(server.Name), serverLabels, server.Spec.Container != nil, SeveralServers(server, live),
			func() (*networkingv1ac.NetworkPolicyApplyConfiguration, error) {
				return serverNetworkPolicy(server), nil
			},
		},
	} {
		name := nameOf(server, part.name)
		if part.there && opts.NetworkPolicies != nil {
			policy, err := part.policy()
			if err != nil {
				return err
			}
			o.Apply = append(o.Apply, policy)
		} else {
			o.Unwanted = append(o.Unwanted, &networkingv1.NetworkPolicy{ObjectMeta: name})
		}
		if part.there && part.several && !opts.NoDisruptionBudgets {
			o.Apply = append(o.Apply, disruptionBudget(server, part.name, part.component))
		} else {
			o.Unwanted = append(o.Unwanted, &policyv1.PodDisruptionBudget{ObjectMeta: name})
		}
	}
	return nil
}

func nameOf(server *mcpv1alpha1.MCPServer, name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Name: name, Namespace: server.Namespace}
}

// addDeployment turns a podTemplate that is no patch, or asks for too much, into a
// refusal.
func (o *Objects) addDeployment(d *appsv1ac.DeploymentApplyConfiguration, err error) error {
	var bad *templateError
	var insecure *podSecurityError
	switch {
	case errors.As(err, &insecure):
		o.Refusals = append(o.Refusals, resolve.Refusal{
			Condition: mcpv1alpha1.ConditionAccepted,
			Reason:    mcpv1alpha1.ReasonPodSecurity,
			Message:   insecure.Error(),
		})
		return nil
	case errors.As(err, &bad):
		o.Refusals = append(o.Refusals, resolve.Refusal{
			Condition: mcpv1alpha1.ConditionAccepted,
			Reason:    mcpv1alpha1.ReasonInvalidPodTemplate,
			Message:   bad.Error(),
		})
		return nil
	case err != nil:
		return err
	}
	o.Apply = append(o.Apply, d)
	return nil
}

func configMap(server *mcpv1alpha1.MCPServer, plan resolve.Plan) (*corev1ac.ConfigMapApplyConfiguration, error) {
	content, err := plan.Config.Encode()
	if err != nil {
		return nil, fmt.Errorf("render the configuration of the samplers of %s/%s: %w", server.Namespace, server.Name, err)
	}
	return corev1ac.ConfigMap(SamplerObject(server.Name), server.Namespace).
		WithLabels(labels(server, samplerLabels)).
		WithOwnerReferences(ownerOf(server)).
		WithData(map[string]string{ConfigKey: string(content)}), nil
}

// callersService has the name of the MCPServer: callers see no difference
// between the sampler and a server under that name.
func callersService(server *mcpv1alpha1.MCPServer) *corev1ac.ServiceApplyConfiguration {
	return corev1ac.Service(server.Name, server.Namespace).
		WithLabels(labels(server, samplerLabels)).
		WithOwnerReferences(ownerOf(server)).
		WithSpec(corev1ac.ServiceSpec().
			WithType(corev1.ServiceTypeClusterIP).
			WithSelector(selector(server, samplerLabels)).
			// Said, so that it goes where an earlier release has set another one: the
			// samplers find each other's sessions, and behind one gateway all callers
			// would reach the same of them.
			WithSessionAffinity(corev1.ServiceAffinityNone).
			WithPorts(corev1ac.ServicePort().
				WithName("mcp").
				WithProtocol(corev1.ProtocolTCP).
				WithPort(ServicePort).
				WithTargetPort(intstr.FromString("mcp"))))
}

// serverService is headless: the samplers choose among the server's pods
// themselves.
func serverService(server *mcpv1alpha1.MCPServer) *corev1ac.ServiceApplyConfiguration {
	return corev1ac.Service(resolve.ServerObject(server.Name), server.Namespace).
		WithLabels(labels(server, serverLabels)).
		WithOwnerReferences(ownerOf(server)).
		WithSpec(corev1ac.ServiceSpec().
			WithType(corev1.ServiceTypeClusterIP).
			WithClusterIP(corev1.ClusterIPNone).
			WithSelector(selector(server, serverLabels)).
			WithPublishNotReadyAddresses(false).
			WithPorts(corev1ac.ServicePort().
				WithName("mcp").
				WithProtocol(corev1.ProtocolTCP).
				WithPort(resolve.ServerPort(server)).
				WithTargetPort(intstr.FromString("mcp"))))
}

// peersService is headless: it has the address of each sampler that is ready, so
// that any of them finds the one that holds a session.
func peersService(server *mcpv1alpha1.MCPServer) *corev1ac.ServiceApplyConfiguration {
	return corev1ac.Service(resolve.PeersService(server.Name), server.Namespace).
		WithLabels(labels(server, samplerLabels)).
		WithOwnerReferences(ownerOf(server)).
		WithSpec(corev1ac.ServiceSpec().
			WithType(corev1.ServiceTypeClusterIP).
			WithClusterIP(corev1.ClusterIPNone).
			WithSelector(selector(server, samplerLabels)).
			WithPublishNotReadyAddresses(false).
			WithPorts(corev1ac.ServicePort().
				WithName("mcp").
				WithProtocol(corev1.ProtocolTCP).
				WithPort(resolve.SamplerPort).
				WithTargetPort(intstr.FromString("mcp"))))
}

// SessionSecret holds the key that seals the names of sessions. It is made once
// and never read, so it is no apply configuration: the key is in no other place.
func SessionSecret(server *mcpv1alpha1.MCPServer, key []byte) *corev1.Secret {
	controller := true
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Name: SamplerObject(server.Name), Namespace: server.Namespace,
			Labels: labels(server, samplerLabels),
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: mcpv1alpha1.GroupVersion.String(), Kind: mcpv1alpha1.KindMCPServer,
				Name: server.Name, UID: server.UID, Controller: &controller, BlockOwnerDeletion: &controller,
			}},
		},
		Type: corev1.SecretTypeOpaque,
		Data: map[string][]byte{resolve.SessionKey: key},
	}
}

func ownerOf(server *mcpv1alpha1.MCPServer) *metav1ac.OwnerReferenceApplyConfiguration {
	return metav1ac.OwnerReference().
		WithAPIVersion(mcpv1alpha1.GroupVersion.String()).
		WithKind(mcpv1alpha1.KindMCPServer).
		WithName(server.Name).
		WithUID(server.UID).
		WithController(true).
		WithBlockOwnerDeletion(true)
}
