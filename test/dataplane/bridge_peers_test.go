package dataplane

import (
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
	gosdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/bridge"
)

// stdioServerEnv makes this test binary one of the servers of stdioServers.
const stdioServerEnv = "DATAPLANE_STDIO_SERVER"

// init, as the package's TestMain is for tests.
func init() {
	run, ok := map[string]func() error{"go-sdk": runGoSDKStdio, "mcp-go": runMCPGoStdio}[os.Getenv(stdioServerEnv)]
	if !ok {
		return
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// runGoSDKStdio serves tools of which "ask" samples once, "two" twice at the
// same time, "steps" reports progress, and "crash" ends the process.
func runGoSDKStdio() error {
	s := gosdk.NewServer(&gosdk.Implementation{Name: "go-sdk", Version: "1.0.0"}, nil)
	add := func(name string, answer func(ctx context.Context, r *gosdk.CallToolRequest, text string) *gosdk.CallToolResult) {
		gosdk.AddTool(s, &gosdk.Tool{Name: name}, func(ctx context.Context, r *gosdk.CallToolRequest, args askArgs) (*gosdk.CallToolResult, any, error) {
			return answer(ctx, r, args.Text), nil, nil
		})
	}
	sampled := func(r *gosdk.CallToolRequest, key string) string {
		got, ok := r.Params.InputResponses[key].(*gosdk.CreateMessageWithToolsResult)
		if !ok {
			return ""
		}
		return got.Content[0].(*gosdk.TextContent).Text
	}
	add("echo", func(_ context.Context, _ *gosdk.CallToolRequest, text string) *gosdk.CallToolResult {
		return textResult(text)
	})
	add("ask", func(_ context.Context, r *gosdk.CallToolRequest, text string) *gosdk.CallToolResult {
		if got := sampled(r, "q"); got != "" {
			return textResult(got)
		}
		return &gosdk.CallToolResult{InputRequests: gosdk.InputRequestMap{"q": samplingParams(text)}}
	})
	add("two", func(_ context.Context, r *gosdk.CallToolRequest, text string) *gosdk.CallToolResult {
		if a, b := sampled(r, "a"), sampled(r, "b"); a != "" && b != "" {
			return textResult(a + ", " + b)
		}
		return &gosdk.CallToolResult{InputRequests: gosdk.InputRequestMap{"a": samplingParams(text + " a"), "b": samplingParams(text + " b")}}
	})
	add("steps", func(ctx context.Context, r *gosdk.CallToolRequest, text string) *gosdk.CallToolResult {
		for i := range 3 {
			err := r.Session.NotifyProgress(ctx, &gosdk.ProgressNotificationParams{
				ProgressToken: r.Params.GetProgressToken(), Progress: float64(i + 1), Message: text,
			})
			if err != nil {
				return textResult(err.Error())
			}
		}
		return textResult(text)
	})
	add("crash", func(context.Context, *gosdk.CallToolRequest, string) *gosdk.CallToolResult {
		os.Exit(3)
		return nil
	})
	return s.Run(context.Background(), &gosdk.StdioTransport{})
}

// runMCPGoStdio serves "echo", "ask" and "two" with mcp-go.
func runMCPGoStdio() error {
	s := server.NewMCPServer("mcp-go", "1.0.0", server.WithToolCapabilities(true))
	s.EnableSampling()
	params := func(text string) mcp.CreateMessageParams {
		return mcp.CreateMessageParams{MaxTokens: 10, Messages: []mcp.SamplingMessage{{Role: mcp.RoleUser, Content: mcp.NewTextContent(text)}}}
	}
	sampled := func(r mcp.CallToolRequest, key string) string {
		got := server.SamplingResponse(r.Params.InputResponses, key)
		if got == nil {
			return ""
		}
		if text, ok := got.Content.(mcp.TextContent); ok { // in sessions
			return text.Text
		}
		return got.Content.(map[string]any)["text"].(string)
	}
	add := func(name string, answer func(r mcp.CallToolRequest, text string) *mcp.CallToolResult) {
		s.AddTool(mcp.NewTool(name, mcp.WithString("text")), func(_ context.Context, r mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			return answer(r, r.GetString("text", "")), nil
		})
	}
	add("echo", func(_ mcp.CallToolRequest, text string) *mcp.CallToolResult { return mcp.NewToolResultText(text) })
	add("ask", func(r mcp.CallToolRequest, text string) *mcp.CallToolResult {
		if got := sampled(r, "q"); got != "" {
			return mcp.NewToolResultText(got)
		}
		return server.NewInputRequestBuilder("").Sample("q", params(text)).ToolResult()
	})
	add("two", func(r mcp.CallToolRequest, text string) *mcp.CallToolResult {
		if a, b := sampled(r, "a"), sampled(r, "b"); a != "" && b != "" {
			return mcp.NewToolResultText(a + ", " + b)
		}
		return server.NewInputRequestBuilder("").Sample("a", params(text+" a")).Sample("b", params(text+" b")).ToolResult()
	})
	return server.NewStdioServer(s).Listen(context.Background(), os.Stdin, os.Stdout)
}

// stdioServers are the commands of servers made with three libraries. They may
// find their own name in the environment.
func stdioServers(t *testing.T) map[string][]string {
	t.Helper()
	venv, err := exec.CommandContext(t.Context(), "../../hack/python.sh").Output()
	if err != nil {
		t.Fatalf("hack/python.sh: %v\n%s", err, stderrOf(err))
	}
	python := filepath.Join(strings.TrimSpace(string(venv)), "bin", "python")
	return map[string][]string{
		"go-sdk":  {os.Args[0]},
		"mcp-go":  {os.Args[0]},
		"fastmcp": {python, "-c", "import fastmcp_server; fastmcp_server.mcp.run(transport='stdio', show_banner=False)"},
	}
}

// bridged runs a bridge in front of a stdio server, and returns its URL.
func bridged(t *testing.T, name string, command []string, modify func(*bridge.Options)) string {
	t.Helper()
	t.Setenv(stdioServerEnv, name)
	t.Setenv("GORACE", "atexit_sleep_ms=0")
	o := bridge.DefaultOptions()
	o.Command, o.Stderr = command, testWriter{t}
	if modify != nil {
		modify(&o)
	}
	b, err := bridge.New(o)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(b)
	t.Cleanup(func() {
		s.CloseClientConnections()
		b.Close()
		s.Close()
	})
	return s.URL + "/mcp"
}

// connectGoSDK connects a caller of go-sdk that speaks version, or asks first
// what there is.
func connectGoSDK(t *testing.T, url, version string, options *gosdk.ClientOptions) *gosdk.ClientSession {
	t.Helper()
	c := gosdk.NewClient(&gosdk.Implementation{Name: "caller", Version: "1"}, options)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	session, err := c.Connect(ctx, &gosdk.StreamableClientTransport{Endpoint: url, HTTPClient: httpClient(t)},
		&gosdk.ClientSessionOptions{ProtocolVersion: version})
	if err != nil {
		t.Fatalf("connect: %v", err)
	}
	t.Cleanup(func() { _ = session.Close() }) // the test may have broken it
	return session
}

// startTime is how long a server may take until it answers, on a busy machine.
const startTime = time.Minute
