package policy_test

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/config"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/policy"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

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
	unsaid := func(n int64) func(*config.Policy) {
		return func(p *config.Policy) {
			if p.Parameters.MaxTokens == nil {
				p.Parameters.MaxTokens = &config.MaxTokensLimit{}
			}
			p.Parameters.MaxTokens.Default = n
		}
	}
	pass := func(p *config.Policy) { p.Parameters.Metadata = config.MetadataPass }
	type params = wire.SamplingParams
	type bounded struct {
		MaxTokens    int64
		Temperature  *float64
		SystemPrompt string
		Metadata     string
		Changes      []policy.Change
	}
	changes := func(c ...policy.Change) []policy.Change { return c }
	for name, tc := range map[string]struct {
		policy *config.Policy
		params params
		want   bounded
	}{
		"no limits":                          {testPolicy(), params{MaxTokens: 9000, Temperature: new(1.5), SystemPrompt: new("s")}, bounded{9000, new(1.5), "s", "", nil}},
		"nothing asked":                      {testPolicy(warmth(0.5, 1)), params{MaxTokens: 1}, bounded{1, nil, "", "", nil}},
		"fewer tokens":                       {testPolicy(tokens(100, config.ExceedReject)), params{MaxTokens: 100}, bounded{100, nil, "", "", nil}},
		"too many tokens, clamped":           {testPolicy(tokens(100, config.ExceedClamp)), params{MaxTokens: 101}, bounded{100, nil, "", "", changes(policy.ChangeMaxTokens)}},
		"no number of tokens, and a default": {testPolicy(unsaid(50)), params{}, bounded{50, nil, "", "", changes(policy.ChangeMaxTokens)}},
		"a default that nobody needs":        {testPolicy(unsaid(50)), params{MaxTokens: 9000}, bounded{9000, nil, "", "", nil}},
		"a default above the limit, which is no fault of the server": {testPolicy(tokens(100, config.ExceedReject), unsaid(500)), params{}, bounded{100, nil, "", "", changes(policy.ChangeMaxTokens)}},
		"temperature zero stays":                                     {testPolicy(), params{MaxTokens: 1, Temperature: new(0.0)}, bounded{1, new(0.0), "", "", nil}},
		"warm enough":                                                {testPolicy(warmth(0.5, 1)), params{MaxTokens: 1, Temperature: new(0.5)}, bounded{1, new(0.5), "", "", nil}},
		"too cold":                                                   {testPolicy(warmth(0.5, 1)), params{MaxTokens: 1, Temperature: new(0.0)}, bounded{1, new(0.5), "", "", changes(policy.ChangeTemperature)}},
		"too hot":                                                    {testPolicy(warmth(0, 0)), params{MaxTokens: 1, Temperature: new(1.0)}, bounded{1, new(0.0), "", "", changes(policy.ChangeTemperature)}},
		"keep the prompt":                                            {testPolicy(prompt(config.PromptKeep, "")), params{MaxTokens: 1, SystemPrompt: new("s")}, bounded{1, nil, "s", "", nil}},
		"prepend":                                                    {testPolicy(prompt(config.PromptPrepend, "p")), params{MaxTokens: 1, SystemPrompt: new("s")}, bounded{1, nil, "p\n\ns", "", changes(policy.ChangeSystemPrompt)}},
		"prepend to nothing":                                         {testPolicy(prompt(config.PromptPrepend, "p")), params{MaxTokens: 1}, bounded{1, nil, "p", "", changes(policy.ChangeSystemPrompt)}},
		"append":                                                     {testPolicy(prompt(config.PromptAppend, "p")), params{MaxTokens: 1, SystemPrompt: new("s")}, bounded{1, nil, "s\n\np", "", changes(policy.ChangeSystemPrompt)}},
		"append to an empty one":                                     {testPolicy(prompt(config.PromptAppend, "p")), params{MaxTokens: 1, SystemPrompt: new("")}, bounded{1, nil, "p", "", changes(policy.ChangeSystemPrompt)}},
		"replace":                                                    {testPolicy(prompt(config.PromptReplace, "p")), params{MaxTokens: 1, SystemPrompt: new("s")}, bounded{1, nil, "p", "", changes(policy.ChangeSystemPrompt)}},
		"replace by the same":                                        {testPolicy(prompt(config.PromptReplace, "s")), params{MaxTokens: 1, SystemPrompt: new("s")}, bounded{1, nil, "s", "", nil}},
		"replace where there is none": {testPolicy(prompt(config.PromptReplace, "p")), params{MaxTokens: 1},
			bounded{1, nil, "p", "", changes(policy.ChangeSystemPrompt)}},
		"drop":                                   {testPolicy(prompt(config.PromptDrop, "")), params{MaxTokens: 1, SystemPrompt: new("s")}, bounded{1, nil, "", "", changes(policy.ChangeSystemPrompt)}},
		"drop what is not there":                 {testPolicy(prompt(config.PromptDrop, "")), params{MaxTokens: 1}, bounded{1, nil, "", "", nil}},
		"metadata where the policy says nothing": {testPolicy(), params{MaxTokens: 1, Metadata: json.RawMessage(`{"a": 1}`)}, bounded{1, nil, "", "", changes(policy.ChangeMetadata)}},
		"metadata that is passed on":             {testPolicy(pass), params{MaxTokens: 1, Metadata: json.RawMessage(`{"a": 1}`)}, bounded{1, nil, "", `{"a": 1}`, nil}},
		"no metadata to drop":                    {testPolicy(), params{MaxTokens: 1}, bounded{1, nil, "", "", nil}},
		"context that there is not":              {testPolicy(), params{MaxTokens: 1, IncludeContext: wire.ContextAllServers}, bounded{1, nil, "", "", changes(policy.ChangeContext)}},
		"no context":                             {testPolicy(), params{MaxTokens: 1, IncludeContext: wire.ContextNone}, bounded{1, nil, "", "", nil}},
		"everything at once": {testPolicy(tokens(5, config.ExceedClamp), warmth(0, 0.5), prompt(config.PromptDrop, "")),
			params{MaxTokens: 6, Temperature: new(1.0), SystemPrompt: new("s"), Metadata: json.RawMessage(`{}`), IncludeContext: wire.ContextThisServer},
			bounded{5, new(0.5), "", "", changes(policy.ChangeMaxTokens, policy.ChangeTemperature, policy.ChangeSystemPrompt, policy.ChangeMetadata, policy.ChangeContext)}},
	} {
		t.Run(name, func(t *testing.T) {
			d := decide(t, tc.policy, &tc.params)
			got := bounded{d.Params.MaxTokens, d.Params.Temperature, *d.Params.SystemPrompt, string(d.Params.Metadata), d.Changes}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("parameters (-want +got):\n%s", diff)
			}
			if d.Params.IncludeContext != "" {
				t.Errorf("includeContext is %q still", d.Params.IncludeContext)
			}
		})
	}
}

func TestDecideLeavesItsInputsAlone(t *testing.T) {
	c := testPolicy(func(p *config.Policy) { p.Parameters.Temperature = &config.TemperatureRange{Max: 0.5} })
	params := request(func(p *wire.SamplingParams) { p.Temperature, p.SystemPrompt = new(1.0), new("s") })
	d := decide(t, c, params)
	*d.Params.Temperature = 2
	*d.Params.SystemPrompt = "other"
	d.Candidates[0].Name = "other"
	if *params.Temperature != 1.0 || *params.SystemPrompt != "s" || c.Models.Allowed[0].Name != "mini" {
		t.Error("changing the decision changed the request or the policy")
	}
}
