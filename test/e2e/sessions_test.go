package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
)

// many is how many sessions are open when a pod is taken away.
const many = 50

// report is what internal/testing/manycallers answers.
type report struct {
	Sessions int            `json:"sessions"`
	OK       int            `json:"ok"`
	Moved    int            `json:"moved"`
	Lost     map[string]int `json:"lost"`
	Texts    map[string]int `json:"texts"`
	Failed   int            `json:"failed"`
	Errors   []string       `json:"errors"`
	Again    int            `json:"again"`
	Renewed  int            `json:"renewed"`
	Slowest  time.Duration  `json:"slowest"`
}

func (r report) String() string {
	return fmt.Sprintf("%d of %d answered, lost %v, failed %d %q, %d attempts more, the slowest took %s",
		r.OK, r.Sessions, r.Lost, r.Failed, r.Errors, r.Again, r.Slowest.Round(time.Millisecond))
}

// callers is a pod that holds many sessions and stays while others go.
type callers struct {
	t    *testing.T
	addr string
}

func (s *space) callers(t *testing.T) *callers {
	t.Helper()
	s.run(t, "callers", 8080, "/manycallers")
	return &callers{t: t, addr: s.forward(t, "callers")}
}

func (c *callers) tell(path string, query url.Values) report {
	c.t.Helper()
	req, err := http.NewRequestWithContext(c.t.Context(), http.MethodPost, "http://"+c.addr+path+"?"+query.Encode(), nil)
	must(c.t, err)
	resp, err := http.DefaultClient.Do(req)
	must(c.t, err)
	defer resp.Body.Close()
	var out report
	switch resp.StatusCode {
	case http.StatusOK:
		must(c.t, json.NewDecoder(resp.Body).Decode(&out))
	case http.StatusAccepted:
	default:
		c.t.Fatalf("%s: HTTP %d", path, resp.StatusCode)
	}
	return out
}

// open opens many sessions by these addresses.
func (c *callers) open(urls ...string) {
	c.t.Helper()
	got := c.tell("/open", url.Values{"n": {fmt.Sprint(many)}, "url": urls})
	if got.OK != many {
		c.t.Fatalf("open %d sessions: %s", many, got)
	}
}

// all calls a tool in every session, by other addresses if any are given, and
// wants every one to be answered.
func (c *callers) all(what, tool string, urls ...string) {
	c.t.Helper()
	got := c.tell("/call", url.Values{"tool": {tool}, "url": urls})
	c.t.Logf("%s: %s", what, got)
	if got.OK != many {
		c.t.Errorf("%s: want all %d sessions to go on", what, many)
	}
}

// labelled returns the pods that are not on their way out, the oldest first.
func (s *space) labelled(t *testing.T, selector string) []corev1.Pod {
	t.Helper()
	parsed, err := labels.Parse(selector)
	must(t, err)
	var list corev1.PodList
	must(t, s.client.List(t.Context(), &list, client.InNamespace(s.name), client.MatchingLabelsSelector{Selector: parsed}))
	pods := slices.DeleteFunc(list.Items, func(p corev1.Pod) bool { return p.DeletionTimestamp != nil })
	slices.SortFunc(pods, func(a, b corev1.Pod) int { return a.CreationTimestamp.Compare(b.CreationTimestamp.Time) })
	return pods
}

// samplers waits until that many samplers are ready, and returns their addresses.
func (s *space) samplers(t *testing.T, server *mcpv1alpha1.MCPServer, want int) (pods []corev1.Pod, urls []string) {
	t.Helper()
	eventually(t, patience, fmt.Sprintf("%d ready samplers", want), func(context.Context) error {
		pods, urls = s.labelled(t, "app.kubernetes.io/component=sampler,app.kubernetes.io/instance="+server.Name), nil
		for _, pod := range pods {
			if isReady(pod) {
				urls = append(urls, "http://"+pod.Status.PodIP+":8080/mcp")
			}
		}
		if len(pods) != want || len(urls) != want {
			return fmt.Errorf("%d of %d are ready", len(urls), len(pods))
		}
		return nil
	})
	return pods, urls
}

func isReady(pod corev1.Pod) bool {
	return slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

// kill takes a pod away without a word to what runs in it.
func (s *space) kill(t *testing.T, pod corev1.Pod) {
	t.Helper()
	must(t, s.client.Delete(t.Context(), &pod, client.GracePeriodSeconds(0)))
}

// gone waits until a pod that was killed has ended: the API server says so before
// the node has heard of it.
func (c *callers) gone(pod corev1.Pod, port int) {
	c.t.Helper()
	start := time.Now()
	c.tell("/gone", url.Values{"addr": {net.JoinHostPort(pod.Status.PodIP, strconv.Itoa(port))}})
	c.t.Logf("nothing listens in %s any more after another %s", pod.Name, time.Since(start).Round(time.Millisecond))
}

// Nothing is lost with the only sampler of a server: its sessions are sealed in
// their own names. The one SDK samples on the stream of a call, the other on the
// session's own, which the next sampler has to open again.
func testSessionsOutliveTheSampler(t *testing.T) {
	for name, server := range map[string]*mcpv1alpha1.MCPServer{
		"go-sdk": newServer("gosdk", running(peersImage(), "/gosdkserver")),
		"mcp-go": newServer("mcpgo"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSpace(t)
			s.runFakeModel(t)
			policy := newPolicy("policy", server.Name)
			s.create(t, server, policy)
			s.awaitReady(t, server, policy)
			c := s.callers(t)
			c.open(server.Status.URL)
			c.all("before", "summarize")

			pods, _ := s.samplers(t, server, 1)
			start := time.Now()
			s.kill(t, pods[0])
			c.gone(pods[0], 8080)
			c.all("the only sampler is dead", "summarize")
			t.Logf("all sessions went on %s after it was killed", time.Since(start).Round(time.Millisecond))
			c.all("and again", "summarize")
		})
	}
}

// Any replica takes any request, and of two one is enough for the sessions of both.
func testSessionsOfTwoSamplers(t *testing.T) {
	s := newSpace(t)
	s.runFakeModel(t)
	server, policy := newServer("gosdk", running(peersImage(), "/gosdkserver")), newPolicy("policy", "gosdk")
	server.Spec.Sampler.Replicas = new(int32(2))
	s.create(t, server, policy)
	s.awaitReady(t, server, policy)
	pods, both := s.samplers(t, server, 2)
	c := s.callers(t)
	c.open(both...)
	c.all("each session by the other sampler", "summarize", both...)
	c.all("each session by its own sampler", "summarize", both[1], both[0])

	start := time.Now()
	s.kill(t, pods[0])
	c.gone(pods[0], 8080)
	c.all("one of two samplers is dead", "summarize", both[1])
	t.Logf("all sessions went on %s after it was killed", time.Since(start).Round(time.Millisecond))
	_, now := s.samplers(t, server, 2)
	c.all("with a new sampler beside the old one", "summarize", now...)
	c.all("and the other way round", "summarize", now[1], now[0])
	c.all("by the Service", "summarize", server.Status.URL)
}

// Of two server pods only the sessions of the one that is gone are lost.
func testSessionsOfAServerPod(t *testing.T) {
	s := newSpace(t)
	s.runFakeModel(t)
	server, policy := newServer("gosdk", running(peersImage(), "/gosdkserver")), newPolicy("policy", "gosdk")
	server.Spec.Replicas = new(int32(2))
	s.create(t, server, policy)
	s.awaitReady(t, server, policy)
	eventually(t, patience, "both pods of the server", func(ctx context.Context) error {
		if err := s.get(ctx, server); err != nil {
			return err
		}
		if server.Status.ReadyReplicas != 2 {
			return fmt.Errorf("%d are ready", server.Status.ReadyReplicas)
		}
		return nil
	})
	c := s.callers(t)
	c.open(server.Status.URL)
	before := c.tell("/call", url.Values{"tool": {"where"}})
	t.Logf("the sessions are on %v", before.Texts)
	if len(before.Texts) != 2 || before.OK != many {
		t.Fatalf("want sessions on both pods: %s", before)
	}

	pods := s.labelled(t, "app.kubernetes.io/component=server,app.kubernetes.io/instance=gosdk")
	gone := pods[0].Name
	start := time.Now()
	s.kill(t, pods[0])
	c.gone(pods[0], 8000)
	// A process that dies closes its connections one after another. What is called on
	// one of them meanwhile fails, since the server may have begun it, and the session
	// hears what became of it with the next request.
	first := c.tell("/call", url.Values{"tool": {"where"}})
	t.Logf("%s was killed: %s, in %s", gone, first, time.Since(start).Round(time.Millisecond))
	if first.OK != many-before.Texts[gone] || first.Moved != 0 {
		t.Errorf("of the others: %s, %d moved; want all %d to go on where they were", first, first.Moved, many-before.Texts[gone])
	}
	for _, err := range first.Errors {
		if !strings.Contains(err, "closed the connection without an answer") {
			t.Errorf("a call failed by %q", err)
		}
	}
	second := c.tell("/call", url.Values{"tool": {"where"}})
	t.Logf("and again: %s", second)
	if want := map[string]int{gone: before.Texts[gone]}; !maps.Equal(second.Lost, want) {
		t.Errorf("404 for the sessions %v, want %v", second.Lost, want)
	}
	if second.OK != first.OK || second.Moved != 0 || second.Failed != 0 {
		t.Errorf("of the others: %s, %d moved; want all %d to go on where they were", second, second.Moved, first.OK)
	}
}

// While samplers are replaced, no call fails, and no session is lost.
func testRollingUpdateOfSamplers(t *testing.T) {
	for name, tt := range map[string]struct {
		server   *mcpv1alpha1.MCPServer
		replicas int
	}{
		"two in front of a go-sdk server":  {newServer("gosdk", running(peersImage(), "/gosdkserver")), 2},
		"one in front of an mcp-go server": {newServer("mcpgo"), 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			replaceSamplers(t, tt.server, tt.replicas)
		})
	}
}

func replaceSamplers(t *testing.T, server *mcpv1alpha1.MCPServer, replicas int) {
	s := newSpace(t)
	s.runFakeModel(t)
	policy := newPolicy("policy", server.Name)
	server.Spec.Sampler.Replicas = new(int32(replicas))
	s.create(t, server, policy)
	s.awaitReady(t, server, policy)
	old, _ := s.samplers(t, server, replicas)
	c := s.callers(t)
	c.open(server.Status.URL)
	c.tell("/loop", url.Values{"tool": {"summarize"}})

	start := time.Now()
	patch(t, s, server, func(server *mcpv1alpha1.MCPServer) {
		server.Spec.Sampler.Resources = &corev1.ResourceRequirements{
			Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("11m")},
		}
	})
	s.replaced(t, server.Name+"-sampler", old)
	took := time.Since(start)
	got := c.tell("/stop", nil)
	t.Logf("%d samplers were replaced in %s under %d calls: %d failed, %d sessions lost, the slowest call took %s",
		replicas, took.Round(time.Millisecond), got.OK, got.Failed, len(got.Lost), got.Slowest.Round(time.Millisecond))
	if got.Failed != 0 || len(got.Lost) != 0 || got.OK < many {
		t.Errorf("want no call to fail: %s", got)
	}
}
