// Command gosdkserver is an MCP server written with the official Go SDK, for
// tests in a cluster: its tool summarize samples on the stream of the call, as
// servers of this SDK do, where mcp-go's use the session's own stream.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

type arguments struct {
	Text string `json:"text" jsonschema:"the text to summarize"`
}

func main() {
	listen := flag.String("listen", ":8000", "address to serve MCP (Streamable HTTP, path /mcp) on")
	flag.Parse()

	mux := http.NewServeMux()
	mux.Handle("/mcp", newHandler())
	server := &http.Server{Addr: *listen, Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	slog.Info("serving MCP", "listen", *listen, "path", "/mcp")
	if err := server.ListenAndServe(); err != nil {
		slog.Error("serve", "error", err)
		os.Exit(1)
	}
}

// newHandler offers the versions that have sessions. The transport keeps to
// them anyway, but answers server/discover as if it did not, and callers written
// with mcp-go then insist on a version that it refuses.
func newHandler() http.Handler {
	server := mcp.NewServer(&mcp.Implementation{Name: "summarizer-gosdk", Version: "1.0.0"}, &mcp.ServerOptions{
		SupportedProtocolVersions: []string{"2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"},
	})
	mcp.AddTool(server, &mcp.Tool{Name: "summarize", Description: "Summarize a text by sampling."}, summarize)
	return mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server }, nil)
}

func summarize(ctx context.Context, request *mcp.CallToolRequest, in arguments) (*mcp.CallToolResult, any, error) {
	answer, err := request.Session.CreateMessage(ctx, &mcp.CreateMessageParams{
		MaxTokens:    120,
		SystemPrompt: "You write plain, short English.",
		Messages: []*mcp.SamplingMessage{{
			Role:    "user",
			Content: &mcp.TextContent{Text: "Summarize this text in one short sentence:\n\n" + in.Text},
		}},
	})
	if err != nil {
		return nil, nil, fmt.Errorf("sampling failed: %w", err)
	}
	text, ok := answer.Content.(*mcp.TextContent)
	if !ok {
		return nil, nil, errors.New("sampling returned no text")
	}
	return &mcp.CallToolResult{Content: []mcp.Content{
		&mcp.TextContent{Text: fmt.Sprintf("%s\n\n(model: %s)", text.Text, answer.Model)},
	}}, nil, nil
}
