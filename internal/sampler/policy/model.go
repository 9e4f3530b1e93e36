package policy

import (
	"strings"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/config"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

// chooseModel takes the server's hints in their order and answers the first one
// that any allowed model matches; otherwise the default model. For one hint, a
// closer kind of match at any model beats a looser one at an earlier model, so
// that "gpt-4o" finds gpt-4o also where gpt-4o-mini stands before it:
//
//  1. the hint is the model's name, the provider's name for it, or one of its
//     hints;
//  2. the hint is a part of the model's name or of the provider's name for it,
//     as the specification says;
//  3. one of the model's hints is a part of the server's hint, so that "haiku"
//     answers for every claude-…-haiku-…, or the other way round.
//
// Case does not count. It returns nil only if the default is not allowed.
func chooseModel(models *config.Models, prefs *wire.ModelPreferences) (*config.Model, Reason) {
	if prefs != nil {
		for _, hint := range prefs.Hints {
			if m := matchHint(models.Allowed, strings.TrimSpace(hint.Name)); m != nil {
				return m, ModelHinted
			}
		}
	}
	for i := range models.Allowed {
		if models.Allowed[i].Name == models.Default {
			return &models.Allowed[i], ModelDefault
		}
	}
	return nil, ModelNotAllowed
}

func matchHint(allowed []config.Model, hint string) *config.Model {
	if hint == "" {
		return nil // a part of every name
	}
	lower := strings.ToLower(hint)
	for _, matches := range []func(*config.Model, string) bool{isNamed, nameContains, hintsOverlap} {
		for i := range allowed {
			if matches(&allowed[i], lower) {
				return &allowed[i]
			}
		}
	}
	return nil
}

func isNamed(m *config.Model, hint string) bool {
	if strings.ToLower(m.Name) == hint || strings.ToLower(m.Model) == hint {
		return true
	}
	for _, h := range m.Hints {
		if strings.ToLower(h) == hint {
			return true
		}
	}
	return false
}

func nameContains(m *config.Model, hint string) bool {
	return strings.Contains(strings.ToLower(m.Name), hint) || strings.Contains(strings.ToLower(m.Model), hint)
}

func hintsOverlap(m *config.Model, hint string) bool {
	for _, h := range m.Hints {
		h = strings.ToLower(h)
		if h != "" && (strings.Contains(hint, h) || strings.Contains(h, hint)) {
			return true
		}
	}
	return false
}
