package policy

import (
	"encoding/base64"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/config"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

// What redaction may do to one request or answer, so that no pattern makes one
// take all memory.
const (
	maxGrowth       = 4 << 20
	maxReplacements = 1 << 18
	// maxIndexes bounds what is kept of matches whose groups are needed.
	maxIndexes = 1 << 20
)

// Redaction is how often a rule replaced something.
type Redaction struct {
	Rule  string `json:"rule"`
	Count int    `json:"count"`
}

// rule is a compiled config.RedactionRule.
type rule struct {
	name, replacement string
	pattern           *regexp.Regexp
}

func (p *Policy) compileRedaction() error {
	for i, c := range p.Redaction {
		pattern, err := regexp.Compile(c.Pattern)
		if err != nil {
			return fmt.Errorf("redaction[%d].pattern: %w", i, err)
		}
		r := rule{name: c.Name, replacement: c.Replacement, pattern: pattern}
		if c.Direction != config.DirectionResponse {
			p.outgoing = append(p.outgoing, r)
		}
		if c.Direction != config.DirectionRequest {
			p.incoming = append(p.incoming, r)
		}
	}
	return nil
}

// redactRequest replaces in what a provider would read: the text of messages in
// both roles and of tool results, the strings inside of tool inputs, structured
// content and metadata, stop sequences, the server's part of the system prompt,
// and what describes tools. What names and types things, media and the policy's own text
// stay as they are, and what nothing matches keeps its bytes.
func (p *Policy) redactRequest(d *Decision) *Refusal {
	if len(p.outgoing) == 0 {
		return nil
	}
	r := newRedactor(p.outgoing)
	out := &d.Params
	if out.SystemPrompt != nil && keepsPrompt(p.Parameters.SystemPrompt) {
		if text, changed := r.text(*out.SystemPrompt); changed {
			out.SystemPrompt = &text
		}
	}
	if stops, changed := edited(out.StopSequences, r.text); changed {
		// An empty one is nothing to stop at, and providers refuse it.
		out.StopSequences = slices.DeleteFunc(stops, func(s string) bool { return s == "" })
	}
	out.Messages, _ = edited(out.Messages, r.message)
	out.Tools, _ = edited(out.Tools, r.tool)
	if p.Parameters.Metadata == config.MetadataPass {
		out.Metadata, _ = editStrings(out.Metadata, anyKey, r.text)
	}
	if r.tooMuch {
		return refuse(RedactionTooLarge, "the sampling policy would replace too much of the request: send less text")
	}
	d.Redactions = r.counted()
	return nil
}

// RedactResult replaces in a model's answer what the policy wants replaced: in
// its texts and in the strings inside of tool inputs. It changes result, of which
// nothing is left if it is refused.
func (p *Policy) RedactResult(result *wire.SamplingResult) ([]Redaction, *Refusal) {
	if p == nil || len(p.incoming) == 0 {
		return nil, nil
	}
	r := newRedactor(p.incoming)
	result.Content, _ = edited(result.Content, r.block)
	if r.tooMuch {
		result.Content = nil
		return nil, refuse(RedactionTooLarge, "the sampling policy would replace too much of the model's answer: ask for a shorter one")
	}
	return r.counted(), nil
}

// redactor applies rules and counts.
type redactor struct {
	rules  []rule
	counts []int
	// growth and replacements are what is left of both. Once tooMuch is true
	// nothing more is replaced, and what there is must not be sent.
	growth, replacements int
	tooMuch              bool
}

func newRedactor(rules []rule) *redactor {
	return &redactor{rules: rules, counts: make([]int, len(rules)), growth: maxGrowth, replacements: maxReplacements}
}

// counted lists the rules that replaced something.
func (r *redactor) counted() []Redaction {
	var list []Redaction
	for i, n := range r.counts {
		if n > 0 {
			list = append(list, Redaction{Rule: r.rules[i].name, Count: n})
		}
	}
	return list
}

// text applies each rule to what the one before it left.
func (r *redactor) text(s string) (_ string, changed bool) {
	for i := range r.rules {
		if r.tooMuch {
			return "", true
		}
		replaced, n := r.apply(&r.rules[i], s)
		if n > 0 {
			r.growth -= max(len(replaced)-len(s), 0)
			s, changed = replaced, true
			r.counts[i] += n
		}
	}
	return s, changed
}

// apply replaces what the pattern matches. To match nothing is no match: a
// replacement between all characters would hide nothing.
func (r *redactor) apply(rule *rule, s string) (_ string, n int) {
	if strings.Contains(rule.replacement, "$") {
		return r.expand(rule, s)
	}
	grown := 0
	out := rule.pattern.ReplaceAllStringFunc(s, func(match string) string {
		if match == "" {
			return ""
		}
		grown += len(rule.replacement) - len(match)
		if r.replaced(grown); r.tooMuch {
			return ""
		}
		n++
		return rule.replacement
	})
	return out, n
}

// expand is apply where the replacement has parts of what was matched.
func (r *redactor) expand(rule *rule, s string) (_ string, n int) {
	most := maxIndexes / (2 * (rule.pattern.NumSubexp() + 1))
	matches := rule.pattern.FindAllStringSubmatchIndex(s, most)
	r.tooMuch = r.tooMuch || len(matches) == most
	var out []byte
	done := 0
	for _, at := range matches {
		if at[0] == at[1] {
			continue
		}
		out = append(out, s[done:at[0]]...)
		out = rule.pattern.ExpandString(out, rule.replacement, s, at)
		done = at[1]
		if r.replaced(len(out) - done); r.tooMuch {
			return "", 1
		}
		n++
	}
	if n == 0 {
		return s, 0
	}
	return string(append(out, s[done:]...)), n
}

// replaced counts one replacement in a text that has grown by so much.
func (r *redactor) replaced(grown int) {
	r.replacements--
	r.tooMuch = r.tooMuch || r.replacements < 0 || grown > r.growth
}

// blob redacts data that is a text: some providers are sent it as one.
func (r *redactor) blob(resource *wire.Resource) (changed bool) {
	if resource.Blob == "" || isBinary(resource.MIMEType) {
		return false
	}
	data, err := base64.StdEncoding.DecodeString(resource.Blob)
	if err != nil || !isMedia(resource.MIMEType, "text/") && !utf8.Valid(data) {
		return false
	}
	text, changed := r.text(string(data))
	if changed {
		resource.Blob = base64.StdEncoding.EncodeToString([]byte(text))
	}
	return changed
}

// isBinary tells what no text is to be found in.
func isBinary(mimeType string) bool {
	if isMedia(mimeType, "image/svg") {
		return false
	}
	return isMedia(mimeType, "image/") || isMedia(mimeType, "audio/") || isMedia(mimeType, "video/") || isPDF(mimeType)
}

func (r *redactor) message(m wire.SamplingMessage) (_ wire.SamplingMessage, changed bool) {
	m.Content, changed = edited(m.Content, r.block)
	return m, changed
}

func (r *redactor) block(c wire.Content) (wire.Content, bool) {
	var texts []*string
	var inner bool
	switch c.Type {
	case wire.ContentText:
		texts = []*string{&c.Text}
	case wire.ContentToolUse:
		c.Input, inner = editStrings(c.Input, anyKey, r.text)
	case wire.ContentToolResult:
		var structured bool
		c.Content, inner = edited(c.Content, r.block)
		c.StructuredContent, structured = editStrings(c.StructuredContent, anyKey, r.text)
		inner = inner || structured
	case wire.ContentResourceLink:
		texts = []*string{&c.URI, &c.Name}
	case wire.ContentResource:
		if c.Resource != nil {
			resource := *c.Resource
			c.Resource = &resource
			texts = []*string{&resource.URI, &resource.Text}
			inner = r.blob(&resource)
		}
	}
	for _, text := range texts {
		replaced, changed := r.text(*text)
		*text = replaced
		inner = inner || changed
	}
	return c, inner
}

func (r *redactor) tool(t wire.Tool) (_ wire.Tool, changed bool) {
	var schema bool
	t.Description, changed = r.text(t.Description)
	t.InputSchema, schema = editStrings(t.InputSchema, describes, r.text)
	return t, changed || schema
}

// describes tells which strings of a JSON schema are there to be read. The
// others are what arguments are checked by.
func describes(key string) bool {
	switch key {
	case "title", "description", "$comment", "default", "examples":
		return true
	default:
		return false
	}
}

// edited returns the list with its items as edit changes them. The list that was
// given never changes.
func edited[T any](list []T, edit func(T) (T, bool)) (_ []T, changed bool) {
	out := list
	for i := range list {
		item, edited := edit(list[i])
		if !edited {
			continue
		}
		if !changed {
			out, changed = slices.Clone(list), true
		}
		out[i] = item
	}
	return out, changed
}
