package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"

	"github.com/spf13/pflag"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"
	ctrlconfig "sigs.k8s.io/controller-runtime/pkg/client/config"

	"github.com/mcp-sampling/mcp-sampling-operator/controllers/build"
)

// options are the flags.
type options struct {
	samplerImage            string
	samplerImagePullPolicy  string
	samplerImagePullSecrets []string
	namespaces              []string
	clusterDomain           string
	networkPolicies         bool
	disruptionBudgets       bool
	operatorNamespace       string
	operatorSelector        map[string]string
	podSecurity             string
	metricsFrom             string
	otlp                    otlpOptions
	metricsAddress          string
	healthAddress           string
	pprofAddress            string
	leaderElect             bool
	leaderElectionNamespace string
	logLevel                string
	logFormat               string
	version                 bool
	kubeconfig              string

	level slog.Level
	peers []networkingv1.NetworkPolicyPeer
}

// parse reads the flags. Help goes to out and is pflag.ErrHelp.
func parse(args []string, out io.Writer) (options, error) {
	var o options
	fs := pflag.NewFlagSet("manager", pflag.ContinueOnError)
	fs.SetOutput(out)
	fs.SortFlags = false
	fs.StringVar(&o.samplerImage, "sampler-image", "", "image of the samplers, the pods in front of the MCP servers (required)")
	fs.StringVar(&o.samplerImagePullPolicy, "sampler-image-pull-policy", "", "Always, IfNotPresent or Never; by default what Kubernetes chooses from the image's tag")
	fs.StringSliceVar(&o.samplerImagePullSecrets, "sampler-image-pull-secrets", nil, "Secrets to pull the sampler's image with, separated by commas; each namespace with an MCPServer needs them")
	fs.StringSliceVar(&o.namespaces, "namespaces", nil, "namespaces to work in, separated by commas; by default all of them")
	fs.StringVar(&o.clusterDomain, "cluster-domain", "cluster.local", "DNS domain of the cluster")
	fs.BoolVar(&o.networkPolicies, "network-policies", true, "make NetworkPolicies, by which only who may reaches servers and samplers; with false they are removed")
	fs.BoolVar(&o.disruptionBudgets, "disruption-budgets", true, "make PodDisruptionBudgets for servers and samplers of several pods; with false they are removed")
	fs.StringVar(&o.operatorNamespace, "operator-namespace", os.Getenv("POD_NAMESPACE"), "namespace of the manager's own pods, from which samplers may be asked how they are; by default $POD_NAMESPACE")
	fs.StringToStringVar(&o.operatorSelector, "operator-selector", nil, "labels of the manager's own pods there, as key=value,…; by default any pod of that namespace")
	fs.StringVar(&o.podSecurity, "pod-security", string(build.PodSecurityBaseline), "the Pod Security level that all pods of MCPServers are held to, whatever their namespaces allow: privileged, baseline or restricted")
	fs.StringVar(&o.metricsFrom, "metrics-from", defaultMetricsFrom, "who may read the metrics of samplers where --network-policies holds: a list of peers as in a NetworkPolicy, as JSON; [] lets nobody")
	o.otlp.add(fs)
	fs.StringVar(&o.metricsAddress, "metrics-bind-address", ":8080", "where metrics are served over HTTP; 0 serves none")
	fs.StringVar(&o.healthAddress, "health-probe-bind-address", ":8081", "where /healthz and /readyz are served; 0 serves none")
	fs.StringVar(&o.pprofAddress, "pprof-bind-address", "", "where profiles of the manager are served, for example 127.0.0.1:6060; by default nowhere")
	fs.BoolVar(&o.leaderElect, "leader-elect", false, "let only one of several managers work at a time")
	fs.StringVar(&o.leaderElectionNamespace, "leader-election-namespace", "", "namespace of the Lease for leader election; by default the one that the manager runs in")
	fs.StringVar(&o.logLevel, "log-level", "info", "debug, info, warn or error")
	fs.StringVar(&o.logFormat, "log-format", "json", "json or text")
	fs.BoolVar(&o.version, "version", false, "print the version and exit")
	// controller-runtime registers this one by itself.
	if kubeconfig := flag.Lookup(ctrlconfig.KubeconfigFlagName); kubeconfig != nil {
		fs.StringVar(&o.kubeconfig, kubeconfig.Name, "", "path to a kubeconfig; needed only outside of a cluster")
	}
	fs.Usage = func() {
		fmt.Fprintf(out, "manager carries out the MCPServers and SamplingPolicies of a Kubernetes cluster.\n\nUsage:\n  manager --sampler-image=IMAGE [flags]\n\nFlags:\n%s", fs.FlagUsages())
	}
	if err := fs.Parse(args); err != nil {
		return options{}, err
	}
	if o.version {
		return o, nil
	}
	if fs.NArg() > 0 {
		return options{}, fmt.Errorf("unexpected argument %q: everything is set by flags", fs.Arg(0))
	}
	if o.kubeconfig != "" {
		if err := flag.Set(ctrlconfig.KubeconfigFlagName, o.kubeconfig); err != nil {
			return options{}, fmt.Errorf("--kubeconfig: %w", err)
		}
	}
	return o, o.check()
}

func (o *options) check() error {
	var problems []error
	if o.samplerImage == "" {
		problems = append(problems, errors.New("--sampler-image is missing: write the image of the sampler"))
	}
	if p := corev1.PullPolicy(o.samplerImagePullPolicy); p != "" &&
		!slices.Contains([]corev1.PullPolicy{corev1.PullAlways, corev1.PullIfNotPresent, corev1.PullNever}, p) {
		problems = append(problems, fmt.Errorf("--sampler-image-pull-policy is %q: write Always, IfNotPresent or Never", p))
	}
	for _, secret := range o.samplerImagePullSecrets {
		if why := validation.IsDNS1123Subdomain(secret); len(why) > 0 {
			problems = append(problems, fmt.Errorf("--sampler-image-pull-secrets holds %q, which is no name of a Secret", secret))
		}
	}
	for _, namespace := range o.namespaces {
		if why := validation.IsDNS1123Label(namespace); len(why) > 0 {
			problems = append(problems, fmt.Errorf("--namespaces holds %q, which is no name of a namespace", namespace))
		}
	}
	if why := validation.IsDNS1123Subdomain(o.clusterDomain); len(why) > 0 {
		problems = append(problems, fmt.Errorf("--cluster-domain is %q: write a DNS domain like cluster.local", o.clusterDomain))
	}
	if why := validation.IsDNS1123Label(o.operatorNamespace); o.operatorNamespace != "" && len(why) > 0 {
		problems = append(problems, fmt.Errorf("--operator-namespace is %q, which is no name of a namespace", o.operatorNamespace))
	}
	if _, err := labels.ValidatedSelectorFromSet(o.operatorSelector); err != nil {
		problems = append(problems, fmt.Errorf("--operator-selector: %w", err))
	}
	switch build.PodSecurity(o.podSecurity) {
	case build.PodSecurityPrivileged, build.PodSecurityBaseline, build.PodSecurityRestricted:
	default:
		problems = append(problems, fmt.Errorf("--pod-security is %q: write privileged, baseline or restricted", o.podSecurity))
	}
	if err := o.readMetricsFrom(); err != nil {
		problems = append(problems, err)
	}
	problems = append(problems, o.otlp.check())
	if err := o.level.UnmarshalText([]byte(o.logLevel)); err != nil {
		problems = append(problems, fmt.Errorf("--log-level is %q: write debug, info, warn or error", o.logLevel))
	}
	if o.logFormat != "json" && o.logFormat != "text" {
		problems = append(problems, fmt.Errorf("--log-format is %q: write json or text", o.logFormat))
	}
	return errors.Join(problems...)
}

// sealing says how pods are sealed off.
func (o *options) sealing(log *slog.Logger) *build.NetworkPolicies {
	switch {
	case !o.networkPolicies:
		return nil
	case o.operatorNamespace == "":
		log.Warn("samplers let everybody ask how they are: --operator-namespace does not say where the manager runs")
		return &build.NetworkPolicies{MetricsFrom: o.peers}
	default:
		return &build.NetworkPolicies{
			Operator:    &build.Peer{Namespace: o.operatorNamespace, Labels: o.operatorSelector},
			MetricsFrom: o.peers,
		}
	}
}

func (o *options) logger(out io.Writer) *slog.Logger {
	handler := &slog.HandlerOptions{Level: o.level}
	if o.logFormat == "text" {
		return slog.New(slog.NewTextHandler(out, handler))
	}
	return slog.New(slog.NewJSONHandler(out, handler))
}
