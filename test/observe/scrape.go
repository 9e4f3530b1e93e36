package observe

import (
	"errors"
	"fmt"
	"net"
	"regexp"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/yaml"
)

// Monitor is what tests need of a PodMonitor and of a ServiceMonitor.
type Monitor struct {
	Kind     string
	Metadata struct{ Name, Namespace string }
	Spec     struct {
		Selector            struct{ MatchLabels map[string]string }
		PodMetricsEndpoints []endpoint
		Endpoints           []endpoint
	}
}

type endpoint struct {
	Port        string
	HonorLabels bool
	Relabelings []struct {
		SourceLabels []string
		TargetLabel  string
	}
}

type target struct {
	Targets []string          `json:"targets"`
	Labels  map[string]string `json:"labels"`
}

type scrape struct {
	JobName     string   `json:"job_name"`
	HonorLabels bool     `json:"honor_labels"`
	Static      []target `json:"static_configs"`
}

// Config is a configuration of Prometheus that scrapes what monitors select.
type Config struct {
	Global map[string]string `json:"global"`
	Scrape []scrape          `json:"scrape_configs"`
}

// NewConfig returns one that scrapes each second, and nothing yet.
func NewConfig() *Config {
	return &Config{Global: map[string]string{"scrape_interval": "1s", "scrape_timeout": "1s"}}
}

// YAML is what Prometheus reads.
func (c *Config) YAML() (string, error) {
	data, err := yaml.Marshal(c)
	return string(data), err
}

// Pods adds the pods that a PodMonitor selects, with the labels that the Prometheus
// operator has Prometheus give them. The test finds the pods, as Debian builds
// Prometheus without the discovery of Kubernetes.
func (c *Config) Pods(m Monitor, pods []corev1.Pod) error {
	if len(m.Spec.PodMetricsEndpoints) != 1 {
		return errors.New("the PodMonitor has not one endpoint")
	}
	return c.add(m, m.Spec.PodMetricsEndpoints[0], m.Spec.Selector.MatchLabels, m.Metadata.Namespace+"/"+m.Metadata.Name, pods)
}

// Services adds the pods behind the Service that a ServiceMonitor selects.
func (c *Config) Services(m Monitor, services []corev1.Service, pods []corev1.Pod) error {
	if len(m.Spec.Endpoints) != 1 {
		return errors.New("the ServiceMonitor has not one endpoint")
	}
	for i := range services {
		service := &services[i]
		if !labels.SelectorFromSet(m.Spec.Selector.MatchLabels).Matches(labels.Set(service.Labels)) {
			continue
		}
		e := m.Spec.Endpoints[0]
		for _, port := range service.Spec.Ports {
			if port.Name == e.Port {
				e.Port = port.TargetPort.StrVal
				return c.add(m, e, service.Spec.Selector, service.Name, pods)
			}
		}
		return fmt.Errorf("service %s has no port %q", service.Name, e.Port)
	}
	return fmt.Errorf("the ServiceMonitor selects none of %d Services by %v", len(services), m.Spec.Selector.MatchLabels)
}

// notInLabels is what Prometheus replaces in the names of Kubernetes' labels.
var notInLabels = regexp.MustCompile(`[^a-zA-Z0-9_]`)

func (c *Config) add(m Monitor, e endpoint, selector map[string]string, job string, pods []corev1.Pod) error {
	out := scrape{JobName: m.Metadata.Namespace + "/" + m.Metadata.Name, HonorLabels: e.HonorLabels}
	for i := range pods {
		pod := &pods[i]
		if !labels.SelectorFromSet(selector).Matches(labels.Set(pod.Labels)) {
			continue
		}
		meta := map[string]string{}
		for name, value := range pod.Labels {
			meta["__meta_kubernetes_pod_label_"+notInLabels.ReplaceAllString(name, "_")] = value
		}
		for _, container := range pod.Spec.Containers {
			for _, port := range container.Ports {
				if port.Name != e.Port {
					continue
				}
				labelled := map[string]string{"namespace": pod.Namespace, "pod": pod.Name, "container": container.Name, "job": job}
				for _, r := range e.Relabelings {
					if len(r.SourceLabels) != 1 {
						return fmt.Errorf("the relabeling of %s has not one source", r.TargetLabel)
					}
					labelled[r.TargetLabel] = meta[r.SourceLabels[0]]
				}
				address := net.JoinHostPort(pod.Status.PodIP, strconv.Itoa(int(port.ContainerPort)))
				out.Static = append(out.Static, target{Targets: []string{address}, Labels: labelled})
			}
		}
	}
	if len(out.Static) == 0 {
		return fmt.Errorf("%s %s selects no pod with a port %q", m.Kind, m.Metadata.Name, e.Port)
	}
	c.Scrape = append(c.Scrape, out)
	return nil
}
