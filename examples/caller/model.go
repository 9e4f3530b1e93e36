package main

import (
	"context"

	"github.com/mark3labs/mcp-go/mcp"
)

// model is the model of a caller that can sample: it has one answer.
type model string

// CreateMessage answers a sampling request of the server.
func (m model) CreateMessage(context.Context, mcp.CreateMessageRequest) (*mcp.CreateMessageResult, error) {
	return &mcp.CreateMessageResult{
		SamplingMessage: mcp.SamplingMessage{Role: mcp.RoleAssistant, Content: mcp.NewTextContent(string(m))},
		Model:           "the caller's own",
		StopReason:      "endTurn",
	}, nil
}
