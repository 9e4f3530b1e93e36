package policy

import (
	"slices"
	"strings"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/config"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

// model is an allowed model as hints are compared with it: in lower case.
type model struct {
	name, upstream string
	hints          []string
	scores         *config.Scores
}

func compileModel(c config.Model) model {
	m := model{name: strings.ToLower(c.Name), upstream: strings.ToLower(c.Model), scores: c.Scores}
	for _, h := range c.Hints {
		if h != "" { // a part of everything
			m.hints = append(m.hints, strings.ToLower(h))
		}
	}
	return m
}

// chooseModel returns the index of the model to ask first:
//
//  1. the server's hints are taken in their order; the first one that any
//     allowed model matches decides;
//  2. where hints are given and none matches, the policy may refuse;
//  3. where the server gives a priority above 0, the model with the highest sum
//     of priority times score, of the models that have scores;
//  4. the default.
func (p *Policy) chooseModel(prefs *wire.ModelPreferences) (int, Reason, *Refusal) {
	if prefs == nil {
		return p.chosen, ModelDefault, nil
	}
	hinted := false
	for _, hint := range prefs.Hints {
		text := strings.ToLower(strings.TrimSpace(hint.Name))
		if text == "" {
			continue // a part of every name
		}
		hinted = true
		if i := p.matchHint(text); i >= 0 {
			return i, ModelHinted, nil
		}
	}
	if hinted && p.Models.OnUnknownHint == config.UnknownHintReject {
		return 0, "", refuse(UnknownHint, "none of the model hints matches a model that the sampling policy allows")
	}
	if i := p.bestScored(prefs); i >= 0 {
		return i, ModelScored, nil
	}
	return p.chosen, ModelDefault, nil
}

// matchHint finds the model that a hint means. A closer kind of match at any
// model beats a looser one at an earlier model, so that "gpt-4o" finds gpt-4o
// also where gpt-4o-mini stands before it:
//
//  1. the hint is the model's name, the provider's name for it, or one of its
//     hints;
//  2. the hint is a part of the model's name or of the provider's name for it,
//     as the specification says;
//  3. one of the model's hints is a part of the server's hint, so that "haiku"
//     answers for every claude-…-haiku-…, or the other way round.
//
// Case does not count. It returns -1 where no model matches.
func (p *Policy) matchHint(hint string) int {
	for _, matches := range []func(*model, string) bool{(*model).isNamed, (*model).nameContains, (*model).hintsOverlap} {
		for i := range p.models {
			if matches(&p.models[i], hint) {
				return i
			}
		}
	}
	return -1
}

func (m *model) isNamed(hint string) bool {
	if m.name == hint || m.upstream == hint {
		return true
	}
	for _, h := range m.hints {
		if h == hint {
			return true
		}
	}
	return false
}

func (m *model) nameContains(hint string) bool {
	return strings.Contains(m.name, hint) || strings.Contains(m.upstream, hint)
}

func (m *model) hintsOverlap(hint string) bool {
	for _, h := range m.hints {
		if strings.Contains(hint, h) || strings.Contains(h, hint) {
			return true
		}
	}
	return false
}

// bestScored returns -1 where no priority is above 0 or no model has scores. Of
// several best ones it is the first.
func (p *Policy) bestScored(prefs *wire.ModelPreferences) int {
	best, highest := -1, 0.0
	if Score(&config.Scores{Cost: 1, Speed: 1, Intelligence: 1}, prefs) == 0 {
		return best // the server gives no priority
	}
	for i := range p.models {
		s := p.models[i].scores
		if s == nil {
			continue
		}
		if score := Score(s, prefs); best < 0 || score > highest {
			best, highest = i, score
		}
	}
	return best
}

// Score is what a model with these scores is worth by the server's priorities:
// the sum of priority times score.
func Score(s *config.Scores, prefs *wire.ModelPreferences) float64 {
	return priority(prefs.CostPriority)*s.Cost + priority(prefs.SpeedPriority)*s.Speed +
		priority(prefs.IntelligencePriority)*s.Intelligence
}

// priority is what counts of a server's priority: 0 to 1, as the specification
// says, whatever the server does.
func priority(asked *float64) float64 {
	if asked == nil || !(*asked > 0) { // so that NaN is none
		return 0
	}
	return min(*asked, 1)
}

// candidates are the first one and then the fallbacks, each once.
func (p *Policy) candidates(first int) []config.Model {
	list := make([]config.Model, 1, 1+len(p.fallbacks))
	list[0] = p.Models.Allowed[first]
	for i, at := range p.fallbacks {
		if at != first && !slices.Contains(p.fallbacks[:i], at) {
			list = append(list, p.Models.Allowed[at])
		}
	}
	return list
}
