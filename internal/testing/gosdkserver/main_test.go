package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

func TestSummarizeAnswersWithWhatTheModelSaid(t *testing.T) {
	for name, modern := range map[string]bool{"with sessions": false, "without": true} {
		t.Run(name, func(t *testing.T) {
			session := connect(t, requiring("", newHandler(modern)))
			result, err := session.CallTool(t.Context(), &mcp.CallToolParams{Name: "summarize", Arguments: map[string]any{"text": "boats"}})
			if err != nil {
				t.Fatal(err)
			}
			want := "Boats float.\n\n(model: fake-1)"
			if got := result.Content[0].(*mcp.TextContent).Text; result.IsError || got != want {
				t.Errorf("result = %q (isError %v), want %q", got, result.IsError, want)
			}
			if got := session.InitializeResult().ProtocolVersion; (got == "2026-07-28") != modern {
				t.Errorf("version %s, want the one without sessions: %v", got, modern)
			}
		})
	}
}

func connect(t *testing.T, handler http.Handler) *mcp.ClientSession {
	t.Helper()
	endpoint := httptest.NewServer(handler)
	t.Cleanup(endpoint.Close)
	fakeModel := func(context.Context, *mcp.CreateMessageRequest) (*mcp.CreateMessageResult, error) {
		return &mcp.CreateMessageResult{Model: "fake-1", Role: "assistant", Content: &mcp.TextContent{Text: "Boats float."}}, nil
	}
	caller := mcp.NewClient(&mcp.Implementation{Name: "caller", Version: "1"}, &mcp.ClientOptions{CreateMessageHandler: fakeModel})
	session, err := caller.Connect(t.Context(), &mcp.StreamableClientTransport{Endpoint: endpoint.URL}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = session.Close() }) // the server goes as well
	return session
}

func TestARequiredHeaderIsLookedAt(t *testing.T) {
	handler := requiring("X-Key=a=b", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }))
	for value, want := range map[string]int{"a=b": http.StatusOK, "a": http.StatusUnauthorized, "": http.StatusUnauthorized} {
		r := httptest.NewRequest(http.MethodPost, "/mcp", nil)
		r.Header.Set("X-Key", value)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("with %q: status %d, want %d", value, w.Code, want)
		}
	}
}
