package explain_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/explain"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/config"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

// testPolicy has what a policy has with its defaults; modifiers change one thing.
func testPolicy(modifiers ...func(*config.Policy)) *config.Policy {
	queue := config.Duration(10e9)
	p := &config.Policy{
		Name: "p", Mode: config.ModeAlways,
		Providers: []config.Provider{{Name: "openai", Type: config.ProviderOpenAI, Timeout: config.Duration(60e9), Retries: 2}},
		Models: config.Models{Default: "small", Allowed: []config.Model{
			{Name: "small", Provider: "openai", Model: "gpt-4o-mini"},
			{Name: "large", Provider: "openai", Model: "gpt-4o"},
		}},
		Capabilities: config.Capabilities{Tools: config.ToolsEnabled},
		Limits:       config.SamplingLimits{QueueTimeout: &queue},
	}
	for _, m := range modifiers {
		m(p)
	}
	return p
}

func scored(p *config.Policy) {
	p.Models.Allowed[0].Scores = &config.Scores{Cost: 1}
	p.Models.Allowed[1].Scores = &config.Scores{Cost: 0.25, Intelligence: 1}
}

// asking is the smallest request with more in it.
func asking(more string) json.RawMessage {
	return json.RawMessage(`{"messages":[{"role":"user","content":{"type":"text","text":"hi"}}],"maxTokens":10` + more + `}`)
}

func explained(t *testing.T, q explain.Question) *explain.Report {
	t.Helper()
	r, err := explain.Explain(q)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestExplainSaysWhyAModelIsChosen(t *testing.T) {
	hints := func(names string) string { return `,"modelPreferences":{"hints":[` + names + `],"costPriority":0.5}` }
	for name, tc := range map[string]struct {
		policy *config.Policy
		more   string
		want   string
	}{
		"nothing is asked for": {testPolicy(), "", "it is the default, and the request asks for nothing else"},
		"a hint matches":       {testPolicy(), hints(`{"name":"gpt-4o"}`), `the hint "gpt-4o" matches it`},
		"the second hint matches": {testPolicy(), hints(`{"name":"llama"},{},{"name":"large"}`),
			`the hint "large" matches it; "llama" before it matches nothing that is allowed`},
		"the third hint matches": {testPolicy(), hints(`{"name":"llama"},{"name":"qwen"},{"name":"large"}`),
			`the hint "large" matches it; "llama" and "qwen" before it match nothing that is allowed`},
		"no hint matches, and no priority counts": {testPolicy(), `,"modelPreferences":{"hints":[{"name":"llama"}]}`,
			`the hint "llama" matches nothing that is allowed, and it is the default`},
		"no hint matches, and no model has scores": {testPolicy(), hints(`{"name":"llama"},{"name":"qwen"}`),
			`the hints "llama" and "qwen" match nothing that is allowed, and it is the default: no model has scores to weigh the request's priorities by`},
		"a priority chooses": {testPolicy(scored), `,"modelPreferences":{"costPriority":0.5,"intelligencePriority":7}`,
			"of the models with scores it is the best by the request's priorities: large 1.125, small 0.5"},
		"no hint matches, and a priority chooses": {testPolicy(scored), hints(`{"name":"llama"}`),
			`the hint "llama" matches nothing that is allowed, and of the models with scores it is the best by the request's priorities: small 0.5, large 0.125`},
	} {
		t.Run(name, func(t *testing.T) {
			r := explained(t, explain.Question{Policy: tc.policy, Params: asking(tc.more)})
			if r.Outcome != explain.Answered || r.Why != tc.want {
				t.Errorf("%s: %s\nwant %s", r.Outcome, r.Why, tc.want)
			}
		})
	}
}

func TestExplainListsTheLimitsThatAreSet(t *testing.T) {
	all := config.SamplingLimits{
		Concurrent: 1, RequestsPerMinute: 2, TokensPerMinute: 3000, TokensPerDay: 4000,
		PerSession:      config.SessionLimits{Concurrent: 5, RequestsPerMinute: 6, TokensPerMinute: 7000, TokensPerDay: 8000},
		RequestsPerCall: 9, RequestBytes: 1000, Timeout: config.Duration(60e9), QueueTimeout: new(config.Duration),
	}
	r := explained(t, explain.Question{Policy: testPolicy(func(p *config.Policy) { p.Limits = all }), Params: asking(""), InCall: 9})
	var got []string
	for _, l := range r.Limits {
		got = append(got, l.Name+" "+l.Value)
	}
	want := []string{
		"concurrent 1", "requestsPerMinute 2", "tokensPerMinute 3000", "tokensPerDay 4000",
		"perSession.concurrent 5", "perSession.requestsPerMinute 6", "perSession.tokensPerMinute 7000", "perSession.tokensPerDay 8000",
		"requestsPerCall 9", "requestBytes 1000", "timeout 1m0s", "queueTimeout 0s",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("limits (-want +got):\n%s", diff)
	}
}

func TestTextOfAllThatARequestCanSay(t *testing.T) {
	p := testPolicy(func(p *config.Policy) {
		p.Parameters = config.Parameters{
			Metadata:     config.MetadataPass,
			MaxTokens:    &config.MaxTokensLimit{Default: 50},
			Temperature:  &config.TemperatureRange{Max: 0.5},
			SystemPrompt: &config.SystemPromptAction{Action: config.PromptDrop},
		}
		p.Redaction = []config.RedactionRule{{Name: "a", Pattern: "hi"}, {Name: "b", Pattern: "hi", Direction: config.DirectionResponse}}
	})
	params := strings.Replace(string(asking(`,"temperature":1,"systemPrompt":"<`+strings.Repeat("é", 200)+`>","stopSequences":["END"],"metadata":{"a":1},
		"tools":[{"name":"f","inputSchema":{}},{"name":"g","inputSchema":{}}],"toolChoice":{"mode":"required"}`)), `,"maxTokens":10`, "", 1)
	r := explained(t, explain.Question{Policy: p, Params: json.RawMessage(params)})
	var b strings.Builder
	if err := r.WriteText(&b); err != nil {
		t.Fatal(err)
	}
	want := `Answered by small (gpt-4o-mini) at openai, a provider of type OpenAI.

Why: it is the default, and the request asks for nothing else (DefaultModel).

Who is asked:
  first  small  up to 3 times within 1m0s

What the policy changes:
  maxTokens     50 is added
  temperature   1 becomes 0.5
  systemPrompt  "<` + strings.Repeat("é", 158) + `… is dropped
  redaction a   1 match replaced

What is sent:
  messages       1
  maxTokens      50
  temperature    0.5
  stopSequences  1
  tools          f, g
  toolChoice     required
  metadata       {"a":1}

Limits that have to leave room for it:
  queueTimeout  10s  of waiting for a turn where a limit is used up

The answer is redacted by a and b.
`
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("text (-want +got):\n%s", diff)
	}
}

func TestExplainSaysWhatTheServerGets(t *testing.T) {
	for name, tc := range map[string]struct {
		question explain.Question
		want     explain.Report
	}{
		"a request that is malformed": {explain.Question{Policy: testPolicy(), Params: json.RawMessage(`{"maxTokens":1}`)},
			explain.Report{Policy: "p", Outcome: explain.Refused, Reason: "InvalidParams", Why: "the protocol does not allow the request",
				Error: &explain.Error{Code: wire.CodeInvalidParams, Message: "messages: is missing or empty"}}},
		"a request that the policy refuses": {explain.Question{Policy: testPolicy(func(p *config.Policy) { p.Limits.RequestsPerCall = 1 }), Params: asking(""), InCall: 2},
			explain.Report{Policy: "p", Outcome: explain.Refused, Reason: "RequestsPerCallExceeded", Why: "the policy does not allow the request",
				Error: &explain.Error{Code: wire.CodeRejected, Message: "the sampling policy's limit requestsPerCall (1) is used up for this call"}}},
		"a request that the caller answers": {explain.Question{Policy: testPolicy(func(p *config.Policy) { p.Mode = config.ModeFallback }), Params: asking(""),
			Caller: wire.SamplingCapability{Declared: true}},
			explain.Report{Policy: "p", Outcome: explain.LeftToCaller, Why: "the policy's mode is Fallback, and the caller can answer the request itself"}},
	} {
		if diff := cmp.Diff(tc.want, *explained(t, tc.question)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	if _, err := explain.Explain(explain.Question{Policy: testPolicy(func(p *config.Policy) { p.Models.Default = "gone" }), Params: asking("")}); err == nil {
		t.Error("a policy that cannot be compiled is explained")
	}
}
