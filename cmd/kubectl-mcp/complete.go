package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/kubectl/arguments"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/kubectl/caller"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/kubectl/cluster"
)

// patience is what a shell waits for completions.
const patience = 5 * time.Second

// named checks how many names a command is given.
func named(what string, least, most int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < least || (most >= 0 && len(args) > most) {
			return fmt.Errorf("write %s: %s", what, cmd.UseLine())
		}
		return nil
	}
}

type completions = cobra.ShellCompDirective

func (p *plugin) servers(ctx context.Context) []string {
	return namesOf(ctx, p, (*cluster.Cluster).Servers)
}

func (p *plugin) policies(ctx context.Context) []string {
	return namesOf(ctx, p, (*cluster.Cluster).Policies)
}

// namesOf returns the names of what list finds; none where they cannot be had.
func namesOf[T any, P interface {
	*T
	metav1.Object
}](ctx context.Context, p *plugin, list func(*cluster.Cluster, context.Context) ([]T, error)) []string {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	c, err := p.connect()
	if err != nil {
		return nil
	}
	found, err := list(c, ctx)
	if err != nil {
		return nil
	}
	var names []string
	for i := range found {
		names = append(names, P(&found[i]).GetName())
	}
	return names
}

func (p *plugin) completeServer(cmd *cobra.Command, args []string, _ string) ([]string, completions) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return p.servers(cmd.Context()), cobra.ShellCompDirectiveNoFileComp
}

func (p *plugin) completeServersAndPolicies(cmd *cobra.Command, args []string, _ string) ([]string, completions) {
	names := append(p.servers(cmd.Context()), p.policies(cmd.Context())...)
	slices.Sort(names)
	names = slices.DeleteFunc(slices.Compact(names), func(name string) bool { return slices.Contains(args, name) })
	return names, cobra.ShellCompDirectiveNoFileComp
}

// completeServerThenTool asks the server for its tools, and for a tool's arguments.
func (p *plugin) completeServerThenTool(cmd *cobra.Command, args []string, _ string) ([]string, completions) {
	if len(args) == 0 {
		return p.servers(cmd.Context()), cobra.ShellCompDirectiveNoFileComp
	}
	if len(args) > 1 && cmd.Name() != "call" {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), patience)
	defer cancel()
	s, err := p.open(ctx, args[0], caller.Options{})
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	defer func() { _ = s.Close() }() // nothing is left to say
	tools, err := s.Tools(ctx)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var out []string
	if len(args) == 1 {
		for _, t := range tools {
			if completable(t.Name) {
				out = append(out, t.Name)
			}
		}
		return out, cobra.ShellCompDirectiveNoFileComp
	}
	tool, err := findTool(tools, args[0], args[1])
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	schema, err := arguments.Read(tool.InputSchema)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	for _, a := range schema.List() {
		given := slices.ContainsFunc(args[2:], func(arg string) bool { return strings.HasPrefix(arg, a.Name+"=") })
		if !given && completable(a.Name) {
			out = append(out, a.Name+"=")
		}
	}
	return out, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
}

// completable keeps what servers choose from being more than a word to a shell.
func completable(name string) bool {
	return name != "" && strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./") == ""
}

func (p *plugin) namespaceNames(ctx context.Context) []string {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	config, err := p.flags.ToRESTConfig()
	if err != nil {
		return nil
	}
	clientset, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil
	}
	list, err := clientset.CoreV1().Namespaces().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil
	}
	var names []string
	for i := range list.Items {
		names = append(names, list.Items[i].Name)
	}
	return names
}

func (p *plugin) contextNames(context.Context) []string {
	config, err := p.flags.ToRawKubeConfigLoader().RawConfig()
	if err != nil {
		return nil
	}
	var names []string
	for name := range config.Contexts {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
