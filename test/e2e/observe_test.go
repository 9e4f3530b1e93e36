package e2e

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	promapi "github.com/prometheus/client_golang/api"
	prometheusv1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
	"github.com/mcp-sampling/mcp-sampling-operator/test/observe"
)

const (
	// monitoring is the namespace that the chart lets scrape samplers by default.
	monitoring = "monitoring"
	prometheus = "prometheus"
	// observedServer is the server that is called.
	observedServer = "summarizer"
)

// A real Prometheus scrapes samplers and managers as the chart's monitors say. After
// one of each kind of trouble every panel of the dashboard has data, and the alerts
// about that trouble have what they wait for.
func testObserve(t *testing.T) {
	if os.Getenv("E2E_PROMETHEUS_TAG") == "" {
		t.Skip("SKIPPED: E2E_PROMETHEUS_TAG names no image of Prometheus")
	}
	s := newSpace(t)
	s.enforced(t)
	s.runFakeModel(t, "--key="+rightKey)
	s.create(t,
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "right"}, StringData: map[string]string{"key": rightKey}},
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "wrong"}, StringData: map[string]string{"key": wrongKey}},
	)
	server, policy := newServer(observedServer), newObservedPolicy(observedServer)
	noServer := newServer("no-server", running(peersImage(), "/fakellm", "--listen=:8000"))
	s.create(t, server, policy, noServer, newPolicy("nowhere", "not-there"))
	s.awaitReady(t, server, policy)
	s.await(t, noServer, wantCondition{conditionType: mcpv1alpha1.ConditionVerified, status: metav1.ConditionFalse})

	m := s.monitoring(t)
	p := m.runPrometheus(t, s.scrapeConfig(t))
	// From other namespaces nobody scrapes a sampler, its own included.
	m.runProber(t)
	metrics := s.address(t, server.Name, "sampler", "9464")
	m.reaches(t, prober, metrics)
	s.cannotReach(t, prober, metrics)

	o := observed{space: s, prometheus: p, caller: s.dial(t, server)}
	o.makeTrouble(t, policy)
	o.panelsHaveData(t)
	o.alertsHaveData(t)
}

// newObservedPolicy has a price, a model behind a key that is refused, and one that
// is out of reach.
func newObservedPolicy(server string) *mcpv1alpha1.SamplingPolicy {
	policy := withKey(newPolicy("policy", server), "right", "key")
	refused, dead := policy.Spec.Providers[0], policy.Spec.Providers[0]
	refused.Name = "refused"
	refused.Credential = &mcpv1alpha1.Credential{SecretKeyRef: mcpv1alpha1.SecretKeyRef{Name: "wrong", Key: "key"}}
	dead.Name, dead.BaseURL, dead.Retries = "dead", "http://"+fakeModel+":9/v1", new(int32(1)) // nobody listens there
	policy.Spec.Providers = append(policy.Spec.Providers, refused, dead)
	models := &policy.Spec.Models
	models.Allowed[0].Prices = &mcpv1alpha1.Prices{Input: 1000, Output: 2000, Currency: "EUR"}
	models.Allowed = append(models.Allowed,
		mcpv1alpha1.Model{Name: "refused", Provider: "refused", Model: "refused-1"},
		mcpv1alpha1.Model{Name: "dead", Provider: "dead", Model: "dead-1"})
	return policy
}

// observed is a server that Prometheus watches.
type observed struct {
	*space
	prometheus prometheusv1.API
	caller     *session
}

// callUntil calls the tool until a query has data that is more than zero.
func (o observed) callUntil(t *testing.T, query string) {
	t.Helper()
	query = strings.ReplaceAll(query, "NAMESPACE", o.name)
	eventually(t, patience, query, func(ctx context.Context) error {
		_, _ = o.caller.summarize(ctx) // it fails in most ways that are tried
		return o.data(ctx, query+" > 0")
	})
}

var errNoData = errors.New("no data")

// data says why a query has no data, if it has none. What is not a number is none,
// and neither is what lacks one of the labels.
func (o observed) data(ctx context.Context, query string, labels ...model.LabelName) error {
	value, _, _, err := o.prometheus.Query(ctx, query, time.Time{})
	if err != nil {
		return fmt.Errorf("ask %s: %w", query, err)
	}
	vector, ok := value.(model.Vector)
	if !ok {
		return fmt.Errorf("%s is a %s", query, value.Type())
	}
	for _, sample := range vector {
		lacks := func(label model.LabelName) bool { return sample.Metric[label] == "" }
		if !math.IsNaN(float64(sample.Value)) && !slices.ContainsFunc(labels, lacks) {
			return nil
		}
	}
	return errNoData
}

// makeTrouble has requests answered, then a model that is out of reach and one that
// takes its place, then a key that is refused, then a limit that is used up.
func (o observed) makeTrouble(t *testing.T, policy *mcpv1alpha1.SamplingPolicy) {
	t.Helper()
	o.callUntil(t, `sum(rate(mcp_sampling_requests_total{namespace="NAMESPACE", mcp_sampling_decision="answered"}[5m]))`)
	o.callUntil(t, `sum(rate(mcp_sampling_cost_total{namespace="NAMESPACE", mcp_sampling_currency="EUR"}[5m]))`)

	patch(t, o.space, policy, func(p *mcpv1alpha1.SamplingPolicy) {
		p.Spec.Models.Default, p.Spec.Models.Fallbacks = "dead", []string{"fast"}
	})
	o.callUntil(t, `sum(rate(mcp_sampling_retries_total{namespace="NAMESPACE"}[5m]))`)
	o.callUntil(t, `sum(rate(mcp_sampling_fallbacks_total{namespace="NAMESPACE"}[5m]))`)

	patch(t, o.space, policy, func(p *mcpv1alpha1.SamplingPolicy) {
		p.Spec.Models.Default, p.Spec.Models.Fallbacks = "refused", nil
	})
	o.callUntil(t, `sum(rate(mcp_sampling_requests_total{namespace="NAMESPACE", mcp_sampling_decision="failed"}[5m]))`)

	patch(t, o.space, policy, func(p *mcpv1alpha1.SamplingPolicy) {
		p.Spec.Models.Default = "fast"
		p.Spec.Limits = mcpv1alpha1.SamplingLimits{RequestsPerMinute: 1, QueueTimeout: &metav1.Duration{}}
	})
	o.callUntil(t, `sum(rate(mcp_sampling_requests_total{namespace="NAMESPACE", mcp_sampling_reason="LimitExceeded"}[5m]))`)
}

func (o observed) panelsHaveData(t *testing.T) {
	t.Helper()
	dashboard, err := observe.ReadDashboard(thisChart + "/files/dashboard.json")
	must(t, err)
	values := map[string]string{"namespace": o.name, "server": observedServer, "policy": "policy", "model": ".*", "__rate_interval": "5m"}
	n := 0
	for _, panel := range dashboard.Panels {
		for _, target := range panel.Targets {
			n++
			// Where a panel shows nothing as a nought, there is something here.
			query := strings.TrimSuffix(observe.Fill(target.Expr, values), " or vector(0)")
			eventually(t, patience, fmt.Sprintf("panel %q: %s", panel.Title, query), func(ctx context.Context) error { return o.data(ctx, query) })
		}
	}
	for _, variable := range dashboard.Templating.List {
		if variable.Type != "query" {
			continue
		}
		selector, label, err := variable.Values()
		must(t, err)
		query := fmt.Sprintf("count by (%s) (%s)", label, observe.Fill(selector, values))
		eventually(t, patience, fmt.Sprintf("values of the variable %s: %s", variable.Name, query), func(ctx context.Context) error {
			return o.data(ctx, query, model.LabelName(label))
		})
	}
	t.Logf("%d queries of panels have data", n)
	if n == 0 {
		t.Error("the dashboard has no query")
	}
}

// alertsHaveData holds the alerts' expressions against what was done to the server.
// How long it has to last, and that nothing else sets them off, promtool tries, as
// it does the thresholds that are left out here: TestAlertsFireWhereTheyShouldAndNowhereElse
// of test/observe.
func (o observed) alertsHaveData(t *testing.T) {
	t.Helper()
	alerts, err := observe.ReadAlerts(thisChart + "/files/alerts.yaml")
	must(t, err)
	// What cannot be had here is left out of the expression: ten sessions a second for
	// minutes, kube-state-metrics, and a cluster without the operator.
	without := map[string][2]string{
		"MCPSamplingSessionStorm":   {"> 10", "> 0"},
		"MCPSamplerNearMemoryLimit": {" / on (namespace, pod) group_left ()\n  max by (namespace, pod) (kube_pod_container_resource_limits{container=\"sampler\", resource=\"memory\"}) > 0.9", ""},
		"MCPSamplingOperatorDown":   {"absent(", "("},
	}
	inNamespace := func(query string) string {
		return fmt.Sprintf("(%s) and on (namespace) (max by (namespace) (mcp_sampling_sessions{namespace=%q}) >= 0)", query, o.name)
	}
	for _, alert := range alerts {
		if _, _, _, err := o.prometheus.Query(t.Context(), alert.Expr, time.Time{}); err != nil {
			t.Errorf("%s: %s: %v", alert.Alert, alert.Expr, err)
		}
		query := alert.Expr
		if change, there := without[alert.Alert]; there {
			if query = strings.Replace(alert.Expr, change[0], change[1], 1); query == alert.Expr {
				t.Errorf("%s: %q is not in its expression %s", alert.Alert, change[0], alert.Expr)
			}
		}
		if alert.Alert == "MCPSamplingOperatorDown" {
			eventually(t, patience, alert.Alert+" not to fire while the operator is there", func(ctx context.Context) error {
				switch err := o.data(ctx, alert.Expr); {
				case err == nil:
					return errors.New("it fires")
				case !errors.Is(err, errNoData):
					return err
				}
				return nil
			})
		} else {
			query = inNamespace(query)
		}
		eventually(t, patience, alert.Alert+": "+query, func(ctx context.Context) error {
			_, _ = o.caller.summarize(ctx) // what happened stays recent
			return o.data(ctx, query)
		})
	}
}

// runPrometheus starts Prometheus, waits until it has scraped all that it is
// configured to, and returns its API.
func (s *space) runPrometheus(t *testing.T, config string) prometheusv1.API {
	t.Helper()
	s.create(t,
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: prometheus}, Data: map[string]string{"prometheus.yml": config}},
		&corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Name: prometheus},
			Spec:       corev1.ServiceSpec{Selector: map[string]string{"app": prometheus}, Ports: []corev1.ServicePort{{Port: 9090}}},
		},
		&corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: prometheus, Labels: map[string]string{"app": prometheus}},
			Spec: corev1.PodSpec{
				AutomountServiceAccountToken: new(false),
				Containers: []corev1.Container{{
					Name: prometheus, Image: image("e2e-prometheus", os.Getenv("E2E_PROMETHEUS_TAG")), ImagePullPolicy: corev1.PullIfNotPresent,
					Args:            []string{"--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/data", "--web.listen-address=:9090"},
					SecurityContext: restricted(),
					ReadinessProbe: &corev1.Probe{
						ProbeHandler:  corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/-/ready", Port: intstr.FromInt32(9090)}},
						PeriodSeconds: 1,
					},
					VolumeMounts: []corev1.VolumeMount{{Name: "config", MountPath: "/etc/prometheus"}, {Name: "data", MountPath: "/data"}},
				}},
				Volumes: []corev1.Volume{
					{Name: "config", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: prometheus}}}},
					{Name: "data", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
				},
			},
		})
	// Through the API server, as no query then hangs on the connection of another.
	throughServer, err := rest.HTTPClientFor(s.config)
	must(t, err)
	address := s.clientset.CoreV1().RESTClient().Get().Namespace(s.name).Resource("services").Name(prometheus + ":9090").SubResource("proxy").URL()
	connection, err := promapi.NewClient(promapi.Config{Address: address.String(), Client: throughServer})
	must(t, err)
	api := prometheusv1.NewAPI(connection)
	eventually(t, patience, "every target to be scraped", func(ctx context.Context) error {
		targets, err := api.Targets(ctx)
		if err != nil {
			return err
		}
		if len(targets.Active) < 3 {
			return fmt.Errorf("%d targets, want a manager and two samplers", len(targets.Active))
		}
		for _, target := range targets.Active {
			if target.Health != prometheusv1.HealthGood {
				return fmt.Errorf("%s is %s: %s", target.ScrapeURL, target.Health, target.LastError)
			}
		}
		return nil
	})
	return api
}

// monitoring makes the namespace of that name, for as long as the test takes.
func (s *space) monitoring(t *testing.T) *space {
	t.Helper()
	labels := map[string]string{"pod-security.kubernetes.io/enforce": "restricted"}
	eventually(t, patience, "namespace "+monitoring, func(ctx context.Context) error {
		return s.client.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: monitoring, Labels: labels}})
	})
	m := &space{cluster: s.cluster, name: monitoring}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 30*time.Second)
		defer cancel()
		if t.Failed() {
			m.diagnose(ctx, t)
		}
		err := s.client.Delete(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: monitoring}})
		if err != nil && !apierrors.IsNotFound(err) {
			t.Errorf("delete namespace %s: %v", monitoring, err)
		}
	})
	return m
}

// scrapeConfig is what the chart's monitors mean for the pods that are there.
func (s *space) scrapeConfig(t *testing.T) string {
	t.Helper()
	rendered, err := s.helm(t.Context(), "template", helmRelease, thisChart, "--namespace", operatorNamespace, "--set",
		"crds.enabled=false,metrics.service=true,metrics.force=true,metrics.serviceMonitor.enabled=true,metrics.podMonitor.enabled=true")
	must(t, err)
	config := observe.NewConfig()
	var services []corev1.Service
	var ofManager, ofSamplers observe.Monitor
	for document := range strings.SplitSeq(rendered, "\n---\n") {
		var kind metav1.TypeMeta
		must(t, yaml.Unmarshal([]byte(document), &kind))
		switch kind.Kind {
		case "Service":
			var service corev1.Service
			must(t, yaml.Unmarshal([]byte(document), &service))
			services = append(services, service)
		case "ServiceMonitor":
			must(t, yaml.Unmarshal([]byte(document), &ofManager))
		case "PodMonitor":
			must(t, yaml.Unmarshal([]byte(document), &ofSamplers))
		}
	}
	s.pods(t) // which waits for the end of those that are replaced
	var managers, samplers corev1.PodList
	must(t, s.client.List(t.Context(), &managers, client.InNamespace(operatorNamespace)))
	must(t, s.client.List(t.Context(), &samplers, client.InNamespace(s.name)))
	must(t, config.Services(ofManager, services, managers.Items))
	must(t, config.Pods(ofSamplers, samplers.Items))
	out, err := config.YAML()
	must(t, err)
	return out
}
