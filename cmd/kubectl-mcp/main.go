// Command kubectl-mcp is a plugin of kubectl: on the PATH it is "kubectl mcp".
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/version"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, command()))
}

// Exit codes.
const (
	exitOK      = 0
	exitRefused = 1
	exitUsage   = 2
)

// errRefused ends the program with its own code; the report has said the rest.
var errRefused = errors.New("refused")

func run(ctx context.Context, cmd *cobra.Command) int {
	err := cmd.ExecuteContext(ctx)
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errRefused):
		return exitRefused
	default:
		_, _ = fmt.Fprintln(cmd.ErrOrStderr(), "kubectl-mcp:", err)
		return exitUsage
	}
}

func command() *cobra.Command {
	root := &cobra.Command{
		Use:           "kubectl-mcp",
		Short:         "Look into MCP servers and the policies of their sampling",
		Version:       version.Get().String(),
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.NoArgs,
		RunE:          help,
	}
	policies := &cobra.Command{Use: "policy", Short: "Look into SamplingPolicies", Args: cobra.NoArgs, RunE: help}
	policies.AddCommand(checkCommand())
	root.AddCommand(policies)
	root.CompletionOptions.HiddenDefaultCmd = true
	return root
}

// help is what a command does that only holds others; with NoArgs a name that is
// none of them is an error.
func help(cmd *cobra.Command, _ []string) error { return cmd.Help() }
