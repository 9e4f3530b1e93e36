// Package components holds the programs that make up a Kubernetes node, each as a function that
// runs it the way its own main does: it reads os.Args and flags of its own and may end the process.
//
// They are linked into one binary because they share nearly all of their code: one link of 160 MB
// instead of ten, and one build to wait for.
package components

import (
	"context"
	"errors"
	"log/slog"
	"os"
	_ "time/tzdata" // CronJobs name time zones, and the machine may have none installed.

	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/coremain"
	_ "github.com/coredns/coredns/plugin/cache" // A plugin works only if it is linked and in dnsDirectives.
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/health"
	_ "github.com/coredns/coredns/plugin/kubernetes"
	_ "github.com/coredns/coredns/plugin/ready"
	_ "github.com/coredns/coredns/plugin/reload"
	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/etcdmain"
	helmcmd "helm.sh/helm/v4/pkg/cmd"
	helmkube "helm.sh/helm/v4/pkg/kube"
	_ "k8s.io/client-go/plugin/pkg/client/auth" // kubectl and helm accept every kind of kubeconfig.
	"k8s.io/component-base/cli"
	"k8s.io/component-base/logs"
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	kubectlcmd "k8s.io/kubectl/pkg/cmd"
	kubectlutil "k8s.io/kubectl/pkg/cmd/util"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"

	"github.com/mcp-sampling/mcp-sampling-operator/hack/cluster/internal/netpol"
)

// dnsDirectives is the order in which CoreDNS runs its plugins.
var dnsDirectives = []string{"reload", "errors", "health", "ready", "cache", "kubernetes"}

// Main is a component's main function. It returns the exit code, unless the component ends the
// process by itself.
type Main func() int

// Named returns the main function of the component with that name.
func Named(name string) (Main, bool) {
	m, ok := mains[name]
	return m, ok
}

var mains = map[string]Main{
	"coredns":                 coredns,
	"etcd":                    etcd,
	"helm":                    helm,
	"kube-apiserver":          command(apiserver.NewAPIServerCommand),
	"kube-controller-manager": command(controllermanager.NewControllerManagerCommand),
	"kube-proxy":              command(proxy.NewProxyCommand),
	"kube-scheduler":          command(func() *cobra.Command { return scheduler.NewSchedulerCommand() }),
	"kubectl":                 kubectl,
	"kubelet":                 command(func() *cobra.Command { return kubelet.NewKubeletCommand(context.Background()) }),
	"network-policies":        func() int { return netpol.Main(os.Args[1:]) },
}

// command delays the making of a component's command until that component is asked for: making one
// already registers flags and metrics that another one registers too.
func command(make func() *cobra.Command) Main {
	return func() int { return cli.Run(make()) }
}

func coredns() int {
	dnsserver.SetDirectives(dnsDirectives)
	coremain.Run()
	return 0
}

func etcd() int {
	etcdmain.Main(os.Args)
	return 0
}

func kubectl() int {
	// kubectl's own main sets the verbosity before it builds the command; a bad value is reported
	// by the flag parser afterwards.
	_, _ = logs.GlogSetter(kubectlcmd.GetLogVerbosity(os.Args))
	if err := cli.RunNoErrOutput(kubectlcmd.NewDefaultKubectlCommand()); err != nil {
		kubectlutil.CheckErr(err)
		return 1
	}
	return 0
}

func helm() int {
	// Left to itself helm would name itself in managed fields after this binary.
	helmkube.ManagedFieldsManager = "helm"
	cmd, err := helmcmd.NewRootCmd(os.Stdout, os.Args[1:], helmcmd.SetupLogging)
	if err != nil {
		slog.Error("helm could not start", "error", err)
		return 1
	}
	if err := cmd.Execute(); err != nil {
		if coded, ok := errors.AsType[helmcmd.CommandError](err); ok {
			return coded.ExitCode
		}
		return 1
	}
	return 0
}
