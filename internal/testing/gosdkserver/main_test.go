package main

import (
	"context"
	"net/http/httptest"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

func TestSummarizeAnswersWithWhatTheModelSaid(t *testing.T) {
	endpoint := httptest.NewServer(newHandler())
	defer endpoint.Close()
	fakeModel := func(context.Context, *mcp.CreateMessageRequest) (*mcp.CreateMessageResult, error) {
		return &mcp.CreateMessageResult{Model: "fake-1", Role: "assistant", Content: &mcp.TextContent{Text: "Boats float."}}, nil
	}
	caller := mcp.NewClient(&mcp.Implementation{Name: "caller", Version: "1"}, &mcp.ClientOptions{CreateMessageHandler: fakeModel})
	session, err := caller.Connect(t.Context(), &mcp.StreamableClientTransport{Endpoint: endpoint.URL}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	result, err := session.CallTool(t.Context(), &mcp.CallToolParams{Name: "summarize", Arguments: map[string]any{"text": "boats"}})
	if err != nil {
		t.Fatal(err)
	}
	want := "Boats float.\n\n(model: fake-1)"
	if got := result.Content[0].(*mcp.TextContent).Text; result.IsError || got != want {
		t.Errorf("result = %q (isError %v), want %q", got, result.IsError, want)
	}
}
