package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/kubectl/terminal"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/version"
)

// versions is what is known of who runs in which version.
type versions struct {
	Plugin version.Info `json:"plugin"`
	// Operators are images by namespace/name of the Deployment.
	Operators map[string]string `json:"operators,omitempty"`
	// Samplers counts the samplers of the namespace by their image.
	Samplers map[string]int `json:"samplers,omitempty"`
	Unknown  []string       `json:"unknown,omitempty"`
}

func (p *plugin) versionCommand() *cobra.Command {
	var out output
	var own bool
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Show the versions of this plugin, the operator and the samplers",
		Long: `Show the version of this plugin, and the images of the operator and of the samplers
in the namespace.

Rights: list deployments.apps in all namespaces, list pods; without them it says
what is not known.`,
		Example: "  kubectl mcp version\n  kubectl mcp version --client",
		Args:    cobra.NoArgs,
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		v := versions{Plugin: version.Get()}
		if !own {
			const enough = 10 * time.Second
			ctx, cancel := context.WithTimeout(cmd.Context(), enough)
			defer cancel()
			p.askVersions(ctx, &v)
		}
		if done, err := out.write(p.Out, v); done {
			return err
		}
		return v.write(p)
	}
	cmd.Flags().BoolVar(&own, "client", false, "this plugin's only, without a cluster")
	out.add(cmd)
	return cmd
}

func (p *plugin) askVersions(ctx context.Context, v *versions) {
	c, err := p.connect()
	if err != nil {
		v.Unknown = append(v.Unknown, "operator and samplers: "+terminal.Line(err.Error()))
		return
	}
	if v.Operators, err = c.OperatorImages(ctx); err != nil {
		v.Unknown = append(v.Unknown, "operator: "+terminal.Line(err.Error()))
	}
	samplers, err := c.Samplers(ctx, "")
	if err != nil {
		v.Unknown = append(v.Unknown, "samplers: "+terminal.Line(err.Error()))
	}
	v.Samplers = map[string]int{}
	for i := range samplers {
		for j := range samplers[i].Spec.Containers {
			if container := &samplers[i].Spec.Containers[j]; container.Name == "sampler" {
				v.Samplers[container.Image]++
			}
		}
	}
}

func (v *versions) write(p *plugin) error {
	var table terminal.Table
	table.Row("plugin", v.Plugin.String())
	for _, name := range slices.Sorted(maps.Keys(v.Operators)) {
		table.Row("operator", v.Operators[name]+" ("+name+")")
	}
	for _, image := range slices.Sorted(maps.Keys(v.Samplers)) {
		table.Row("samplers", fmt.Sprintf("%s (%d)", image, v.Samplers[image]))
	}
	for _, what := range v.Unknown {
		table.Row("unknown", what)
	}
	return table.Write(p.Out, p.paint(p.Out))
}
