package controllers

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
	"github.com/mcp-sampling/mcp-sampling-operator/controllers/build"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/config"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/statusz"
)

// owned lists the objects that one server with a container needs.
func owned(b *bench, server string) []client.Object {
	return []client.Object{
		read(b, server+"-server", &appsv1.Deployment{}),
		read(b, server+"-sampler", &appsv1.Deployment{}),
		read(b, server, &corev1.Service{}),
		read(b, server+"-server", &corev1.Service{}),
		read(b, server+"-peers", &corev1.Service{}),
		read(b, server+"-sampler", &corev1.ConfigMap{}),
		read(b, server+"-sampler", &corev1.Secret{}),
	}
}

func versions(objects []client.Object) []string {
	out := make([]string, 0, len(objects))
	for _, o := range objects {
		out = append(out, o.GetName()+" "+o.GetResourceVersion())
	}
	return out
}

// rendered returns the configuration of a server's samplers as they read it.
func rendered(b *bench, server string) (*config.Effective, error) {
	configMap := &corev1.ConfigMap{}
	if err := b.Get(b.Context(), client.ObjectKey{Namespace: b.namespace, Name: server + "-sampler"}, configMap); err != nil {
		return nil, err
	}
	return config.Decode([]byte(configMap.Data[build.ConfigKey]))
}

// loaded is rendered where the configuration has to be there already.
func loaded(b *bench, server string) *config.Effective {
	b.Helper()
	c, err := rendered(b, server)
	if err != nil {
		b.Fatalf("read the configuration as a sampler does: %v", err)
	}
	return c
}

// governedBy waits until the configuration of a server holds a policy.
func governedBy(b *bench, server, policy string) {
	b.Helper()
	b.eventually("policy "+policy+" is rendered for "+server, func() error {
		c, err := rendered(b, server)
		if err != nil {
			return err
		}
		if c.Policy == nil || c.Policy.Name != policy {
			return fmt.Errorf("the policy is %+v", c.Policy)
		}
		return nil
	})
}

func TestServerGetsItsObjectsWithOwnerReferences(t *testing.T) {
	b := newBench(t)
	server := b.server("demo")
	b.policy("policy", "demo")
	b.pass(b.reconciler(), "demo")

	for _, o := range owned(b, "demo") {
		if !metav1.IsControlledBy(o, server) {
			t.Errorf("%T %s is not controlled by the MCPServer", o, o.GetName())
		}
		if got := o.GetLabels()[build.LabelManagedBy]; got != build.ManagedBy {
			t.Errorf("%T %s has managed-by %q", o, o.GetName(), got)
		}
	}
	if got := loaded(b, "demo").Policy.Name; got != "policy" {
		t.Errorf("the rendered policy is %q", got)
	}
	got := read(b, "demo", &mcpv1alpha1.MCPServer{}).Status
	if want := "http://demo." + b.namespace + ".svc.cluster.local/mcp"; got.URL != want {
		t.Errorf("status.url is %q, want %q", got.URL, want)
	}
	if got.SamplingPolicy == nil || got.SamplingPolicy.Name != "policy" {
		t.Errorf("status.samplingPolicy is %+v", got.SamplingPolicy)
	}
}

func TestSecondPassWritesNothing(t *testing.T) {
	b := newBench(t)
	b.server("demo")
	b.policy("policy", "demo")
	change(b, "policy", &mcpv1alpha1.SamplingPolicy{}, func(p *mcpv1alpha1.SamplingPolicy) {
		// Whose keys may come in any order.
		p.Spec.Parameters.ExtraBody = &apiextensionsv1.JSON{Raw: []byte(`{"seed": 7.0, "reasoning": {"effort": "low", "a": 1e2}}`)}
	})
	pod := b.samplerPod("demo", "sampler-1")
	r := b.reconciler()
	b.pass(r, "demo")
	b.observer.report(pod.Name, statusz.Report{ConfigHash: loaded(b, "demo").Hash()})
	b.pass(r, "demo")

	all := func() []string {
		return versions(append(owned(b, "demo"),
			read(b, "demo", &mcpv1alpha1.MCPServer{}), read(b, pod.Name, &corev1.Pod{})))
	}
	before := all()
	b.pass(r, "demo")
	if diff := cmp.Diff(before, all()); diff != "" {
		t.Errorf("the same reconciler wrote again (-before +after):\n%s", diff)
	}
	b.pass(b.reconciler(), "demo")
	if diff := cmp.Diff(before, all()); diff != "" {
		t.Errorf("a reconciler after a restart wrote again (-before +after):\n%s", diff)
	}
}

func TestPolicyChangeTouchesNoDeployment(t *testing.T) {
	b := newBench(t)
	b.server("demo")
	b.policy("policy", "demo")
	pod := b.samplerPod("demo", "sampler-1")
	r := b.reconciler()
	b.pass(r, "demo")
	old := loaded(b, "demo").Hash()
	b.observer.report(pod.Name, statusz.Report{ConfigHash: old})
	b.pass(r, "demo")
	deployments := func() []string {
		return versions([]client.Object{read(b, "demo-server", &appsv1.Deployment{}), read(b, "demo-sampler", &appsv1.Deployment{})})
	}
	before := deployments()

	change(b, "policy", &mcpv1alpha1.SamplingPolicy{}, func(p *mcpv1alpha1.SamplingPolicy) { p.Spec.Parameters.MaxTokens.Max = 7 })
	b.pass(r, "demo")
	if got := loaded(b, "demo").Policy.Parameters.MaxTokens.Max; got != 7 {
		t.Errorf("the rendered limit is %d, want 7", got)
	}
	if diff := cmp.Diff(before, deployments()); diff != "" {
		t.Errorf("a Deployment was written (-before +after):\n%s", diff)
	}
	hash := loaded(b, "demo").Hash()
	if got := read(b, pod.Name, &corev1.Pod{}).Annotations[mcpv1alpha1.AnnotationConfigHash]; parseTouch(got).hash != hash {
		t.Errorf("the pod is touched with %q, want the new hash %q", got, hash)
	}
	server := read(b, "demo", &mcpv1alpha1.MCPServer{})
	if got := server.Status.SamplingPolicy.ProgrammedGeneration; got != 0 {
		t.Errorf("generation %d is programmed before the sampler reports it", got)
	}

	b.observer.report(pod.Name, statusz.Report{ConfigHash: hash})
	b.pass(r, "demo")
	server = read(b, "demo", &mcpv1alpha1.MCPServer{})
	if got := server.Status.SamplingPolicy.ProgrammedGeneration; got != 2 {
		t.Errorf("programmed generation is %d, want 2", got)
	}
}

func TestOnlyOtherSecretsAndConfigMapsReplaceSamplers(t *testing.T) {
	b := newBench(t)
	b.server("demo")
	b.policy("policy", "demo")
	r := b.reconciler()
	b.pass(r, "demo")
	generation := read(b, "demo-sampler", &appsv1.Deployment{}).Generation
	change(b, "policy", &mcpv1alpha1.SamplingPolicy{}, func(p *mcpv1alpha1.SamplingPolicy) {
		p.Spec.Providers[0].Credential.SecretKeyRef.Name = "another"
	})
	b.pass(r, "demo")
	if got := read(b, "demo-sampler", &appsv1.Deployment{}).Generation; got != generation+1 {
		t.Errorf("the sampler's Deployment has generation %d, want %d", got, generation+1)
	}
	change(b, "policy", &mcpv1alpha1.SamplingPolicy{}, func(p *mcpv1alpha1.SamplingPolicy) {
		p.Spec.Providers[0].CABundleRef = &mcpv1alpha1.ConfigMapKeyRef{Name: "company-ca"}
	})
	b.pass(r, "demo")
	if got := read(b, "demo-sampler", &appsv1.Deployment{}).Generation; got != generation+2 {
		t.Errorf("with certificates the sampler's Deployment has generation %d, want %d", got, generation+2)
	}
}

func TestReplicasStayWithTheAutoscaler(t *testing.T) {
	b := newBench(t)
	b.server("demo")
	change(b, "demo", &mcpv1alpha1.MCPServer{}, func(s *mcpv1alpha1.MCPServer) { s.Spec.Replicas = nil })
	r := b.reconciler()
	b.pass(r, "demo")
	deployment := read(b, "demo-server", &appsv1.Deployment{})
	scale := &autoscalingv1.Scale{Spec: autoscalingv1.ScaleSpec{Replicas: 5}}
	if err := b.SubResource("scale").Update(t.Context(), deployment, client.WithSubResourceBody(scale), client.FieldOwner("autoscaler")); err != nil {
		t.Fatalf("scale: %v", err)
	}
	change(b, "demo", &mcpv1alpha1.MCPServer{}, func(s *mcpv1alpha1.MCPServer) { s.Spec.Container.Image = "example.com/server:2" })
	b.pass(r, "demo")
	deployment = read(b, "demo-server", &appsv1.Deployment{})
	if got := *deployment.Spec.Replicas; got != 5 {
		t.Errorf("there are %d replicas, want the autoscaler's 5", got)
	}
	if got := deployment.Spec.Template.Spec.Containers[0].Image; got != "example.com/server:2" {
		t.Errorf("the image is %q", got)
	}
}

func TestForeignFieldsStayAndOwnOnesAreRepaired(t *testing.T) {
	b := newBench(t)
	b.server("demo")
	r := b.reconciler()
	b.pass(r, "demo")
	change(b, "demo-server", &appsv1.Deployment{}, func(d *appsv1.Deployment) {
		d.Annotations = map[string]string{"example.com/mine": "yes"}
		d.Spec.Template.Spec.Containers[0].Image = "example.com/other"
	})
	b.pass(r, "demo")
	got := read(b, "demo-server", &appsv1.Deployment{})
	if got.Annotations["example.com/mine"] != "yes" {
		t.Error("an annotation of somebody else is gone")
	}
	if image := got.Spec.Template.Spec.Containers[0].Image; image != "example.com/server:1" {
		t.Errorf("the image is %q, want the spec's", image)
	}
}

// An earlier release kept callers at one sampler by their address.
func TestAServiceOfAnEarlierReleaseLosesItsAffinity(t *testing.T) {
	b := newBench(t)
	b.server("demo")
	b.pass(b.reconciler(), "demo")
	earlier := read(b, "demo", &corev1.Service{})
	affinity := corev1ac.Service("demo", b.namespace).WithOwnerReferences(metav1ac.OwnerReference().
		WithAPIVersion(mcpv1alpha1.GroupVersion.String()).WithKind(mcpv1alpha1.KindMCPServer).
		WithName("demo").WithUID(earlier.OwnerReferences[0].UID).WithController(true).WithBlockOwnerDeletion(true)).
		WithSpec(corev1ac.ServiceSpec().
			WithSelector(earlier.Spec.Selector).
			WithSessionAffinity(corev1.ServiceAffinityClientIP).
			WithPorts(corev1ac.ServicePort().WithName("mcp").WithProtocol(corev1.ProtocolTCP).WithPort(build.ServicePort)))
	if err := b.Apply(t.Context(), affinity, client.FieldOwner(mcpv1alpha1.FieldOwner), client.ForceOwnership); err != nil {
		t.Fatal(err)
	}
	if got := read(b, "demo", &corev1.Service{}).Spec.SessionAffinityConfig; got == nil || got.ClientIP.TimeoutSeconds == nil {
		t.Fatalf("the API server filled in %+v, want a time", got)
	}

	b.pass(b.reconciler(), "demo") // the operator of this release has just started
	spec := read(b, "demo", &corev1.Service{}).Spec
	if spec.SessionAffinity != corev1.ServiceAffinityNone || spec.SessionAffinityConfig != nil {
		t.Errorf("the affinity is %q, %+v, want none", spec.SessionAffinity, spec.SessionAffinityConfig)
	}
}

func TestForeignObjectIsNotTakenOver(t *testing.T) {
	b := newBench(t)
	foreign := &corev1.ConfigMap{}
	b.apply(foreign, "metadata: {name: demo-sampler}\ndata: {mine: \"1\"}")
	b.startManager()
	b.server("demo")

	server := &mcpv1alpha1.MCPServer{}
	b.condition(server, "demo", mcpv1alpha1.ConditionAccepted, metav1.ConditionFalse, mcpv1alpha1.ReasonNameConflict)
	if got := message(server, mcpv1alpha1.ConditionReady); !strings.Contains(got, `ConfigMap "demo-sampler"`) {
		t.Errorf("the message does not name the object: %s", got)
	}
	if diff := cmp.Diff(foreign.Data, read(b, "demo-sampler", &corev1.ConfigMap{}).Data); diff != "" {
		t.Errorf("the foreign object was changed:\n%s", diff)
	}
	// It heals by itself once the name is free.
	if err := b.Delete(t.Context(), foreign); err != nil {
		t.Fatal(err)
	}
	b.condition(server, "demo", mcpv1alpha1.ConditionAccepted, metav1.ConditionTrue, mcpv1alpha1.ReasonAccepted)
}

func TestSourceSwitchRemovesTheServer(t *testing.T) {
	b := newBench(t)
	b.server("demo")
	r := b.reconciler()
	b.pass(r, "demo")
	change(b, "demo", &mcpv1alpha1.MCPServer{}, func(s *mcpv1alpha1.MCPServer) {
		s.Spec.Container, s.Spec.Replicas = nil, nil
		s.Spec.Service = &mcpv1alpha1.ServerService{Name: "elsewhere", Port: 81}
	})
	b.pass(r, "demo")

	for _, o := range []client.Object{&appsv1.Deployment{}, &corev1.Service{}} {
		if err := b.Get(t.Context(), client.ObjectKey{Namespace: b.namespace, Name: "demo-server"}, o); !apierrors.IsNotFound(err) {
			t.Errorf("%T demo-server is still there (%v)", o, err)
		}
	}
	if got, want := loaded(b, "demo").Upstream.URL, "http://elsewhere."+b.namespace+".svc.cluster.local:81/mcp"; got != want {
		t.Errorf("the upstream is %q, want %q", got, want)
	}
}

func TestServiceOfTheServerIsWatched(t *testing.T) {
	b := newBench(t)
	b.startManager()
	server := &mcpv1alpha1.MCPServer{}
	b.apply(server, "metadata: {name: demo}\nspec: {service: {name: elsewhere, port: 81}}")
	b.condition(server, "demo", mcpv1alpha1.ConditionResolvedRefs, metav1.ConditionFalse, mcpv1alpha1.ReasonServiceNotFound)
	b.apply(&corev1.Service{}, "metadata: {name: elsewhere}\nspec: {ports: [{port: 82}]}")
	b.eventually("the message names the ports that there are", func() error {
		got := message(read(b, "demo", &mcpv1alpha1.MCPServer{}), mcpv1alpha1.ConditionResolvedRefs)
		return contains(got, "it has 82")
	})
	change(b, "elsewhere", &corev1.Service{}, func(s *corev1.Service) { s.Spec.Ports[0].Port = 81 })
	b.condition(server, "demo", mcpv1alpha1.ConditionResolvedRefs, metav1.ConditionTrue, mcpv1alpha1.ReasonResolvedRefs)
}

func TestACrashShowsAtOnceAndHeals(t *testing.T) {
	b := newBench(t)
	b.startManager()
	b.server("demo")
	sampler := b.samplerPod("demo", "sampler-1")
	b.eventually("the configuration is there", func() error { _, err := rendered(b, "demo"); return err })
	b.observer.report(sampler.Name, statusz.Report{ConfigHash: loaded(b, "demo").Hash(), Server: statusz.Server{State: statusz.ServerVerified}})
	pod, server := b.serverPod("demo", "server-1"), &mcpv1alpha1.MCPServer{}
	b.condition(server, "demo", mcpv1alpha1.ConditionReady, metav1.ConditionTrue, mcpv1alpha1.ReasonReady)

	well := pod.Status
	pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionFalse}}
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{{
		Name: build.ServerContainer, RestartCount: 3,
		State:                corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}},
		LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 3}},
	}}
	if err := b.Status().Update(t.Context(), pod); err != nil {
		t.Fatal(err)
	}
	b.condition(server, "demo", mcpv1alpha1.ConditionAvailable, metav1.ConditionFalse, mcpv1alpha1.ReasonServerCrashing)
	if err := contains(message(server, mcpv1alpha1.ConditionReady), "kubectl logs -n "+b.namespace+" deploy/demo-server"); err != nil {
		t.Error(err)
	}
	pod.Status = well
	if err := b.Status().Update(t.Context(), pod); err != nil {
		t.Fatal(err)
	}
	b.condition(server, "demo", mcpv1alpha1.ConditionReady, metav1.ConditionTrue, mcpv1alpha1.ReasonReady)
}

func TestNothingIsMadeForAServerThatIsGoing(t *testing.T) {
	b := newBench(t)
	server := b.server("demo")
	server.Finalizers = []string{"example.com/wait"}
	if err := b.Update(t.Context(), server); err != nil {
		t.Fatal(err)
	}
	if err := b.Delete(t.Context(), server); err != nil {
		t.Fatal(err)
	}
	if result := b.pass(b.reconciler(), "demo"); result.RequeueAfter != 0 {
		t.Errorf("it is looked at again after %s", result.RequeueAfter)
	}
	list := &appsv1.DeploymentList{}
	if err := b.List(t.Context(), list, client.InNamespace(b.namespace)); err != nil {
		t.Fatal(err)
	}
	if len(list.Items) != 0 {
		t.Errorf("there are %d Deployments, want none", len(list.Items))
	}
}

func TestInvalidPodTemplateIsACondition(t *testing.T) {
	b := newBench(t)
	server := &mcpv1alpha1.MCPServer{}
	b.apply(server, `
metadata: {name: demo}
spec:
  container: {image: any}
  podTemplate: {spec: {containers: [{name: server, imagee: typo}]}}
`)
	b.pass(b.reconciler(), "demo")
	server = read(b, "demo", &mcpv1alpha1.MCPServer{})
	if err := contains(message(server, mcpv1alpha1.ConditionAccepted), "spec.podTemplate"); err != nil {
		t.Error(err)
	}
	if err := contains(message(server, mcpv1alpha1.ConditionAccepted), "imagee"); err != nil {
		t.Error(err)
	}
	read(b, "demo-sampler", &appsv1.Deployment{}) // the rest is there
}

func TestObjectThatTheAPIServerRefusesIsACondition(t *testing.T) {
	b := newBench(t)
	server := &mcpv1alpha1.MCPServer{}
	b.apply(server, `
metadata: {name: demo}
spec:
  container: {image: any, volumeMounts: [{name: missing, mountPath: /data}]}
`)
	r := b.reconciler()
	result := b.pass(r, "demo")
	if result.RequeueAfter == 0 {
		t.Error("it is not looked at again")
	}
	server = read(b, "demo", &mcpv1alpha1.MCPServer{})
	if err := contains(message(server, mcpv1alpha1.ConditionAccepted), "volumeMounts[0].name"); err != nil {
		t.Error(err)
	}
}
