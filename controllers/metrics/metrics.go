// Package metrics says how the operator's objects are, in Prometheus' way: how many
// there are in which condition, and how long a change of a policy takes to reach all
// of its samplers. What the controllers do themselves, controller-runtime counts.
//
// Labels are namespaces and what the API's own conditions can say; names of objects
// are none.
package metrics

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
)

// scrapeTimeout bounds what is read for one scrape. It comes from a cache.
const scrapeTimeout = 5 * time.Second

var labels = []string{"namespace", "condition", "status", "reason"}

// Metrics are the operator's.
type Metrics struct {
	objects           client.Reader
	servers, policies *prometheus.Desc
	propagation       prometheus.Histogram
	now               func() time.Time

	mu   sync.Mutex
	seen map[types.UID]sighting
}

// sighting is when a generation of a policy was seen first; done says that all of its
// samplers have loaded it.
type sighting struct {
	generation int64
	at         time.Time
	done       bool
}

// New returns the metrics of the objects that can be listed.
func New(objects client.Reader, now func() time.Time) *Metrics {
	return &Metrics{
		objects: objects,
		now:     now,
		servers: prometheus.NewDesc("mcp_sampling_servers",
			"MCPServers by the status and the reason of each of their conditions.", labels, nil),
		policies: prometheus.NewDesc("mcp_sampling_policies",
			"SamplingPolicies by the status and the reason of each of their conditions.", labels, nil),
		propagation: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "mcp_sampling_policy_propagation_seconds",
			Help:    "Time from when a change of a SamplingPolicy was seen until all samplers of its servers had loaded it.",
			Buckets: []float64{.1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300},
		}),
		seen: map[types.UID]sighting{},
	}
}

// Describe implements prometheus.Collector.
func (m *Metrics) Describe(ch chan<- *prometheus.Desc) {
	ch <- m.servers
	ch <- m.policies
	m.propagation.Describe(ch)
}

// Collect implements prometheus.Collector.
func (m *Metrics) Collect(ch chan<- prometheus.Metric) {
	m.propagation.Collect(ch)
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	servers := &mcpv1alpha1.MCPServerList{}
	policies := &mcpv1alpha1.SamplingPolicyList{}
	// A cache that is not filled yet has nothing to count: a scrape that fails would
	// take the other metrics with it.
	if err := m.objects.List(ctx, servers, client.UnsafeDisableDeepCopy); err == nil {
		counts := counter{}
		for i := range servers.Items {
			counts.add(servers.Items[i].Namespace, servers.Items[i].Status.Conditions)
		}
		counts.send(ch, m.servers)
	}
	if err := m.objects.List(ctx, policies, client.UnsafeDisableDeepCopy); err == nil {
		counts := counter{}
		for i := range policies.Items {
			counts.add(policies.Items[i].Namespace, policies.Items[i].Status.Conditions)
		}
		counts.send(ch, m.policies)
	}
}

type key struct {
	namespace, condition string
	status               metav1.ConditionStatus
	reason               string
}

type counter map[key]int

func (c counter) add(namespace string, conditions []metav1.Condition) {
	for i := range conditions {
		c[key{namespace, conditions[i].Type, conditions[i].Status, conditions[i].Reason}]++
	}
}

func (c counter) send(ch chan<- prometheus.Metric, desc *prometheus.Desc) {
	for k, n := range c {
		ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, float64(n), k.namespace, k.condition, string(k.status), k.reason)
	}
}

// Seen notes a policy as it is wanted, and whether all samplers of its servers have
// loaded it. As long as it has no server no time passes, and one that is loaded when
// it is seen first was so before the operator started.
func (m *Metrics) Seen(policy *mcpv1alpha1.SamplingPolicy, attached int32, programmed bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	last, known := m.seen[policy.UID]
	if !known || last.generation != policy.Generation {
		last = sighting{generation: policy.Generation, at: m.now(), done: programmed && !known}
	}
	switch {
	case attached == 0:
		last.at = m.now()
		last.done = last.done || programmed
	case programmed && !last.done:
		last.done = true
		m.propagation.Observe(m.now().Sub(last.at).Seconds())
	}
	m.seen[policy.UID] = last
}

// Forget drops what is known of a policy that is gone.
func (m *Metrics) Forget(policy *mcpv1alpha1.SamplingPolicy) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.seen, policy.UID)
}
