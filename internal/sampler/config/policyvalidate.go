package config

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

const (
	maxAllowed    = 64
	maxFallbacks  = 16
	maxGlobs      = 64
	maxToolsLimit = 1024
	maxRules      = 32
	maxPattern    = 1024
	// maxText is for texts of a policy that stand in requests.
	maxText = 16384
	// maxAnswerTokens is more than any model gives.
	maxAnswerTokens = 10_000_000
	maxStops        = 64
)

// toolChoices are the modes that the protocol knows.
var toolChoices = []string{"auto", "required", "none"}

// currency is the form of ISO 4217's codes.
var currency = regexp.MustCompile(`^[A-Z]{3}$`)

func (p *Policy) validate(found *problems, at string) {
	found.name(at+".name", p.Name)
	oneOf(found, at+".mode", p.Mode, ModeAlways, ModeFallback)

	if len(p.Providers) == 0 {
		found.add(at+".providers", "is empty: write at least one provider")
	}
	providers := make([]string, 0, len(p.Providers))
	for i := range p.Providers {
		where := fmt.Sprintf("%s.providers[%d]", at, i)
		p.Providers[i].validate(found, where)
		if slices.Contains(providers, p.Providers[i].Name) {
			found.add(where+".name", "%q is there twice: give each provider a name of its own", p.Providers[i].Name)
		}
		providers = append(providers, p.Providers[i].Name)
	}

	p.Models.validate(found, at+".models", providers)
	p.Capabilities.validate(found, at+".capabilities")
	p.Parameters.validate(found, at+".parameters")
	validateRedaction(found, at+".redaction", p.Redaction)
	p.Limits.validate(found, at+".limits")
	oneOf(found, at+".audit.level", p.Audit.Level, AuditNone, AuditMetadata, AuditContent)
}

func (p *Provider) validate(found *problems, at string) {
	found.name(at+".name", p.Name)
	oneOf(found, at+".type", p.Type, ProviderOpenAI, ProviderAnthropic, ProviderGoogleGenAI, ProviderWebhook)
	switch {
	case p.BaseURL != "":
		found.url(at+".baseURL", p.BaseURL, "https://llm.example.com/v1")
		if end := ownPath(p); end != "" {
			found.add(at+".baseURL", "ends with %q, which is added for each request: remove that part", end)
		}
	case p.Type == ProviderWebhook:
		found.add(at+".baseURL", "is missing: type %s needs the address of your handler, like https://handler.example.com/sampling", ProviderWebhook)
	case p.OpenAI != nil && p.OpenAI.Azure != nil:
		found.add(at+".baseURL", "is missing: Azure needs the resource's endpoint, like https://name.openai.azure.com")
	}
	if c := p.Credential; c != nil {
		c.validate(found, at+".credential")
	}
	p.validateHeaders(found, at)
	if p.CAFile != "" && !strings.HasPrefix(strings.ToLower(p.BaseURL), "https:") && p.BaseURL != "" {
		found.add(at+".caFile", "counts for https only: write the baseURL with https, or leave it out")
	}
	if p.Timeout <= 0 || p.Timeout > maxTimeout {
		found.add(at+".timeout", "is %s: write more than 0s and at most %s", p.Timeout, maxTimeout)
	}
	if p.Retries < 0 || p.Retries > maxRetries {
		found.add(at+".retries", "is %d: write 0 to %d", p.Retries, maxRetries)
	}
	if p.OpenAI != nil {
		if p.Type != ProviderOpenAI {
			found.add(at+".openAI", "counts for type %s only: leave it out", ProviderOpenAI)
		}
		p.OpenAI.validate(found, at+".openAI")
	}
}

// validateHeaders refuses, beside what no header may be, those that carry the
// key: one of the two would be lost.
func (p *Provider) validateHeaders(found *problems, at string) {
	validateHeaders(found, at, p.Headers)
	for i, h := range p.Headers {
		name := http.CanonicalHeaderKey(h.Name)
		switch {
		case p.Type == ProviderWebhook && strings.HasPrefix(name, "Webhook-"):
			found.add(fmt.Sprintf("%s.headers[%d].name", at, i), "%q is set for each request: leave it out", h.Name)
		case p.Credential != nil && slices.Contains(p.keyHeaders(), name):
			found.add(fmt.Sprintf("%s.headers[%d].name", at, i), "%q carries the credential: write one of headers and credential", h.Name)
		}
	}
}

// keyHeaders are those in which a family's API takes keys.
func (p *Provider) keyHeaders() []string {
	switch p.Type {
	case ProviderOpenAI:
		if p.OpenAI != nil && p.OpenAI.Azure != nil {
			return []string{"Api-Key"}
		}
		return []string{"Authorization"}
	case ProviderAnthropic:
		return []string{"X-Api-Key"}
	case ProviderGoogleGenAI:
		return []string{"X-Goog-Api-Key"}
	default:
		return nil
	}
}

func (o *OpenAI) validate(found *problems, at string) {
	oneOf(found, at+".maxTokensField", o.MaxTokensField, MaxCompletionTokens, MaxTokens)
	for name, value := range map[string]string{"organization": o.Organization, "project": o.Project} {
		if value != "" && (len(value) > maxName || strings.ContainsFunc(value, notPrintable)) {
			found.add(at+"."+name, "is no value of a header: write at most %d printable characters of ASCII", maxName)
		}
	}
	if o.Azure == nil {
		return
	}
	if v := o.Azure.APIVersion; v == "" {
		found.add(at+".azure.apiVersion", "is missing: write one like 2024-10-21")
	} else if len(v) > 64 || strings.ContainsFunc(v, func(r rune) bool { return notPrintable(r) || strings.ContainsRune(" &?#/=%+", r) }) {
		found.add(at+".azure.apiVersion", "is %q: write one like 2024-10-21", v)
	}
	if o.Organization != "" || o.Project != "" {
		found.add(at+".azure", "has neither organization nor project: leave them out")
	}
}

func notPrintable(r rune) bool { return r < ' ' || r > '~' }

func (m *Models) validate(found *problems, at string, providers []string) {
	switch n := len(m.Allowed); {
	case n == 0:
		found.add(at+".allowed", "is empty: write at least one model")
	case n > maxAllowed:
		found.add(at+".allowed", "has %d models: write at most %d", n, maxAllowed)
	}
	names := make([]string, 0, len(m.Allowed))
	for i := range m.Allowed {
		model := &m.Allowed[i]
		where := fmt.Sprintf("%s.allowed[%d]", at, i)
		if slices.Contains(names, model.Name) {
			found.add(where+".name", "%q is there twice: give each model a name of its own", model.Name)
		}
		names = append(names, model.Name)
		if !slices.Contains(providers, model.Provider) {
			found.add(where+".provider", "%q is no provider of this policy: write one of %s", model.Provider, quoted(providers))
		}
		model.validate(found, where)
	}
	if !slices.Contains(names, m.Default) {
		found.add(at+".default", "%q is not in %s.allowed: write one of %s", m.Default, at, quoted(names))
	}
	if n := len(m.Fallbacks); n > maxFallbacks {
		found.add(at+".fallbacks", "has %d models: write at most %d", n, maxFallbacks)
	}
	for i, name := range m.Fallbacks {
		where := fmt.Sprintf("%s.fallbacks[%d]", at, i)
		if !slices.Contains(names, name) {
			found.add(where, "%q is not in %s.allowed: write one of %s", name, at, quoted(names))
		}
		if slices.Contains(m.Fallbacks[:i], name) {
			found.add(where, "%q is there twice: write each model once", name)
		}
	}
	oneOf(found, at+".onUnknownHint", m.OnUnknownHint, UnknownHintUseDefault, UnknownHintReject)
}

func (m *Model) validate(found *problems, at string) {
	found.name(at+".name", m.Name)
	found.name(at+".model", m.Model)
	for i, hint := range m.Hints {
		found.name(fmt.Sprintf("%s.hints[%d]", at, i), hint)
	}
	if s := m.Scores; s != nil {
		found.number(at+".scores.cost", s.Cost, 1)
		found.number(at+".scores.speed", s.Speed, 1)
		found.number(at+".scores.intelligence", s.Intelligence, 1)
	}
	if p := m.Prices; p != nil {
		const highest = 1e6
		found.number(at+".prices.input", p.Input, highest)
		found.number(at+".prices.output", p.Output, highest)
		if !currency.MatchString(p.Currency) {
			found.add(at+".prices.currency", "is %q: write a code of three capital letters, like USD", p.Currency)
		}
	}
	found.extraBody(at+".extraBody", m.ExtraBody)
}

func (c *Capabilities) validate(found *problems, at string) {
	oneOf(found, at+".tools", c.Tools, ToolsEnabled, ToolsDisabled)
	globs(found, at+".toolNames.allow", c.ToolNames.Allow)
	globs(found, at+".toolNames.deny", c.ToolNames.Deny)
	if len(c.ToolChoice) == 0 {
		found.add(at+".toolChoice", "is empty: write at least one of auto, required and none, or switch tools off by tools: %s", ToolsDisabled)
	}
	for i, choice := range c.ToolChoice {
		where := fmt.Sprintf("%s.toolChoice[%d]", at, i)
		oneOf(found, where, choice, toolChoices...)
		if slices.Contains(c.ToolChoice[:i], choice) {
			found.add(where, "%q is there twice: write each mode once", choice)
		}
	}
	if c.MaxTools < 1 || c.MaxTools > maxToolsLimit {
		found.add(at+".maxTools", "is %d: write 1 to %d", c.MaxTools, maxToolsLimit)
	}
	oneOf(found, at+".images", c.Images, Allow, Deny)
	oneOf(found, at+".audio", c.Audio, Allow, Deny)
	oneOf(found, at+".includeContext", c.IncludeContext, IncludeContextIgnore, IncludeContextReject)
}

func globs(found *problems, at string, list []string) {
	if len(list) > maxGlobs {
		found.add(at, "has %d globs: write at most %d", len(list), maxGlobs)
	}
	for i, glob := range list {
		found.name(fmt.Sprintf("%s[%d]", at, i), glob)
	}
}

func (params *Parameters) validate(found *problems, at string) {
	if limit := params.MaxTokens; limit != nil {
		limit.validate(found, at+".maxTokens")
	}
	if r := params.Temperature; r != nil {
		// Written so that NaN fails too.
		if !(r.Min >= 0 && r.Min <= r.Max && r.Max <= DefaultMaxTemperature) {
			found.add(at+".temperature", "is %v to %v: write 0 <= min <= max <= %v", r.Min, r.Max, DefaultMaxTemperature)
		}
	}
	if s := params.SystemPrompt; s != nil {
		s.validate(found, at+".systemPrompt")
	}
	if s := params.StopSequences; s != nil && (s.Max < 0 || s.Max > maxStops) {
		found.add(at+".stopSequences.max", "is %d: write 0 to %d", s.Max, maxStops)
	}
	oneOf(found, at+".metadata", params.Metadata, MetadataDrop, MetadataPass)
	found.extraBody(at+".extraBody", params.ExtraBody)
}

func (l *MaxTokensLimit) validate(found *problems, at string) {
	if l.Max == 0 && l.Default == 0 {
		found.add(at, "says neither max nor default: write at least one of them, or leave it out")
	}
	found.ranges(at, []bound{{"max", l.Max, 0, maxAnswerTokens}, {"default", l.Default, 0, maxAnswerTokens}})
	if l.Max > 0 && l.Default > l.Max {
		found.add(at+".default", "is %d, above max: write at most %d", l.Default, l.Max)
	}
	oneOf(found, at+".onExceed", l.OnExceed, ExceedClamp, ExceedReject)
}

func (s *SystemPromptAction) validate(found *problems, at string) {
	oneOf(found, at+".action", s.Action, PromptKeep, PromptPrepend, PromptAppend, PromptReplace, PromptDrop)
	switch s.Action {
	case PromptPrepend, PromptAppend, PromptReplace:
		if s.Text == "" {
			found.add(at+".text", "is empty: action %s needs a text", s.Action)
		}
	case PromptKeep, PromptDrop:
		if s.Text != "" {
			found.add(at+".text", "does nothing with action %s: leave it out, or write %s, %s or %s",
				s.Action, PromptPrepend, PromptAppend, PromptReplace)
		}
	}
	if n := utf8.RuneCountInString(s.Text); n > maxText {
		found.add(at+".text", "has %d characters: write at most %d", n, maxText)
	}
}

func validateRedaction(found *problems, at string, rules []RedactionRule) {
	if len(rules) > maxRules {
		found.add(at, "has %d rules: write at most %d", len(rules), maxRules)
	}
	names := make([]string, 0, len(rules))
	for i := range rules {
		where := fmt.Sprintf("%s[%d]", at, i)
		if slices.Contains(names, rules[i].Name) {
			found.add(where+".name", "%q is there twice: give each rule a name of its own", rules[i].Name)
		}
		names = append(names, rules[i].Name)
		rules[i].validate(found, where)
	}
}

func (r *RedactionRule) validate(found *problems, at string) {
	found.name(at+".name", r.Name)
	if n := utf8.RuneCountInString(r.Replacement); n > maxPattern {
		found.add(at+".replacement", "has %d characters: write at most %d", n, maxPattern)
	}
	oneOf(found, at+".direction", r.Direction, DirectionRequest, DirectionResponse, DirectionBoth)
	switch n := utf8.RuneCountInString(r.Pattern); {
	case n == 0:
		found.add(at+".pattern", "is missing: write a regular expression (RE2)")
		return
	case n > maxPattern:
		found.add(at+".pattern", "has %d characters: write at most %d", n, maxPattern)
		return
	}
	// The pattern may be what it is to hide, so that only its place is named.
	re, err := regexp.Compile(r.Pattern)
	switch {
	case err != nil:
		found.add(at+".pattern", "is no regular expression of RE2 (%s): correct it; RE2 has no look-around and no back references", syntaxError(err))
	case takesNothing(r.Pattern):
		found.add(at+".pattern", "matches the empty text only, so that nothing is replaced: write one that takes at least one character")
	case re.MatchString(""):
		found.add(at+".pattern", "matches the empty text, so the replacement would stand between all characters: write one that takes at least one, like + for *")
	default:
		if group := unknownGroup(re, r.Replacement); group != "" {
			found.add(at+".replacement", "names the group %q, which the pattern does not have: write ${1} for the first one, and $$ for a dollar", group)
		}
	}
}
