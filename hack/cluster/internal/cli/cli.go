// Package cli holds the commands of devcluster.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/mcp-sampling/mcp-sampling-operator/hack/cluster/internal/layout"
	"github.com/mcp-sampling/mcp-sampling-operator/hack/cluster/internal/lifecycle"
	"github.com/mcp-sampling/mcp-sampling-operator/hack/cluster/internal/node"
	"github.com/mcp-sampling/mcp-sampling-operator/hack/cluster/internal/settings"
)

// Commands that the program starts itself with, inside the namespaces.
const (
	initCommand         = "node-init"
	superviseCommand    = "node-supervise"
	egressDetachCommand = "egress-detach"
	egressServeCommand  = "egress-serve"
)

const (
	defaultName     = "dev"
	defaultLogLines = 200

	// The build puts the pause program beside this one.
	pauseSuffix = ".pause"

	exitFailed      = 1
	exitInterrupted = 130
)

// Run executes the command line and returns the exit code. isComponent tells which programs are part
// of this binary.
func Run(args []string, isComponent func(name string) bool) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := newRoot(isComponent)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	fmt.Fprintln(os.Stderr, "devcluster:", err)
	if ctx.Err() != nil {
		return exitInterrupted
	}
	return exitFailed
}

// app is what all commands share.
type app struct {
	name        string
	isComponent func(string) bool
}

func (a *app) cluster() (layout.Cluster, error) {
	cache, err := layout.CacheDir()
	if err != nil {
		return layout.Cluster{}, err
	}
	return layout.New(cache, a.name)
}

func newRoot(isComponent func(string) bool) *cobra.Command {
	a := &app{isComponent: isComponent}
	root := &cobra.Command{
		Use:   "devcluster",
		Short: "A real Kubernetes on one Linux machine, without a container engine",
		Long: `devcluster runs a Kubernetes node with its control plane on this machine: in namespaces of its own,
so that the machine's network, mounts and packet filter stay as they are, and so that 'down' leaves
nothing behind. Several clusters with different names run side by side.

The same program holds the components too: 'devcluster kubectl …' and 'devcluster helm …' are the
clients (set KUBECONFIG to what 'devcluster kubeconfig' prints), and a link to it named kubectl,
helm, etcd or kube-apiserver is that component.`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	// Components put flags of theirs among the process's flags, which cobra would list as ours.
	pflag.CommandLine.VisitAll(func(f *pflag.Flag) { f.Hidden = true })
	root.PersistentFlags().StringVar(&a.name, "name", defaultName, "the cluster's name")
	root.AddCommand(a.up(), a.down(), a.status(), a.kubeconfig(), a.egress(), a.load(), a.logs(),
		a.nodeInit(), a.nodeSupervise(), a.egressDetach(), a.egressServe())
	return root
}

func (a *app) up() *cobra.Command {
	var egress bool
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Start the cluster and wait until its node is ready and its DNS answers",
		Long: `Start the cluster and wait until its node is ready and its DNS answers.

A cluster that runs and is healthy is left alone. Otherwise what is left of it is removed, and it
starts with an empty state. A start that fails leaves nothing behind but its logs.
The kubeconfig's path is printed on the standard output, progress on the standard error.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.cluster()
			if err != nil {
				return err
			}
			self, err := os.Executable()
			if err != nil {
				return fmt.Errorf("finding this program: %w", err)
			}
			if err := lifecycle.Up(cmd.Context(), c, lifecycle.Options{
				PauseProgram: self + pauseSuffix,
				InitArgs:     []string{initCommand, "--name", c.Name},
				Egress:       egress,
				EgressArgs:   []string{egressDetachCommand, "--name", c.Name},
				Progress:     cmd.ErrOrStderr(),
			}); err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), c.Kubeconfig())
			return nil
		},
	}
	cmd.Flags().BoolVar(&egress, "egress", false, "give pods a way out by an HTTP proxy, also if the cluster runs already")
	return cmd
}

func (a *app) egress() *cobra.Command {
	return &cobra.Command{
		Use:   "egress",
		Short: "Print the URL of the proxy that leads out of the cluster",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.cluster()
			if err != nil {
				return err
			}
			url, err := lifecycle.Egress(cmd.Context(), c)
			if err != nil {
				return fmt.Errorf("cluster %s: %w", c.Name, err)
			}
			fmt.Fprintln(cmd.OutOrStdout(), url)
			return nil
		},
	}
}

func (a *app) down() *cobra.Command {
	return &cobra.Command{
		Use:   "down",
		Short: "End the cluster and remove all that belongs to it",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.cluster()
			if err != nil {
				return err
			}
			existed, err := lifecycle.Down(cmd.Context(), c, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			if existed {
				fmt.Fprintf(cmd.ErrOrStderr(), "cluster %s is gone\n", c.Name)
			} else {
				fmt.Fprintf(cmd.ErrOrStderr(), "there is no cluster %s\n", c.Name)
			}
			return nil
		},
	}
}

func (a *app) status() *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Say whether the cluster runs and is healthy; exit code 1 if not",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.cluster()
			if err != nil {
				return err
			}
			if err := lifecycle.Healthy(cmd.Context(), c); err != nil {
				return fmt.Errorf("cluster %s: %w", c.Name, err)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "cluster %s runs and is healthy\nkubeconfig: %s\nlogs:       %s\n", c.Name, c.Kubeconfig(), c.Logs())
			return nil
		},
	}
}

func (a *app) kubeconfig() *cobra.Command {
	return &cobra.Command{
		Use:   "kubeconfig",
		Short: "Print the path of the administrator's kubeconfig",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.cluster()
			if err != nil {
				return err
			}
			if _, err := os.Stat(c.Kubeconfig()); err != nil {
				return fmt.Errorf("there is no kubeconfig at %s: start the cluster with 'up'", c.Kubeconfig())
			}
			fmt.Fprintln(cmd.OutOrStdout(), c.Kubeconfig())
			return nil
		},
	}
}

func (a *app) load() *cobra.Command {
	return &cobra.Command{
		Use:   "load IMAGE.tar…",
		Short: "Load images into the cluster",
		Long: `Load images from docker or OCI archives ('docker save', 'buildah push IMAGE docker-archive:FILE:NAME:TAG').
Pods use them by their name with imagePullPolicy IfNotPresent or Never.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, archives []string) error {
			c, err := a.cluster()
			if err != nil {
				return err
			}
			loaded, err := lifecycle.Load(cmd.Context(), c, archives)
			for _, line := range loaded {
				fmt.Fprintln(cmd.OutOrStdout(), line)
			}
			return err
		},
	}
}

func (a *app) logs() *cobra.Command {
	var lines int
	cmd := &cobra.Command{
		Use:   "logs [PART]",
		Short: "Print the log of a part of the cluster, or the logs' paths",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.cluster()
			if err != nil {
				return err
			}
			if len(args) == 0 {
				return listLogs(cmd.OutOrStdout(), c)
			}
			return printLog(cmd.OutOrStdout(), c, args[0], lines)
		},
	}
	cmd.Flags().IntVarP(&lines, "lines", "n", defaultLogLines, "how many of the last lines to print; 0 prints all")
	return cmd
}

func listLogs(out io.Writer, c layout.Cluster) error {
	paths, err := filepath.Glob(filepath.Join(c.Logs(), "*.log"))
	if err != nil || len(paths) == 0 {
		return fmt.Errorf("there are no logs in %s", c.Logs())
	}
	for _, p := range paths {
		fmt.Fprintln(out, p)
	}
	return nil
}

func printLog(out io.Writer, c layout.Cluster, part string, lines int) error {
	parts := []string{"node", lifecycle.EgressPart}
	for name := range settings.Commands(c) {
		parts = append(parts, name)
	}
	if !slices.Contains(parts, part) {
		slices.Sort(parts)
		return fmt.Errorf("there is no part %q: the parts are %s", part, strings.Join(parts, ", "))
	}
	raw, err := os.ReadFile(c.Log(part))
	if err != nil {
		return fmt.Errorf("reading the log of %s: %w", part, err)
	}
	all := strings.SplitAfter(string(raw), "\n")
	if lines > 0 {
		// The text after the last line break is no line.
		all = all[max(0, len(all)-1-lines):]
	}
	_, err = io.WriteString(out, strings.Join(all, ""))
	return err
}

// egressDetach and egressServe run in the cluster's pid namespace and are of no use elsewhere.
func (a *app) egressDetach() *cobra.Command {
	return &cobra.Command{
		Use: egressDetachCommand, Hidden: true, Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return lifecycle.DetachEgress([]string{egressServeCommand, "--name", a.name})
		},
	}
}

func (a *app) egressServe() *cobra.Command {
	return &cobra.Command{
		Use: egressServeCommand, Hidden: true, Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return lifecycle.ServeEgress() },
	}
}

// nodeInit and nodeSupervise run inside the namespaces and are of no use elsewhere.
func (a *app) nodeInit() *cobra.Command {
	return &cobra.Command{
		Use: initCommand, Hidden: true, Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			dir, err := os.Getwd()
			if err != nil {
				return err
			}
			return node.Init(layout.Cluster{Name: a.name, Dir: dir}, []string{"devcluster", superviseCommand, "--name", a.name})
		},
	}
}

func (a *app) nodeSupervise() *cobra.Command {
	return &cobra.Command{
		Use: superviseCommand, Hidden: true, Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if os.Getpid() == 1 {
				return errors.New("the supervisor must not be the first process")
			}
			dir, err := os.Getwd()
			if err != nil {
				return err
			}
			return node.Run(layout.Cluster{Name: a.name, Dir: dir}, a.isComponent)
		},
	}
}
