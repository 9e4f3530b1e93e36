package main

import (
	"context"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/client/transport"
	"github.com/mark3labs/mcp-go/mcp"
)

// fakeModel is a caller's model that answers with what it was asked.
type fakeModel struct{ got mcp.CreateMessageRequest }

func (m *fakeModel) CreateMessage(_ context.Context, request mcp.CreateMessageRequest) (*mcp.CreateMessageResult, error) {
	m.got = request
	return &mcp.CreateMessageResult{
		SamplingMessage: mcp.SamplingMessage{Role: mcp.RoleAssistant, Content: mcp.NewTextContent("Boats float.")},
		Model:           "fake-1",
	}, nil
}

func TestSummarizerServesACallerThatSamples(t *testing.T) {
	endpoint := httptest.NewServer(newHandler())
	defer endpoint.Close()

	stream, err := transport.NewStreamableHTTP(endpoint.URL, transport.WithContinuousListening())
	if err != nil {
		t.Fatal(err)
	}
	model := &fakeModel{}
	caller := client.NewClient(stream, client.WithSamplingHandler(model))
	defer caller.Close()
	if err := caller.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := caller.Initialize(t.Context(), mcp.InitializeRequest{}); err != nil {
		t.Fatal(err)
	}

	tests := map[string]struct {
		tool       string
		text       string
		wantResult string
		wantAsked  string // a part of what the model is asked; empty: no model is asked
	}{
		"summarize asks the model":  {tool: "summarize", text: "A long text about boats.", wantResult: "Boats float.\n\n(model: fake-1)", wantAsked: "A long text about boats."},
		"title asks the model":      {tool: "title", text: "Another text.", wantResult: "Boats float.\n\n(model: fake-1)", wantAsked: "Another text."},
		"echo asks no model at all": {tool: "echo", text: "Hello.", wantResult: "Hello."},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			model.got = mcp.CreateMessageRequest{}
			request := mcp.CallToolRequest{}
			request.Params.Name = tc.tool
			request.Params.Arguments = map[string]any{"text": tc.text}
			result, err := caller.CallTool(t.Context(), request)
			if err != nil {
				t.Fatal(err)
			}
			if got := mcp.GetTextFromContent(result.Content[0]); result.IsError || got != tc.wantResult {
				t.Errorf("result = %q (isError %v), want %q", got, result.IsError, tc.wantResult)
			}
			asked := ""
			for _, message := range model.got.Messages {
				asked += mcp.GetTextFromContent(message.Content)
			}
			if (asked != "") != (tc.wantAsked != "") || !strings.Contains(asked, tc.wantAsked) {
				t.Errorf("the model was asked %q, want %q in it", asked, tc.wantAsked)
			}
		})
	}
}
