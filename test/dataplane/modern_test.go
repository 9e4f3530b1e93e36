package dataplane

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/mark3labs/mcp-go/client/transport"
	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
	gosdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/proxy"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

// modernGoSDKServer asks for sampling in the results of its tools: "ask" once,
// "two" for two answers at once, "rounds" three times with a state, "mixed" beside
// elicitation.
func modernGoSDKServer(t testing.TB, options *gosdk.StreamableHTTPOptions) string {
	t.Helper()
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
	add("rounds", func(ctx context.Context, r *gosdk.CallToolRequest, text string) *gosdk.CallToolResult {
		_ = r.Session.NotifyProgress(ctx, &gosdk.ProgressNotificationParams{ProgressToken: r.Params.GetProgressToken(), Progress: float64(len(r.Params.RequestState))})
		state := r.Params.RequestState + sampled(r, "q") + "<"
		if strings.Count(state, "<") > 3 {
			return textResult(state)
		}
		return &gosdk.CallToolResult{InputRequests: gosdk.InputRequestMap{"q": samplingParams(text)}, RequestState: state}
	})
	add("mixed", func(_ context.Context, r *gosdk.CallToolRequest, text string) *gosdk.CallToolResult {
		got, ok := r.Params.InputResponses["who"].(*gosdk.ElicitResult)
		if ok && sampled(r, "q") != "" {
			return textResult(fmt.Sprint(got.Content["name"], " ", sampled(r, "q"), " ", r.Params.RequestState))
		}
		return &gosdk.CallToolResult{RequestState: "mine", InputRequests: gosdk.InputRequestMap{
			"q": samplingParams(text), "who": &gosdk.ElicitParams{Message: "who?"},
		}}
	})
	return serve(t, gosdk.NewStreamableHTTPHandler(func(*http.Request) *gosdk.Server { return s }, options))
}

// modernMCPGoServer does the same with mcp-go.
func modernMCPGoServer(t testing.TB) string {
	t.Helper()
	s := server.NewMCPServer("mcp-go", "1.0.0", server.WithToolCapabilities(true))
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
	add("rounds", func(r mcp.CallToolRequest, text string) *mcp.CallToolResult {
		state := r.Params.RequestState + sampled(r, "q") + "<"
		if strings.Count(state, "<") > 3 {
			return mcp.NewToolResultText(state)
		}
		return server.NewInputRequestBuilder(state).Sample("q", params(text)).ToolResult()
	})
	add("mixed", func(r mcp.CallToolRequest, text string) *mcp.CallToolResult {
		if got := server.ElicitationResponse(r.Params.InputResponses, "who"); got != nil && sampled(r, "q") != "" {
			return mcp.NewToolResultText(fmt.Sprint(got.Content.(map[string]any)["name"], " ", sampled(r, "q"), " ", r.Params.RequestState))
		}
		return server.NewInputRequestBuilder("mine").Sample("q", params(text)).
			Elicit("who", mcp.ElicitationParams{Message: "who?", RequestedSchema: map[string]any{"type": "object"}}).ToolResult()
	})
	return serve(t, server.NewStreamableHTTPServer(s))
}

func modernServers() map[string]func(testing.TB) string {
	return map[string]func(testing.TB) string{
		"go-sdk server that streams": func(t testing.TB) string {
			return modernGoSDKServer(t, &gosdk.StreamableHTTPOptions{Stateless: true})
		},
		"go-sdk server that answers JSON": func(t testing.TB) string {
			return modernGoSDKServer(t, &gosdk.StreamableHTTPOptions{Stateless: true, JSONResponse: true})
		},
		"mcp-go server": modernMCPGoServer,
	}
}

// Callers that have no sampling, and do nothing about a result that asks for
// input.
func modernCallers() map[string]func(t testing.TB, url string) func(ctx context.Context, tool, text string) (string, error) {
	return map[string]func(t testing.TB, url string) func(ctx context.Context, tool, text string) (string, error){
		"go-sdk caller": func(t testing.TB, url string) func(context.Context, string, string) (string, error) {
			caller := goSDKCaller(t, url, &gosdk.ClientOptions{MultiRoundTrip: &gosdk.MultiRoundTripOptions{Disabled: true}})
			if got := caller.InitializeResult().ProtocolVersion; got != wire.VersionModern {
				t.Fatalf("the caller speaks %s, want %s", got, wire.VersionModern)
			}
			return func(ctx context.Context, tool, text string) (string, error) {
				return callGoSDK(ctx, caller, tool, text)
			}
		},
		"mcp-go caller": func(t testing.TB, url string) func(context.Context, string, string) (string, error) {
			caller := mcpGoClient(t, url)
			return func(ctx context.Context, tool, text string) (string, error) {
				return callMCPGo(ctx, caller, tool, text)
			}
		},
	}
}

func TestStatelessServersOfOtherMakers(t *testing.T) {
	for serverName, newServer := range modernServers() {
		for callerName, newCaller := range modernCallers() {
			t.Run(serverName+", "+callerName, func(t *testing.T) {
				sampling := &fakeSampling{}
				url, handler := front(t, newServer(t), sampling)
				call := newCaller(t, url)
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				for tool, want := range map[string]string{
					"ask":    "sampled: hello",
					"two":    "sampled: hello a, sampled: hello b",
					"rounds": "<sampled: hello<sampled: hello<sampled: hello<",
				} {
					got, err := call(ctx, tool, "hello")
					if err != nil {
						t.Fatalf("%s: %v", tool, err)
					}
					if got != want {
						t.Errorf("%s: got %q, want %q", tool, got, want)
					}
				}
				if got := sampling.asked(); got != 1+2+3 {
					t.Errorf("the sampler was asked %d times, want 6", got)
				}
				if got := sampling.lastSession(); got.ProtocolVersion != wire.VersionModern || got.Caller.Declared || !got.Declared.Tools {
					t.Errorf("session %+v, want one of the stateless era whose caller declared nothing", got)
				}
				if got := handler.Sessions(); got != 0 {
					t.Errorf("%d sessions are held, want none", got)
				}
			})
		}
	}
}

func TestSamplingBesideElicitation(t *testing.T) {
	for serverName, newServer := range modernServers() {
		t.Run(serverName, func(t *testing.T) {
			sampling := &fakeSampling{}
			url, _ := front(t, newServer(t), sampling)
			asked := 0
			caller := goSDKCaller(t, url, &gosdk.ClientOptions{
				ElicitationHandler: func(_ context.Context, r *gosdk.ElicitRequest) (*gosdk.ElicitResult, error) {
					asked++
					return &gosdk.ElicitResult{Action: "accept", Content: map[string]any{"name": r.Params.Message}}, nil
				},
			})
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			got, err := callGoSDK(ctx, caller, "mixed", "hello")
			if err != nil {
				t.Fatal(err)
			}
			if want := "who? sampled: hello mine"; got != want {
				t.Errorf("got %q, want %q", got, want)
			}
			if asked != 1 || sampling.asked() != 1 {
				t.Errorf("the caller was asked %d times and the sampler %d, want once each", asked, sampling.asked())
			}
		})
	}
}

func TestStatelessCallerThatSamplesIsTheFirstToBeAsked(t *testing.T) {
	for serverName, newServer := range modernServers() {
		t.Run(serverName, func(t *testing.T) {
			sampling := &fakeSampling{fallback: true}
			url, _ := front(t, newServer(t), sampling)
			caller := goSDKCaller(t, url, &gosdk.ClientOptions{
				CreateMessageHandler: func(_ context.Context, r *gosdk.CreateMessageRequest) (*gosdk.CreateMessageResult, error) {
					return &gosdk.CreateMessageResult{Role: "assistant", Model: "caller", Content: &gosdk.TextContent{Text: "by the caller"}}, nil
				},
			})
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			got, err := callGoSDK(ctx, caller, "ask", "hello")
			if err != nil {
				t.Fatal(err)
			}
			if got != "by the caller" || sampling.asked() != 0 {
				t.Errorf("got %q, and the sampler was asked %d times; want the caller's answer", got, sampling.asked())
			}
		})
	}
}

func TestSamplingThatIsRefusedFailsTheStatelessCall(t *testing.T) {
	for serverName, newServer := range modernServers() {
		for callerName, newCaller := range modernCallers() {
			t.Run(serverName+", "+callerName, func(t *testing.T) {
				url, _ := front(t, newServer(t), &fakeSampling{answer: func(context.Context, proxy.Session, rawJSON) (rawJSON, *wire.Error) {
					return nil, &wire.Error{Code: wire.CodeRejected, Message: "refused by policy"}
				}})
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				_, err := newCaller(t, url)(ctx, "two", "hello")
				if err == nil || !strings.Contains(err.Error(), "needs for this call was refused: refused by policy") {
					t.Errorf("error %v, want one that says why", err)
				}
			})
		}
	}
}

// The same tools in the session era: the servers ask by requests.
func TestServersOfBothErasInSessions(t *testing.T) {
	for name, newServer := range map[string]func(testing.TB) string{
		"go-sdk server": func(t testing.TB) string { return modernGoSDKServer(t, nil) },
		"mcp-go server": modernMCPGoServer,
	} {
		t.Run(name, func(t *testing.T) {
			url, _ := front(t, newServer(t), &fakeSampling{})
			caller := mcpGoClient(t, url, transport.WithContinuousListening()) // which knows sessions only
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			for tool, want := range map[string]string{"ask": "sampled: hello", "two": "sampled: hello a, sampled: hello b"} {
				got, err := callMCPGo(ctx, caller, tool, "hello")
				if err != nil {
					t.Fatalf("%s: %v", tool, err)
				}
				if got != want {
					t.Errorf("%s: got %q, want %q", tool, got, want)
				}
			}
		})
	}
}
