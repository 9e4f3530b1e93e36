package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"

	corev1 "k8s.io/api/core/v1"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
	"github.com/mcp-sampling/mcp-sampling-operator/controllers/resolve"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/kubectl/caller"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/kubectl/cluster"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/kubectl/diagnose"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/kubectl/terminal"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/version"
)

// opened is a session with a server, and what it goes through.
type opened struct {
	*caller.Session
	cluster *cluster.Cluster
	server  *mcpv1alpha1.MCPServer
	sampler *corev1.Pod
}

// open opens a session with a server by a port-forward to one of its samplers. It
// ends with ctx.
func (p *plugin) open(ctx context.Context, name string, o caller.Options) (*opened, error) {
	c, err := p.connect()
	if err != nil {
		return nil, err
	}
	server, err := c.Server(ctx, name)
	if err != nil {
		return nil, err
	}
	if why := diagnose.CannotBeCalled(server); why != "" {
		return nil, &notReadyError{fmt.Sprintf("MCPServer %q cannot be called: %s", name, why)}
	}
	sampler, err := readySampler(ctx, c, name)
	if err != nil {
		return nil, err
	}
	address, err := c.Forward(ctx, sampler, resolve.SamplerPort)
	if err != nil {
		return nil, err
	}
	path := resolve.ServerPath(server)
	if at, err := url.Parse(server.Status.URL); err == nil && at.Path != "" {
		path = at.Path
	}
	o.Version, o.Transport = version.Short(), server.Spec.Transport.Type
	session, err := caller.Open(ctx, "http://"+address+path, o)
	if err != nil {
		return nil, unreached(ctx, server, err)
	}
	return &opened{Session: session, cluster: c, server: server, sampler: sampler}, nil
}

// readySampler returns a sampler that is ready.
func readySampler(ctx context.Context, c *cluster.Cluster, name string) (*corev1.Pod, error) {
	pods, err := c.Samplers(ctx, name)
	if err != nil {
		return nil, err
	}
	for i := range pods {
		for _, condition := range pods[i].Status.Conditions {
			if condition.Type == corev1.PodReady && condition.Status == corev1.ConditionTrue && pods[i].DeletionTimestamp == nil {
				return &pods[i], nil
			}
		}
	}
	return nil, &notReadyError{fmt.Sprintf("MCPServer %q cannot be called: none of its %d sampler pods is ready: see kubectl mcp status %s -n %s", name, len(pods), name, c.Namespace)}
}

// unreached says why a server does not answer: what the operator knows of it is
// mostly more than what a caller sees.
func unreached(ctx context.Context, server *mcpv1alpha1.MCPServer, err error) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return err
	}
	why := ""
	if c := diagnose.First(server); c != nil && c.Type != mcpv1alpha1.ConditionSamplingReady {
		why = c.Reason + ": " + terminal.Line(c.Message)
	}
	if why == "" {
		why = terminal.Line(err.Error())
	}
	return &notReadyError{fmt.Sprintf("MCPServer %q does not answer: %s", server.Name, why)}
}
