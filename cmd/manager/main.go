// Command manager is the operator: it carries out MCPServers and
// SamplingPolicies.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/go-logr/logr"
	"github.com/spf13/pflag"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
	"github.com/mcp-sampling/mcp-sampling-operator/controllers"
	"github.com/mcp-sampling/mcp-sampling-operator/controllers/build"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/version"
)

// leaderElectionID is the name of the Lease.
const leaderElectionID = "mcp-sampling-operator.mcp-sampling.dev"

func main() {
	opts, err := parse(os.Args[1:], os.Stderr)
	switch {
	case errors.Is(err, pflag.ErrHelp):
		return
	case err != nil:
		fmt.Fprintf(os.Stderr, "manager: %v\nmanager --help lists the flags\n", err)
		os.Exit(2)
	case opts.version:
		fmt.Println("manager", version.Get())
		return
	}
	logger := opts.logger(os.Stderr)
	setLogger(logger)
	if err := run(ctrl.SetupSignalHandler(), opts, logger); err != nil {
		logger.Error("the manager stops", "error", err)
		os.Exit(1)
	}
}

// setLogger makes controller-runtime and client-go log as we do.
func setLogger(logger *slog.Logger) {
	log := logr.FromSlogHandler(logger.Handler())
	ctrl.SetLogger(log)
	klog.SetLogger(log)
}

func run(ctx context.Context, opts options, logger *slog.Logger) error {
	config, err := ctrl.GetConfig()
	if err != nil {
		return fmt.Errorf("find the cluster: %w", err)
	}
	scheme, err := newScheme()
	if err != nil {
		return err
	}
	mgr, err := ctrl.NewManager(config, ctrl.Options{
		Scheme:                        scheme,
		Cache:                         controllers.CacheOptions(opts.namespaces),
		Metrics:                       metricsserver.Options{BindAddress: opts.metricsAddress},
		HealthProbeBindAddress:        opts.healthAddress,
		PprofBindAddress:              opts.pprofAddress,
		LeaderElection:                opts.leaderElect,
		LeaderElectionID:              leaderElectionID,
		LeaderElectionNamespace:       opts.leaderElectionNamespace,
		LeaderElectionReleaseOnCancel: true,
	})
	if err != nil {
		return fmt.Errorf("set up the manager: %w", err)
	}
	if err := addChecks(mgr); err != nil {
		return err
	}
	err = controllers.Setup(ctx, mgr, controllers.Options{
		Build: build.Options{
			SamplerImage:            opts.samplerImage,
			SamplerImagePullPolicy:  corev1.PullPolicy(opts.samplerImagePullPolicy),
			SamplerImagePullSecrets: opts.samplerImagePullSecrets,
			NetworkPolicies:         opts.sealing(logger),
			PodSecurity:             build.PodSecurity(opts.podSecurity),
			NoDisruptionBudgets:     !opts.disruptionBudgets,
			OTLP:                    opts.otlp.build(),
		},
		ClusterDomain: opts.clusterDomain,
		Metrics:       ctrlmetrics.Registry,
	})
	if err != nil {
		return err
	}
	return mgr.Start(ctx)
}

// newScheme knows the kinds that the operator reads and writes, and no others.
func newScheme() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, appsv1.AddToScheme, networkingv1.AddToScheme, policyv1.AddToScheme, mcpv1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, fmt.Errorf("register kinds: %w", err)
		}
	}
	return scheme, nil
}

func addChecks(mgr manager.Manager) error {
	if err := mgr.AddHealthzCheck("ping", healthz.Ping); err != nil {
		return fmt.Errorf("add the health check: %w", err)
	}
	// Ready means that the cache holds what is in the cluster.
	err := mgr.AddReadyzCheck("cache", func(req *http.Request) error {
		ctx, cancel := context.WithTimeout(req.Context(), 500*time.Millisecond)
		defer cancel()
		if !mgr.GetCache().WaitForCacheSync(ctx) {
			return errors.New("the cache is not filled yet")
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("add the readiness check: %w", err)
	}
	return nil
}
