package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/kubectl/overview"
)

func (p *plugin) statusCommand() *cobra.Command {
	var out output
	var all bool
	cmd := &cobra.Command{
		Use:   "status [NAME…]",
		Short: "Show policies, their servers and pods as a tree: what is wrong, and what to do",
		Long: `Show policies, the servers that they govern, and the pods of those: what is
wrong, and what to do about it. NAME is an MCPServer or a SamplingPolicy; without
one it is all of the namespace.

Rights: list mcpservers and samplingpolicies; list pods, without which the tree
has none.`,
		Example: `  kubectl mcp status
  kubectl mcp status summarizer -o wide
  # what is wrong anywhere in the cluster
  kubectl mcp status -A -o json | jq -r '.policies[].servers[] | select(.state != "OK") | "\(.namespace)/\(.name): \(.problems[0])"'`,
		ValidArgsFunction: p.completeServersAndPolicies,
	}
	cmd.RunE = func(cmd *cobra.Command, names []string) error {
		c, err := p.connect()
		if err != nil {
			return err
		}
		namespace := c.Namespace
		if all {
			c.Namespace = ""
		}
		in := overview.Input{Names: names}
		if in.Servers, err = c.Servers(cmd.Context()); err != nil {
			return err
		}
		if in.Policies, err = c.Policies(cmd.Context()); err != nil {
			return err
		}
		if in.Pods, err = c.Pods(cmd.Context()); err != nil {
			in.Notes = append(in.Notes, "Pods are not shown: "+err.Error())
		}
		tree, missing := overview.Make(in)
		if len(missing) > 0 {
			_, err := c.Server(cmd.Context(), missing[0])
			if err == nil {
				err = fmt.Errorf("%s has just come: try again", missing[0])
			}
			return err
		}
		if done, err := out.write(p.Out, tree); done {
			return err
		}
		if out.format == "name" {
			return p.writeNames(tree)
		}
		if len(in.Servers)+len(in.Policies) == 0 {
			where := fmt.Sprintf("namespace %q", namespace)
			if all {
				where = "any namespace"
			}
			p.say("There are no MCPServers and no SamplingPolicies in %s: kubectl mcp init writes a first one of each.", where)
			return nil
		}
		return tree.WriteText(p.Out, p.paint(p.Out), overview.TextOptions{Wide: out.format == "wide", Namespaces: all})
	}
	cmd.Flags().BoolVarP(&all, "all-namespaces", "A", false, "all namespaces")
	out.add(cmd, "wide", "name")
	return cmd
}

func (p *plugin) writeNames(tree *overview.Overview) error {
	var b strings.Builder
	servers := func(list []overview.Server) {
		for i := range list {
			fmt.Fprintln(&b, "mcpserver.mcp-sampling.dev/"+list[i].Name)
		}
	}
	for i := range tree.Policies {
		fmt.Fprintln(&b, "samplingpolicy.mcp-sampling.dev/"+tree.Policies[i].Name)
		servers(tree.Policies[i].Servers)
	}
	servers(tree.Ungoverned)
	_, err := fmt.Fprint(p.Out, b.String())
	return err
}
