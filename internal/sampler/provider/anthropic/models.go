package anthropic

import (
	"regexp"
	"strconv"
	"strings"
)

// modelRules says what the API refuses of a model. The migration guides of the
// families name it; each later version is taken to refuse it too.
type modelRules struct {
	// vendor is true for names of Anthropic's own models. What only its API
	// refuses, and not everything that is compatible, is not held against others.
	vendor bool
	// noTemperature: none but the default, 1.
	noTemperature bool
	// noPrefill: the last message must be the user's.
	noPrefill bool
	// noForcedTool: the model always thinks, and cannot be made to call a tool.
	noForcedTool bool
}

// modelName reads the family and the version: "claude-opus-4-7",
// "claude-sonnet-5", "claude-haiku-4-5-20251001". Older names begin with the
// version, and nothing is refused of their models.
var modelName = regexp.MustCompile(`^claude-(opus|sonnet|haiku|fable|mythos)-(\d{1,2})(?:-(\d{1,2}))?(?:[-@\[]|$)`)

// since is the first version of each family of which something is refused.
type since map[string]int

var (
	temperatureRefused = since{"opus": 407, "sonnet": 500, "haiku": 500, "fable": 500, "mythos": 500}
	prefillRefused     = since{"opus": 406, "sonnet": 406, "haiku": 500, "fable": 500, "mythos": 500}
	forcedToolRefused  = since{"opus": 505, "sonnet": 505, "fable": 501, "mythos": 501}
)

func (s since) holds(family string, version int) bool {
	first, ok := s[family]
	return ok && version >= first
}

func rulesOf(model string) modelRules {
	rules := modelRules{vendor: strings.HasPrefix(model, "claude-")}
	if strings.HasPrefix(model, "claude-mythos-preview") {
		rules.noPrefill = true
		return rules
	}
	match := modelName.FindStringSubmatch(model)
	if match == nil {
		return rules
	}
	major, _ := strconv.Atoi(match[2]) // the pattern leaves digits only
	minor, _ := strconv.Atoi(match[3])
	version := major*100 + minor
	rules.noTemperature = temperatureRefused.holds(match[1], version)
	rules.noPrefill = prefillRefused.holds(match[1], version)
	rules.noForcedTool = forcedToolRefused.holds(match[1], version)
	return rules
}
