package peers

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/testing/fakellm"
)

// hopeless bounds a call that has nobody to sample for it: what is slower than
// that counts as failed too.
const hopeless = 3 * time.Second

// samplingServer is a server of another maker, with tools that sample.
type samplingServer struct {
	peer, transport, era string
	// start runs it and returns its URL.
	start func(t *testing.T) string
	// program runs it as a stdio server.
	program []string
	tools   []samplingTool
}

type samplingTool struct {
	name string
	arguments
	// is says in the table what the tool shows, its name where it is empty.
	is string
	// prompt makes it a prompt and not a tool.
	prompt  bool
	replies []fakellm.Reply
	want    string
	// wantAsked is in the requests to the model.
	wantAsked []string
}

type arguments map[string]any

// text are the arguments of most tools here, and asked is what they come back
// with: the fake model says what it was asked.
var text = arguments{"text": "hello"}

const asked = "fake model fake-1, at most 100 tokens, was asked: "

func python(venv, script string, args ...string) []string {
	return append([]string{filepath.Join(venv, "bin", "python"), filepath.Join(lab.servers, script)}, args...)
}

func node(script string, args ...string) []string {
	return append([]string{lab.node, filepath.Join(lab.servers, script)}, args...)
}

// listening starts a server of this folder on a port, which is its last
// argument.
func listening(path string, program func() []string) func(t *testing.T) string {
	return func(t *testing.T) string {
		t.Helper()
		port := freePort(t)
		line := append(program(), strconv.Itoa(port))
		startOn(t, port, nil, line[0], line[1:]...)
		return fmt.Sprintf("http://127.0.0.1:%d%s", port, path)
	}
}

// goSDKServer starts go-sdk's own fixture of the conformance suite.
func goSDKServer(stateless bool) func(t *testing.T) string {
	return func(t *testing.T) string {
		t.Helper()
		port := freePort(t)
		startOn(t, port, nil, lab.goSDK, fmt.Sprintf("-http=127.0.0.1:%d", port), fmt.Sprintf("-stateless=%t", stateless))
		return fmt.Sprintf("http://127.0.0.1:%d/mcp", port)
	}
}

// mcpGoServer starts mcp-go's own fixture of the conformance suite.
func mcpGoServer(t *testing.T) string {
	t.Helper()
	port := freePort(t)
	address := fmt.Sprintf("127.0.0.1:%d", port)
	startOn(t, port, []string{"CONFORMANCE_ADDR=" + address}, lab.mcpGo)
	return "http://" + address + "/mcp"
}

// mcpGoRounds is a server made with mcp-go whose tool returns what it needs
// answered: none of mcp-go's own programs samples in the stateless era.
func mcpGoRounds(t *testing.T) string {
	t.Helper()
	s := server.NewMCPServer("mcp-go", "1.0.0", server.WithToolCapabilities(true))
	s.EnableSampling()
	ask := func(state, key, text string) (*mcp.CallToolResult, error) {
		return server.NewInputRequestBuilder(state).Sample(key, mcp.CreateMessageParams{
			Messages:  []mcp.SamplingMessage{{Role: mcp.RoleUser, Content: mcp.NewTextContent(text)}},
			MaxTokens: 100,
		}).ToolResult(), nil
	}
	s.AddTool(mcp.NewTool("two_rounds", mcp.WithString("text")), func(_ context.Context, r mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		if second := server.SamplingResponse(r.Params.InputResponses, "second"); second != nil {
			return mcp.NewToolResultText(r.Params.RequestState + ": " + contentText(second.Content)), nil
		}
		if first := server.SamplingResponse(r.Params.InputResponses, "first"); first != nil {
			return ask("second", "second", contentText(first.Content))
		}
		return ask("first", "first", r.GetString("text", ""))
	})
	l := httptest.NewServer(server.NewStreamableHTTPServer(s))
	t.Cleanup(func() { l.CloseClientConnections(); l.Close() })
	return l.URL + "/mcp"
}

func contentText(content any) string {
	data, err := json.Marshal(content)
	if err != nil {
		return err.Error()
	}
	var block struct{ Text string }
	if err := json.Unmarshal(data, &block); err != nil {
		return err.Error()
	}
	return block.Text
}

// sdkTools are the tools of servers made with the official SDKs.
var (
	onCall    = samplingTool{name: "ask", arguments: text, is: "on the stream of the call", want: asked + "hello"}
	onGET     = samplingTool{name: "ask_on_get", arguments: text, is: "on the session's own stream", want: asked + "hello"}
	oneRound  = samplingTool{name: "one_round", arguments: text, is: "one round", want: asked + "hello"}
	twoRounds = samplingTool{name: "two_rounds", arguments: text, is: "two rounds", want: ": " + asked + asked + "hello"}
)

func samplingServers() []samplingServer {
	python1 := func(transport string) func() []string {
		return func() []string { return python(lab.fastmcp3, "python1.py", transport) }
	}
	python2 := func(transport string) func() []string {
		return func() []string { return python(lab.fastmcp4, "python2.py", transport) }
	}
	typescript1 := func(transport string) func() []string {
		return func() []string { return node("typescript1.mjs", transport) }
	}
	typescript2 := func() []string { return node("typescript2.mjs", "http") }
	fastmcp4 := func() []string { return python(lab.fastmcp4, "fastmcp4.py") }
	return []samplingServer{
		{peer: "FastMCP 3.4", transport: streamableHTTP, era: legacy, start: fastMCP3, tools: fastMCP3Tools},
		{peer: "FastMCP 4", transport: streamableHTTP, era: modern, start: listening("/mcp", fastmcp4), tools: fastMCP4Tools},

		{peer: "go-sdk everything-server", transport: streamableHTTP, era: legacy, start: goSDKServer(false), tools: []samplingTool{goSDKLegacy}},
		{peer: "go-sdk everything-server", transport: streamableHTTP, era: modern, start: goSDKServer(true), tools: []samplingTool{goSDKModern}},
		{peer: "go-sdk everything-server", transport: stdio, era: legacy, program: []string{lab.goSDK}, tools: []samplingTool{goSDKLegacy}},
		{peer: "go-sdk everything-server", transport: stdio, era: modern, program: []string{lab.goSDK}, tools: []samplingTool{goSDKModern}},

		{peer: "mcp-go", transport: streamableHTTP, era: legacy, start: mcpGoServer, tools: []samplingTool{{
			name: "test_sampling", arguments: arguments{"prompt": "hello"}, is: "on the session's own stream", want: asked + "hello",
		}}},
		{peer: "mcp-go", transport: streamableHTTP, era: modern, start: mcpGoRounds, tools: []samplingTool{twoRounds}},

		{peer: "Python SDK 1", transport: streamableHTTP, era: legacy, start: listening("/mcp", python1("http")), tools: []samplingTool{onCall, onGET}},
		{peer: "Python SDK 1", transport: httpSSE, era: legacy, start: listening("/sse", python1("sse")), tools: []samplingTool{onCall, onGET}},
		{peer: "Python SDK 1", transport: stdio, era: legacy, program: python1("stdio")(), tools: []samplingTool{onCall, onGET}},

		{peer: "Python SDK 2", transport: streamableHTTP, era: legacy, start: listening("/mcp", python2("http")), tools: []samplingTool{onCall}},
		{peer: "Python SDK 2", transport: streamableHTTP, era: modern, start: listening("/mcp", python2("http")), tools: []samplingTool{oneRound, twoRounds}},
		{peer: "Python SDK 2", transport: httpSSE, era: legacy, start: listening("/sse", python2("sse")), tools: []samplingTool{onCall}},
		{peer: "Python SDK 2", transport: stdio, era: legacy, program: python2("stdio")(), tools: []samplingTool{onCall}},
		{peer: "Python SDK 2", transport: stdio, era: modern, program: python2("stdio")(), tools: []samplingTool{oneRound, twoRounds}},

		{peer: "TypeScript SDK 1", transport: streamableHTTP, era: legacy, start: listening("/mcp", typescript1("http")), tools: []samplingTool{onCall, onGET}},
		{peer: "TypeScript SDK 1", transport: httpSSE, era: legacy, start: listening("/sse", typescript1("sse")), tools: []samplingTool{onCall, onGET}},
		{peer: "TypeScript SDK 1", transport: stdio, era: legacy, program: typescript1("stdio")(), tools: []samplingTool{onCall, onGET}},

		{peer: "TypeScript SDK 2", transport: streamableHTTP, era: legacy, start: listening("/mcp", typescript2), tools: []samplingTool{oneRound, twoRounds}},
		{peer: "TypeScript SDK 2", transport: streamableHTTP, era: modern, start: listening("/mcp", typescript2), tools: []samplingTool{oneRound, twoRounds}},
		{peer: "TypeScript SDK 2", transport: stdio, era: legacy, program: node("typescript2.mjs", "stdio"), tools: []samplingTool{oneRound, twoRounds}},
		{peer: "TypeScript SDK 2", transport: stdio, era: modern, program: node("typescript2.mjs", "stdio"), tools: []samplingTool{oneRound, twoRounds}},
	}
}

// Tools of go-sdk's fixture.
var (
	goSDKLegacy = samplingTool{name: "test_sampling", arguments: arguments{"prompt": "hello"}, is: "on the stream of the call", want: asked + "hello"}
	goSDKModern = samplingTool{name: "test_input_required_result_sampling", arguments: arguments{}, is: "one round", want: "was asked: What is the capital of France?"}
)

// TestServersThatSample lets servers of other makers sample for a caller that
// cannot.
func TestServersThatSample(t *testing.T) {
	t.Parallel()
	for _, s := range samplingServers() {
		t.Run(s.peer+" "+s.transport+" "+s.era, func(t *testing.T) {
			t.Parallel()
			upstream, transport := "", s.transport
			directly := func() rawCaller { return connect(t, upstream, transport, s.era) }
			if s.start != nil {
				upstream = s.start(t)
			} else {
				directly = func() rawCaller {
					if s.era == modern {
						// Nothing to begin with: the bridge without a sampler.
						return newHTTPCaller(t, upstream, modern, map[string]any{})
					}
					return newStdioCaller(t, map[string]any{}, s.program...)
				}
				upstream, transport = bridge(t, s.program...), streamableHTTP
			}
			for _, tool := range s.tools {
				fake, modelURL := model(t, tool.replies...)
				through := connect(t, sampler(t, upstream, transport, "Always", modelURL), transport, s.era)
				line := row{section: sampling, peer: s.peer, transport: s.transport, era: s.era, what: tool.title()}

				ctx, cancel := context.WithTimeout(t.Context(), hopeless)
				_, err := tool.call(ctx, directly())
				cancel()
				line.direct = outcome(err)

				ctx, cancel = context.WithTimeout(t.Context(), patience)
				got, err := tool.call(ctx, through)
				cancel()
				if err == nil {
					err = tool.check(got, fake)
				}
				must(t, line, err)
			}
		})
	}
}

// connect makes a caller without sampling.
func connect(t testing.TB, url, transport, era string) rawCaller {
	t.Helper()
	if transport == httpSSE {
		return newSSECaller(t, url, map[string]any{})
	}
	return newHTTPCaller(t, url, era, map[string]any{})
}

func (s samplingTool) title() string {
	if s.is != "" {
		return s.is
	}
	return s.name
}

func (s samplingTool) call(ctx context.Context, c rawCaller) (string, error) {
	if !s.prompt {
		return tool(ctx, c, s.name, s.arguments)
	}
	got, err := c.call(ctx, "prompts/get", map[string]any{"name": s.name, "arguments": s.arguments})
	if err != nil {
		return "", err
	}
	result, _ := got.Result.(map[string]any)
	messages, _ := result["messages"].([]any)
	if len(messages) != 1 {
		return "", fmt.Errorf("the prompt is %v", got)
	}
	return textOf([]any{messages[0].(map[string]any)["content"]}), nil
}

// check compares what came back and what the model was asked.
func (s samplingTool) check(got string, fake *fakellm.Server) error {
	if !strings.Contains(got, s.want) {
		return fmt.Errorf("it said %q, want %q in it", got, s.want)
	}
	var all strings.Builder
	for _, request := range fake.Requests() {
		all.Write(request.Body)
	}
	for _, want := range s.wantAsked {
		if !strings.Contains(all.String(), want) {
			return fmt.Errorf("the model was not asked with %s but with %s", want, all.String())
		}
	}
	return nil
}
