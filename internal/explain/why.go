package explain

import (
	"fmt"
	"strings"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/config"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/policy"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

// why says which wish of the server chose the model.
func why(p *policy.Policy, s policy.Session, params *wire.SamplingParams, d *policy.Decision) string {
	name := d.Candidates[0].Name
	var missed []string
	if params.ModelPreferences != nil {
		for _, hint := range params.ModelPreferences.Hints {
			if d.Reason == policy.ModelHinted && matches(p, s, params, hint) {
				text := fmt.Sprintf("the hint %q matches it", hint.Name)
				if len(missed) > 0 {
					text += fmt.Sprintf("; %s before it %s nothing that is allowed", list(missed), verb(missed))
				}
				return text
			}
			if strings.TrimSpace(hint.Name) != "" {
				missed = append(missed, fmt.Sprintf("%q", hint.Name))
			}
		}
	}
	var text string
	switch {
	case len(missed) == 1:
		text = fmt.Sprintf("the hint %s matches nothing that is allowed, and ", missed[0])
	case len(missed) > 1:
		text = fmt.Sprintf("the hints %s match nothing that is allowed, and ", list(missed))
	}
	if d.Reason == policy.ModelScored {
		return text + "of the models with scores it is the best by the request's priorities: " + scores(p, params.ModelPreferences, name)
	}
	if weighs(params.ModelPreferences) {
		return text + "it is the default: no model has scores to weigh the request's priorities by"
	}
	if len(missed) == 0 {
		return "it is the default, and the request asks for nothing else"
	}
	return text + "it is the default"
}

// weighs reports whether the server gives priorities that count.
func weighs(prefs *wire.ModelPreferences) bool {
	return prefs != nil && policy.Score(&config.Scores{Cost: 1, Speed: 1, Intelligence: 1}, prefs) > 0
}

// matches reports whether a hint alone decides.
func matches(p *policy.Policy, s policy.Session, params *wire.SamplingParams, hint wire.ModelHint) bool {
	alone := *params
	alone.ModelPreferences = &wire.ModelPreferences{Hints: []wire.ModelHint{hint}}
	d, _ := policy.Decide(p, s, &alone)
	return d != nil && d.Reason == policy.ModelHinted
}

// scores lists what the models with scores are worth, the chosen one first.
func scores(p *policy.Policy, prefs *wire.ModelPreferences, chosen string) string {
	var first string
	var others []string
	for _, m := range p.Models.Allowed {
		if m.Scores == nil {
			continue
		}
		text := fmt.Sprintf("%s %.4g", m.Name, policy.Score(m.Scores, prefs))
		if m.Name == chosen {
			first = text
		} else {
			others = append(others, text)
		}
	}
	return strings.Join(append([]string{first}, others...), ", ")
}

func list(items []string) string {
	if len(items) < 2 {
		return strings.Join(items, "")
	}
	return strings.Join(items[:len(items)-1], ", ") + " and " + items[len(items)-1]
}

func verb(items []string) string {
	if len(items) == 1 {
		return "matches"
	}
	return "match"
}
