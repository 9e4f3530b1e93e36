package policy_test

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/config"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/policy"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

func redacting(rules ...config.RedactionRule) func(*config.Policy) {
	return func(p *config.Policy) { p.Redaction = append(p.Redaction, rules...) }
}

var (
	mail   = config.RedactionRule{Name: "mail", Pattern: `[a-z]+@example\.com`, Replacement: "[redacted]"}
	number = config.RedactionRule{Name: "number", Pattern: `\b(\d{2})\d{4}\b`, Replacement: "${1}…"}
)

func text(s string) wire.Content { return wire.Content{Type: wire.ContentText, Text: s} }

func message(role string, blocks ...wire.Content) wire.SamplingMessage {
	return wire.SamplingMessage{Role: role, Content: blocks}
}

// jsonOf is the whole of a value, also of what is unset on the wire.
func jsonOf(t *testing.T, v any) string {
	t.Helper()
	data, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestDecideRedactsWhatProvidersRead(t *testing.T) {
	const a, b, gone = "ann@example.com", "bob@example.com", "[redacted]"
	pass := func(p *config.Policy) { p.Parameters.Metadata = config.MetadataPass }
	prompt := func(action config.PromptAction, text string) func(*config.Policy) {
		return func(p *config.Policy) {
			p.Parameters.SystemPrompt = &config.SystemPromptAction{Action: action, Text: text}
		}
	}
	use := func(input string) wire.Content {
		return wire.Content{Type: wire.ContentToolUse, ID: a, Name: "t", Input: json.RawMessage(input)}
	}
	result := func(structured string, blocks ...wire.Content) wire.Content {
		c := wire.Content{Type: wire.ContentToolResult, ToolUseID: a, Content: blocks}
		if structured != "" {
			c.StructuredContent = json.RawMessage(structured)
		}
		return c
	}
	blob := func(mimeType, data string) wire.Content {
		return wire.Content{Type: wire.ContentResource, Resource: &wire.Resource{
			URI: "u:", MIMEType: mimeType, Blob: base64.StdEncoding.EncodeToString([]byte(data))}}
	}
	type params = wire.SamplingParams
	ofMail := func(n int) []policy.Redaction { return []policy.Redaction{{Rule: "mail", Count: n}} }
	for name, tc := range map[string]struct {
		policy       *config.Policy
		params, want params
		wantCounts   []policy.Redaction
	}{
		"nothing without rules": {testPolicy(),
			params{Messages: []wire.SamplingMessage{message("user", text(a))}},
			params{Messages: []wire.SamplingMessage{message("user", text(a))}}, nil},
		"texts in both roles": {testPolicy(redacting(mail)),
			params{Messages: []wire.SamplingMessage{message("user", text("to "+a+", "+b), text("none")), message("assistant", text(b))}},
			params{Messages: []wire.SamplingMessage{message("user", text("to "+gone+", "+gone), text("none")), message("assistant", text(gone))}}, ofMail(3)},
		"nothing that only a rule for answers matches": {testPolicy(redacting(config.RedactionRule{Name: "mail", Pattern: mail.Pattern, Direction: config.DirectionResponse})),
			params{Messages: []wire.SamplingMessage{message("user", text(a))}},
			params{Messages: []wire.SamplingMessage{message("user", text(a))}}, nil},
		"by several rules in their order, with groups": {testPolicy(redacting(number, mail, config.RedactionRule{Name: "last", Pattern: `\[redacted\]`, Replacement: "x"},
			config.RedactionRule{Name: "unused", Pattern: "zzz"})),
			params{Messages: []wire.SamplingMessage{message("user", text("123456 "+a))}},
			params{Messages: []wire.SamplingMessage{message("user", text("12… x"))}},
			[]policy.Redaction{{Rule: "number", Count: 1}, {Rule: "mail", Count: 1}, {Rule: "last", Count: 1}}},
		"nothing by a rule that matches nothing at all": {testPolicy(redacting(config.RedactionRule{Name: "none", Pattern: `x*`, Replacement: "-"})),
			params{Messages: []wire.SamplingMessage{message("user", text("abxxc"))}},
			params{Messages: []wire.SamplingMessage{message("user", text("ab-c"))}}, []policy.Redaction{{Rule: "none", Count: 1}}},
		"strings of tool inputs, and no other byte of them": {testPolicy(redacting(mail)),
			params{Messages: []wire.SamplingMessage{message("assistant", use(`{ "ann@example.com" : ["x\u0040", "ann\u0040example.com", 1.0, {"y" :"<bob@example.com>"}], "n":1e2 }`))}},
			params{Messages: []wire.SamplingMessage{message("assistant", use(`{ "ann@example.com" : ["x\u0040", "[redacted]", 1.0, {"y" :"<[redacted]>"}], "n":1e2 }`))}},
			ofMail(2)},
		"everything in tool results that is shown to the model": {testPolicy(redacting(mail)),
			params{Messages: []wire.SamplingMessage{message("user", result(`{"from":"ann@example.com"}`, text(a),
				wire.Content{Type: wire.ContentResource, Resource: &wire.Resource{URI: "mailto:" + a, Text: b, MIMEType: "text/plain"}},
				wire.Content{Type: wire.ContentResourceLink, URI: "mailto:" + b, Name: a},
				wire.Content{Type: wire.ContentImage, MIMEType: "image/png", Data: "aGk="}))}},
			params{Messages: []wire.SamplingMessage{message("user", result(`{"from":"[redacted]"}`, text(gone),
				wire.Content{Type: wire.ContentResource, Resource: &wire.Resource{URI: "mailto:" + gone, Text: gone, MIMEType: "text/plain"}},
				wire.Content{Type: wire.ContentResourceLink, URI: "mailto:" + gone, Name: gone},
				wire.Content{Type: wire.ContentImage, MIMEType: "image/png", Data: "aGk="}))}}, ofMail(6)},
		"texts that come as data, of whatever type, and no media": {testPolicy(redacting(mail)),
			params{Messages: []wire.SamplingMessage{message("user", result("", blob("text/plain", a), blob("TEXT/x; charset=latin1", a+"\xe9"),
				blob("application/json", `["`+a+`"]`), blob("", b), blob("image/png", a), blob("application/zip", a+"\xe9")))}},
			params{Messages: []wire.SamplingMessage{message("user", result("", blob("text/plain", gone), blob("TEXT/x; charset=latin1", gone+"\xe9"),
				blob("application/json", `["`+gone+`"]`), blob("", gone), blob("image/png", a), blob("application/zip", a+"\xe9")))}}, ofMail(4)},
		"stop sequences": {testPolicy(redacting(mail)),
			params{StopSequences: []string{a, "END"}}, params{StopSequences: []string{gone, "END"}}, ofMail(1)},
		"stop sequences of which nothing is left": {testPolicy(redacting(config.RedactionRule{Name: "mail", Pattern: mail.Pattern})),
			params{StopSequences: []string{a, "END"}}, params{StopSequences: []string{"END"}}, ofMail(1)},
		"descriptions whose key is spelled in another way": {testPolicy(redacting(mail)),
			params{Tools: []wire.Tool{{Name: "t", InputSchema: json.RawMessage(`{"descri\u0070tion":"of bob@example.com"}`)}}},
			params{Tools: []wire.Tool{{Name: "t", InputSchema: json.RawMessage(`{"descri\u0070tion":"of [redacted]"}`)}}}, ofMail(1)},
		"what describes tools, not what arguments are checked by": {testPolicy(redacting(mail)),
			params{Tools: []wire.Tool{{Name: "t", Description: "writes to " + a, InputSchema: json.RawMessage(
				`{"type":"object","description":"of bob@example.com","properties":{"description":{"type":"string","enum":["ann@example.com"],"examples":["bob@example.com"]}}}`)}}},
			params{Tools: []wire.Tool{{Name: "t", Description: "writes to " + gone, InputSchema: json.RawMessage(
				`{"type":"object","description":"of [redacted]","properties":{"description":{"type":"string","enum":["ann@example.com"],"examples":["[redacted]"]}}}`)}}}, ofMail(3)},
		"the server's system prompt, not the policy's": {testPolicy(redacting(mail), prompt(config.PromptPrepend, "Write to "+b)),
			params{SystemPrompt: new("I am " + a)}, params{SystemPrompt: new("Write to " + b + "\n\nI am " + gone)}, ofMail(1)},
		"no system prompt that is replaced": {testPolicy(redacting(mail), prompt(config.PromptReplace, "Be short.")),
			params{SystemPrompt: new("I am " + a)}, params{SystemPrompt: new("Be short.")}, nil},
		"metadata that is passed on": {testPolicy(redacting(mail), pass),
			params{Metadata: json.RawMessage(`{"user_id": "ann@example.com"}`)}, params{Metadata: json.RawMessage(`{"user_id": "[redacted]"}`)}, ofMail(1)},
		"no metadata that is dropped": {testPolicy(redacting(mail)),
			params{Metadata: json.RawMessage(`{"user_id": "ann@example.com"}`)}, params{}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			tc.params.MaxTokens, tc.want.MaxTokens = 10, 10
			if tc.want.SystemPrompt == nil {
				tc.want.SystemPrompt = new("")
			}
			before := jsonOf(t, tc.params)
			d := decide(t, tc.policy, &tc.params)
			if diff := cmp.Diff(tc.want, d.Params); diff != "" {
				t.Errorf("parameters (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.wantCounts, d.Redactions); diff != "" {
				t.Errorf("counts (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(before, jsonOf(t, tc.params)); diff != "" {
				t.Errorf("the request itself changed:\n%s", diff)
			}
		})
	}
}

func TestRedactResult(t *testing.T) {
	answer := func(blocks ...wire.Content) *wire.SamplingResult {
		return &wire.SamplingResult{Role: "assistant", Model: "ann@example.com", StopReason: wire.StopEndTurn, Content: blocks}
	}
	use := func(input string) wire.Content {
		return wire.Content{Type: wire.ContentToolUse, ID: "a", Name: "t", Input: json.RawMessage(input)}
	}
	onlyRequests := config.RedactionRule{Name: "out", Pattern: ".+", Direction: config.DirectionRequest}
	onlyAnswers := config.RedactionRule{Name: "in", Pattern: "secret", Replacement: "", Direction: config.DirectionResponse}
	for name, tc := range map[string]struct {
		policy       *config.Policy
		result, want *wire.SamplingResult
		wantCounts   []policy.Redaction
	}{
		"without a policy":                     {nil, answer(text("ann@example.com")), answer(text("ann@example.com")), nil},
		"without rules":                        {testPolicy(), answer(text("ann@example.com")), answer(text("ann@example.com")), nil},
		"rules for what goes out do not count": {testPolicy(redacting(onlyRequests)), answer(text("secret")), answer(text("secret")), nil},
		"texts and tool inputs": {testPolicy(redacting(mail, onlyRequests, onlyAnswers)),
			answer(text("ask ann@example.com"), use(`{"to":"bob@example.com","n":1.0,"k":"my secret"}`)),
			answer(text("ask [redacted]"), use(`{"to":"[redacted]","n":1.0,"k":"my "}`)),
			[]policy.Redaction{{Rule: "mail", Count: 2}, {Rule: "in", Count: 1}}},
		"what is no JSON stays for others to refuse": {testPolicy(redacting(mail)), answer(use(`{"to":"ann@example.com`)), answer(use(`{"to":"ann@example.com`)), nil},
	} {
		t.Run(name, func(t *testing.T) {
			counts, refusal := compile(t, tc.policy).RedactResult(tc.result)
			if refusal != nil {
				t.Fatalf("refused: %+v", refusal)
			}
			if diff := cmp.Diff(tc.want, tc.result); diff != "" {
				t.Errorf("result (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.wantCounts, counts); diff != "" {
				t.Errorf("counts (-want +got):\n%s", diff)
			}
		})
	}
}

// No pattern makes a text take much more memory than it has bytes.
func TestRedactionThatReplacesTooMuchIsRefused(t *testing.T) {
	digits := strings.Repeat("7", 1<<18+1)
	short := strings.Repeat("7", 1000)
	for name, tc := range map[string]struct {
		replacement, text string
		want              bool
	}{
		"long replacements":                 {strings.Repeat("x", 1024), digits, false},
		"long replacements with a group":    {strings.Repeat("x", 1020) + "${0}", digits, false},
		"too many replacements":             {"x", digits, false},
		"too many replacements by a group":  {"${0}", digits, false},
		"a thousand long ones":              {strings.Repeat("x", 1024), short, true},
		"a thousand long ones with a group": {strings.Repeat("x", 1020) + "${0}", short, true},
	} {
		t.Run(name, func(t *testing.T) {
			rule := config.RedactionRule{Name: "digit", Pattern: `\d`, Replacement: tc.replacement, Direction: config.DirectionBoth}
			p := compile(t, testPolicy(redacting(rule, mail)))
			params := &wire.SamplingParams{MaxTokens: 1, Messages: []wire.SamplingMessage{message("user", text(tc.text), text(tc.text[:1]))}}
			answer := &wire.SamplingResult{Content: []wire.Content{text(tc.text), text(tc.text[:1])}}
			_, asked := policy.Decide(p, policy.Session{}, params)
			_, answered := p.RedactResult(answer)
			for what, r := range map[string]*policy.Refusal{"request": asked, "answer": answered} {
				switch {
				case (r == nil) != tc.want:
					t.Errorf("the %s got %+v, want it to pass: %v", what, r, tc.want)
				case r != nil && (r.Code != wire.CodeRejected || r.Reason != policy.RedactionTooLarge):
					t.Errorf("the %s got %+v, want %d %s", what, r, wire.CodeRejected, policy.RedactionTooLarge)
				}
			}
			if !tc.want && len(answer.Content) > 0 {
				t.Error("something of a refused answer is left")
			}
		})
	}
}
