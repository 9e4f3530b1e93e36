package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/kubectl/cluster"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/kubectl/records"
)

func (p *plugin) usageCommand() *cobra.Command {
	var (
		out  output
		back time.Duration
		all  bool
	)
	cmd := &cobra.Command{
		Use:   "usage [NAME]",
		Short: "Sum up requests, tokens, cost and refusals by server and model",
		Long: `Sum up sampling requests, their tokens and cost, and what was refused or failed, by
server and model. Cost is by the prices of the policy that was in force.

The sums are of the records in the logs of the samplers that are there now: not of
pods that are gone, nor of what their nodes have rotated away. Below the table
stands how far back they reach. For longer times use the metrics
(mcp_sampling_requests_total, mcp_sampling_cost_total).

Rights: get mcpservers, list pods and samplingpolicies, get pods/log.`,
		Example: `  kubectl mcp usage
  kubectl mcp usage summarizer --since 1h
  kubectl mcp usage -A -o json | jq '.total.cost'`,
		Args:              named("at most the name of one MCPServer", 0, 1),
		ValidArgsFunction: p.completeServer,
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if back < 0 {
			return errors.New("--since is not below 0")
		}
		c, err := p.connect()
		if err != nil {
			return err
		}
		name := ""
		if len(args) == 1 {
			if all {
				return errors.New("write either a NAME or -A")
			}
			name = args[0]
			if _, err := c.Server(cmd.Context(), name); err != nil {
				return err
			}
		}
		if all {
			c.Namespace = ""
		}
		from := since(back)
		list, pods, err := readAll(cmd.Context(), c, name, from)
		if err != nil {
			return err
		}
		usage := records.Sum(list)
		usage.Notes = append(reach(list, pods, from), unrecorded(cmd.Context(), c, usage, name)...)
		if done, err := out.write(p.Out, usage); done {
			return err
		}
		return usage.WriteText(p.Out, p.paint(p.Out), all || out.format == "wide")
	}
	cmd.Flags().DurationVar(&back, "since", 24*time.Hour, "the time that is summed up (`1h30m`); 0 is all that there are records of")
	cmd.Flags().BoolVarP(&all, "all-namespaces", "A", false, "all namespaces")
	out.add(cmd, "wide")
	return cmd
}

// reach says how far back the records go.
func reach(list []records.Record, pods []corev1.Pod, from time.Time) []string {
	running, younger := 0, 0
	for i := range pods {
		if !started(&pods[i]) {
			continue
		}
		running++
		if t := pods[i].Status.StartTime; t != nil && t.After(from) {
			younger++
		}
	}
	note := fmt.Sprintf("From the logs of %d sampler pods", running)
	if running == 1 {
		note = "From the log of 1 sampler pod"
	}
	if len(list) > 0 {
		note += "; the oldest record is of " + list[0].Time.UTC().Format("2006-01-02 15:04:05Z")
	}
	notes := []string{note + ". What pods that are gone wrote, and what nodes have rotated away, is not in it."}
	if younger > 0 && !from.IsZero() {
		notes = append(notes, "Pods that began within this time: "+fmt.Sprint(younger)+". What was before them is not known.")
	}
	return notes
}

// unrecorded says what records do not hold.
func unrecorded(ctx context.Context, c *cluster.Cluster, usage *records.Usage, server string) []string {
	var notes []string
	if n := usage.Total.Uncounted; n > 0 {
		notes = append(notes, fmt.Sprintf("The providers of %d answers counted no tokens.", n))
	}
	if n := usage.Total.Unpriced; n > 0 && len(usage.Total.Cost) > 0 {
		notes = append(notes, fmt.Sprintf("%d answers are of models without prices, so that the cost is not whole.", n))
	} else if n > 0 {
		notes = append(notes, "The models have no prices: set models.allowed[].prices in the policy to see the cost.")
	}
	policies, err := c.Policies(ctx)
	if err != nil {
		return append(notes, "Whether policies switch records off is not known: "+err.Error())
	}
	var silent, fallback []string
	for i := range policies {
		policy := &policies[i]
		if server != "" && !governs(ctx, c, policy.Name, server) {
			continue
		}
		name := policy.Name
		if c.Namespace == "" {
			name = policy.Namespace + "/" + name
		}
		if policy.Spec.Audit.Level == mcpv1alpha1.AuditNone {
			silent = append(silent, name)
		}
		if policy.Spec.Mode == mcpv1alpha1.ModeFallback {
			fallback = append(fallback, name)
		}
	}
	if len(silent) > 0 {
		notes = append(notes, "No records are kept by audit.level None of "+strings.Join(silent, ", ")+".")
	}
	if len(fallback) > 0 {
		notes = append(notes, "What callers answered themselves (mode Fallback of "+strings.Join(fallback, ", ")+") is not in it.")
	}
	return notes
}

func governs(ctx context.Context, c *cluster.Cluster, policy, name string) bool {
	server, err := c.Server(ctx, name)
	return err == nil && server.Status.SamplingPolicy != nil && server.Status.SamplingPolicy.Name == policy
}
