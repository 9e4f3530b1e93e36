package google

import (
	"regexp"
	"strconv"
	"strings"
)

// traits are what a model's name tells of the rules that the API has for it.
type traits struct {
	// signsThoughts: function calls without a thought signature are refused, and
	// functions may answer with pictures (Gemini 3 and later).
	signsThoughts bool
	// refusesPrefill: a conversation must not end with the assistant (3.5
	// Flash-Lite, 3.6, and later).
	refusesPrefill bool
	// noSystem: there is no system instruction (Gemma 3 and before).
	noSystem bool
}

var (
	geminiVersion = regexp.MustCompile(`gemini-([0-9]{1,3})(?:\.([0-9]{1,3}))?(?:[^0-9.]|$)`)
	geminiLatest  = regexp.MustCompile(`gemini-[a-z-]*latest$`)
	oldGemma      = regexp.MustCompile(`gemma-[1-3](?:[^0-9]|$)`)
)

// traitsOf knows Google's own names. A name that tells nothing has no rules.
func traitsOf(model string) traits {
	model = strings.ToLower(model)
	if geminiLatest.MatchString(model) {
		return traits{signsThoughts: true, refusesPrefill: true}
	}
	v := geminiVersion.FindStringSubmatch(model)
	if v == nil {
		return traits{noSystem: oldGemma.MatchString(model)}
	}
	major, _ := strconv.Atoi(v[1]) // digits, and few
	minor, _ := strconv.Atoi(v[2]) // empty means 0
	version := major*1000 + minor
	return traits{
		signsThoughts:  version >= 3000,
		refusesPrefill: version >= 3006 || version == 3005 && strings.Contains(model, "flash-lite"),
	}
}
