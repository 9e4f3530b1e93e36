package main

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/selftest"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/version"
)

// selftestCommand is for the chart's `helm test`, which has no other image than
// this.
func selftestCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:    "selftest",
		Short:  "Play an MCP server, or its caller and the model, for helm test",
		Hidden: true,
	}
	serve := &cobra.Command{
		Use:   "server",
		Short: "Be an MCP server on standard input and output whose tool samples",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return selftest.Serve(cmd.Context(), cmd.InOrStdin(), cmd.OutOrStdout(), version.Short())
		},
	}
	var o selftest.Options
	call := &cobra.Command{
		Use:   "call --url URL",
		Short: "Call that server's tool through a sampler, and answer as the model",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.Out = cmd.OutOrStdout()
			return selftest.Call(cmd.Context(), o)
		},
	}
	f := call.Flags()
	f.StringVar(&o.URL, "url", "", "the `URL` of the sampler (required)")
	f.StringVar(&o.Listen, "listen", ":8080", "the `address` of the model")
	f.DurationVar(&o.Timeout, "timeout", 3*time.Minute, "how long the answer may take")
	if err := call.MarkFlagRequired("url"); err != nil {
		panic(err) // the flag is defined above
	}
	cmd.AddCommand(serve, call)
	return cmd
}
