package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"

	"github.com/spf13/pflag"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/mcp-sampling/mcp-sampling-operator/controllers/build"
)

// defaultMetricsFrom is where most run their Prometheus.
const defaultMetricsFrom = `[{"namespaceSelector":{"matchLabels":{"kubernetes.io/metadata.name":"monitoring"}}}]`

// readMetricsFrom reads --metrics-from. A peer that says nothing would let
// everybody in, and is more often a mistake than meant.
func (o *options) readMetricsFrom() error {
	const flag = "--metrics-from"
	if o.metricsFrom == "" {
		o.peers = nil
		return nil
	}
	decoder := json.NewDecoder(bytes.NewBufferString(o.metricsFrom))
	decoder.DisallowUnknownFields()
	var peers []networkingv1.NetworkPolicyPeer
	if err := decoder.Decode(&peers); err != nil {
		return fmt.Errorf("%s: %w: write a list of peers as in a NetworkPolicy, as JSON, such as %s", flag, err, defaultMetricsFrom)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%s: something follows the list", flag)
	}
	for i, peer := range peers {
		switch {
		case peer.NamespaceSelector == nil && peer.PodSelector == nil && peer.IPBlock == nil:
			return fmt.Errorf("%s: peer %d names nobody: write namespaceSelector, podSelector or ipBlock", flag, i+1)
		case peer.IPBlock != nil && (peer.NamespaceSelector != nil || peer.PodSelector != nil):
			return fmt.Errorf("%s: peer %d has an ipBlock and a selector: write two peers", flag, i+1)
		}
		for _, selector := range []*metav1.LabelSelector{peer.NamespaceSelector, peer.PodSelector} {
			if _, err := metav1.LabelSelectorAsSelector(selector); err != nil {
				return fmt.Errorf("%s: peer %d: %w", flag, i+1, err)
			}
		}
	}
	o.peers = peers
	return nil
}

// otlpOptions are the flags about what samplers send.
type otlpOptions struct {
	endpoint string
	ratio    float64
	signals  []string
}

func (o *otlpOptions) add(fs *pflag.FlagSet) {
	fs.StringVar(&o.endpoint, "otlp-endpoint", "", "URL of an OpenTelemetry collector (OTLP over HTTP) that samplers send their telemetry to, such as http://collector.monitoring:4318; by default they send nothing")
	fs.Float64Var(&o.ratio, "otlp-traces-ratio", 1, "how many of the traces that begin at a sampler are kept, from 0 to 1; those of callers are kept if the caller keeps them")
	fs.StringSliceVar(&o.signals, "otlp-signals", names(build.Signals()), "what samplers send, separated by commas: traces, metrics, logs")
}

func (o *otlpOptions) check() error {
	var problems []error
	if o.endpoint != "" {
		u, err := url.Parse(o.endpoint)
		switch {
		// The URL is not repeated where it may hold a password.
		case err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "":
			problems = append(problems, errors.New("--otlp-endpoint is no URL of a collector: write one like http://collector.monitoring:4318"))
		case u.User != nil || u.RawQuery != "" || u.Fragment != "":
			problems = append(problems, errors.New("--otlp-endpoint holds more than scheme, host and path: credentials belong into a collector in the cluster, which adds them"))
		}
	}
	if !(o.ratio >= 0 && o.ratio <= 1) {
		problems = append(problems, fmt.Errorf("--otlp-traces-ratio is %v: write a number from 0 to 1", o.ratio))
	}
	for _, signal := range o.signals {
		if !slices.Contains(build.Signals(), build.Signal(signal)) {
			problems = append(problems, fmt.Errorf("--otlp-signals holds %q: write traces, metrics or logs", signal))
		}
	}
	return errors.Join(problems...)
}

// build returns nil if nothing is to be sent.
func (o *otlpOptions) build() *build.OTLP {
	if o.endpoint == "" || len(o.signals) == 0 {
		return nil
	}
	out := &build.OTLP{Endpoint: o.endpoint, TracesRatio: o.ratio}
	for _, signal := range o.signals {
		out.Signals = append(out.Signals, build.Signal(signal))
	}
	return out
}

func names(signals []build.Signal) []string {
	out := make([]string, 0, len(signals))
	for _, s := range signals {
		out = append(out, string(s))
	}
	return out
}
