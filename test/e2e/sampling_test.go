package e2e

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	mcpclient "github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/mcp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
)

// reach is how long a change may take from the end of `kubectl apply` to the
// first sampling request that follows it.
const reach = 2 * time.Second

// A change of the policy reaches the next sampling request of a session that is
// open all the while, and no pod restarts for it.
func testPolicyChange(t *testing.T) {
	s := newSpace(t)
	s.runFakeModel(t)
	server, policy := newServer("summarizer"), newPolicy("policy", "summarizer")
	s.create(t, server, policy)
	s.awaitReady(t, server, policy)
	before := s.pods(t)

	caller := s.dial(t, server)
	got, err := caller.summarize(t.Context())
	must(t, err)
	if want := (asked{"fast-1", 100}); got != want {
		t.Fatalf("the model was asked as %+v, want %+v", got, want)
	}

	changes := []struct {
		name   string
		change func(*mcpv1alpha1.SamplingPolicySpec)
		want   asked
	}{
		{"a lower maxTokens", func(p *mcpv1alpha1.SamplingPolicySpec) { p.Parameters.MaxTokens.Max = 50 }, asked{"fast-1", 50}},
		{"another default model", func(p *mcpv1alpha1.SamplingPolicySpec) { p.Models.Default = "large" }, asked{"large-1", 50}},
		{"a higher maxTokens", func(p *mcpv1alpha1.SamplingPolicySpec) { p.Parameters.MaxTokens.Max = 90 }, asked{"large-1", 90}},
		{"both at once", func(p *mcpv1alpha1.SamplingPolicySpec) {
			p.Parameters.MaxTokens.Max, p.Models.Default = 70, "fast"
		}, asked{"fast-1", 70}},
	}
	var times []time.Duration
	for _, change := range changes {
		manifest := newPolicy(policy.Name, server.Name)
		policy.Spec.DeepCopyInto(&manifest.Spec)
		change.change(&manifest.Spec)
		s.apply(t, manifest)
		took := eventually(t, 30*time.Second, change.name+" in the open session", func(ctx context.Context) error {
			got, err := caller.summarize(ctx)
			if err != nil {
				t.Fatalf("the session broke: %v", err)
			}
			if got != change.want {
				return fmt.Errorf("the model was asked as %+v, want %+v", got, change.want)
			}
			return nil
		})
		t.Logf("%s: in the open session after %s", change.name, took.Round(time.Millisecond))
		times = append(times, took)
		must(t, s.get(t.Context(), policy))
	}
	// The median, as a busy machine may hold one of them up.
	slices.Sort(times)
	if median := times[len(times)/2]; median > reach {
		t.Errorf("changes took %s, the median %s: want at most %s", times, median, reach)
	}
	s.awaitReady(t, server, policy)
	if after := s.pods(t); !equalPods(before, after) {
		t.Errorf("pods changed:\nbefore %v\nafter  %v", before, after)
	}
}

// pods returns the restarts of every pod of the product, by UID, when none of
// them is on its way out any more: a sampler drains for seconds.
func (s *space) pods(t *testing.T) map[types.UID]string {
	t.Helper()
	var all map[types.UID]string
	eventually(t, patience, "the end of pods that are being replaced", func(ctx context.Context) error {
		var deployments appsv1.DeploymentList
		var pods corev1.PodList
		ours := client.HasLabels{"app.kubernetes.io/instance"}
		if err := errors.Join(
			s.client.List(ctx, &deployments, client.InNamespace(s.name), ours),
			s.client.List(ctx, &pods, client.InNamespace(s.name), ours),
		); err != nil {
			return err
		}
		for _, d := range deployments.Items {
			if d.Status.ObservedGeneration < d.Generation || d.Status.UpdatedReplicas != d.Status.Replicas {
				return fmt.Errorf("%s is being replaced", d.Name)
			}
		}
		all = map[types.UID]string{}
		for _, pod := range pods.Items {
			if pod.DeletionTimestamp != nil {
				return fmt.Errorf("%s is going", pod.Name)
			}
			restarts := int32(0)
			for _, status := range pod.Status.ContainerStatuses {
				restarts += status.RestartCount
			}
			all[pod.UID] = fmt.Sprintf("%s, %d restarts", pod.Name, restarts)
		}
		return nil
	})
	return all
}

func equalPods(a, b map[types.UID]string) bool {
	if len(a) == 0 || len(a) != len(b) {
		return false
	}
	for uid, pod := range a {
		if b[uid] != pod {
			return false
		}
	}
	return true
}

// mcp-go samples on the session's GET stream, FastMCP and the Go SDK on the
// stream of the call. The caller runs in the cluster and knows status.url.
func testEverySDK(t *testing.T) {
	tests := map[string]struct {
		server      *mcpv1alpha1.MCPServer
		wantVersion string
	}{
		"mcp-go":  {newServer("summarizer-go"), "1.0.0"},
		"FastMCP": {newServer("summarizer-fastmcp", running(image("summarizer-fastmcp", "dev"))), "1.0.0"},
		"go-sdk":  {newServer("summarizer-gosdk", running(peersImage(), "/gosdkserver")), "1.0.0"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSpace(t)
			s.runFakeModel(t)
			policy := newPolicy("policy", tt.server.Name)
			s.create(t, tt.server, policy)
			s.awaitReady(t, tt.server, policy)

			if info := tt.server.Status.Server; info == nil || info.Name != tt.server.Name || info.Version != tt.wantVersion ||
				info.ProtocolVersion == "" || info.Tools == nil || *info.Tools == 0 {
				t.Errorf("status.server is %+v, want what the server says of itself", info)
			}
			if want := fmt.Sprintf("http://%s.%s.svc.cluster.local/mcp", tt.server.Name, s.name); tt.server.Status.URL != want {
				t.Errorf("status.url is %s, want %s", tt.server.Status.URL, want)
			}
			got, err := parseEcho(s.callInCluster(t, tt.server, "Boats float on water."))
			must(t, err)
			if want := (asked{"fast-1", 100}); got != want {
				t.Errorf("the model was asked as %+v, want %+v: 120 tokens are more than the policy allows", got, want)
			}
		})
	}
}

// Without a policy nothing is declared, so that the server sees a caller that
// cannot sample; everything else works.
func testNoPolicy(t *testing.T) {
	s := newSpace(t)
	server := newServer("alone", running(peersImage(), "/gosdkserver"))
	s.create(t, server)
	s.await(t, server,
		wantCondition{conditionType: mcpv1alpha1.ConditionReady, status: metav1.ConditionTrue},
		wantCondition{conditionType: mcpv1alpha1.ConditionVerified, status: metav1.ConditionTrue},
		wantCondition{conditionType: mcpv1alpha1.ConditionSamplingReady, status: metav1.ConditionFalse, reason: mcpv1alpha1.ReasonNoPolicy, message: []string{"SamplingPolicy"}},
	)
	caller := s.dial(t, server)
	answer, err := caller.call(t.Context(), "summarize", "x")
	if err == nil || answer == "" {
		t.Errorf("without a policy the tool says %q (error %v), want an error of the tool", answer, err)
	}

	// A session that begins after a policy has come can sample.
	s.runFakeModel(t)
	policy := newPolicy("late", "alone")
	s.create(t, policy)
	s.awaitReady(t, server, policy)
	if _, err := s.dial(t, server).summarize(t.Context()); err != nil {
		t.Error(err)
	}

	// And when it goes, sampling goes with it, also from that session.
	caller = s.dial(t, server)
	must(t, s.client.Delete(t.Context(), policy))
	eventually(t, patience, "the end of sampling", func(ctx context.Context) error {
		if _, err := caller.summarize(ctx); err == nil {
			return errors.New("it is still answered")
		}
		return nil
	})
	s.await(t, server, wantCondition{conditionType: mcpv1alpha1.ConditionSamplingReady, status: metav1.ConditionFalse, reason: mcpv1alpha1.ReasonNoPolicy})
}

// callersModel is the model of a caller that can sample.
type callersModel struct{}

func (callersModel) CreateMessage(context.Context, mcp.CreateMessageRequest) (*mcp.CreateMessageResult, error) {
	return &mcp.CreateMessageResult{
		SamplingMessage: mcp.SamplingMessage{Role: mcp.RoleAssistant, Content: mcp.NewTextContent("the caller's own model")},
		Model:           "own",
	}, nil
}

// With mode Fallback a caller that can sample answers for itself.
func testFallback(t *testing.T) {
	s := newSpace(t)
	s.runFakeModel(t)
	server, policy := newServer("summarizer"), newPolicy("policy", "summarizer")
	policy.Spec.Mode = mcpv1alpha1.ModeFallback
	s.create(t, server, policy)
	s.awaitReady(t, server, policy)

	sampling := mcpclient.WithSamplingHandler(callersModel{})
	answer, err := s.dial(t, server, sampling).call(t.Context(), "summarize", "x")
	must(t, err)
	if !strings.Contains(answer, "the caller's own model") {
		t.Errorf("a caller that can sample got %q, want its own model's answer", answer)
	}
	if _, err := s.dial(t, server).summarize(t.Context()); err != nil {
		t.Errorf("a caller that cannot sample: %v", err)
	}

	manifest := newPolicy(policy.Name, server.Name)
	manifest.Spec.Mode = mcpv1alpha1.ModeAlways
	s.apply(t, manifest)
	s.awaitReady(t, server, policy)
	if _, err := s.dial(t, server, sampling).summarize(t.Context()); err != nil {
		t.Errorf("with mode Always: %v", err)
	}
}

// What `kubectl apply` says is what users have to go by.
func testRefusals(t *testing.T) {
	s := newSpace(t)
	tests := map[string]struct{ manifest, want string }{
		"a default that is not allowed": {
			manifest: `
apiVersion: mcp-sampling.dev/v1alpha1
kind: SamplingPolicy
metadata: {name: refused}
spec:
  targetRefs: [{name: a}]
  providers: [{name: openai, type: OpenAI}]
  models: {default: large, allowed: [{name: small, provider: openai}]}`,
			want: "spec.models.default must be the name of one of spec.models.allowed: add it there, or choose a default that is listed",
		},
		"two sources": {
			manifest: `
apiVersion: mcp-sampling.dev/v1alpha1
kind: MCPServer
metadata: {name: refused}
spec:
  container: {image: example.com/server:1}
  service: {name: server, port: 80}`,
			want: "name one source for the server: spec.container (run this image), spec.service (use a Service that is already there) or spec.remote (a server outside of this namespace)",
		},
		"a field that is not there": {
			manifest: `
apiVersion: mcp-sampling.dev/v1alpha1
kind: MCPServer
metadata: {name: refused}
spec:
  contaner: {image: example.com/server:1}
  container: {image: example.com/server:1}`,
			want: `unknown field "spec.contaner"`,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			out, err := s.kubectl(t.Context(), tt.manifest, "apply", "-n", s.name, "-f", "-")
			if err == nil || !strings.Contains(out, tt.want) {
				t.Errorf("kubectl apply (error %v) says\n%s\nwant in it\n%s", err, out, tt.want)
			}
		})
	}
}
