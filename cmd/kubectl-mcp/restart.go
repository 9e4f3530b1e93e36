package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
)

func (p *plugin) restartCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "restart NAME",
		Short: "Have the pods of a server replaced",
		Long: `Have the pods of an MCPServer's server replaced, one after the other: it sets the
annotation ` + mcpv1alpha1.AnnotationRestartedAt + ` of the MCPServer, and the operator does the
rest. Sessions on a pod end with it. Samplers stay.

Rights: get and patch mcpservers.`,
		Example: `  kubectl mcp restart summarizer
  kubectl mcp restart summarizer && kubectl rollout status deploy/summarizer-server`,
		Args:              named("the name of an MCPServer", 1, 1),
		ValidArgsFunction: p.completeServer,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := p.connect()
			if err != nil {
				return err
			}
			server, err := c.Server(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if server.Spec.Container == nil {
				return fmt.Errorf("MCPServer %q has no pods of its own (no spec.container): restart the server where it runs", args[0])
			}
			if err := c.Annotate(cmd.Context(), server, mcpv1alpha1.AnnotationRestartedAt, time.Now().UTC().Format(time.RFC3339)); err != nil {
				return err
			}
			_, err = fmt.Fprintf(p.Out, "mcpserver.mcp-sampling.dev/%s restarted: kubectl rollout status deploy/%s-server -n %s shows how far it is\n", args[0], args[0], c.Namespace)
			return err
		},
	}
}
