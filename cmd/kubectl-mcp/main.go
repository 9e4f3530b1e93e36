// Command kubectl-mcp is a plugin of kubectl: on the PATH it is "kubectl mcp".
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/klog/v2"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/kubectl/cluster"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/kubectl/terminal"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/version"
)

func main() {
	klog.LogToStderr(false) // what libraries log is not for users
	klog.SetOutput(io.Discard)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	streams := genericiooptions.IOStreams{In: os.Stdin, Out: os.Stdout, ErrOut: os.Stderr}
	os.Exit(run(ctx, command(streams), streams))
}

// Exit codes.
const (
	exitOK = 0
	// exitNo: it was done, and the answer is no.
	exitNo = 1
	// exitUsage: what was written cannot be used.
	exitUsage = 2
	// exitCluster: the cluster does not answer, has no such object, or refuses.
	exitCluster = 3
	// exitNotReady: the server cannot be called now.
	exitNotReady = 4
	// exitInterrupted is that of a shell for a program that Ctrl-C ends.
	exitInterrupted = 130
)

// errNo ends the program with its own code; what was written has said the rest.
var errNo = errors.New("no")

// notReadyError is a server that cannot be called.
type notReadyError struct{ text string }

func (e *notReadyError) Error() string { return e.text }

// noError is an answer that is no, with a reason that is still to be said.
type noError struct{ text string }

func (e *noError) Error() string { return e.text }

func run(ctx context.Context, cmd *cobra.Command, streams genericiooptions.IOStreams) int {
	err := cmd.ExecuteContext(ctx)
	if err == nil || errors.Is(err, errNo) {
		return exitCode(ctx, err)
	}
	if ctx.Err() == nil {
		_, _ = fmt.Fprintln(streams.ErrOut, "kubectl-mcp:", strings.TrimSpace(terminal.Block(err.Error())))
	}
	return exitCode(ctx, err)
}

func exitCode(ctx context.Context, err error) int {
	var (
		no       *noError
		notReady *notReadyError
		failure  *cluster.Failure
		refused  *cluster.RefusedError
	)
	switch {
	case err == nil:
		return exitOK
	case ctx.Err() != nil:
		return exitInterrupted
	case errors.Is(err, errNo), errors.As(err, &no):
		return exitNo
	case errors.As(err, &notReady):
		return exitNotReady
	case errors.As(err, &failure), errors.As(err, &refused):
		return exitCluster
	default:
		return exitUsage
	}
}

func command(streams genericiooptions.IOStreams) *cobra.Command {
	root := &cobra.Command{
		Use:   "mcp",
		Short: "Look into MCP servers and the policies of their sampling",
		Long: `Look into MCP servers and the policies of their sampling: how they are, what is
wrong and what to do about it, what their tools answer, and what sampling costs.

Exit codes: 0 done; 1 done, and the answer is no (a tool failed, its sampling was
not answered, a policy refuses); 2 what was written cannot be used; 3 the cluster
does not answer, has no such object, or refuses; 4 the server cannot be called
now; 130 interrupted.`,
		Example: `  kubectl mcp status
  kubectl mcp call summarizer summarize text="Boats float on water."
  kubectl mcp usage --since 24h`,
		Version:       version.Get().String(),
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.NoArgs,
		RunE:          help,
		Annotations:   map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl mcp"},
	}
	root.SetIn(streams.In)
	root.SetOut(streams.Out)
	root.SetErr(streams.ErrOut)
	p := newPlugin(streams)
	policies := &cobra.Command{Use: "policy", Short: "Look into SamplingPolicies", Args: cobra.NoArgs, RunE: help}
	policies.AddCommand(checkCommand())
	root.AddCommand(
		p.statusCommand(), p.toolsCommand(), p.callCommand(), p.logsCommand(), p.usageCommand(),
		policies, p.initCommand(), p.restartCommand(), p.versionCommand(),
	)
	p.addFlags(root)
	root.CompletionOptions.HiddenDefaultCmd = true
	return root
}

// help is what a command does that only holds others; with NoArgs a name that is
// none of them is an error.
func help(cmd *cobra.Command, _ []string) error { return cmd.Help() }
