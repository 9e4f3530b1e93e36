package controllers

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/log"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/yaml"

	"github.com/go-logr/logr"
	"go.uber.org/goleak"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
	"github.com/mcp-sampling/mcp-sampling-operator/controllers/apply"
	"github.com/mcp-sampling/mcp-sampling-operator/controllers/build"
	"github.com/mcp-sampling/mcp-sampling-operator/controllers/observe"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/statusz"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/testing/apiserver"
)

var apiServer apiserver.Server

func TestMain(m *testing.M) {
	log.SetLogger(logr.Discard())
	code := apiServer.Main(m)
	if code == 0 {
		if err := goleak.Find(
			// klog's and client-go's own, which live as long as the process.
			goleak.IgnoreTopFunction("k8s.io/klog/v2.(*flushDaemon).run.func1"),
		); err != nil {
			fmt.Fprintf(os.Stderr, "goroutines are left over: %v\n", err)
			code = 1
		}
	}
	os.Exit(code)
}

// deadline bounds every wait in these tests. It is long because two busy cores
// are slow, and never reached by a test that passes.
const deadline = 2 * time.Minute

// bench is one namespace of the real API server, with helpers to work in it.
type bench struct {
	*testing.T
	client.Client
	namespace string
	observer  *fakeObserver
}

func newBench(t *testing.T) *bench {
	t.Helper()
	c := newClient(t)
	b := &bench{T: t, Client: c, observer: newFakeObserver()}
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}}
	if err := c.Create(t.Context(), ns); err != nil {
		t.Fatalf("create a namespace: %v", err)
	}
	b.namespace = ns.Name
	return b
}

// newClient returns one that asks the API server itself, which knows no indexes of
// a cache.
func newClient(t *testing.T) client.WithWatch {
	t.Helper()
	c, err := client.NewWithWatch(apiServer.Config(t), client.Options{Scheme: testScheme(t)})
	if err != nil {
		t.Fatalf("make a client: %v", err)
	}
	return interceptor.NewClient(c, interceptor.Funcs{
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			for i, opt := range opts {
				if fields, ok := opt.(client.MatchingFields); ok && fields[indexInstance] != "" {
					opts[i] = client.MatchingLabels{build.LabelInstance: fields[indexInstance]}
				}
			}
			return c.List(ctx, list, opts...)
		},
	})
}

func testScheme(t *testing.T) *runtime.Scheme {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, appsv1.AddToScheme, networkingv1.AddToScheme, policyv1.AddToScheme, mcpv1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatalf("register kinds: %v", err)
		}
	}
	return scheme
}

var testOptions = Options{
	Build:              build.Options{SamplerImage: "sampler:test"},
	SkipNameValidation: true,
}

// startManager runs the whole operator for this namespace until the test ends.
func (b *bench) startManager() {
	b.Helper()
	opts := testOptions
	opts.Observer = b.observer
	mgr, err := ctrl.NewManager(apiServer.Config(b.T), ctrl.Options{
		Scheme:  b.Scheme(),
		Cache:   CacheOptions([]string{b.namespace}),
		Metrics: metricsserver.Options{BindAddress: "0"},
	})
	if err != nil {
		b.Fatalf("make a manager: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	if err := Setup(ctx, mgr, opts); err != nil {
		cancel()
		b.Fatalf("set up: %v", err)
	}
	b.Cleanup(b.explain)
	done := make(chan error, 1)
	go func() { done <- mgr.Start(ctx) }()
	b.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			b.Errorf("the manager ended with: %v", err)
		}
	})
}

// explain shows what there is, if the test has failed.
func (b *bench) explain() {
	if !b.Failed() {
		return
	}
	servers, policies, pods := &mcpv1alpha1.MCPServerList{}, &mcpv1alpha1.SamplingPolicyList{}, &corev1.PodList{}
	for _, list := range []client.ObjectList{servers, policies, pods} {
		if err := b.List(context.Background(), list, client.InNamespace(b.namespace)); err != nil {
			b.Logf("list: %v", err)
		}
		text, err := yaml.Marshal(list)
		b.Logf("%s (%v)", text, err)
	}
}

// reconciler returns one that reads from the API server itself, for tests that
// make every pass by hand.
func (b *bench) reconciler() *ServerReconciler {
	opts := testOptions
	return &ServerReconciler{
		client:   b.Client,
		confirm:  &confirmer{live: b.Client},
		applier:  apply.New(b.Client, mcpv1alpha1.FieldOwner),
		observer: b.observer,
		opts:     opts,
		pace:     newPacer(opts.now),
		written:  newWrites(opts.now),
		keys:     newKeyTries(opts.now),
		events:   newEventSink(events.NewFakeRecorder(100), opts.now),
	}
}

// pass makes one pass over the server and fails the test if it fails.
func (b *bench) pass(r *ServerReconciler, name string) ctrl.Result {
	b.Helper()
	result, err := r.Reconcile(b.Context(), request(b.namespace, name))
	if err != nil {
		b.Fatalf("reconcile %s: %v", name, err)
	}
	return result
}

// apply creates an object from YAML, in the namespace of the test.
func (b *bench) apply(obj client.Object, text string) {
	b.Helper()
	if err := yaml.UnmarshalStrict([]byte(text), obj); err != nil {
		b.Fatalf("read the object: %v", err)
	}
	obj.SetNamespace(b.namespace)
	if err := b.Create(b.Context(), obj); err != nil {
		b.Fatalf("create %T: %v", obj, err)
	}
}

// read gets an object by name.
func read[T client.Object](b *bench, name string, obj T) T {
	b.Helper()
	if err := b.Get(b.Context(), client.ObjectKey{Namespace: b.namespace, Name: name}, obj); err != nil {
		b.Fatalf("get %T %s: %v", obj, name, err)
	}
	return obj
}

// change gets an object, changes it and writes it, again if somebody else has
// written it in between.
func change[T client.Object](b *bench, name string, obj T, mutate func(T)) {
	b.Helper()
	b.eventually(fmt.Sprintf("change %T %s", obj, name), func() error {
		if err := b.Get(b.Context(), client.ObjectKey{Namespace: b.namespace, Name: name}, obj); err != nil {
			return err
		}
		mutate(obj)
		return b.Update(b.Context(), obj)
	})
}

// eventually polls until check has no objection.
func (b *bench) eventually(what string, check func() error) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), deadline)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			b.Fatalf("%s: %v", what, err)
		}
	}
}

// condition waits until a condition has that status and reason.
func (b *bench) condition(obj client.Object, name, conditionType string, want metav1.ConditionStatus, reason string) {
	b.Helper()
	b.eventually(fmt.Sprintf("wait for %s=%s of %s", conditionType, reason, name), func() error {
		if err := b.Get(b.Context(), client.ObjectKey{Namespace: b.namespace, Name: name}, obj); err != nil {
			return err
		}
		for _, c := range conditionsOf(obj) {
			if c.Type != conditionType {
				continue
			}
			if c.Status == want && c.Reason == reason && c.ObservedGeneration == obj.GetGeneration() {
				return nil
			}
			return fmt.Errorf("it is %s, %s: %s", c.Status, c.Reason, c.Message)
		}
		return fmt.Errorf("there is no condition %s", conditionType)
	})
}

func conditionsOf(obj client.Object) []metav1.Condition {
	switch o := obj.(type) {
	case *mcpv1alpha1.MCPServer:
		return o.Status.Conditions
	case *mcpv1alpha1.SamplingPolicy:
		return o.Status.Conditions
	}
	return nil
}

// message returns the text of a condition.
func message(obj client.Object, conditionType string) string {
	for _, c := range conditionsOf(obj) {
		if c.Type == conditionType {
			return c.Message
		}
	}
	return ""
}

// samplerPod makes what kubelet and ReplicaSet would: a ready sampler pod.
func (b *bench) samplerPod(server, name string) *corev1.Pod {
	b.Helper()
	return b.pod(build.SamplerSelector(&mcpv1alpha1.MCPServer{ObjectMeta: metav1.ObjectMeta{Name: server}}), name, build.SamplerContainer)
}

func (b *bench) serverPod(server, name string) *corev1.Pod {
	b.Helper()
	return b.pod(build.ServerSelector(&mcpv1alpha1.MCPServer{ObjectMeta: metav1.ObjectMeta{Name: server}}), name, build.ServerContainer)
}

func (b *bench) pod(labels map[string]string, name, container string) *corev1.Pod {
	b.Helper()
	labels[build.LabelManagedBy] = build.ManagedBy
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: b.namespace, Name: name, Labels: labels},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: container, Image: "any"}}},
	}
	if err := b.Create(b.Context(), pod); err != nil {
		b.Fatalf("create pod %s: %v", name, err)
	}
	pod.Status = corev1.PodStatus{
		Phase:      corev1.PodRunning,
		PodIPs:     []corev1.PodIP{{IP: "10.0.0.1"}},
		PodIP:      "10.0.0.1",
		Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
		ContainerStatuses: []corev1.ContainerStatus{{
			Name: container, Ready: true, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}},
		}},
	}
	if err := b.Client.Status().Update(b.Context(), pod); err != nil {
		b.Fatalf("write the status of pod %s: %v", name, err)
	}
	return pod
}

// fakeObserver stands for the samplers, for there is no kubelet to run any.
type fakeObserver struct {
	mu      sync.Mutex
	reports map[string]*statusz.Report
}

func newFakeObserver() *fakeObserver {
	return &fakeObserver{reports: map[string]*statusz.Report{}}
}

func (f *fakeObserver) Observe(_ context.Context, targets []observe.Target) []observe.Finding {
	f.mu.Lock()
	defer f.mu.Unlock()

	out := make([]observe.Finding, 0, len(targets))
	for _, target := range targets {
		finding := observe.Finding{Pod: target.Pod, Report: f.reports[target.Pod]}
		if finding.Report == nil {
			finding.Err = &observe.Error{Outcome: observe.Unreachable}
		}
		out = append(out, finding)
	}
	return out
}

// report sets what a pod says from now on.
func (f *fakeObserver) report(pod string, report statusz.Report) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reports[pod] = &report
}

const serverYAML = `
metadata: {name: NAME}
spec:
  replicas: 1
  container: {image: "example.com/server:1"}
`

const policyYAML = `
metadata: {name: NAME}
spec:
  targetRefs: [{name: TARGET}]
  providers:
  - name: openai
    type: OpenAI
    baseURL: https://llm.example.com/v1
    credential: {secretKeyRef: {name: openai, key: api-key}}
  models:
    default: small
    allowed: [{name: small, provider: openai}]
  parameters: {maxTokens: {max: 100}}
`

func (b *bench) server(name string) *mcpv1alpha1.MCPServer {
	b.Helper()
	server := &mcpv1alpha1.MCPServer{}
	b.apply(server, strings.NewReplacer("NAME", name).Replace(serverYAML))
	return server
}

func (b *bench) policy(name, target string) *mcpv1alpha1.SamplingPolicy {
	b.Helper()
	policy := &mcpv1alpha1.SamplingPolicy{}
	b.apply(policy, strings.NewReplacer("NAME", name, "TARGET", target).Replace(policyYAML))
	return policy
}
