package policy_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/config"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/policy"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

var (
	undeclared = wire.SamplingCapability{}
	plain      = wire.SamplingCapability{Declared: true}
	withTools  = wire.SamplingCapability{Declared: true, Tools: true}
)

// testPolicy allows three models; modifiers change one thing.
func testPolicy(modifiers ...func(*config.Policy)) *config.Policy {
	p := &config.Policy{
		Name:      "p",
		Mode:      config.ModeAlways,
		Providers: []config.Provider{{Name: "openai", Type: config.ProviderOpenAI}},
		Models: config.Models{
			Default: "mini",
			Allowed: []config.Model{
				{Name: "mini", Provider: "openai", Model: "gpt-4o-mini-2024-07-18", Hints: []string{"haiku"}},
				{Name: "gpt-4o", Provider: "openai", Model: "gpt-4o-2024-11-20", Hints: []string{"sonnet", "Opus"}},
				{Name: "reasoner", Provider: "openai", Model: "o3"},
			},
		},
		Capabilities: config.Capabilities{Tools: config.ToolsEnabled},
	}
	for _, m := range modifiers {
		m(p)
	}
	return p
}

func fallback(p *config.Policy) { p.Mode = config.ModeFallback }
func noTools(p *config.Policy)  { p.Capabilities.Tools = config.ToolsDisabled }

func TestDeclare(t *testing.T) {
	for name, tc := range map[string]struct {
		policy       *config.Policy
		caller, want wire.SamplingCapability
	}{
		"no policy, caller without sampling":                   {nil, undeclared, undeclared},
		"no policy, caller with tools":                         {nil, withTools, withTools},
		"policy with tools, caller without sampling":           {testPolicy(), undeclared, withTools},
		"policy without tools, caller without sampling":        {testPolicy(noTools), undeclared, plain},
		"policy without tools, caller with tools":              {testPolicy(noTools), withTools, plain},
		"fallback without tools, caller with tools":            {testPolicy(fallback, noTools), withTools, withTools},
		"fallback without tools, caller without tools":         {testPolicy(fallback, noTools), plain, plain},
		"fallback with tools, caller without tools":            {testPolicy(fallback), plain, withTools},
		"fallback with tools, caller without sampling":         {testPolicy(fallback), undeclared, withTools},
		"fallback, caller that claims tools but not sampling":  {testPolicy(fallback, noTools), wire.SamplingCapability{Tools: true}, plain},
		"policy without tools, caller that is better equipped": {testPolicy(noTools), withTools, plain},
	} {
		if diff := cmp.Diff(tc.want, policy.Declare(tc.policy, tc.caller)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestTakes(t *testing.T) {
	for name, tc := range map[string]struct {
		policy           *config.Policy
		caller, declared wire.SamplingCapability
		needsTools, want bool
		callerUnknown    bool
	}{
		"always, caller without sampling":                        {policy: testPolicy(), caller: undeclared, declared: withTools, needsTools: false, want: true},
		"always, caller with sampling":                           {policy: testPolicy(), caller: withTools, declared: withTools, needsTools: false, want: true},
		"always, nothing declared":                               {policy: testPolicy(), caller: undeclared, declared: undeclared, needsTools: false, want: true},
		"fallback, caller without sampling":                      {policy: testPolicy(fallback), caller: undeclared, declared: withTools, needsTools: false, want: true},
		"fallback, caller with sampling":                         {policy: testPolicy(fallback), caller: plain, declared: withTools, needsTools: false, want: false},
		"fallback, caller without tools, request with tools":     {policy: testPolicy(fallback), caller: plain, declared: withTools, needsTools: true, want: true},
		"fallback, caller with tools, request with tools":        {policy: testPolicy(fallback), caller: withTools, declared: withTools, needsTools: true, want: false},
		"no policy, caller with sampling":                        {policy: nil, caller: plain, declared: plain, needsTools: false, want: false},
		"no policy, caller without sampling":                     {policy: nil, caller: undeclared, declared: undeclared, needsTools: false, want: true},
		"no policy any more, caller without sampling, server on": {policy: nil, caller: undeclared, declared: withTools, needsTools: false, want: true},
		"no policy, nobody knows what the caller declared":       {caller: undeclared, declared: undeclared, callerUnknown: true, want: false},
		"always, nobody knows what the caller declared":          {policy: testPolicy(), caller: undeclared, declared: withTools, callerUnknown: true, want: true},
	} {
		got := policy.Takes(tc.policy, policy.Session{Caller: tc.caller, Declared: tc.declared, CallerUnknown: tc.callerUnknown}, tc.needsTools)
		if got != tc.want {
			t.Errorf("%s: Takes = %v, want %v", name, got, tc.want)
		}
	}
}

func TestDecideChoosesTheModel(t *testing.T) {
	for name, tc := range map[string]struct {
		hints      []string
		want       string
		wantReason policy.Reason
	}{
		"no hint":                              {nil, "mini", policy.ModelDefault},
		"an unknown hint":                      {[]string{"llama"}, "mini", policy.ModelDefault},
		"empty hints":                          {[]string{"", "  "}, "mini", policy.ModelDefault},
		"the name":                             {[]string{"reasoner"}, "reasoner", policy.ModelHinted},
		"the provider's name":                  {[]string{"o3"}, "reasoner", policy.ModelHinted},
		"a name that is part of an earlier":    {[]string{"gpt-4o"}, "gpt-4o", policy.ModelHinted},
		"a part of two names: the first":       {[]string{"gpt-4"}, "mini", policy.ModelHinted},
		"a part of the provider's name":        {[]string{"2024-11"}, "gpt-4o", policy.ModelHinted},
		"another case":                         {[]string{"REASON"}, "reasoner", policy.ModelHinted},
		"one of the model's hints":             {[]string{"opus"}, "gpt-4o", policy.ModelHinted},
		"a name that holds one of the hints":   {[]string{"claude-3-5-haiku-latest"}, "mini", policy.ModelHinted},
		"a part of one of the hints":           {[]string{"sonn"}, "gpt-4o", policy.ModelHinted},
		"the first of several that is known":   {[]string{"llama", "sonnet", "o3"}, "gpt-4o", policy.ModelHinted},
		"a model outside of the allowed":       {[]string{"gpt-5"}, "mini", policy.ModelDefault},
		"a longer name than an allowed":        {[]string{"gpt-4o-audio"}, "mini", policy.ModelDefault},
		"a later hint that is closer: ignored": {[]string{"gpt-4", "o3"}, "mini", policy.ModelHinted},
	} {
		t.Run(name, func(t *testing.T) {
			params := &wire.SamplingParams{MaxTokens: 10}
			if tc.hints != nil {
				params.ModelPreferences = &wire.ModelPreferences{}
				for _, h := range tc.hints {
					params.ModelPreferences.Hints = append(params.ModelPreferences.Hints, wire.ModelHint{Name: h})
				}
			}
			d, refusal := policy.Decide(testPolicy(), policy.Session{Declared: withTools}, params)
			if refusal != nil {
				t.Fatalf("refused: %+v", refusal)
			}
			if d.Model.Name != tc.want || d.Reason != tc.wantReason {
				t.Errorf("chose %s (%s), want %s (%s)", d.Model.Name, d.Reason, tc.want, tc.wantReason)
			}
		})
	}
}

func TestDecideBoundsTheParameters(t *testing.T) {
	tokens := func(n int64, on config.OnExceed) func(*config.Policy) {
		return func(p *config.Policy) { p.Parameters.MaxTokens = &config.MaxTokensLimit{Max: n, OnExceed: on} }
	}
	warmth := func(low, high float64) func(*config.Policy) {
		return func(p *config.Policy) { p.Parameters.Temperature = &config.TemperatureRange{Min: low, Max: high} }
	}
	prompt := func(a config.PromptAction, text string) func(*config.Policy) {
		return func(p *config.Policy) {
			p.Parameters.SystemPrompt = &config.SystemPromptAction{Action: a, Text: text}
		}
	}
	type params = wire.SamplingParams
	type bounded struct {
		MaxTokens    int64
		Temperature  *float64
		SystemPrompt string
	}
	for name, tc := range map[string]struct {
		policy *config.Policy
		params params
		want   bounded
	}{
		"no limits":                {testPolicy(), params{MaxTokens: 9000, Temperature: new(1.5), SystemPrompt: new("s")}, bounded{9000, new(1.5), "s"}},
		"nothing asked":            {testPolicy(warmth(0.5, 1)), params{MaxTokens: 1}, bounded{1, nil, ""}},
		"fewer tokens":             {testPolicy(tokens(100, config.ExceedReject)), params{MaxTokens: 100}, bounded{100, nil, ""}},
		"too many tokens, clamped": {testPolicy(tokens(100, config.ExceedClamp)), params{MaxTokens: 101}, bounded{100, nil, ""}},
		"temperature zero stays":   {testPolicy(), params{MaxTokens: 1, Temperature: new(0.0)}, bounded{1, new(0.0), ""}},
		"too cold":                 {testPolicy(warmth(0.5, 1)), params{MaxTokens: 1, Temperature: new(0.0)}, bounded{1, new(0.5), ""}},
		"too hot":                  {testPolicy(warmth(0, 0)), params{MaxTokens: 1, Temperature: new(1.0)}, bounded{1, new(0.0), ""}},
		"keep the prompt":          {testPolicy(prompt(config.PromptKeep, "")), params{MaxTokens: 1, SystemPrompt: new("s")}, bounded{1, nil, "s"}},
		"prepend":                  {testPolicy(prompt(config.PromptPrepend, "p")), params{MaxTokens: 1, SystemPrompt: new("s")}, bounded{1, nil, "p\n\ns"}},
		"prepend to nothing":       {testPolicy(prompt(config.PromptPrepend, "p")), params{MaxTokens: 1}, bounded{1, nil, "p"}},
		"append":                   {testPolicy(prompt(config.PromptAppend, "p")), params{MaxTokens: 1, SystemPrompt: new("s")}, bounded{1, nil, "s\n\np"}},
		"append to an empty one":   {testPolicy(prompt(config.PromptAppend, "p")), params{MaxTokens: 1, SystemPrompt: new("")}, bounded{1, nil, "p"}},
		"replace":                  {testPolicy(prompt(config.PromptReplace, "p")), params{MaxTokens: 1, SystemPrompt: new("s")}, bounded{1, nil, "p"}},
		"replace where there is none": {testPolicy(prompt(config.PromptReplace, "p")), params{MaxTokens: 1},
			bounded{1, nil, "p"}},
		"drop": {testPolicy(prompt(config.PromptDrop, "")), params{MaxTokens: 1, SystemPrompt: new("s")}, bounded{1, nil, ""}},
	} {
		t.Run(name, func(t *testing.T) {
			d, refusal := policy.Decide(tc.policy, policy.Session{Declared: withTools}, &tc.params)
			if refusal != nil {
				t.Fatalf("refused: %+v", refusal)
			}
			if diff := cmp.Diff(tc.want, bounded{d.MaxTokens, d.Temperature, d.SystemPrompt}); diff != "" {
				t.Errorf("parameters (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDecideRefuses(t *testing.T) {
	tool := []wire.Tool{{Name: "t", InputSchema: []byte(`{}`)}}
	for name, tc := range map[string]struct {
		policy   *config.Policy
		declared wire.SamplingCapability
		params   wire.SamplingParams
		want     policy.Refusal
		wantText string
	}{
		"everything without a policy": {nil, plain, wire.SamplingParams{MaxTokens: 1},
			policy.Refusal{Code: -1, Reason: policy.NoPolicy}, "no sampling policy"},
		"tools that were not declared": {testPolicy(), plain, wire.SamplingParams{MaxTokens: 1, Tools: tool},
			policy.Refusal{Code: -32602, Reason: policy.ToolsNotDeclared}, "sampling.tools"},
		"a tool choice that was not declared": {testPolicy(noTools), plain, wire.SamplingParams{MaxTokens: 1, ToolChoice: &wire.ToolChoice{Mode: "none"}},
			policy.Refusal{Code: -32602, Reason: policy.ToolsNotDeclared}, "sampling.tools"},
		"tools that were disabled since": {testPolicy(noTools), withTools, wire.SamplingParams{MaxTokens: 1, Tools: tool},
			policy.Refusal{Code: -1, Reason: policy.ToolsDisabled}, "does not allow tools"},
		"too many tokens": {testPolicy(func(p *config.Policy) {
			p.Parameters.MaxTokens = &config.MaxTokensLimit{Max: 100, OnExceed: config.ExceedReject}
		}), plain, wire.SamplingParams{MaxTokens: 101},
			policy.Refusal{Code: -1, Reason: policy.MaxTokensExceeded}, "maxTokens is 101, the sampling policy allows at most 100"},
		"a default that is not allowed": {testPolicy(func(p *config.Policy) { p.Models.Default = "gpt-5" }), plain, wire.SamplingParams{MaxTokens: 1},
			policy.Refusal{Code: -1, Reason: policy.ModelNotAllowed}, "allows no model"},
	} {
		t.Run(name, func(t *testing.T) {
			d, got := policy.Decide(tc.policy, policy.Session{Declared: tc.declared}, &tc.params)
			if got == nil || d != nil {
				t.Fatalf("decided %+v, refusal %+v; want a refusal alone", d, got)
			}
			if !strings.Contains(got.Message, tc.wantText) {
				t.Errorf("message %q does not say %q", got.Message, tc.wantText)
			}
			tc.want.Message = got.Message
			if diff := cmp.Diff(tc.want, *got); diff != "" {
				t.Errorf("refusal (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDecideLeavesItsInputsAlone(t *testing.T) {
	p := testPolicy(func(p *config.Policy) { p.Parameters.Temperature = &config.TemperatureRange{Max: 0.5} })
	params := &wire.SamplingParams{MaxTokens: 5, Temperature: new(1.0), SystemPrompt: new("s")}
	d, refusal := policy.Decide(p, policy.Session{}, params)
	if refusal != nil {
		t.Fatalf("refused: %+v", refusal)
	}
	*d.Temperature = 2
	d.Model.Name = "other"
	if *params.Temperature != 1.0 || p.Models.Allowed[0].Name != "mini" {
		t.Error("changing the decision changed the request or the policy")
	}
}

// Whatever a server asks for, the model is an allowed one and the bounds hold.
func FuzzDecide(f *testing.F) {
	f.Add("gpt-4o", "haiku", int64(1), 0.0, true)
	f.Add("", "\x00", int64(1<<40), -3.5, false)
	f.Add("İ", "ſ", int64(100), 1e300, true)
	p := testPolicy(func(p *config.Policy) {
		p.Parameters.MaxTokens = &config.MaxTokensLimit{Max: 100, OnExceed: config.ExceedClamp}
		p.Parameters.Temperature = &config.TemperatureRange{Min: 0.1, Max: 0.9}
	})
	f.Fuzz(func(t *testing.T, hint1, hint2 string, tokens int64, temperature float64, tools bool) {
		params := &wire.SamplingParams{
			MaxTokens: tokens, Temperature: &temperature,
			ModelPreferences: &wire.ModelPreferences{Hints: []wire.ModelHint{{Name: hint1}, {Name: hint2}}},
		}
		if tools {
			params.Tools = []wire.Tool{{Name: "t"}}
		}
		d, refusal := policy.Decide(p, policy.Session{Declared: wire.SamplingCapability{Declared: true, Tools: !tools}}, params)
		if (d == nil) == (refusal == nil) {
			t.Fatalf("decision %v and refusal %v, want exactly one", d, refusal)
		}
		if tools != (refusal != nil) {
			t.Fatalf("undeclared tools %v, refusal %v", tools, refusal)
		}
		if d == nil {
			return
		}
		if !slices.ContainsFunc(p.Models.Allowed, func(m config.Model) bool { return m.Name == d.Model.Name && m.Model == d.Model.Model }) {
			t.Fatalf("model %+v is not allowed", d.Model)
		}
		if d.MaxTokens > 100 {
			t.Fatalf("%d tokens", d.MaxTokens)
		}
		if temperature == temperature && (*d.Temperature < 0.1 || *d.Temperature > 0.9) {
			t.Fatalf("temperature %v", *d.Temperature)
		}
	})
}

func BenchmarkDecide(b *testing.B) {
	p := testPolicy()
	params := &wire.SamplingParams{MaxTokens: 10, ModelPreferences: &wire.ModelPreferences{
		Hints: []wire.ModelHint{{Name: "llama"}, {Name: "claude-3-5-sonnet"}}}}
	s := policy.Session{Declared: withTools}
	b.ReportAllocs()
	for b.Loop() {
		if _, refusal := policy.Decide(p, s, params); refusal != nil {
			b.Fatal(refusal.Message)
		}
	}
}
