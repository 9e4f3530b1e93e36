package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/kubectl/cluster"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/kubectl/terminal"
)

// plugin is what all commands share.
type plugin struct {
	genericiooptions.IOStreams
	flags *genericclioptions.ConfigFlags
}

func newPlugin(streams genericiooptions.IOStreams) *plugin {
	return &plugin{IOStreams: streams, flags: genericclioptions.NewConfigFlags(true)}
}

// there is what a command that is told needs to be about the same namespace.
func (p *plugin) there() string {
	out := ""
	for _, flag := range []struct {
		name  string
		value *string
	}{{"-n", p.flags.Namespace}, {"--context", p.flags.Context}} {
		if flag.value != nil && *flag.value != "" {
			out += " " + flag.name + " " + *flag.value
		}
	}
	return out
}

// addFlags adds kubectl's own flags.
func (p *plugin) addFlags(root *cobra.Command) {
	flags := root.PersistentFlags()
	p.flags.AddFlags(flags)
	for _, each := range []struct {
		flag     string
		complete func(context.Context) []string
	}{{"namespace", p.namespaceNames}, {"context", p.contextNames}} {
		must(root.RegisterFlagCompletionFunc(each.flag, func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
			return each.complete(cmd.Context()), cobra.ShellCompDirectiveNoFileComp
		}))
	}
}

// must is for what fails only if the program is wrong.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

func (p *plugin) connect() (*cluster.Cluster, error) { return cluster.Connect(p.flags) }

// paint colours what is written to w, if that is a terminal.
func (p *plugin) paint(w io.Writer) terminal.Painter { return terminal.Paint(w) }

func (p *plugin) say(format string, args ...any) {
	_, _ = fmt.Fprintf(p.ErrOut, format+"\n", args...)
}

// output is the flag -o of a command.
type output struct{ format string }

func (o *output) add(cmd *cobra.Command, formats ...string) {
	text := "json, yaml"
	for _, f := range formats {
		text += ", " + f
	}
	cmd.Flags().StringVarP(&o.format, "output", "o", "", "how it is written: `format` is one of "+text+"; text without it")
	all := append([]string{"json", "yaml"}, formats...)
	must(cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(all, cobra.ShellCompDirectiveNoFileComp)))
	before := cmd.PreRunE
	cmd.PreRunE = func(cmd *cobra.Command, args []string) error {
		if o.format != "" {
			known := map[string]bool{}
			for _, f := range all {
				known[f] = true
			}
			if _, err := choice(known, "output", o.format); err != nil {
				return err
			}
		}
		if before != nil {
			return before(cmd, args)
		}
		return nil
	}
}

// write writes a value as json or yaml; done is false for the other formats.
func (o *output) write(w io.Writer, v any) (done bool, err error) {
	switch o.format {
	case "json":
		return true, terminal.JSON(w, v)
	case "yaml":
		return true, terminal.YAML(w, v)
	default:
		return false, nil
	}
}

// since returns when a time began that ends now; 0 is all that there is.
func since(d time.Duration) time.Time {
	if d == 0 {
		return time.Time{}
	}
	return time.Now().Add(-d)
}
