package sim_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
	"github.com/mcp-sampling/mcp-sampling-operator/controllers/build"
	"github.com/mcp-sampling/mcp-sampling-operator/controllers/resolve"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/testing/apiserver"
	"github.com/mcp-sampling/mcp-sampling-operator/test/scale/sim"
)

const (
	namespace = "storm"
	servers   = 50
	policies  = 6
	kills     = 20
	// deadline is long because two busy cores are slow.
	deadline = 4 * time.Minute
)

// TestStorm changes servers and policies at random while the operator is killed
// again and again. In the end everything is as the last specs say, nothing is left
// of what was deleted, and no pod was replaced whose template did not change.
func TestStorm(t *testing.T) {
	log.SetLogger(logr.Discard())
	root, assets, err := apiserver.Assets()
	if err != nil {
		t.Fatalf("this test needs a real API server: %v", err)
	}
	work := t.TempDir()
	manager := filepath.Join(work, "manager.bin")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", manager, filepath.Join(root, "cmd", "manager")).CombinedOutput(); err != nil {
		t.Fatalf("build the manager: %v\n%s", err, out)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	cluster, err := sim.Start(ctx, sim.Options{Root: root, Assets: assets, Manager: manager, Work: work})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		cancel() // or the API server waits for those who watch
		if err := cluster.Stop(); err != nil {
			t.Error(err)
		}
	}()
	s := &storm{T: t, Cluster: cluster, ctx: ctx, random: rand.New(rand.NewPCG(1, 2)), images: map[types.UID]int{}}
	s.create(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}})
	for i := range policies {
		s.create(s.policy(i))
	}
	for i := range servers {
		s.create(s.server(i))
	}
	history := s.record()

	running := s.start()
	for range kills {
		for until := time.Now().Add(time.Duration(300+s.random.IntN(1200)) * time.Millisecond); time.Now().Before(until); {
			s.change()
		}
		if running.Ended() {
			t.Fatalf("the manager ended by itself:\n%s", running.LastWords())
		}
		if err := running.Kill(); err != nil {
			t.Fatal(err)
		}
		running = s.start()
	}
	defer func() {
		if err := running.Kill(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("the manager's log ends with:\n%s", running.LastWords())
		}
	}()

	s.eventually("all as the last specs say", s.right)
	s.checkPods(history())
	t.Logf("%d changes; the operator was killed %d times", s.changes, kills)
}

type storm struct {
	*testing.T
	*sim.Cluster
	ctx     context.Context //nolint:containedctx // a test's own
	random  *rand.Rand
	changes int
	release int
	// images counts the images that each server was given.
	images map[types.UID]int
}

func (s *storm) start() *sim.Program {
	s.Helper()
	program, err := s.StartManager()
	if err != nil {
		s.Fatal(err)
	}
	return program
}

func (s *storm) server(i int) *mcpv1alpha1.MCPServer {
	s.release++
	return &mcpv1alpha1.MCPServer{
		ObjectMeta: metav1.ObjectMeta{Name: serverName(i), Namespace: namespace, Labels: s.labels()},
		Spec: mcpv1alpha1.MCPServerSpec{
			Container: &mcpv1alpha1.ServerContainer{Image: fmt.Sprintf("example.com/server:%d", s.release)},
			Replicas:  new(int32(1)),
		},
	}
}

func serverName(i int) string { return fmt.Sprintf("server-%02d", i) }

// isScaled says whether the number of pods of that server is changed, so that
// pods come and go without a change of their template.
func isScaled(name string) bool { return strings.HasSuffix(name, "0") }

func (s *storm) labels() map[string]string {
	return map[string]string{"team": fmt.Sprintf("t%d", s.random.IntN(3))}
}

// policy is one that selects a team or names some servers.
func (s *storm) policy(i int) *mcpv1alpha1.SamplingPolicy {
	s.release++
	out := &mcpv1alpha1.SamplingPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("policy-%d", i), Namespace: namespace},
		Spec: mcpv1alpha1.SamplingPolicySpec{
			Providers: []mcpv1alpha1.Provider{{Name: "any", Type: "OpenAI", BaseURL: "http://model.example.com/v1"}},
			Models: mcpv1alpha1.Models{
				Default: "small", Allowed: []mcpv1alpha1.Model{{Name: "small", Provider: "any", Model: fmt.Sprintf("small-%d", s.release)}},
			},
		},
	}
	s.aim(i, out)
	return out
}

func (s *storm) aim(i int, policy *mcpv1alpha1.SamplingPolicy) {
	policy.Spec.TargetRefs, policy.Spec.TargetSelector = nil, nil
	if i%2 == 0 {
		policy.Spec.TargetSelector = &mcpv1alpha1.LabelSelector{}
		for key, value := range s.labels() {
			policy.Spec.TargetSelector.MatchLabels = map[string]mcpv1alpha1.LabelValue{key: mcpv1alpha1.LabelValue(value)}
		}
		return
	}
	for _, j := range s.random.Perm(servers)[:5] {
		policy.Spec.TargetRefs = append(policy.Spec.TargetRefs, mcpv1alpha1.TargetRef{Name: serverName(j)})
	}
}

// change does something that users do.
func (s *storm) change() {
	s.Helper()
	s.changes++
	if s.random.IntN(3) == 0 {
		s.changePolicy(s.random.IntN(policies))
		return
	}
	i := s.random.IntN(servers)
	server := &mcpv1alpha1.MCPServer{ObjectMeta: metav1.ObjectMeta{Name: serverName(i), Namespace: namespace}}
	err := s.Client.Get(s.ctx, client.ObjectKeyFromObject(server), server)
	switch {
	case apierrors.IsNotFound(err):
		s.create(s.server(i))
		return
	case err != nil:
		s.Fatal(err)
	}
	before := server.DeepCopy()
	switch what := s.random.IntN(8); {
	case what == 0:
		s.must(s.Client.Delete(s.ctx, server))
		return
	case what == 1: // gone and back at once
		s.must(s.Client.Delete(s.ctx, server))
		s.create(s.server(i))
		return
	case what < 4:
		server.Labels = s.labels()
	case what < 6 && isScaled(server.Name):
		server.Spec.Replicas = new(int32(s.random.IntN(4))) //nolint:gosec // below 4
	default:
		s.release++
		s.images[server.UID]++
		server.Spec.Container.Image = fmt.Sprintf("example.com/server:%d", s.release)
	}
	s.must(s.Client.Patch(s.ctx, server, client.MergeFrom(before)))
}

func (s *storm) changePolicy(i int) {
	s.Helper()
	policy := s.policy(i)
	fresh := policy.DeepCopy()
	err := s.Client.Get(s.ctx, client.ObjectKeyFromObject(policy), policy)
	switch {
	case apierrors.IsNotFound(err):
		s.create(fresh)
	case err != nil:
		s.Fatal(err)
	case s.random.IntN(4) == 0:
		s.must(s.Client.Delete(s.ctx, policy))
	default:
		before := policy.DeepCopy()
		policy.Spec = fresh.Spec
		s.must(s.Client.Patch(s.ctx, policy, client.MergeFrom(before)))
	}
}

func (s *storm) create(obj client.Object) {
	s.Helper()
	s.must(s.Client.Create(s.ctx, obj))
}

func (s *storm) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// right says what is not as the specs want it.
func (s *storm) right() error {
	var all mcpv1alpha1.MCPServerList
	var rules mcpv1alpha1.SamplingPolicyList
	for _, list := range []client.ObjectList{&all, &rules} {
		if err := s.Client.List(s.ctx, list, client.InNamespace(namespace)); err != nil {
			return err
		}
	}
	want := map[string]bool{}
	for i := range all.Items {
		server := &all.Items[i]
		plan := resolve.Server(resolve.Input{Server: server, Policies: rules.Items})
		objects, err := build.For(server, plan, nil, build.Options{
			SamplerImage: "sampler:any", NetworkPolicies: &build.NetworkPolicies{Operator: &build.Peer{Namespace: "operators"}},
		})
		if err != nil {
			return err
		}
		want["Secret/"+build.SamplerObject(server.Name)] = true
		for _, object := range objects.Apply {
			name, err := s.asWanted(object)
			if err != nil {
				return err
			}
			want[name] = true
		}
		if err := checkStatus(server, plan); err != nil {
			return err
		}
	}
	for i := range rules.Items {
		if c := meta.FindStatusCondition(rules.Items[i].Status.Conditions, mcpv1alpha1.ConditionProgrammed); c == nil || c.ObservedGeneration != rules.Items[i].Generation ||
			(c.Status != metav1.ConditionTrue && rules.Items[i].Status.Targets.Attached > 0) {
			return fmt.Errorf("policy %s: Programmed is %+v", rules.Items[i].Name, c)
		}
	}
	got, err := s.made()
	if err != nil {
		return err
	}
	if diff := cmp.Diff(want, got); diff != "" {
		return fmt.Errorf("objects (-want +got):\n%s", diff)
	}
	return nil
}

func checkStatus(server *mcpv1alpha1.MCPServer, plan resolve.Plan) error {
	name := ""
	if plan.Policy != nil {
		name = plan.Policy.Name
	}
	got := ""
	if p := server.Status.SamplingPolicy; p != nil {
		got = p.Name
	}
	if got != name {
		return fmt.Errorf("server %s: status says policy %q governs it, want %q", server.Name, got, name)
	}
	if p := server.Status.SamplingPolicy; p != nil && (p.Hash != plan.Config.Hash() || p.ProgrammedGeneration != plan.Policy.Generation) {
		return fmt.Errorf("server %s: the policy is %+v, want all of generation %d loaded", server.Name, p, plan.Policy.Generation)
	}
	wantReady := metav1.ConditionTrue
	if *server.Spec.Replicas == 0 {
		wantReady = metav1.ConditionFalse
	}
	c := meta.FindStatusCondition(server.Status.Conditions, mcpv1alpha1.ConditionReady)
	if c == nil || c.Status != wantReady || c.ObservedGeneration != server.Generation {
		return fmt.Errorf("server %s: Ready is %+v, want %s for generation %d", server.Name, c, wantReady, server.Generation)
	}
	return nil
}

// asWanted applies an object without doing it: nothing must change.
func (s *storm) asWanted(object any) (string, error) {
	data, err := json.Marshal(object)
	if err != nil {
		return "", err
	}
	wanted, live := &unstructured.Unstructured{}, &unstructured.Unstructured{}
	if err := json.Unmarshal(data, &wanted.Object); err != nil {
		return "", err
	}
	live.SetGroupVersionKind(wanted.GroupVersionKind())
	name := wanted.GetKind() + "/" + wanted.GetName()
	if err := s.Client.Get(s.ctx, client.ObjectKeyFromObject(wanted), live); err != nil {
		return "", err
	}
	err = s.Client.Apply(s.ctx, client.ApplyConfigurationFromUnstructured(wanted),
		client.FieldOwner(mcpv1alpha1.FieldOwner), client.ForceOwnership, client.DryRunAll)
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	for _, part := range []string{"spec", "data"} {
		if diff := cmp.Diff(wanted.Object[part], live.Object[part]); diff != "" {
			return "", fmt.Errorf("%s is not as its server wants it (-want +got):\n%s", name, diff)
		}
	}
	if live.GetUID() != wanted.GetUID() {
		return "", fmt.Errorf("%s was replaced", name)
	}
	return name, nil
}

// made lists what the operator has made.
func (s *storm) made() (map[string]bool, error) {
	out := map[string]bool{}
	for _, kind := range []struct {
		list client.ObjectList
		kind string
	}{
		{&corev1.ConfigMapList{}, "ConfigMap"}, {&corev1.ServiceList{}, "Service"}, {&corev1.SecretList{}, "Secret"},
		{&appsv1.DeploymentList{}, "Deployment"}, {&networkingv1.NetworkPolicyList{}, "NetworkPolicy"}, {&policyv1.PodDisruptionBudgetList{}, "PodDisruptionBudget"},
	} {
		if err := s.Client.List(s.ctx, kind.list, client.InNamespace(namespace), client.MatchingLabels{build.LabelManagedBy: build.ManagedBy}); err != nil {
			return nil, err
		}
		items, err := meta.ExtractList(kind.list)
		if err != nil {
			return nil, err
		}
		for _, item := range items {
			object, err := meta.Accessor(item)
			if err != nil {
				return nil, err
			}
			out[kind.kind+"/"+object.GetName()] = true
		}
	}
	return out, nil
}

// history is what there ever was of pods.
type history struct {
	// pods are the pods of each ReplicaSet, sets the ReplicaSets of each Deployment,
	// by UID.
	pods, sets map[types.UID]map[types.UID]bool
	// deployments are the names.
	deployments map[types.UID]string
	owners      map[types.UID]types.UID // of Deployments: the MCPServer
}

// record follows what comes into being until the function that it returns is
// called.
func (s *storm) record() func() history {
	s.Helper()
	watcher, err := client.NewWithWatch(s.Config, client.Options{Scheme: s.Client.Scheme()})
	s.must(err)
	h := history{map[types.UID]map[types.UID]bool{}, map[types.UID]map[types.UID]bool{}, map[types.UID]string{}, map[types.UID]types.UID{}}
	var mu sync.Mutex
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(s.ctx)
	note := func(into map[types.UID]map[types.UID]bool, object metav1.Object) {
		if owner := metav1.GetControllerOf(object); owner != nil {
			if into[owner.UID] == nil {
				into[owner.UID] = map[types.UID]bool{}
			}
			into[owner.UID][object.GetUID()] = true
		}
	}
	for _, list := range []client.ObjectList{&corev1.PodList{}, &appsv1.ReplicaSetList{}, &appsv1.DeploymentList{}} {
		watch, err := watcher.Watch(ctx, list, client.InNamespace(namespace))
		s.must(err)
		wg.Go(func() {
			for event := range watch.ResultChan() {
				mu.Lock()
				switch object := event.Object.(type) {
				case *corev1.Pod:
					note(h.pods, object)
				case *appsv1.ReplicaSet:
					note(h.sets, object)
				case *appsv1.Deployment:
					h.deployments[object.UID] = object.Name
					if owner := metav1.GetControllerOf(object); owner != nil {
						h.owners[object.UID] = owner.UID
					}
				}
				mu.Unlock()
			}
		})
	}
	return func() history {
		cancel()
		wg.Wait()
		return h
	}
}

// checkPods holds that nothing was replaced without a cause.
func (s *storm) checkPods(h history) {
	s.Helper()
	// Some servers are deleted before they had any, and are not there in the end.
	if len(h.deployments) < servers || len(h.pods) < servers {
		s.Fatalf("only %d Deployments and %d ReplicaSets with pods were seen: this test would show nothing", len(h.deployments), len(h.pods))
	}
	for uid, name := range h.deployments {
		sets := h.sets[uid]
		server, ofServer := strings.CutSuffix(name, "-server")
		most := 1
		if ofServer {
			most += s.images[h.owners[uid]]
		}
		if len(sets) > most {
			s.Errorf("Deployment %s had %d pod templates, and there was reason for %d", name, len(sets), most)
		}
		if ofServer && isScaled(server) {
			continue
		}
		for set := range sets {
			if n := len(h.pods[set]); n > 1 {
				s.Errorf("Deployment %s: one template had %d pods after each other, want 1", name, n)
			}
		}
	}
}

func (s *storm) eventually(what string, check func() error) {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.ctx, deadline)
	defer cancel()
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			s.Fatalf("%s: not within %s: %v", what, deadline, err)
		}
	}
}
