package dataplane

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/config"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

const (
	smallModel = "smollm2-135m-instruct"
	capital    = "Which city is the capital of France?"
)

// TestRealModel asks a real, small model by each API that llama.cpp speaks. It
// answers the same question alike, so its answers can be known.
func TestRealModel(t *testing.T) {
	t.Parallel()
	address := serveSmallModel(t)
	for family, tc := range map[string]struct {
		provider config.Provider
		// wantStopped is the stop reason after a stop sequence: chat completions
		// do not tell it from the end of a turn.
		wantStopped string
	}{
		"OpenAI":    {config.Provider{Type: config.ProviderOpenAI, BaseURL: address + "/v1"}, wire.StopEndTurn},
		"Anthropic": {config.Provider{Type: config.ProviderAnthropic, BaseURL: address}, wire.StopStopSequence},
	} {
		t.Run(family, func(t *testing.T) {
			tc.provider.Name = "small"
			server := &fakeAsker{}
			s := startSampler(t, serve(t, server), config.Policy{
				Name: "real", Providers: []config.Provider{tc.provider},
				Models:     config.Models{Default: "small", Allowed: []config.Model{{Name: "small", Provider: "small", Model: smallModel}}},
				Parameters: config.Parameters{MaxTokens: &config.MaxTokensLimit{Max: 48, OnExceed: config.ExceedClamp}},
			})
			caller := newAsker(t, s.url())
			asked := 0
			ask := func(t *testing.T, wantStop string, params map[string]any, conversation ...string) string {
				t.Helper()
				asked++
				answer := caller.mustAsk(t, zeroTemperature(t, params, conversation...))
				if answer.Error != nil {
					t.Fatalf("the server got error %d: %s", answer.Error.Code, answer.Error.Message)
				}
				if answer.Result.Role != wire.RoleAssistant || answer.Result.StopReason != wantStop || !strings.Contains(answer.Result.Model, "smollm2") {
					t.Errorf("role %q, stop reason %q, model %q, want %q, %q and the small model",
						answer.Result.Role, answer.Result.StopReason, answer.Result.Model, wire.RoleAssistant, wantStop)
				}
				return answer.text()
			}
			outputTokens := func(t *testing.T) int64 { t.Helper(); return s.records(asked)[asked-1].OutputTokens }

			t.Run("text", func(t *testing.T) {
				got := ask(t, wire.StopEndTurn, nil, capital)
				if !strings.Contains(got, "Paris") {
					t.Errorf("it said %q", got)
				}
				if again := ask(t, wire.StopEndTurn, nil, capital); again != got {
					t.Errorf("it said %q, and then %q", got, again)
				}
			})
			t.Run("a system prompt", func(t *testing.T) {
				got := ask(t, wire.StopEndTurn, map[string]any{"systemPrompt": "Your name is Ingrid. You are a helpful assistant."}, "What is your name?")
				if !strings.Contains(got, "Ingrid") {
					t.Errorf("it said %q", got)
				}
			})
			t.Run("several turns", func(t *testing.T) {
				got := ask(t, wire.StopEndTurn, nil, "My dog is called Rufus.", "That is a nice name for a dog.", "What is my dog called?")
				if !strings.Contains(got, "Rufus") {
					t.Errorf("it said %q", got)
				}
			})
			t.Run("a stop sequence", func(t *testing.T) {
				whole := ask(t, wire.StopEndTurn, nil, capital)
				want, _, _ := strings.Cut(whole, "France")
				got := ask(t, tc.wantStopped, map[string]any{"stopSequences": []string{"France"}}, capital)
				if got != want || got == whole {
					t.Errorf("it said %q, want %q of %q", got, want, whole)
				}
			})
			t.Run("a limit on tokens", func(t *testing.T) {
				got := ask(t, wire.StopMaxTokens, map[string]any{"maxTokens": 3}, capital)
				if tokens := outputTokens(t); tokens != 3 || strings.Contains(got, "Paris") {
					t.Errorf("it said %q in %d tokens, want 3", got, tokens)
				}
			})
			t.Run("the policy's limit on tokens", func(t *testing.T) {
				ask(t, wire.StopMaxTokens, map[string]any{"maxTokens": 1000}, "Tell me a long story about a dog.")
				if tokens := outputTokens(t); tokens != 48 {
					t.Errorf("%d tokens, want the policy's 48", tokens)
				}
			})
		})
	}
}

// zeroTemperature is the parameters of a request with a conversation that the
// user begins.
func zeroTemperature(t *testing.T, params map[string]any, conversation ...string) string {
	t.Helper()
	all := map[string]any{"maxTokens": 48, "temperature": 0}
	for name, value := range params {
		all[name] = value
	}
	var messages []any
	for i, text := range conversation {
		messages = append(messages, map[string]any{
			"role": []string{wire.RoleUser, wire.RoleAssistant}[i%2], "content": map[string]any{"type": "text", "text": text},
		})
	}
	all["messages"] = messages
	data, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// serveSmallModel runs the demo's model server on this machine and returns its
// address.
func serveSmallModel(t *testing.T) string {
	t.Helper()
	// It cannot choose a port by itself.
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := fmt.Sprint(listener.Addr().(*net.TCPAddr).Port)
	_ = listener.Close()
	startPython(t, []string{"hack/demo/small-model/requirements.txt"}, []string{"HOST=127.0.0.1", "PORT=" + port}, 1,
		"../../hack/demo/small-model/serve.py")
	address := "http://127.0.0.1:" + port
	client := httpClient(t)
	eventually(t, "the model is loaded", func() bool {
		resp, err := client.Get(address + "/health")
		if err != nil {
			return false
		}
		readBody(t, resp)
		return resp.StatusCode == http.StatusOK
	})
	return address
}
