package dataplane

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/client/transport"
	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
	gosdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/config"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/proxy"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/testing/fakellm"
)

// overSSE makes the proxy speak the HTTP+SSE transport of 2024-11-05.
func overSSE(o *proxy.Options) { o.SSE = true }

// sseCall calls a tool of a server through a caller of its own.
type sseCall func(ctx context.Context, tool, text string) (string, error)

// mcpGoSSE is a caller made with mcp-go, which cannot sample over this
// transport.
func mcpGoSSE(t *testing.T, url string) sseCall {
	t.Helper()
	c, err := client.NewSSEMCPClient(url, transport.WithHTTPClient(httpClient(t)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Errorf("closing the caller: %v", err)
		}
	})
	if err := c.Start(t.Context()); err != nil {
		t.Fatalf("start: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	request := mcp.InitializeRequest{}
	request.Params.ClientInfo = mcp.Implementation{Name: "caller", Version: "1"}
	if _, err := c.Initialize(ctx, request); err != nil {
		t.Fatalf("initialize: %v", err)
	}
	return func(ctx context.Context, tool, text string) (string, error) { return callMCPGo(ctx, c, tool, text) }
}

// goSDKSSE is a caller made with go-sdk that has no sampling.
func goSDKSSE(t *testing.T, url string) sseCall {
	t.Helper()
	session := goSDKSSESession(t, url, nil)
	return func(ctx context.Context, tool, text string) (string, error) {
		return callGoSDK(ctx, session, tool, text)
	}
}

func goSDKSSESession(t *testing.T, url string, options *gosdk.ClientOptions) *gosdk.ClientSession {
	t.Helper()
	c := gosdk.NewClient(&gosdk.Implementation{Name: "caller", Version: "1"}, options)
	// The stream ends with the context that it was opened with.
	session, err := c.Connect(t.Context(), &gosdk.SSEClientTransport{Endpoint: url, HTTPClient: httpClient(t)}, nil)
	if err != nil {
		t.Fatalf("connect: %v", err)
	}
	t.Cleanup(func() { _ = session.Close() }) // the test may have broken it
	return session
}

// goSDKSSEServer is a server made with go-sdk.
func goSDKSSEServer(t *testing.T) string {
	t.Helper()
	s := gosdk.NewServer(&gosdk.Implementation{Name: "go-sdk", Version: "1.0.0"}, nil)
	gosdk.AddTool(s, &gosdk.Tool{Name: "ask"}, func(ctx context.Context, r *gosdk.CallToolRequest, args askArgs) (*gosdk.CallToolResult, any, error) {
		got, err := r.Session.CreateMessage(ctx, samplingParams(args.Text))
		if err != nil {
			return nil, nil, err
		}
		return textResult(got.Content.(*gosdk.TextContent).Text), nil, nil
	})
	gosdk.AddTool(s, &gosdk.Tool{Name: "echo"}, func(_ context.Context, _ *gosdk.CallToolRequest, args askArgs) (*gosdk.CallToolResult, any, error) {
		return textResult(args.Text), nil, nil
	})
	return serve(t, gosdk.NewSSEHandler(func(*http.Request) *gosdk.Server { return s }, nil))
}

// mcpGoSSEServer is a server made with mcp-go, which cannot sample over this
// transport. It names its endpoint with its own host.
func mcpGoSSEServer(t *testing.T) string {
	t.Helper()
	s := server.NewMCPServer("mcp-go", "1.0.0", server.WithToolCapabilities(true))
	s.AddTool(mcp.NewTool("echo", mcp.WithString("text")), func(_ context.Context, r mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		return mcp.NewToolResultText(r.GetString("text", "")), nil
	})
	var handler http.Handler
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handler.ServeHTTP(w, r) }))
	handler = server.NewSSEServer(s, server.WithBaseURL(front.URL), server.WithSSEEndpoint("/mcp"))
	t.Cleanup(func() {
		front.CloseClientConnections()
		front.Close()
	})
	return front.URL + "/mcp"
}

func TestServersOfTheSSETransport(t *testing.T) {
	servers := map[string]struct {
		url   string
		tools map[string]string // what each says to hello
	}{
		"go-sdk":  {goSDKSSEServer(t), map[string]string{"echo": "hello", "ask": "sampled: hello"}},
		"mcp-go":  {mcpGoSSEServer(t), map[string]string{"echo": "hello"}},
		"FastMCP": {fastMCPServer(t, "sse"), map[string]string{"plain": "sampled: hello", "parallel": "sampled: hello 0|sampled: hello 1|sampled: hello 2"}},
	}
	callers := map[string]func(*testing.T, string) sseCall{"mcp-go": mcpGoSSE, "go-sdk": goSDKSSE}
	for serverName, s := range servers {
		for callerName, caller := range callers {
			t.Run(serverName+" called by "+callerName, func(t *testing.T) {
				url, handler := front(t, s.url, &fakeSampling{}, overSSE)
				call := caller(t, url)
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				for range 3 {
					for tool, want := range s.tools {
						got, err := call(ctx, tool, "hello")
						if err != nil {
							t.Fatalf("%s: %v", tool, err)
						}
						if got != want {
							t.Errorf("%s said %q, want %q", tool, got, want)
						}
					}
				}
				if got := handler.Sessions(); got != 1 {
					t.Errorf("%d sessions, want 1", got)
				}
			})
		}
	}
}

// TestFastMCPServerOverSSE is for the engine behind the older transport.
func TestFastMCPServerOverSSE(t *testing.T) {
	upstream := fastMCPServer(t, "sse")
	model := fakellm.New(
		fakellm.ToolCalls(fakellm.Call{ID: "call-1", Name: "add", Arguments: `{"a":2,"b":3}`}),
		fakellm.Text("five"),
		fakellm.Text("a pixel"),
	)
	model.Key = fastMCPKey
	url := fastMCPSampler(t, upstream, serve(t, model), nil, func(c *config.Effective) { c.Upstream.Transport = config.TransportSSE })
	call := mcpGoSSE(t, url)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for _, tool := range []struct{ name, text, want string }{
		{"loop", "what is 2 plus 3?", "five"}, {"picture", "what is it?", "a pixel"},
	} {
		got, err := call(ctx, tool.name, tool.text)
		if err != nil {
			t.Fatalf("%s: %v", tool.name, err)
		}
		if got != tool.want {
			t.Errorf("%s said %q, want %q", tool.name, got, tool.want)
		}
	}
	if got := len(askedOf(t, model)); got != 3 {
		t.Errorf("the model was asked %d times, want 3", got)
	}
}

func TestSSECallerThatSamplesItself(t *testing.T) {
	sampling := &fakeSampling{fallback: true}
	url, _ := front(t, goSDKSSEServer(t), sampling, overSSE)
	session := goSDKSSESession(t, url, &gosdk.ClientOptions{
		CreateMessageHandler: func(_ context.Context, r *gosdk.CreateMessageRequest) (*gosdk.CreateMessageResult, error) {
			return &gosdk.CreateMessageResult{Role: "assistant", Model: "caller", Content: &gosdk.TextContent{Text: "by the caller"}}, nil
		},
	})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	got, err := callGoSDK(ctx, session, "ask", "hello")
	if err != nil || got != "by the caller" {
		t.Errorf("got %q and %v", got, err)
	}
	if asked := sampling.asked(); asked != 0 {
		t.Errorf("the sampler was asked %d times", asked)
	}
}

func TestSSESessionEndsWithItsStream(t *testing.T) {
	url, handler := front(t, goSDKSSEServer(t), &fakeSampling{}, overSSE)
	session := goSDKSSESession(t, url, nil)
	if got := handler.Sessions(); got != 1 {
		t.Fatalf("%d sessions, want 1", got)
	}
	if err := session.Close(); err != nil && !strings.Contains(err.Error(), "closed") {
		t.Fatal(err)
	}
	eventually(t, "the session is forgotten", func() bool { return handler.Sessions() == 0 })
}
