package dataplane

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/config"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/testing/fakeanthropic"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/testing/fakegemini"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/testing/fakellm"
)

// toolTurns is what a model calls in its turns, for FastMCP's example tool_use:
// two tools side by side of which one fails, one more, and the final answer.
var toolTurns = [][]fakellm.Call{
	{{ID: "toolu_1", Name: "multiply", Arguments: `{"a":15,"b":7}`}, {ID: "toolu_2", Name: "roll_dice", Arguments: `{"sides":0}`}},
	{{ID: "toolu_3", Name: "add", Arguments: `{"a":105,"b":23}`}},
	{{ID: "toolu_4", Name: "final_response", Arguments: `{"answer":"128","tools_used":["multiply","add"],"reasoning":"15*7+23"}`}},
}

// TestFastMCPsToolLoopInEveryProvidersLanguage runs one tool loop of a real server
// by every type of provider. The fakes refuse what the live APIs would refuse.
func TestFastMCPsToolLoopInEveryProvidersLanguage(t *testing.T) {
	t.Parallel()
	server := serveExamples(t, "tool_use")["tool_use"]
	for kind, family := range map[config.ProviderType]func(t *testing.T) (address string, asked, problems func() []string){
		config.ProviderOpenAI:      openAIToolTurns,
		config.ProviderAnthropic:   anthropicToolTurns,
		config.ProviderGoogleGenAI: geminiToolTurns,
		config.ProviderWebhook:     webhookToolTurns,
	} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			address, asked, problems := family(t)
			provider := config.Provider{Name: "fake", Type: kind, BaseURL: address}
			if kind != config.ProviderWebhook {
				provider.Credential = writeKey(t, fastMCPKey)
			}
			policy := config.Policy{
				Name: "loop", Providers: []config.Provider{provider},
				Models: config.Models{Default: "only", Allowed: []config.Model{{Name: "only", Provider: "fake", Model: "fake-1"}}},
			}
			policy.Capabilities.Tools = config.ToolsEnabled
			s := startSampler(t, server, policy)
			text, failed := callTool(t, mcpGoClient(t, s.url()), "ask_assistant", map[string]any{"question": "What is 15 times 7, plus 23?"})
			if failed || !strings.Contains(text, `"answer":"128"`) {
				t.Errorf("the tool said %q (failed: %v), want the answer 128", text, failed)
			}
			diff(t, []string(nil), problems())
			bodies := asked()
			if len(bodies) != len(toolTurns) {
				t.Fatalf("the model was asked %d times, want %d", len(bodies), len(toolTurns))
			}
			for body, wants := range map[string][]string{
				bodies[0]: {"final_response", "get_current_time", "roll_dice", "You are a helpful assistant with access to tools."},
				bodies[1]: {`105`, `Error executing tool`}, bodies[2]: {`128`, `105`},
			} {
				for _, want := range wants {
					if !strings.Contains(body, want) {
						t.Errorf("the model was asked %s, want %q in it", body, want)
					}
				}
			}
			for _, record := range s.records(len(toolTurns)) {
				diff(t, "toolUse", record.StopReason)
			}
		})
	}
}

func openAIToolTurns(t *testing.T) (address string, asked, problems func() []string) {
	model := fakellm.New()
	model.Key = fastMCPKey
	for _, calls := range toolTurns {
		model.Then(fakellm.ToolCalls(calls...))
	}
	return strings.TrimSuffix(serve(t, model), "/mcp") + "/v1", func() []string {
		var bodies []string
		for _, r := range model.Requests() {
			bodies = append(bodies, string(r.Body))
		}
		return bodies
	}, func() []string { return nil }
}

func anthropicToolTurns(t *testing.T) (address string, asked, problems func() []string) {
	var replies []fakeanthropic.Reply
	for _, calls := range toolTurns {
		var blocks []fakeanthropic.Block
		for _, c := range calls {
			blocks = append(blocks, fakeanthropic.ToolUse(c.ID, c.Name, c.Arguments))
		}
		replies = append(replies, fakeanthropic.Message("tool_use", blocks...))
	}
	model := fakeanthropic.New(replies...)
	model.Key = fastMCPKey
	return strings.TrimSuffix(serve(t, model), "/mcp"), func() []string {
		var bodies []string
		for _, r := range model.Requests() {
			bodies = append(bodies, string(r.Body))
		}
		return bodies
	}, model.Problems
}

func geminiToolTurns(t *testing.T) (address string, asked, problems func() []string) {
	var replies []fakegemini.Reply
	for _, calls := range toolTurns {
		var parts []fakegemini.Part
		for _, c := range calls {
			parts = append(parts, fakegemini.CallPart("", c.Name, c.Arguments))
		}
		replies = append(replies, fakegemini.Finish("STOP", parts...))
	}
	model := fakegemini.New(replies...)
	model.Key = fastMCPKey
	return strings.TrimSuffix(serve(t, model), "/mcp"), func() []string {
		var bodies []string
		for _, r := range model.Requests() {
			bodies = append(bodies, string(r.Body))
		}
		return bodies
	}, model.Broken
}

// webhookToolTurns is a handler of the user's own.
func webhookToolTurns(t *testing.T) (address string, asked, problems func() []string) {
	var mu sync.Mutex
	var bodies []string
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.Method != http.MethodPost {
			return
		}
		mu.Lock()
		turn := len(bodies)
		bodies = append(bodies, string(body))
		mu.Unlock()
		if turn >= len(toolTurns) {
			http.Error(w, "nobody should ask", http.StatusInternalServerError)
			return
		}
		var blocks []string
		for _, c := range toolTurns[turn] {
			blocks = append(blocks, fmt.Sprintf(`{"type":"tool_use","id":%q,"name":%q,"input":%s}`, c.ID, c.Name, c.Arguments))
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"role":"assistant","content":[%s]}`, strings.Join(blocks, ","))
	})
	return strings.TrimSuffix(serve(t, handler), "/mcp"), func() []string {
		mu.Lock()
		defer mu.Unlock()
		return bodies
	}, func() []string { return nil }
}
