package config

import (
	"regexp/syntax"
	"slices"
	"strings"
)

// ownPath finds the API's own path at the end of a base URL, to which it would be
// added a second time. It returns what to cut; empty where nothing is to be.
func ownPath(p *Provider) string {
	url := strings.TrimRight(p.BaseURL, "/")
	var ends []string
	switch p.Type {
	case ProviderOpenAI:
		if p.OpenAI != nil && p.OpenAI.Azure != nil {
			if i := strings.Index(url, "/openai/deployments"); i >= 0 {
				return url[i:]
			}
		}
		ends = []string{"/chat/completions"}
	case ProviderAnthropic:
		ends = []string{"/messages"}
	case ProviderGoogleGenAI:
		if i := strings.LastIndex(url, "/models/"); i >= 0 {
			return url[i:]
		}
		ends = []string{"/models"}
	}
	if i := slices.IndexFunc(ends, func(end string) bool { return strings.HasSuffix(url, end) }); i >= 0 {
		return ends[i]
	}
	return ""
}

// takesNothing reports whether all that a pattern matches is empty, like \b.
func takesNothing(pattern string) bool {
	re, err := syntax.Parse(pattern, syntax.Perl)
	return err == nil && isEmpty(re)
}

func isEmpty(re *syntax.Regexp) bool {
	switch re.Op {
	case syntax.OpNoMatch, syntax.OpEmptyMatch, syntax.OpBeginLine, syntax.OpEndLine, syntax.OpBeginText, syntax.OpEndText,
		syntax.OpWordBoundary, syntax.OpNoWordBoundary:
		return true
	case syntax.OpCapture, syntax.OpStar, syntax.OpPlus, syntax.OpQuest, syntax.OpRepeat, syntax.OpConcat, syntax.OpAlternate:
		return !slices.ContainsFunc(re.Sub, func(sub *syntax.Regexp) bool { return !isEmpty(sub) })
	default:
		return false
	}
}
