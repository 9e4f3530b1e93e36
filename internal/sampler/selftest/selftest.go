// Package selftest plays all who take part in a sampling request but the sampler,
// so that an installation can be tried without another image, a model or a key: an
// MCP server whose tool samples (Serve), and a caller who cannot sample together
// with the model (Call). The chart's `helm test` puts the sampler between them.
package selftest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	mcpclient "github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/client/transport"
	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
)

// tool is the server's only one.
const tool = "ask"

// Serve is an MCP server over standard input and output. Its tool asks the model
// of whoever calls it.
func Serve(ctx context.Context, in io.Reader, out io.Writer, version string) error {
	s := server.NewMCPServer("selftest", version)
	s.EnableSampling()
	s.AddTool(
		mcp.NewTool(tool, mcp.WithDescription("Ask the model."), mcp.WithString("text", mcp.Required())),
		func(ctx context.Context, request mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			sampling := mcp.CreateMessageRequest{}
			sampling.MaxTokens = 100
			sampling.Messages = []mcp.SamplingMessage{{
				Role: mcp.RoleUser, Content: mcp.NewTextContent(request.GetString("text", "")),
			}}
			result, err := s.RequestSampling(ctx, sampling)
			if err != nil {
				return mcp.NewToolResultErrorFromErr("the sampling request was not answered", err), nil
			}
			return mcp.NewToolResultText("the model said: " + contentText(result.Content)), nil
		})
	// The newest version has no requests of servers.
	ctx = server.WithSupportedProtocolVersions(ctx, []string{mcp.LATEST_LEGACY_PROTOCOL_VERSION})
	if err := server.NewStdioServer(s).Listen(ctx, in, out); err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("serve MCP on standard input and output: %w", err)
	}
	return nil
}

// contentText is the text of a result, which is decoded as one block or as several.
func contentText(content any) string {
	if blocks, ok := content.([]mcp.Content); ok && len(blocks) == 1 {
		content = blocks[0]
	}
	return mcp.GetTextFromContent(content)
}

// model answers as a handler of a Webhook provider.
func model(w http.ResponseWriter, r *http.Request) {
	var request struct {
		Params struct {
			Messages []struct {
				Content struct {
					Text string `json:"text"`
				} `json:"content"`
			} `json:"messages"`
		} `json:"params"`
	}
	const most = 1 << 20
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, most)).Decode(&request); err != nil || len(request.Params.Messages) != 1 {
		http.Error(w, "this is no sampling request of the self-test", http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "text/plain")
	_, _ = io.WriteString(w, answer(request.Params.Messages[0].Content.Text)) // the sampler may have left
}

// answer is what the model makes of a text; the server could not make it up.
func answer(text string) string { return "I have read " + text }

// call calls the tool as a caller that cannot sample, and looks at what comes back.
func call(ctx context.Context, url, word string) error {
	connection, err := transport.NewStreamableHTTP(url)
	if err != nil {
		return fmt.Errorf("connect to %s: %w", url, err)
	}
	caller := mcpclient.NewClient(connection)
	defer func() { _ = caller.Close() }() // the session ends by itself, too
	if err := caller.Start(ctx); err != nil {
		return fmt.Errorf("connect to %s: %w", url, err)
	}
	hello := mcp.InitializeRequest{}
	hello.Params.ProtocolVersion = mcp.LATEST_LEGACY_PROTOCOL_VERSION
	hello.Params.ClientInfo = mcp.Implementation{Name: "selftest", Version: "1"}
	if _, err := caller.Initialize(ctx, hello); err != nil {
		return fmt.Errorf("open a session at %s: %w", url, err)
	}
	request := mcp.CallToolRequest{}
	request.Params.Name = tool
	request.Params.Arguments = map[string]any{"text": word}
	result, err := caller.CallTool(ctx, request)
	if err != nil {
		return fmt.Errorf("call the tool %s: %w", tool, err)
	}
	var got string
	if len(result.Content) == 1 {
		got = mcp.GetTextFromContent(result.Content[0])
	}
	if want := "the model said: " + answer(word); result.IsError || got != want {
		return fmt.Errorf("the tool %s says %q, want %q", tool, got, want)
	}
	return nil
}
