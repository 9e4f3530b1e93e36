// Package caller is an MCP client that cannot sample, as most callers: what a
// server samples is answered by its sampler, or not at all.
package caller

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

// Options say what is done with what a server tells while a tool runs. Both may be
// nil.
type Options struct {
	Version   string
	Transport mcpv1alpha1.TransportType
	Progress  func(progress, total float64, message string)
	Log       func(level, logger string, data any)
}

// Session is an open session with a server.
type Session struct {
	session *mcp.ClientSession
	name    *auditName
}

// Open opens a session at an address, through a sampler.
func Open(ctx context.Context, url string, o Options) (*Session, error) {
	name := &auditName{next: http.DefaultTransport}
	web := &http.Client{Transport: name}
	options := &mcp.ClientOptions{Capabilities: &mcp.ClientCapabilities{}}
	if o.Progress != nil {
		options.ProgressNotificationHandler = func(_ context.Context, r *mcp.ProgressNotificationClientRequest) {
			o.Progress(r.Params.Progress, r.Params.Total, r.Params.Message)
		}
	}
	if o.Log != nil {
		options.LoggingMessageHandler = func(_ context.Context, r *mcp.LoggingMessageRequest) {
			o.Log(string(r.Params.Level), r.Params.Logger, r.Params.Data)
		}
	}
	client := mcp.NewClient(&mcp.Implementation{Name: "kubectl-mcp", Version: o.Version}, options)
	var transport mcp.Transport = &mcp.StreamableClientTransport{Endpoint: url, HTTPClient: web, MaxRetries: -1}
	if o.Transport == mcpv1alpha1.TransportSSE {
		transport = &mcp.SSEClientTransport{Endpoint: url, HTTPClient: web}
	}
	session, err := client.Connect(ctx, transport, nil)
	if err != nil {
		return nil, fmt.Errorf("begin a session: %w", err)
	}
	return &Session{session: session, name: name}, nil
}

// Close ends the session.
func (s *Session) Close() error { return s.session.Close() }

// AuditName is by what name audit records know this session; empty where there is
// none.
func (s *Session) AuditName() string { return s.name.get() }

// Server is what the server says of itself.
func (s *Session) Server() *mcp.InitializeResult { return s.session.InitializeResult() }

// Tools lists the server's tools.
func (s *Session) Tools(ctx context.Context) ([]*mcp.Tool, error) {
	if result := s.session.InitializeResult(); result != nil && result.Capabilities != nil && result.Capabilities.Tools == nil {
		return nil, nil
	}
	var tools []*mcp.Tool
	for tool, err := range s.session.Tools(ctx, nil) {
		if err != nil {
			return nil, fmt.Errorf("list the tools: %w", err)
		}
		const enough = 10_000
		if tools = append(tools, tool); len(tools) > enough {
			return nil, errors.New("list the tools: the server does not come to an end")
		}
	}
	return tools, nil
}

// Call calls a tool.
func (s *Session) Call(ctx context.Context, tool string, arguments map[string]any) (*mcp.CallToolResult, error) {
	params := &mcp.CallToolParams{Name: tool, Arguments: arguments}
	params.SetProgressToken("call")
	result, err := s.session.CallTool(ctx, params)
	if err != nil {
		return nil, fmt.Errorf("call %s: %w", tool, err)
	}
	return result, nil
}

// auditName takes down what the sampler says of a session in response headers.
type auditName struct {
	next http.RoundTripper
	mu   sync.Mutex
	name string
}

// RoundTrip implements [http.RoundTripper].
func (a *auditName) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := a.next.RoundTrip(r)
	if err == nil {
		if name := response.Header.Get(wire.HeaderAudit); name != "" {
			a.mu.Lock()
			a.name = name
			a.mu.Unlock()
		}
	}
	return response, err
}

func (a *auditName) get() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.name
}
