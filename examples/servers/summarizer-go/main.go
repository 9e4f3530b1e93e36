// Command summarizer-go is an MCP server whose tool asks its caller's model:
// summarize sends the text back to the MCP client as a sampling request
// (sampling/createMessage) and returns what the model makes of it. The server
// itself knows no model and holds no key.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
)

func main() {
	listen := flag.String("listen", ":8000", "address to serve MCP (Streamable HTTP, path /mcp) on")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := serve(ctx, *listen)
	stop()
	if err != nil {
		slog.Error("summarizer-go stopped", "error", err)
		os.Exit(1)
	}
}

// serve serves MCP on listen until ctx ends.
func serve(ctx context.Context, listen string) error {
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return fmt.Errorf("listen for MCP: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("/mcp", newHandler())
	httpServer := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}

	failed := make(chan error, 1)
	go func() { failed <- httpServer.Serve(listener) }()
	slog.Info("serving MCP", "listen", listener.Addr().String(), "path", "/mcp")

	select {
	case err := <-failed:
		return fmt.Errorf("serve MCP: %w", err)
	case <-ctx.Done():
	}
	// Callers keep streams open, so waiting for all of them would be in vain.
	grace, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if err := httpServer.Shutdown(grace); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("shut down: %w", err)
	}
	return httpServer.Close()
}

// newHandler is the MCP endpoint. Sessions are kept (stateful), because
// RequestSampling goes to the client over its session. Protocol version
// 2026-07-28 has neither sessions nor requests from the server, so the versions
// before it are offered and newer callers step down.
func newHandler() http.Handler {
	mcpServer := server.NewMCPServer("summarizer-go", "1.0.0", server.WithRecovery())
	mcpServer.EnableSampling()

	mcpServer.AddTool(mcp.NewTool("summarize",
		mcp.WithDescription("Summarize a text in one or two sentences."),
		mcp.WithString("text", mcp.Required(), mcp.Description("The text to summarize.")),
	), summarize)
	mcpServer.AddTool(mcp.NewTool("title",
		mcp.WithDescription("Find a short title for a text."),
		mcp.WithString("text", mcp.Required(), mcp.Description("The text that needs a title.")),
	), title)
	mcpServer.AddTool(mcp.NewTool("echo",
		mcp.WithDescription("Return the text as it is, without any model."),
		mcp.WithString("text", mcp.Required(), mcp.Description("The text to return.")),
	), echo)

	return server.NewStreamableHTTPServer(mcpServer,
		server.WithStateful(true),
		server.WithStreamableHTTPProtocolVersions("2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"),
	)
}

func summarize(ctx context.Context, request mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	return sample(ctx, request, "Summarize this text in one short sentence:", 120)
}

func title(ctx context.Context, request mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	return sample(ctx, request, "Give this text a title of at most six words:", 24)
}

func echo(_ context.Context, request mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	text, err := request.RequireString("text")
	if err != nil {
		return mcp.NewToolResultError(err.Error()), nil
	}
	return mcp.NewToolResultText(text), nil
}

// sample asks the client's model for what is wanted of the tool's text. A
// failure is the tool's result, so that the caller sees why.
func sample(ctx context.Context, request mcp.CallToolRequest, instruction string, maxTokens int) (*mcp.CallToolResult, error) {
	text, err := request.RequireString("text")
	if err != nil {
		return mcp.NewToolResultError(err.Error()), nil
	}

	sampling := mcp.CreateMessageRequest{}
	sampling.SystemPrompt = "You write plain, short English."
	sampling.MaxTokens = maxTokens
	sampling.Messages = []mcp.SamplingMessage{{
		Role:    mcp.RoleUser,
		Content: mcp.NewTextContent(instruction + "\n\n" + text),
	}}

	answer, err := server.ServerFromContext(ctx).RequestSampling(ctx, sampling)
	if err != nil {
		return mcp.NewToolResultErrorFromErr("sampling failed", err), nil
	}
	content, ok := answer.Content.(mcp.TextContent)
	if !ok {
		return mcp.NewToolResultErrorf("sampling returned %T where text was expected", answer.Content), nil
	}
	return mcp.NewToolResultText(fmt.Sprintf("%s\n\n(model: %s)", content.Text, answer.Model)), nil
}
