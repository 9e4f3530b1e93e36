package dataplane

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/mcp"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/config"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/testing/fakellm"
)

// The refusal that FastMCP itself gives where sampling.tools is not declared.
const fastMCPWantsTools = "Client does not support sampling with tools. The client must advertise the sampling.tools capability."

// TestFastMCPsOwnExamples runs the programs that FastMCP publishes, unchanged,
// before a sampler whose policy allows tools, and one whose policy does not.
func TestFastMCPsOwnExamples(t *testing.T) {
	t.Parallel()
	servers := serveExamples(t, "text", "structured_output", "tool_use", "server_fallback")
	for name, tc := range map[string]struct {
		program, tool string
		arguments     map[string]any
		replies       []fakellm.Reply

		want []string // in the tool's result
		// wantAsked looks at what the model was asked.
		wantAsked func(t *testing.T, asked []chatRequest)
		// wantWithoutTools is the tool's error where the policy allows no tools;
		// empty where nothing changes.
		wantWithoutTools string
	}{
		"text with a system prompt": {
			program: "text", tool: "write_haiku", arguments: map[string]any{"topic": "rain"},
			replies: []fakellm.Reply{fakellm.Text("rain on a tin roof")},
			want:    []string{"rain on a tin roof"},
			wantAsked: func(t *testing.T, asked []chatRequest) {
				diff(t, []map[string]any{
					{"role": "system", "content": "You are a poet. Write only the haiku, nothing else."},
					{"role": "user", "content": "Write a haiku about: rain"},
				}, asked[0].Messages)
				diff(t, int64(100), asked[0].MaxTokens)
			},
		},
		"structured output": {
			program: "structured_output", tool: "analyze_sentiment", arguments: map[string]any{"text": "I love it"},
			replies: []fakellm.Reply{fakellm.ToolCalls(fakellm.Call{
				ID: "c", Name: "final_response",
				Arguments: `{"sentiment":"positive","confidence":0.9,"keywords":["love"],"explanation":"love"}`,
			})},
			want: []string{`"sentiment":"positive"`, `"confidence":0.9`, `"keywords":["love"]`},
			wantAsked: func(t *testing.T, asked []chatRequest) {
				diff(t, []string{"final_response"}, toolNames(asked[0]))
				diff(t, `"required"`, string(asked[0].ToolChoice))
			},
			wantWithoutTools: fastMCPWantsTools,
		},
		"a tool loop with tool calls side by side, a tool that fails, and structured output": {
			program: "tool_use", tool: "ask_assistant", arguments: map[string]any{"question": "What is 15 times 7, plus 23?"},
			replies: []fakellm.Reply{
				fakellm.ToolCalls(
					fakellm.Call{ID: "first", Name: "multiply", Arguments: `{"a":15,"b":7}`},
					fakellm.Call{ID: "second", Name: "roll_dice", Arguments: `{"sides":0}`}, // no die has none
				),
				fakellm.ToolCalls(fakellm.Call{ID: "third", Name: "add", Arguments: `{"a":105,"b":23}`}),
				fakellm.ToolCalls(fakellm.Call{
					ID: "last", Name: "final_response",
					Arguments: `{"answer":"128","tools_used":["multiply","add"],"reasoning":"15*7+23"}`,
				}),
			},
			want: []string{`"answer":"128"`, `"tools_used":["multiply","add"]`},
			wantAsked: func(t *testing.T, asked []chatRequest) {
				diff(t, 3, len(asked))
				offered := toolNames(asked[0])
				slices.Sort(offered)
				diff(t, []string{"add", "final_response", "get_current_time", "multiply", "roll_dice"}, offered)
				results := toolResults(asked[2])
				diff(t, "105", results["first"])
				diff(t, "128", results["third"])
				if !strings.Contains(results["second"], "Error") {
					t.Errorf("the model was told %q of the tool that failed", results["second"])
				}
			},
			wantWithoutTools: fastMCPWantsTools,
		},
		"a server with a model of its own leaves it alone": {
			program: "server_fallback", tool: "translate", arguments: map[string]any{"text": "boat", "target_language": "Norwegian"},
			replies: []fakellm.Reply{fakellm.Text("båt")},
			want:    []string{"båt"},
			wantAsked: func(t *testing.T, asked []chatRequest) {
				diff(t, []map[string]any{
					{"role": "system", "content": "You are a translator. Output only the Norwegian translation."},
					{"role": "user", "content": "Translate to Norwegian:\n\nboat"},
				}, asked[0].Messages)
			},
		},
	} {
		for _, tools := range []config.ToolsCapability{config.ToolsEnabled, config.ToolsDisabled} {
			t.Run(name+", tools "+string(tools), func(t *testing.T) {
				t.Parallel()
				model := fakellm.New(tc.replies...)
				model.Key = fastMCPKey
				url := fastMCPSampler(t, servers[tc.program], serve(t, model), func(p *config.Policy) { p.Capabilities.Tools = tools })
				text, failed := callTool(t, mcpGoClient(t, url), tc.tool, tc.arguments)
				if tools == config.ToolsDisabled && tc.wantWithoutTools != "" {
					if !failed || !strings.Contains(text, tc.wantWithoutTools) {
						t.Errorf("the tool said %q (failed: %v), want it to fail with %q", text, failed, tc.wantWithoutTools)
					}
					diff(t, 0, len(model.Requests()))
					return
				}
				for _, want := range tc.want {
					if failed || !strings.Contains(text, want) {
						t.Errorf("the tool said %q (failed: %v), want %q in it", text, failed, want)
					}
				}
				tc.wantAsked(t, askedOf(t, model))
			})
		}
	}
}

// TestFastMCPIsToldWhatAPolicyRefuses shows what a user of a FastMCP server sees
// of a policy.
func TestFastMCPIsToldWhatAPolicyRefuses(t *testing.T) {
	t.Parallel()
	server := fastMCPServer(t)
	for name, tc := range map[string]struct {
		tool, text string
		policy     func(*config.Policy)
		want       string
		// mayAsk is how often the model may be asked all the same.
		mayAsk int
	}{
		"a tool that is denied": {
			tool: "loop", text: "hello",
			policy: func(p *config.Policy) { p.Capabilities.ToolNames.Deny = []string{"look*"} },
			want:   `the sampling policy does not allow the tool "lookup"`,
		},
		"a tool that is not among those that are allowed": {
			tool: "loop", text: "hello",
			policy: func(p *config.Policy) { p.Capabilities.ToolNames.Allow = []string{"lookup"} },
			want:   `the sampling policy does not allow the tool "add"`,
		},
		"too many tools": {
			tool: "loop", text: "hello",
			policy: func(p *config.Policy) { p.Capabilities.MaxTools = 1 },
			want:   "there are 2 tools, the sampling policy allows at most 1",
		},
		"structured output where no model may be made to call a tool": {
			tool: "structured", text: "hello",
			policy: func(p *config.Policy) { p.Capabilities.ToolChoice = []string{"auto", "none"} },
			want:   "the sampling policy does not allow the tool choice required: it allows auto, none",
		},
		"an image": {
			tool: "picture", text: "what is it?",
			policy: func(p *config.Policy) { p.Capabilities.Images = config.Deny },
			want:   "the sampling policy does not allow images",
		},
		"hints of which none is known": {
			tool: "hinted", text: "claude-9,gemini",
			policy: func(p *config.Policy) { p.Models.OnUnknownHint = config.UnknownHintReject },
			want:   "none of the model hints matches a model that the sampling policy allows",
		},
		"more tokens than are allowed": {
			tool: "plain", text: "hello",
			policy: func(p *config.Policy) {
				p.Parameters.MaxTokens = &config.MaxTokensLimit{Max: 100, OnExceed: config.ExceedReject}
			},
			want: "maxTokens is 512, the sampling policy allows at most 100",
		},
		"a second request where a call may make one": {
			tool: "parallel", text: "hello",
			policy: func(p *config.Policy) { p.Limits.RequestsPerCall = 1 },
			want:   "the sampling policy's limit requestsPerCall (1) is used up for this call",
			mayAsk: 1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			model := fakellm.New()
			model.Key = fastMCPKey
			caller := mcpGoClient(t, fastMCPSampler(t, server, serve(t, model), tc.policy))
			text, failed := callTool(t, caller, tc.tool, map[string]any{"text": tc.text})
			if !failed || !strings.Contains(text, tc.want) {
				t.Errorf("the tool said %q (failed: %v), want it to fail with %q", text, failed, tc.want)
			}
			if asked := len(model.Requests()); asked > tc.mayAsk {
				t.Errorf("the model was asked %d times, want at most %d", asked, tc.mayAsk)
			}
			// The session goes on all the same.
			if err := caller.Ping(t.Context()); err != nil {
				t.Errorf("the session is over: %v", err)
			}
		})
	}
}

// TestToolsAreTakenFromARunningSession changes the policy between two calls of
// one session: the second is refused politely, and a new session is not told of
// tools.
func TestToolsAreTakenFromARunningSession(t *testing.T) {
	t.Parallel()
	model := fakellm.New()
	upstream, address := fastMCPServer(t), serve(t, model)
	policy := config.Policy{
		Name:      "changes",
		Providers: []config.Provider{{Name: "fake", Type: config.ProviderOpenAI, BaseURL: strings.TrimSuffix(address, "/mcp") + "/v1"}},
		Models:    config.Models{Default: "only", Allowed: []config.Model{{Name: "only", Provider: "fake", Model: "fake-1"}}},
	}
	policy.Capabilities.Tools = config.ToolsEnabled
	s := startSampler(t, upstream, policy)
	running := mcpGoClient(t, s.url())
	call := func(caller *client.Client, tool string) (string, bool) {
		t.Helper()
		return callTool(t, caller, tool, map[string]any{"text": "hello"})
	}
	if text, failed := call(running, "loop"); failed {
		t.Fatalf("with tools: %s", text)
	}
	policy.Capabilities.Tools = config.ToolsDisabled
	s.awaitConfig(s.configure(upstream, policy))

	for caller, want := range map[*client.Client]string{
		running: "the sampling policy does not allow tools", mcpGoClient(t, s.url()): fastMCPWantsTools,
	} {
		if text, failed := call(caller, "loop"); !failed || !strings.Contains(text, want) {
			t.Errorf("without tools: %q (failed: %v), want %q", text, failed, want)
		}
		if text, failed := call(caller, "plain"); failed {
			t.Errorf("a request without tools: %s", text)
		}
	}
	diff(t, 3, len(model.Requests()))
}

// callTool calls a tool and returns the text of its result.
func callTool(t *testing.T, c *client.Client, tool string, arguments map[string]any) (text string, failed bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	request := mcp.CallToolRequest{}
	request.Params.Name, request.Params.Arguments = tool, arguments
	got, err := c.CallTool(ctx, request)
	if err != nil {
		t.Fatal(err)
	}
	for _, content := range got.Content {
		if block, ok := content.(mcp.TextContent); ok {
			text += block.Text
		}
	}
	return text, got.IsError
}

// toolResults is what the model was told of its tool calls, by their ids.
func toolResults(asked chatRequest) map[string]string {
	results := map[string]string{}
	for _, m := range asked.Messages {
		if id, ok := m["tool_call_id"].(string); ok && m["role"] == "tool" {
			results[id] = textOf(m["content"])
		}
	}
	return results
}

// serveExamples runs FastMCP's programs and returns their URLs.
func serveExamples(t *testing.T, programs ...string) map[string]string {
	t.Helper()
	arguments := []string{"fastmcp_examples.py"}
	for _, program := range programs {
		arguments = append(arguments, filepath.Join("testdata", "fastmcp-examples", program+".py"))
	}
	ports := startPython(t, []string{"hack/demo/requirements-fastmcp.txt", "hack/peers/requirements-fastmcp-examples.txt"},
		// One of them makes a client of its own model: nobody answers it.
		[]string{"ANTHROPIC_API_KEY=none", "ANTHROPIC_BASE_URL=http://127.0.0.1:9"}, len(programs), arguments...)
	urls := map[string]string{}
	for i, program := range programs {
		urls[program] = "http://127.0.0.1:" + ports[i] + "/mcp"
	}
	return urls
}
