package dataplane

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/client/transport"
	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/proxy"
)

// mcpGoServer is a server made with mcp-go, which samples on the GET stream
// only.
func mcpGoServer(t testing.TB, options ...server.StreamableHTTPOption) string {
	t.Helper()
	return serve(t, server.NewStreamableHTTPServer(newMCPGo(), options...))
}

func newMCPGo() *server.MCPServer {
	s := server.NewMCPServer("mcp-go", "1.0.0", server.WithToolCapabilities(true))
	s.EnableSampling()
	s.AddTool(mcp.NewTool("ask", mcp.WithString("text")), func(ctx context.Context, r mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		got, err := s.RequestSampling(ctx, mcp.CreateMessageRequest{CreateMessageParams: mcp.CreateMessageParams{
			Messages:  []mcp.SamplingMessage{{Role: mcp.RoleUser, Content: mcp.NewTextContent(r.GetString("text", ""))}},
			MaxTokens: 10,
		}})
		if err != nil {
			return mcp.NewToolResultError(err.Error()), nil
		}
		return mcp.NewToolResultText(got.Content.(mcp.TextContent).Text), nil
	})
	s.AddTool(mcp.NewTool("echo", mcp.WithString("text")), func(_ context.Context, r mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		return mcp.NewToolResultText(r.GetString("text", "")), nil
	})
	return s
}

// inSessions is for a server that knows both eras, and samples in one.
func inSessions(o *proxy.Options) { o.SteerToSessions = true }

// mcpGoClient is a caller made with mcp-go that has no sampling.
func mcpGoClient(t testing.TB, url string, options ...transport.StreamableHTTPCOption) *client.Client {
	t.Helper()
	c, err := client.NewStreamableHttpClient(url, append(options, transport.WithHTTPBasicClient(httpClient(t)))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Errorf("closing the caller: %v", err)
		}
	})
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := c.Start(ctx); err != nil {
		t.Fatal(err)
	}
	request := mcp.InitializeRequest{}
	request.Params.ClientInfo = mcp.Implementation{Name: "caller", Version: "1"}
	if _, err := c.Initialize(ctx, request); err != nil {
		t.Fatalf("initialize: %v", err)
	}
	return c
}

func callMCPGo(ctx context.Context, c *client.Client, tool, text string) (string, error) {
	request := mcp.CallToolRequest{}
	request.Params.Name = tool
	request.Params.Arguments = map[string]any{"text": text}
	got, err := c.CallTool(ctx, request)
	if err != nil {
		return "", err
	}
	if len(got.Content) != 1 {
		return "", fmt.Errorf("%d content blocks", len(got.Content))
	}
	return got.Content[0].(mcp.TextContent).Text, nil
}

func TestServerThatSamplesOnTheGETStream(t *testing.T) {
	for name, tc := range map[string]struct {
		server []server.StreamableHTTPOption
		caller []transport.StreamableHTTPCOption
	}{
		"a caller that knows both eras": {},
		"a caller with a GET stream of its own": {
			caller: []transport.StreamableHTTPCOption{transport.WithContinuousListening()},
		},
		"a server that pings all the time": {
			server: []server.StreamableHTTPOption{server.WithHeartbeatInterval(time.Millisecond)},
			caller: []transport.StreamableHTTPCOption{transport.WithContinuousListening()},
		},
		"a server that keeps its events for replay": {
			server: []server.StreamableHTTPOption{server.WithEventStore(server.NewInMemoryEventStore())},
		},
	} {
		t.Run(name, func(t *testing.T) {
			sampling := &fakeSampling{}
			url, _ := front(t, mcpGoServer(t, tc.server...), sampling, inSessions)
			caller := mcpGoClient(t, url, tc.caller...)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			for i := range 3 {
				text := fmt.Sprintf("text %d", i)
				got, err := callMCPGo(ctx, caller, "ask", text)
				if err != nil {
					t.Fatal(err)
				}
				if want := "sampled: " + text; got != want {
					t.Errorf("got %q, want %q", got, want)
				}
			}
			if got := sampling.lastSession(); got.Caller.Declared || !got.Declared.Tools || got.ProtocolVersion == "" {
				t.Errorf("session %+v, want one of a caller that declared nothing", got)
			}
		})
	}
}

func TestManyCallersSampleAtTheSameTime(t *testing.T) {
	url, _ := front(t, mcpGoServer(t), &fakeSampling{}, inSessions)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var group sync.WaitGroup
	for i := range 4 {
		caller := mcpGoClient(t, url)
		for j := range 4 {
			group.Go(func() {
				text := fmt.Sprintf("caller %d, call %d", i, j)
				got, err := callMCPGo(ctx, caller, "ask", text)
				if err != nil {
					t.Errorf("%s: %v", text, err)
				} else if want := "sampled: " + text; got != want {
					t.Errorf("got %q, want %q", got, want)
				}
			})
		}
	}
	group.Wait()
}
