// Command gosdkserver is an MCP server written with the official Go SDK, for
// tests in a cluster: its tool summarize samples on the stream of the call, as
// servers of this SDK do, where mcp-go's use the session's own stream.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

type arguments struct {
	Text string `json:"text" jsonschema:"the text to summarize"`
}

func main() {
	listen := flag.String("listen", ":8000", "address to serve MCP (Streamable HTTP, path /mcp) on")
	modern := flag.Bool("modern", false, "serve the stateless version 2026-07-28 instead of those with sessions")
	strict := flag.Bool("strict", false, "with -modern, refuse initialize, which the SDK's server answers all the same")
	require := flag.String("require", "", "a header `NAME=VALUE` without which a request gets 401")
	flag.DurationVar(&workTime, "work", workTime, "how long the tool work takes")
	flag.Parse()

	mux := http.NewServeMux()
	handler := newHandler(*modern)
	if *strict {
		handler = refusingSessions(handler)
	}
	mux.Handle("/mcp", requiring(*require, handler))
	server := &http.Server{Addr: *listen, Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	slog.Info("serving MCP", "listen", *listen, "path", "/mcp")
	if err := server.ListenAndServe(); err != nil {
		slog.Error("serve", "error", err)
		os.Exit(1)
	}
}

// refusingSessions answers initialize as the specification of 2026-07-28 wants it
// from a server that has no sessions.
func refusingSessions(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, "read the request", http.StatusBadRequest)
			return
		}
		var request struct {
			ID     json.RawMessage `json:"id"`
			Method string          `json:"method"`
		}
		if err := json.Unmarshal(body, &request); err == nil && request.Method == "initialize" {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusBadRequest)
			_, _ = fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"error":{"code":-32022,"message":"unsupported protocol version","data":{"supported":["2026-07-28"]}}}`, request.ID)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		next.ServeHTTP(w, r)
	})
}

// requiring refuses requests that lack a header.
func requiring(header string, next http.Handler) http.Handler {
	name, value, found := strings.Cut(header, "=")
	if !found {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if got := r.Header.Values(name); len(got) != 1 || got[0] != value {
			http.Error(w, "a header is missing", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// newHandler offers the versions that have sessions, or the one that has none.
// The transport keeps to them anyway, but answers server/discover as if it did
// not, and callers written with mcp-go then insist on a version that it refuses.
func newHandler(modern bool) http.Handler {
	versions := []string{"2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"}
	if modern {
		versions = []string{"2026-07-28"}
	}
	server := mcp.NewServer(&mcp.Implementation{Name: "summarizer-gosdk", Version: "1.0.0"}, &mcp.ServerOptions{
		SupportedProtocolVersions: versions,
	})
	tool := &mcp.Tool{Name: "summarize", Description: "Summarize a text by sampling."}
	if modern {
		mcp.AddTool(server, tool, summarizeInRounds)
	} else {
		mcp.AddTool(server, tool, summarize)
	}
	mcp.AddTool(server, &mcp.Tool{Name: "work", Description: "Take some time, then tell the name of the host."}, work)
	mcp.AddTool(server, &mcp.Tool{Name: "where", Description: "Tell the name of the host."}, where)
	return mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server }, &mcp.StreamableHTTPOptions{Stateless: modern})
}

// where tells servers of several pods apart.
func where(context.Context, *mcp.CallToolRequest, arguments) (*mcp.CallToolResult, any, error) {
	host, err := os.Hostname()
	if err != nil {
		return nil, nil, err
	}
	return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: host}}}, nil, nil
}

// workTime is how long work takes.
var workTime = 3 * time.Second

// work is a call that runs for long.
func work(ctx context.Context, request *mcp.CallToolRequest, in arguments) (*mcp.CallToolResult, any, error) {
	select {
	case <-time.After(workTime):
		return where(ctx, request, in)
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
}

func question(text string) *mcp.CreateMessageParams {
	return &mcp.CreateMessageParams{
		MaxTokens:    120,
		SystemPrompt: "You write plain, short English.",
		Messages: []*mcp.SamplingMessage{{
			Role:    "user",
			Content: &mcp.TextContent{Text: "Summarize this text in one short sentence:\n\n" + text},
		}},
	}
}

// summarizeInRounds samples as the stateless version does: by a result that asks
// for input.
func summarizeInRounds(_ context.Context, request *mcp.CallToolRequest, in arguments) (*mcp.CallToolResult, any, error) {
	answer, ok := request.Params.InputResponses["summary"].(*mcp.CreateMessageWithToolsResult)
	if !ok {
		return &mcp.CallToolResult{InputRequests: mcp.InputRequestMap{"summary": question(in.Text)}}, nil, nil
	}
	for _, content := range answer.Content {
		if text, ok := content.(*mcp.TextContent); ok {
			return summary(text.Text, answer.Model), nil, nil
		}
	}
	return nil, nil, errors.New("sampling returned no text")
}

func summary(text, model string) *mcp.CallToolResult {
	return &mcp.CallToolResult{Content: []mcp.Content{
		&mcp.TextContent{Text: fmt.Sprintf("%s\n\n(model: %s)", text, model)},
	}}
}

func summarize(ctx context.Context, request *mcp.CallToolRequest, in arguments) (*mcp.CallToolResult, any, error) {
	answer, err := request.Session.CreateMessage(ctx, question(in.Text))
	if err != nil {
		return nil, nil, fmt.Errorf("sampling failed: %w", err)
	}
	text, ok := answer.Content.(*mcp.TextContent)
	if !ok {
		return nil, nil, errors.New("sampling returned no text")
	}
	return summary(text.Text, answer.Model), nil, nil
}
