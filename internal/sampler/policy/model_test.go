package policy_test

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/config"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/policy"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

func hinting(hints ...string) func(*wire.SamplingParams) {
	return func(p *wire.SamplingParams) {
		if p.ModelPreferences == nil {
			p.ModelPreferences = &wire.ModelPreferences{}
		}
		for _, h := range hints {
			p.ModelPreferences.Hints = append(p.ModelPreferences.Hints, wire.ModelHint{Name: h})
		}
	}
}

func preferring(cost, speed, intelligence *float64) func(*wire.SamplingParams) {
	return func(p *wire.SamplingParams) {
		if p.ModelPreferences == nil {
			p.ModelPreferences = &wire.ModelPreferences{}
		}
		p.ModelPreferences.CostPriority, p.ModelPreferences.SpeedPriority, p.ModelPreferences.IntelligencePriority = cost, speed, intelligence
	}
}

func chosenModel(d *policy.Decision) string { return d.Candidates[0].Name }

func TestDecideChoosesTheModelByHints(t *testing.T) {
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
			params := request()
			if tc.hints != nil {
				hinting(tc.hints...)(params)
			}
			d := decide(t, testPolicy(), params)
			if chosenModel(d) != tc.want || d.Reason != tc.wantReason {
				t.Errorf("chose %s (%s), want %s (%s)", chosenModel(d), d.Reason, tc.want, tc.wantReason)
			}
		})
	}
}

// scored gives the first two models scores, and none to the third.
func scored(p *config.Policy) {
	p.Models.Default = "reasoner"
	p.Models.Allowed[0].Scores = &config.Scores{Cost: 0.9, Speed: 0.8, Intelligence: 0.3}
	p.Models.Allowed[1].Scores = &config.Scores{Cost: 0.2, Speed: 0.5, Intelligence: 0.9}
}

func TestDecideChoosesTheModelByPriorities(t *testing.T) {
	for name, tc := range map[string]struct {
		policy     *config.Policy
		params     *wire.SamplingParams
		want       string
		wantReason policy.Reason
	}{
		"no preferences":                         {testPolicy(scored), request(), "reasoner", policy.ModelDefault},
		"no priorities":                          {testPolicy(scored), request(preferring(nil, nil, nil)), "reasoner", policy.ModelDefault},
		"priorities of nothing":                  {testPolicy(scored), request(preferring(new(0.0), new(-1.0), new(math.NaN()))), "reasoner", policy.ModelDefault},
		"no model has scores":                    {testPolicy(), request(preferring(nil, nil, new(1.0))), "mini", policy.ModelDefault},
		"it must be cheap":                       {testPolicy(scored), request(preferring(new(1.0), nil, nil)), "mini", policy.ModelScored},
		"it must be clever":                      {testPolicy(scored), request(preferring(nil, nil, new(0.1))), "gpt-4o", policy.ModelScored},
		"rather clever than cheap":               {testPolicy(scored), request(preferring(new(0.5), nil, new(0.8))), "gpt-4o", policy.ModelScored},
		"rather cheap than clever":               {testPolicy(scored), request(preferring(new(0.8), nil, new(0.5))), "mini", policy.ModelScored},
		"a priority above 1 counts as 1":         {testPolicy(scored), request(preferring(new(1.0), new(1.0), new(1000.0))), "mini", policy.ModelScored},
		"a hint is worth more":                   {testPolicy(scored), request(hinting("o3"), preferring(new(1.0), nil, nil)), "reasoner", policy.ModelHinted},
		"a hint that is unknown is worth less":   {testPolicy(scored), request(hinting("llama"), preferring(nil, nil, new(1.0))), "gpt-4o", policy.ModelScored},
		"of several that are as good, the first": {testPolicy(scored, func(p *config.Policy) { p.Models.Allowed[2].Scores = p.Models.Allowed[1].Scores }), request(preferring(nil, nil, new(1.0))), "gpt-4o", policy.ModelScored},
		"a model that scores nothing, where no other has scores": {testPolicy(func(p *config.Policy) { p.Models.Allowed[2].Scores = &config.Scores{} }),
			request(preferring(new(1.0), nil, nil)), "reasoner", policy.ModelScored},
	} {
		t.Run(name, func(t *testing.T) {
			d := decide(t, tc.policy, tc.params)
			if chosenModel(d) != tc.want || d.Reason != tc.wantReason {
				t.Errorf("chose %s (%s), want %s (%s)", chosenModel(d), d.Reason, tc.want, tc.wantReason)
			}
		})
	}
}

func TestDecideListsTheFallbacks(t *testing.T) {
	for name, tc := range map[string]struct {
		fallbacks []string
		hint      string
		want      []string
	}{
		"no fallbacks":                   {nil, "", []string{"mini"}},
		"in their order":                 {[]string{"reasoner", "gpt-4o"}, "", []string{"mini", "reasoner", "gpt-4o"}},
		"without the one that is chosen": {[]string{"reasoner", "gpt-4o"}, "gpt-4o", []string{"gpt-4o", "reasoner"}},
		"the default as a fallback":      {[]string{"mini"}, "o3", []string{"reasoner", "mini"}},
		"only the one that is chosen":    {[]string{"mini"}, "", []string{"mini"}},
		"one that is listed twice: once": {[]string{"gpt-4o", "gpt-4o"}, "", []string{"mini", "gpt-4o"}},
	} {
		t.Run(name, func(t *testing.T) {
			c := testPolicy(func(p *config.Policy) { p.Models.Fallbacks = tc.fallbacks })
			var got []string
			for _, m := range decide(t, c, request(hinting(tc.hint))).Candidates {
				got = append(got, m.Name)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("candidates (-want +got):\n%s", diff)
			}
		})
	}
}
