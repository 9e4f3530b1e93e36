package dataplane

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/config"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/testing/fakellm"
)

const fastMCPKey = "sk-only-for-fastmcp"

// chatRequest is what the model is asked, as far as these tests look.
type chatRequest struct {
	Model       string           `json:"model"`
	MaxTokens   int64            `json:"max_completion_tokens"`
	Temperature *float64         `json:"temperature"`
	ToolChoice  json.RawMessage  `json:"tool_choice"`
	Messages    []map[string]any `json:"messages"`
	Tools       []struct {
		Function struct {
			Name string `json:"name"`
		} `json:"function"`
	} `json:"tools"`
}

// TestFastMCPServer drives a real FastMCP 3.4 server, a real sampler and a
// caller without sampling; only the model is a fake.
func TestFastMCPServer(t *testing.T) {
	server := fastMCPServer(t)
	zero := 0.0

	tests := map[string]struct {
		tool, text string
		replies    []fakellm.Reply
		policy     func(*config.Policy)

		want      string
		wantError string // in the tool's error
		wantAsked func(t *testing.T, asked []chatRequest)
	}{
		"a text comes back": {
			tool: "plain", text: "hello", replies: []fakellm.Reply{fakellm.Text("good day")},
			want: "good day",
			wantAsked: func(t *testing.T, asked []chatRequest) {
				diff(t, []map[string]any{{"role": "user", "content": "hello"}}, asked[0].Messages)
				diff(t, int64(512), asked[0].MaxTokens) // FastMCP's own default
			},
		},
		"the system prompt, the temperature zero and the limit arrive": {
			tool: "prompted", text: "hello", replies: []fakellm.Reply{fakellm.Text("hi")},
			want: "hi",
			wantAsked: func(t *testing.T, asked []chatRequest) {
				diff(t, []map[string]any{{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hello"}}, asked[0].Messages)
				diff(t, &zero, asked[0].Temperature)
				diff(t, int64(77), asked[0].MaxTokens)
			},
		},
		"the policy's system prompt and limit are laid over the server's": {
			tool: "prompted", text: "hello", replies: []fakellm.Reply{fakellm.Text("hi")},
			policy: func(p *config.Policy) {
				p.Parameters.MaxTokens = &config.MaxTokensLimit{Max: 9, OnExceed: config.ExceedClamp}
				p.Parameters.SystemPrompt = &config.SystemPromptAction{Action: config.PromptReplace, Text: "House rules."}
			},
			want: "hi",
			wantAsked: func(t *testing.T, asked []chatRequest) {
				diff(t, map[string]any{"role": "system", "content": "House rules."}, asked[0].Messages[0])
				diff(t, int64(9), asked[0].MaxTokens)
			},
		},
		"the first hint that an allowed model matches chooses it": {
			tool: "hinted", text: "claude-9,tiny", replies: []fakellm.Reply{fakellm.Text("x")},
			want: "fake-small",
		},
		"hints that no allowed model matches get the default": {
			tool: "hinted", text: "claude-9,gemini", replies: []fakellm.Reply{fakellm.Text("x")},
			want: "fake-large",
		},
		"messages keep their order and roles": {
			tool: "conversation", text: "three", replies: []fakellm.Reply{fakellm.Text("four")},
			want: "four",
			wantAsked: func(t *testing.T, asked []chatRequest) {
				var said []string
				for _, m := range asked[0].Messages {
					said = append(said, m["role"].(string)+" "+textOf(m["content"]))
				}
				diff(t, []string{"user one", "assistant two", "user three"}, said)
			},
		},
		"an image goes to the model": {
			tool: "picture", text: "what is it?", replies: []fakellm.Reply{fakellm.Text("a pixel")},
			want: "a pixel",
			wantAsked: func(t *testing.T, asked []chatRequest) {
				if !strings.Contains(mustJSON(t, asked[0].Messages), "data:image/png;base64,iVBOR") {
					t.Error("the image did not reach the model")
				}
			},
		},
		"a tool loop runs until the model ends it": {
			tool: "loop", text: "what is 2 plus 3, and what is a boat?",
			replies: []fakellm.Reply{
				fakellm.ToolCalls(
					fakellm.Call{ID: "call-1", Name: "add", Arguments: `{"a":2,"b":3}`},
					fakellm.Call{ID: "call-2", Name: "lookup", Arguments: `{"word":"boat"}`},
				),
				fakellm.Text("five, and nobody knows"),
			},
			want: "five, and nobody knows",
			wantAsked: func(t *testing.T, asked []chatRequest) {
				diff(t, []string{"add", "lookup"}, toolNames(asked[0]))
				answered := map[string]string{}
				for _, m := range asked[1].Messages {
					if m["role"] == "tool" {
						answered[m["tool_call_id"].(string)] = textOf(m["content"])
					}
				}
				if answered["call-1"] != "5" || !strings.Contains(answered["call-2"], "no dictionary for boat") {
					t.Errorf("the model was told %v of its tool calls", answered)
				}
			},
		},
		"structured output comes through the tool that must be called": {
			tool: "structured", text: "which city?",
			replies: []fakellm.Reply{fakellm.ToolCalls(fakellm.Call{ID: "c", Name: "final_response", Arguments: `{"name":"Bergen","people":291000}`})},
			want:    `{"name": "Bergen", "people": 291000}`,
			wantAsked: func(t *testing.T, asked []chatRequest) {
				diff(t, []string{"final_response"}, toolNames(asked[0]))
				diff(t, `"required"`, string(asked[0].ToolChoice))
			},
		},
		// The other retry, after invalid arguments, never leaves FastMCP 3.4: the
		// library below it refuses the second result for the same tool call.
		"structured output that came as text is asked for again": {
			tool: "structured", text: "which city?",
			replies: []fakellm.Reply{
				fakellm.Text("Bergen, I think"),
				fakellm.ToolCalls(fakellm.Call{ID: "c2", Name: "final_response", Arguments: `{"name":"Bergen","people":1}`}),
			},
			want: `{"name": "Bergen", "people": 1}`,
			wantAsked: func(t *testing.T, asked []chatRequest) {
				diff(t, 3, len(asked[1].Messages)) // the question, the text, the nudge
			},
		},
		"several requests of one call run side by side": {
			tool: "parallel", text: "n",
			replies: []fakellm.Reply{fakellm.Text("x"), fakellm.Text("x"), fakellm.Text("x")},
			want:    "x|x|x",
			wantAsked: func(t *testing.T, asked []chatRequest) {
				diff(t, 3, len(asked))
			},
		},
		"a filtered answer is not called the end of a turn": {
			tool: "stop_reason", text: "hello", replies: []fakellm.Reply{fakellm.Finish("content_filter", "I")},
			want: "contentFilter: I",
		},
		"a cut answer says so": {
			tool: "stop_reason", text: "hello", replies: []fakellm.Reply{fakellm.Finish("length", "I am")},
			want: "maxTokens: I am",
		},
		"a policy without tools hides them from the server": {
			tool: "loop", text: "what is 2 plus 3?",
			policy:    func(p *config.Policy) { p.Capabilities.Tools = config.ToolsDisabled },
			wantError: "sampling.tools",
			wantAsked: func(t *testing.T, asked []chatRequest) { diff(t, 0, len(asked)) },
		},
		"a provider that fails is told of without its own words": {
			tool: "plain", text: "hello",
			replies:   []fakellm.Reply{fakellm.Error(http.StatusBadRequest, "bad_thing", "the secret is "+fastMCPKey)},
			wantError: "model provider",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			model := fakellm.New(tc.replies...)
			model.Key = fastMCPKey
			url := fastMCPSampler(t, server, serve(t, model), tc.policy)
			caller := mcpGoClient(t, url)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()

			got, err := callMCPGo(ctx, caller, tc.tool, tc.text)
			if err != nil {
				t.Fatal(err)
			}
			if tc.wantError != "" {
				if !strings.Contains(got, tc.wantError) || strings.Contains(got, "secret") || strings.Contains(got, fastMCPKey) {
					t.Errorf("the tool said %q, want %q in it and no word of the provider's", got, tc.wantError)
				}
			} else if got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
			if tc.wantAsked != nil {
				tc.wantAsked(t, askedOf(t, model))
			}
		})
	}
}

// fastMCPServer runs the FastMCP server until the test ends, with the transport
// that args may name, and returns its URL.
func fastMCPServer(t *testing.T, args ...string) string {
	t.Helper()
	venv, err := exec.CommandContext(t.Context(), "../../hack/python.sh").Output()
	if err != nil {
		t.Fatalf("hack/python.sh: %v\n%s", err, stderrOf(err))
	}
	cmd := exec.Command(filepath.Join(strings.TrimSpace(string(venv)), "bin", "python"), append([]string{"fastmcp_server.py"}, args...)...)
	var log bytes.Buffer
	cmd.Stderr = &log
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		late := time.AfterFunc(5*time.Second, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait()
		late.Stop()
		if t.Failed() {
			said := log.Bytes()
			t.Logf("the FastMCP server said last:\n%s", said[max(0, len(said)-4096):])
		}
	})
	port := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(stdout).ReadString('\n')
		port <- strings.TrimSpace(line)
		_, _ = io.Copy(io.Discard, stdout)
	}()
	select {
	case p := <-port:
		if p == "" {
			t.Fatal("the FastMCP server ended before it served")
		}
		return "http://127.0.0.1:" + p + "/mcp"
	case <-time.After(time.Minute):
		t.Fatal("the FastMCP server does not serve")
		return ""
	}
}

// fastMCPSampler runs a whole sampler, from its file on, and returns the URL for
// callers.
func fastMCPSampler(t *testing.T, upstream, model string, modify func(*config.Policy), more ...func(*config.Effective)) string {
	t.Helper()
	dir := t.TempDir()
	keyFile := filepath.Join(dir, "key")
	if err := os.WriteFile(keyFile, []byte(fastMCPKey+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	effective := config.Effective{
		APIVersion:      config.APIVersion,
		Server:          config.Server{Name: "fastmcp"},
		Upstream:        config.Upstream{URL: upstream},
		ResidentSession: config.ResidentSession{Mode: config.ResidentOff},
		Policy: &config.Policy{
			Name: "test",
			Providers: []config.Provider{{
				Name: "fake", Type: config.ProviderOpenAI, BaseURL: strings.TrimSuffix(model, "/mcp") + "/v1",
				Credential: &config.Credential{File: keyFile},
			}},
			Models: config.Models{Default: "large", Allowed: []config.Model{
				{Name: "large", Provider: "fake", Model: "fake-large"},
				{Name: "small", Provider: "fake", Model: "fake-small", Hints: []string{"tiny"}},
			}},
		},
	}.WithDefaults()
	if modify != nil {
		modify(effective.Policy)
	}
	for _, m := range more {
		m(&effective)
	}
	data, err := effective.Encode()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "sampler.yaml")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}

	s, err := sampler.New(sampler.Options{ConfigPath: file, Listen: "127.0.0.1:0", AdminListen: "127.0.0.1:0", DrainTimeout: time.Second, Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("the sampler ended with: %v", err)
		}
	})
	return "http://" + s.Addr().String() + "/mcp"
}

func askedOf(t *testing.T, model *fakellm.Server) []chatRequest {
	t.Helper()
	requests := model.Requests()
	asked := make([]chatRequest, len(requests))
	for i, r := range requests {
		if err := json.Unmarshal(r.Body, &asked[i]); err != nil {
			t.Fatal(err)
		}
	}
	return asked
}

func toolNames(asked chatRequest) []string {
	var names []string
	for _, tool := range asked.Tools {
		names = append(names, tool.Function.Name)
	}
	return names
}

// textOf reads a message's content, which is a text or a list of parts.
func textOf(content any) string {
	if text, ok := content.(string); ok {
		return text
	}
	var text strings.Builder
	parts, _ := content.([]any)
	for _, part := range parts {
		if fields, ok := part.(map[string]any); ok {
			if s, ok := fields["text"].(string); ok {
				text.WriteString(s)
			}
		}
	}
	return text.String()
}

func mustJSON(t *testing.T, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func diff(t *testing.T, want, got any) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func stderrOf(err error) string {
	if exit, ok := err.(*exec.ExitError); ok { //nolint:errorlint // Output returns this type itself
		return string(exit.Stderr)
	}
	return ""
}
