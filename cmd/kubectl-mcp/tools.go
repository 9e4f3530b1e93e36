package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/spf13/cobra"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/kubectl/arguments"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/kubectl/caller"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/kubectl/terminal"
)

// listTimeout is for what no model has to answer.
const listTimeout = time.Minute

func (p *plugin) toolsCommand() *cobra.Command {
	var out output
	cmd := &cobra.Command{
		Use:   "tools NAME [TOOL]",
		Short: "List the tools of a server, or the arguments of one",
		Long: `List the tools of an MCPServer, or what one of them takes. The server is asked
itself, through a port-forward to its sampler.

Rights: get mcpservers, list pods, create (and get) pods/portforward.`,
		Example: `  kubectl mcp tools summarizer
  kubectl mcp tools summarizer summarize
  kubectl mcp tools summarizer -o json`,
		Args:              named("the name of an MCPServer", 1, 2),
		ValidArgsFunction: p.completeServerThenTool,
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ctx, cancel := contextWithin(cmd.Context(), listTimeout)
		defer cancel()
		s, err := p.open(ctx, args[0], caller.Options{})
		if err != nil {
			return err
		}
		defer func() { _ = s.Close() }() // nothing is left to say
		tools, err := s.Tools(ctx)
		if err != nil {
			return unreached(ctx, s.server, err)
		}
		if len(args) == 2 {
			tool, err := findTool(tools, args[0], args[1])
			if err != nil {
				return err
			}
			if done, err := out.write(p.Out, tool); done {
				return err
			}
			return p.writeTool(tool)
		}
		if done, err := out.write(p.Out, tools); done {
			return err
		}
		return p.writeTools(tools, out.format)
	}
	out.add(cmd, "wide", "name")
	return cmd
}

func findTool(tools []*mcp.Tool, server, name string) (*mcp.Tool, error) {
	var names []string
	for _, t := range tools {
		if t.Name == name {
			return t, nil
		}
		names = append(names, terminal.Line(t.Name))
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("MCPServer %q has no tools", server)
	}
	const enough = 12
	if len(names) > enough {
		names = append(names[:enough], "… (kubectl mcp tools "+server+")")
	}
	return nil, fmt.Errorf("MCPServer %q has no tool %q: it has %s", server, name, strings.Join(names, ", "))
}

func (p *plugin) writeTools(tools []*mcp.Tool, format string) error {
	if format == "name" {
		for _, t := range tools {
			if _, err := fmt.Fprintln(p.Out, terminal.Line(t.Name)); err != nil {
				return err
			}
		}
		return nil
	}
	if len(tools) == 0 {
		p.say("The server has no tools.")
		return nil
	}
	var table terminal.Table
	table.Row("TOOL", "ARGUMENTS", "DESCRIPTION")
	for _, t := range tools {
		description := terminal.Line(t.Description)
		if format != "wide" {
			first, _, _ := strings.Cut(strings.TrimSpace(t.Description), "\n")
			description = terminal.Short(terminal.Line(first), 70)
		}
		table.Row(terminal.Line(t.Name), signature(t), description)
	}
	return table.Write(p.Out, p.paint(p.Out))
}

// signature is a tool's arguments in short; those that may be left out have a
// question mark.
func signature(t *mcp.Tool) string {
	schema, err := arguments.Read(t.InputSchema)
	if err != nil {
		return "?"
	}
	var out []string
	for _, a := range schema.List() {
		text := terminal.Line(a.Name)
		if !a.Required {
			text += "?"
		}
		out = append(out, text)
	}
	if len(out) == 0 {
		return "-"
	}
	return strings.Join(out, " ")
}

func (p *plugin) writeTool(t *mcp.Tool) error {
	schema, err := arguments.Read(t.InputSchema)
	if err != nil {
		return err
	}
	if t.Description != "" {
		if _, err := fmt.Fprintf(p.Out, "%s\n\n", terminal.Block(strings.TrimSpace(t.Description))); err != nil {
			return err
		}
	}
	list := schema.List()
	if len(list) == 0 {
		_, err := fmt.Fprintln(p.Out, "It takes no arguments.")
		return err
	}
	var table terminal.Table
	table.Row("ARGUMENT", "TYPE", "REQUIRED", "DESCRIPTION")
	for _, a := range list {
		required := "no"
		if a.Required {
			required = "yes"
		}
		types := slices.Clone(a.Types)
		if len(types) == 0 {
			types = []string{"any"}
		}
		table.Row(terminal.Line(a.Name), terminal.Line(strings.Join(types, " or ")), required, terminal.Line(a.Description))
	}
	return table.Write(p.Out, p.paint(p.Out))
}
