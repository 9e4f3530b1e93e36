package dataplane

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	gosdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/proxy"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

type askArgs struct {
	Text string `json:"text"`
}

func textResult(text string) *gosdk.CallToolResult {
	return &gosdk.CallToolResult{Content: []gosdk.Content{&gosdk.TextContent{Text: text}}}
}

func samplingParams(text string) *gosdk.CreateMessageParams {
	return &gosdk.CreateMessageParams{
		MaxTokens: 10,
		Messages:  []*gosdk.SamplingMessage{{Role: "user", Content: &gosdk.TextContent{Text: text}}},
	}
}

// goSDKServer is a server made with go-sdk, which samples on the stream of the
// call; its tool "later" does so on the GET stream.
func goSDKServer(t testing.TB, options *gosdk.StreamableHTTPOptions) string {
	t.Helper()
	s := gosdk.NewServer(&gosdk.Implementation{Name: "go-sdk", Version: "1.0.0"}, nil)
	ask := func(ctx context.Context, session *gosdk.ServerSession, text string) (*gosdk.CallToolResult, any, error) {
		got, err := session.CreateMessage(ctx, samplingParams(text))
		if err != nil {
			return nil, nil, err
		}
		return textResult(got.Content.(*gosdk.TextContent).Text), nil, nil
	}
	gosdk.AddTool(s, &gosdk.Tool{Name: "ask"}, func(ctx context.Context, r *gosdk.CallToolRequest, args askArgs) (*gosdk.CallToolResult, any, error) {
		return ask(ctx, r.Session, args.Text)
	})
	gosdk.AddTool(s, &gosdk.Tool{Name: "later"}, func(_ context.Context, r *gosdk.CallToolRequest, args askArgs) (*gosdk.CallToolResult, any, error) {
		return ask(context.Background(), r.Session, args.Text)
	})
	gosdk.AddTool(s, &gosdk.Tool{Name: "poll"}, func(ctx context.Context, r *gosdk.CallToolRequest, args askArgs) (*gosdk.CallToolResult, any, error) {
		r.Extra.CloseSSEStream(gosdk.CloseSSEStreamArgs{RetryAfter: time.Millisecond})
		return ask(ctx, r.Session, args.Text)
	})
	gosdk.AddTool(s, &gosdk.Tool{Name: "declared"}, func(_ context.Context, r *gosdk.CallToolRequest, _ askArgs) (*gosdk.CallToolResult, any, error) {
		c := r.Session.InitializeParams().Capabilities.Sampling
		return textResult(fmt.Sprintf("sampling %t, tools %t", c != nil, c != nil && c.Tools != nil)), nil, nil
	})
	return serve(t, gosdk.NewStreamableHTTPHandler(func(*http.Request) *gosdk.Server { return s }, options))
}

func goSDKCaller(t testing.TB, url string, options *gosdk.ClientOptions) *gosdk.ClientSession {
	t.Helper()
	c := gosdk.NewClient(&gosdk.Implementation{Name: "caller", Version: "1"}, options)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	session, err := c.Connect(ctx, &gosdk.StreamableClientTransport{Endpoint: url, HTTPClient: httpClient(t)}, nil)
	if err != nil {
		t.Fatalf("connect: %v", err)
	}
	t.Cleanup(func() { _ = session.Close() }) // the test may have broken it
	return session
}

func callGoSDK(ctx context.Context, session *gosdk.ClientSession, tool, text string) (string, error) {
	got, err := session.CallTool(ctx, &gosdk.CallToolParams{Name: tool, Arguments: askArgs{Text: text}})
	if err != nil {
		return "", err
	}
	if len(got.Content) != 1 {
		return "", fmt.Errorf("%d content blocks", len(got.Content))
	}
	return got.Content[0].(*gosdk.TextContent).Text, nil
}

func TestServerThatSamplesOnTheStreamOfTheCall(t *testing.T) {
	for name, tc := range map[string]struct {
		sampling *fakeSampling
		// callerSamples gives the caller sampling of its own.
		callerSamples bool
		tool          string
		want          string
		wantAsked     int
	}{
		"caller without sampling": {
			sampling: &fakeSampling{}, tool: "ask",
			want: "sampled: hello", wantAsked: 1,
		},
		"caller without sampling, asked on the GET stream": {
			sampling: &fakeSampling{}, tool: "later",
			want: "sampled: hello", wantAsked: 1,
		},
		"caller with sampling, the sampler always answers": {
			sampling: &fakeSampling{}, tool: "ask", callerSamples: true,
			want: "sampled: hello", wantAsked: 1,
		},
		"caller with sampling answers where the sampler is the fallback": {
			sampling: &fakeSampling{fallback: true}, tool: "ask", callerSamples: true,
			want: "by the caller: hello",
		},
		"caller with sampling answers on the GET stream": {
			sampling: &fakeSampling{fallback: true}, tool: "later", callerSamples: true,
			want: "by the caller: hello",
		},
		"caller without sampling where the sampler is the fallback": {
			sampling: &fakeSampling{fallback: true}, tool: "ask",
			want: "sampled: hello", wantAsked: 1,
		},
		"what the server is told for a caller without sampling": {
			sampling: &fakeSampling{}, tool: "declared",
			want: "sampling true, tools true",
		},
		"what the server is told without a policy": {
			sampling: &fakeSampling{off: true}, tool: "declared", callerSamples: true,
			want: "sampling true, tools false",
		},
		"an error reaches the server": {
			sampling: &fakeSampling{answer: func(context.Context, proxy.Session, rawJSON) (rawJSON, *wire.Error) {
				return nil, &wire.Error{Code: wire.CodeRejected, Message: "refused by policy"}
			}}, tool: "ask",
			want: `calling "sampling/createMessage": refused by policy`, wantAsked: 1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			url, _ := front(t, goSDKServer(t, nil), tc.sampling)
			var options gosdk.ClientOptions
			if tc.callerSamples {
				options.CreateMessageHandler = func(_ context.Context, r *gosdk.CreateMessageRequest) (*gosdk.CreateMessageResult, error) {
					text := r.Params.Messages[0].Content.(*gosdk.TextContent).Text
					return &gosdk.CreateMessageResult{Role: "assistant", Model: "caller", Content: &gosdk.TextContent{Text: "by the caller: " + text}}, nil
				}
			}
			caller := goSDKCaller(t, url, &options)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			got, err := callGoSDK(ctx, caller, tc.tool, "hello")
			if err != nil {
				t.Fatal(err)
			}
			if got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
			if asked := tc.sampling.asked(); asked != tc.wantAsked {
				t.Errorf("the sampler was asked %d times, want %d", asked, tc.wantAsked)
			}
		})
	}
}

func TestCallerThatLeavesEndsTheModelCall(t *testing.T) {
	for _, tool := range []string{"ask", "later"} {
		t.Run(tool, func(t *testing.T) {
			asked := make(chan struct{})
			var ended atomic.Bool
			sampling := &fakeSampling{answer: func(ctx context.Context, _ proxy.Session, _ rawJSON) (rawJSON, *wire.Error) {
				close(asked)
				<-ctx.Done()
				ended.Store(true)
				return nil, &wire.Error{Code: wire.CodeInternal, Message: "the model call was cancelled"}
			}}
			url, _ := front(t, goSDKServer(t, nil), sampling)
			caller := goSDKCaller(t, url, nil)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			go func() {
				<-asked
				cancel() // go-sdk sends notifications/cancelled
			}()
			if _, err := callGoSDK(ctx, caller, tool, "hello"); !errors.Is(err, context.Canceled) {
				t.Errorf("error %v, want %v", err, context.Canceled)
			}
			eventually(t, "the model call ends", ended.Load)
		})
	}
}

// A server may close the stream of a call early; the caller resumes it by a GET
// with the id of the last event, and the sampling request is on that stream.
func TestSamplingOnAStreamThatTheCallerResumes(t *testing.T) {
	for _, tool := range []string{"ask", "later", "poll"} {
		t.Run(tool, func(t *testing.T) {
			sampling := &fakeSampling{}
			url, _ := front(t, goSDKServer(t, &gosdk.StreamableHTTPOptions{EventStore: gosdk.NewMemoryEventStore(nil)}), sampling)
			caller := goSDKCaller(t, url, nil)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			for i := range 3 {
				text := fmt.Sprintf("text %d", i)
				got, err := callGoSDK(ctx, caller, tool, text)
				if err != nil {
					t.Fatal(err)
				}
				if want := "sampled: " + text; got != want {
					t.Errorf("got %q, want %q", got, want)
				}
			}
			if got := sampling.asked(); got != 3 {
				t.Errorf("the sampler was asked %d times, want 3", got)
			}
		})
	}
}

func TestSessionEndsWithDelete(t *testing.T) {
	url, handler := front(t, goSDKServer(t, nil), &fakeSampling{})
	caller := goSDKCaller(t, url, nil)
	if got := handler.Sessions(); got != 1 {
		t.Fatalf("%d sessions, want 1", got)
	}
	if err := caller.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the session is forgotten", func() bool { return handler.Sessions() == 0 })
}

func TestServerWithoutSessionsStillServesCalls(t *testing.T) {
	url, handler := front(t, goSDKServer(t, &gosdk.StreamableHTTPOptions{Stateless: true}), &fakeSampling{off: true})
	caller := goSDKCaller(t, url, nil)
	_, err := callGoSDK(t.Context(), caller, "nothing", "")
	var rpc *jsonrpc.Error
	if !errors.As(err, &rpc) {
		t.Fatalf("error %v, want the server's about an unknown tool", err)
	}
	if got := handler.Sessions(); got != 0 {
		t.Errorf("%d sessions, want none", got)
	}
}
