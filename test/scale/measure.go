package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
	"github.com/mcp-sampling/mcp-sampling-operator/controllers/build"
	"github.com/mcp-sampling/mcp-sampling-operator/test/scale/sim"
)

const (
	// namespace holds all servers: the hardest case, since everything that is in one
	// is looked at for each.
	namespace = "many"
	// teamSize is how many servers one policy is for.
	teamSize = 10
	// settling is how long nothing is measured before the idle minute.
	settling = 30 * time.Second
	// everybody is a policy that selects all servers. It governs none as long as
	// the older policies of the teams are there.
	everybody = "everybody"
	// An edit of a policy is from the one model to the other.
	firstModel, secondModel = "small-1", "small-2"
	// editedServers is how many servers hear of edits of that, about: a few would
	// not pay for what the API server does now and then only, such as collecting
	// its garbage.
	editedServers = 1000
)

// figures are what one run has measured.
type figures struct {
	servers, policies int

	applied, ready time.Duration // from the manager's start
	start          callCounts
	startCPU       cpuTimes

	idle                callCounts
	asked, busiest      int
	idleCPU             cpuTimes
	idleRSS, highestRSS uint64

	one, takeover time.Duration // policy edits
	edits         int           // of the policy for all, in a row
	all           time.Duration // for one of them, on average
	allCalls      callCounts
	allCPU        cpuTimes

	// plain is what a bare client needed for its writes before the operator was
	// started, when all was there, and after the edits.
	plain [3]time.Duration

	restart      time.Duration
	restartCalls callCounts
	restarted    int // pods that are others after the manager was restarted
}

// callCounts counts requests to the API server.
type callCounts struct {
	reads, writes int
	byKind        map[string]int // writes
}

// cpuTimes are those of programs, by their names.
type cpuTimes map[string]time.Duration

// measured runs do and adds the times that programs use for it.
func (c cpuTimes) measured(do func() error) error {
	before, err := sim.CPU()
	if err != nil {
		return err
	}
	if err := do(); err != nil {
		return err
	}
	after, err := sim.CPU()
	for name, t := range after {
		c[name] += t - before[name]
	}
	return err
}

func measure(ctx context.Context, o sim.Options, servers int) (figures, error) {
	f := figures{servers: servers, policies: servers / teamSize, startCPU: cpuTimes{}, idleCPU: cpuTimes{}, allCPU: cpuTimes{}}
	work, err := os.MkdirTemp("", "scale-")
	if err != nil {
		return f, fmt.Errorf("make a folder: %w", err)
	}
	defer os.RemoveAll(work)
	o.Work = work
	cluster, err := sim.Start(ctx, o)
	if err != nil {
		return f, err
	}
	b := &bench{Cluster: cluster, figures: &f}
	err = b.measure(ctx)
	if err != nil && b.manager != nil {
		err = fmt.Errorf("%w\nthe manager's log ends with:\n%s", err, b.manager.LastWords())
	}
	return f, errors.Join(err, cluster.Stop())
}

type bench struct {
	*sim.Cluster
	*figures
	manager *sim.Program
}

func (b *bench) measure(ctx context.Context) error {
	for _, part := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"servers and policies are written", b.write},
		{"a bare client writes", b.writePlainly(0)},
		{"the operator makes everything", func(ctx context.Context) error {
			return b.startCPU.measured(func() error { return b.makeAll(ctx) })
		}},
		{"a minute without changes", b.beIdle},
		{"a bare client writes", b.writePlainly(1)},
		{"a policy of one team is edited", b.editOne},
		{"another policy takes over, and is edited", b.editAll},
		{"a bare client writes", b.writePlainly(2)},
		{"the operator is restarted", b.startAgain},
	} {
		fmt.Fprintf(os.Stderr, "%d servers: %s\n", b.servers, part.name)
		if err := part.do(ctx); err != nil {
			if b.manager != nil {
				err = errors.Join(err, b.manager.Kill())
			}
			return fmt.Errorf("%s: %w", part.name, err)
		}
	}
	return b.manager.Kill()
}

func (b *bench) write(ctx context.Context) error {
	objects := []client.Object{&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}}
	for i := range b.policies {
		name := team(i)
		policy := newPolicy(name)
		if i%2 == 0 {
			policy.Spec.TargetSelector = &mcpv1alpha1.LabelSelector{MatchLabels: map[string]mcpv1alpha1.LabelValue{"team": mcpv1alpha1.LabelValue(name)}}
		} else {
			for j := range teamSize {
				policy.Spec.TargetRefs = append(policy.Spec.TargetRefs, mcpv1alpha1.TargetRef{Name: serverName(i*teamSize + j)})
			}
		}
		objects = append(objects, policy)
	}
	for i := range b.servers {
		objects = append(objects, &mcpv1alpha1.MCPServer{
			ObjectMeta: metav1.ObjectMeta{Name: serverName(i), Namespace: namespace, Labels: map[string]string{"team": team(i / teamSize)}},
			Spec:       mcpv1alpha1.MCPServerSpec{Container: &mcpv1alpha1.ServerContainer{Image: "example.com/server:1"}},
		})
	}
	for _, obj := range objects {
		if err := b.Client.Create(ctx, obj); err != nil {
			return fmt.Errorf("create %s: %w", obj.GetName(), err)
		}
	}
	return nil
}

func serverName(i int) string { return fmt.Sprintf("server-%04d", i) }

func team(i int) string { return fmt.Sprintf("team-%03d", i) }

func newPolicy(name string) *mcpv1alpha1.SamplingPolicy {
	return &mcpv1alpha1.SamplingPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace},
		Spec: mcpv1alpha1.SamplingPolicySpec{
			Providers: []mcpv1alpha1.Provider{{Name: "any", Type: "OpenAI", BaseURL: "http://model.example.com/v1"}},
			Models: mcpv1alpha1.Models{
				Default: "small", Allowed: []mcpv1alpha1.Model{{Name: "small", Provider: "any", Model: firstModel}},
			},
		},
	}
}

func (b *bench) makeAll(ctx context.Context) error {
	start := time.Now()
	var err error
	if b.manager, err = b.StartManager(); err != nil {
		return err
	}
	b.applied, err = b.until(ctx, 10*time.Minute, b.seldom(), func() error {
		list := &metav1.PartialObjectMetadataList{}
		list.SetGroupVersionKind(appsv1.SchemeGroupVersion.WithKind("DeploymentList"))
		// One of them says how many there are besides, which costs the API server little.
		if err := b.Client.List(ctx, list, client.InNamespace(namespace), client.Limit(1)); err != nil {
			return err
		}
		there := len(list.Items)
		if more := list.GetRemainingItemCount(); more != nil {
			there += int(*more)
		}
		if want := 2 * b.servers; there != want {
			return fmt.Errorf("%d of %d Deployments", there, want)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if _, err = b.until(ctx, 10*time.Minute, b.seldom(), func() error { return b.allReady(ctx) }); err != nil {
		return err
	}
	b.ready = time.Since(start)
	b.start, err = b.count(start)
	return err
}

// allReady says whether every policy of a team is loaded and every server ready. The
// policies come first: there are few, so asking often costs little.
func (b *bench) allReady(ctx context.Context) error {
	var policies mcpv1alpha1.SamplingPolicyList
	if err := b.Client.List(ctx, &policies, client.InNamespace(namespace)); err != nil {
		return err
	}
	for i := range policies.Items {
		if err := programmed(&policies.Items[i], teamSize); err != nil && policies.Items[i].Name != everybody {
			return err
		}
	}
	var servers mcpv1alpha1.MCPServerList
	if err := b.Client.List(ctx, &servers, client.InNamespace(namespace)); err != nil {
		return err
	}
	ready := 0
	example := ""
	for i := range servers.Items {
		if c := meta.FindStatusCondition(servers.Items[i].Status.Conditions, mcpv1alpha1.ConditionReady); c != nil && c.Status == metav1.ConditionTrue {
			ready++
		} else if c != nil {
			example = c.Message
		}
	}
	if ready != b.servers {
		return fmt.Errorf("%d of %d servers are ready: %s", ready, b.servers, example)
	}
	return nil
}

func programmed(policy *mcpv1alpha1.SamplingPolicy, targets int) error {
	s := policy.Status
	if s.ObservedGeneration != policy.Generation || int(s.Targets.Attached) != targets || int(s.Targets.Programmed) != targets ||
		!meta.IsStatusConditionTrue(s.Conditions, mcpv1alpha1.ConditionProgrammed) {
		return fmt.Errorf("policy %s: %+v", policy.Name, s.Targets)
	}
	return nil
}

func (b *bench) beIdle(ctx context.Context) error {
	if err := wait(ctx, settling); err != nil {
		return err
	}
	from := time.Now()
	if err := b.idleCPU.measured(func() error { return wait(ctx, time.Minute) }); err != nil {
		return err
	}
	var err error
	b.asked, b.busiest = b.Samplers.Asked(from, time.Now())
	if b.idleRSS, b.highestRSS, err = b.manager.RSS(); err != nil {
		return err
	}
	b.idle, err = b.count(from)
	return err
}

func (b *bench) editOne(ctx context.Context) error {
	var err error
	b.one, err = b.edit(ctx, team(0), teamSize)
	return err
}

// editAll lets one policy govern every server, and edits that.
func (b *bench) editAll(ctx context.Context) error {
	policy := newPolicy(everybody)
	policy.Spec.TargetSelector = &mcpv1alpha1.LabelSelector{}
	if err := b.Client.Create(ctx, policy); err != nil {
		return fmt.Errorf("create policy %s: %w", everybody, err)
	}
	var policies mcpv1alpha1.SamplingPolicyList
	if err := b.Client.List(ctx, &policies, client.InNamespace(namespace)); err != nil {
		return err
	}
	for i := range policies.Items {
		if p := &policies.Items[i]; p.Name != everybody {
			if err := b.Client.Delete(ctx, p); err != nil {
				return fmt.Errorf("delete policy %s: %w", p.Name, err)
			}
		}
	}
	var err error
	if b.takeover, err = b.untilProgrammed(ctx, everybody, b.servers); err != nil {
		return err
	}
	from := time.Now()
	b.edits = max(1, editedServers/b.servers)
	err = b.allCPU.measured(func() error {
		for range b.edits {
			took, err := b.edit(ctx, everybody, b.servers)
			if err != nil {
				return err
			}
			b.all += took / time.Duration(b.edits)
		}
		return nil
	})
	if err != nil {
		return err
	}
	b.allCalls, err = b.count(from)
	return err
}

// edit changes a policy and returns how long it took to be loaded everywhere.
func (b *bench) edit(ctx context.Context, name string, targets int) (time.Duration, error) {
	policy := newPolicy(name)
	if err := b.Client.Get(ctx, client.ObjectKeyFromObject(policy), policy); err != nil {
		return 0, err
	}
	model := &policy.Spec.Models.Allowed[0].Model
	if *model == firstModel {
		*model = secondModel
	} else {
		*model = firstModel
	}
	if err := b.Client.Update(ctx, policy); err != nil {
		return 0, fmt.Errorf("edit policy %s: %w", name, err)
	}
	return b.untilProgrammed(ctx, name, targets)
}

func (b *bench) untilProgrammed(ctx context.Context, name string, targets int) (time.Duration, error) {
	return b.until(ctx, 5*time.Minute, 50*time.Millisecond, func() error {
		policy := newPolicy(name)
		if err := b.Client.Get(ctx, client.ObjectKeyFromObject(policy), policy); err != nil {
			return err
		}
		return programmed(policy, targets)
	})
}

func (b *bench) startAgain(ctx context.Context) error {
	before, err := b.pods(ctx)
	if err != nil {
		return err
	}
	if err := b.manager.Kill(); err != nil {
		return err
	}
	from := time.Now()
	if b.manager, err = b.StartManager(); err != nil {
		return err
	}
	// It has looked at every server when it has asked every sampler.
	b.restart, err = b.until(ctx, 5*time.Minute, 50*time.Millisecond, func() error {
		if asked, _ := b.Samplers.Asked(from, time.Now()); asked < b.servers {
			return fmt.Errorf("%d of %d samplers were asked", asked, b.servers)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := wait(ctx, 5*time.Second); err != nil {
		return err
	}
	if b.restartCalls, err = b.count(from); err != nil {
		return err
	}
	after, err := b.pods(ctx)
	if err != nil {
		return err
	}
	for uid := range after {
		if !before[uid] {
			b.restarted++
		}
	}
	return nil
}

// seldom is how often a list of all servers is asked for: that costs the API server
// more than the operator does.
func (b *bench) seldom() time.Duration { return time.Duration(b.servers) * 3 * time.Millisecond }

func (b *bench) pods(ctx context.Context) (map[string]bool, error) {
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("PodList"))
	if err := b.Client.List(ctx, list, client.InNamespace(namespace), client.MatchingLabels{build.LabelManagedBy: build.ManagedBy}); err != nil {
		return nil, fmt.Errorf("list pods: %w", err)
	}
	out := map[string]bool{}
	for i := range list.Items {
		out[string(list.Items[i].UID)] = true
	}
	return out, nil
}

func (b *bench) count(from time.Time) (callCounts, error) {
	calls, err := b.Calls(from, time.Now())
	out := callCounts{byKind: map[string]int{}}
	for _, call := range calls {
		if call.Writes() {
			out.writes++
			out.byKind[call.Verb+" "+call.Resource]++
		} else {
			out.reads++
		}
	}
	return out, err
}

// until returns how long it took until check, which is done again after every
// pause, found nothing to complain about.
func (b *bench) until(ctx context.Context, limit, pause time.Duration, check func() error) (time.Duration, error) {
	start := time.Now()
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		err := check()
		if err == nil {
			return time.Since(start), nil
		}
		if b.manager.Ended() {
			return 0, errors.New("the manager has ended")
		}
		if err := b.Broken(); err != nil {
			return 0, err
		}
		if wait(ctx, pause) != nil {
			return 0, fmt.Errorf("not within %s: %w", limit, err)
		}
	}
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
