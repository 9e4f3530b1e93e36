package policy_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/config"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/policy"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

// Whatever policies say and servers ask for, what goes out is within the policy.
func TestDecideKeepsThePolicy(t *testing.T) {
	answered := map[policy.Reason]int{}
	for seed := range uint64(20_000) {
		g := generator{rand.New(rand.NewPCG(seed, 5))}
		c, s, params := g.policy(), g.session(), g.params()
		before := jsonOf(t, params)
		answered[checkDecision(t, fmt.Sprintf("seed %d", seed), c, s, params)]++
		if after := jsonOf(t, params); after != before {
			t.Fatalf("seed %d: the request itself changed:\n%s\n%s", seed, before, after)
		}
	}
	// The generator reaches what it is to show.
	for _, reason := range []policy.Reason{
		policy.ModelHinted, policy.ModelScored, policy.ModelDefault, policy.ToolsNotDeclared, policy.ContextNotDeclared,
		policy.MaxTokensMissing, policy.ToolsDisabled, policy.ToolNotAllowed, policy.ToolChoiceNotAllowed, policy.TooManyTools,
		policy.ImagesDenied, policy.AudioDenied, policy.MaxTokensExceeded, policy.TooManyStopSequences, policy.UnknownHint,
		policy.TooManyInCall, policy.RequestTooLarge,
	} {
		if answered[reason] == 0 {
			t.Errorf("no case of %s", reason)
		}
		delete(answered, reason)
	}
	if len(answered) > 0 {
		t.Errorf("unknown reasons %v", answered)
	}
}

// checkDecision fails the test where a decision breaks the policy. It returns
// the reason of the decision or of the refusal.
func checkDecision(t *testing.T, what string, c *config.Policy, s policy.Session, params *wire.SamplingParams) policy.Reason {
	t.Helper()
	d, refusal := policy.Decide(compile(t, c), s, params)
	if (d == nil) == (refusal == nil) {
		t.Fatalf("%s: decision %v and refusal %v, want exactly one", what, d, refusal)
	}
	if d == nil {
		if refusal.Code != wire.CodeRejected && refusal.Code != wire.CodeInvalidParams || refusal.Message == "" {
			t.Fatalf("%s: refusal %+v", what, refusal)
		}
		return refusal.Reason
	}
	for _, wrong := range []string{wrongModels(c, d), wrongParameters(c, d), wrongContent(c, s, d)} {
		if wrong != "" {
			t.Fatalf("%s: %s\npolicy %s\nparams %s", what, wrong, jsonOf(t, c), jsonOf(t, d.Params))
		}
	}
	return d.Reason
}

func wrongModels(c *config.Policy, d *policy.Decision) string {
	if len(d.Candidates) == 0 {
		return "no candidate"
	}
	seen := map[string]bool{}
	for i, m := range d.Candidates {
		if seen[m.Name] {
			return m.Name + " is a candidate twice"
		}
		seen[m.Name] = true
		if !slices.ContainsFunc(c.Models.Allowed, func(a config.Model) bool {
			return a.Name == m.Name && a.Provider == m.Provider && a.Model == m.Model
		}) {
			return m.Name + " is not allowed"
		}
		if i > 0 && !slices.Contains(c.Models.Fallbacks, m.Name) {
			return m.Name + " is no fallback"
		}
	}
	return ""
}

func wrongParameters(c *config.Policy, d *policy.Decision) string {
	p := &d.Params
	switch limit := c.Parameters.MaxTokens; {
	case p.MaxTokens < 1:
		return fmt.Sprintf("%d tokens", p.MaxTokens)
	case limit != nil && limit.Max > 0 && p.MaxTokens > limit.Max:
		return fmt.Sprintf("%d tokens", p.MaxTokens)
	case p.Metadata != nil && c.Parameters.Metadata != config.MetadataPass:
		return "metadata is passed"
	case c.Parameters.StopSequences != nil && len(p.StopSequences) > c.Parameters.StopSequences.Max:
		return "too many stop sequences"
	case p.SystemPrompt == nil || p.IncludeContext != "":
		return "no system prompt, or a wish for context"
	}
	if r, t := c.Parameters.Temperature, p.Temperature; r != nil && t != nil && !(*t >= r.Min && *t <= r.Max) {
		return fmt.Sprintf("temperature %v", *t)
	}
	return ""
}

func wrongContent(c *config.Policy, s policy.Session, d *policy.Decision) string {
	tools := d.Params.Tools
	if len(tools) > 0 && (c.Capabilities.Tools != config.ToolsEnabled || !s.Declared.Tools) {
		return "tools"
	}
	if c.Capabilities.MaxTools > 0 && len(tools) > c.Capabilities.MaxTools {
		return fmt.Sprintf("%d tools", len(tools))
	}
	matches := func(globs []string, name string) bool {
		return slices.ContainsFunc(globs, func(glob string) bool { ok, _ := path.Match(glob, name); return ok })
	}
	for _, tool := range tools {
		if matches(c.Capabilities.ToolNames.Deny, tool.Name) || len(c.Capabilities.ToolNames.Allow) > 0 && !matches(c.Capabilities.ToolNames.Allow, tool.Name) {
			return "tool " + tool.Name
		}
	}
	data, err := json.Marshal(d.Params)
	if err != nil {
		return err.Error()
	}
	for what, there := range map[string]bool{
		"image":  c.Capabilities.Images == config.Deny && strings.Contains(string(data), "image/"),
		"audio":  c.Capabilities.Audio != config.Allow && strings.Contains(string(data), "audio/"),
		"secret": len(c.Redaction) > 0 && strings.Contains(string(data), "secret"),
	} {
		if there {
			return what + " goes out"
		}
	}
	return ""
}

// generator makes valid policies, and requests as wire reads them.
type generator struct{ *rand.Rand }

func (g generator) maybe() bool { return g.IntN(2) == 0 }

// seldom keeps one refusal from hiding all others.
func (g generator) seldom() bool { return g.IntN(8) == 0 }

func pick[T any](g generator, list ...T) T { return list[g.IntN(len(list))] }

func (g generator) policy() *config.Policy {
	c := &config.Policy{Name: "p", Mode: pick(g, config.ModeAlways, config.ModeFallback)}
	names := []string{"mini", "gpt-4o", "claude-haiku", "gemini"}[:1+g.IntN(4)]
	for _, name := range names {
		m := config.Model{Name: name, Provider: pick(g, "a", "b"), Model: name + "-2026", Hints: []string{pick(g, "x", "sonnet", "flash")}}
		if g.maybe() {
			m.Scores = &config.Scores{Cost: g.Float64(), Speed: g.Float64(), Intelligence: g.Float64()}
		}
		c.Models.Allowed = append(c.Models.Allowed, m)
	}
	c.Models.Default = pick(g, names...)
	for range g.IntN(3) {
		c.Models.Fallbacks = append(c.Models.Fallbacks, pick(g, names...))
	}
	c.Models.OnUnknownHint = pick(g, config.UnknownHintUseDefault, config.UnknownHintReject)
	c.Capabilities = config.Capabilities{
		Tools:          config.ToolsEnabled,
		MaxTools:       g.IntN(4),
		ToolChoice:     pick(g, nil, []string{"auto"}, []string{"auto", "required", "none"}),
		ToolNames:      config.ToolNames{Allow: pick(g, nil, []string{"*"}, []string{"read_*", "?"}), Deny: pick(g, nil, []string{"*_file"})},
		Images:         pick(g, "", config.Allow, config.Deny),
		Audio:          pick(g, "", config.Allow, config.Deny),
		IncludeContext: pick(g, "", config.IncludeContextIgnore, config.IncludeContextReject),
	}
	if g.seldom() {
		c.Capabilities.Tools = config.ToolsDisabled
	}
	if g.maybe() {
		c.Parameters.MaxTokens = &config.MaxTokensLimit{Max: pick(g, int64(0), 1, 100), Default: pick(g, int64(0), 50, 500),
			OnExceed: pick(g, config.ExceedClamp, config.ExceedReject)}
	}
	if g.maybe() {
		low := g.Float64()
		c.Parameters.Temperature = &config.TemperatureRange{Min: low, Max: low + g.Float64()}
	}
	if g.maybe() {
		c.Parameters.SystemPrompt = &config.SystemPromptAction{Text: "policy's", Action: pick(g, config.PromptKeep, config.PromptPrepend,
			config.PromptAppend, config.PromptReplace, config.PromptDrop)}
	}
	if g.maybe() {
		c.Parameters.StopSequences = &config.StopSequencesLimits{Max: g.IntN(3)}
	}
	c.Parameters.Metadata = pick(g, "", config.MetadataDrop, config.MetadataPass)
	if g.maybe() {
		c.Redaction = []config.RedactionRule{{Name: "r", Pattern: "secrets?", Replacement: pick(g, "", "***"), Direction: pick(g, "", config.DirectionRequest, config.DirectionBoth)}}
	}
	if g.seldom() {
		c.Limits.RequestsPerCall, c.Limits.RequestBytes = g.IntN(3), int64(g.IntN(1000))
	}
	return c
}

func (g generator) session() policy.Session {
	return policy.Session{Declared: wire.SamplingCapability{Declared: true, Tools: !g.seldom()}, InCall: g.IntN(4), RequestBytes: g.IntN(2000)}
}

func (g generator) params() *wire.SamplingParams {
	p := &wire.SamplingParams{MaxTokens: pick(g, int64(0), 1, 100, 101, 1<<40), IncludeContext: pick(g, "", "", wire.ContextNone, wire.ContextAllServers)}
	for range g.IntN(4) {
		m := wire.SamplingMessage{Role: pick(g, wire.RoleUser, wire.RoleAssistant)}
		for range 1 + g.IntN(2) {
			m.Content = append(m.Content, g.block(true))
		}
		p.Messages = append(p.Messages, m)
	}
	if g.maybe() {
		p.ModelPreferences = &wire.ModelPreferences{CostPriority: g.priority(), SpeedPriority: g.priority(), IntelligencePriority: g.priority()}
		for range g.IntN(3) {
			p.ModelPreferences.Hints = append(p.ModelPreferences.Hints, wire.ModelHint{Name: pick(g, "", "gpt", "claude", "X", "llama", "mini-2026")})
		}
	}
	if g.maybe() {
		p.Temperature = new(g.Float64()*6 - 2)
	}
	if g.maybe() {
		p.SystemPrompt = new(pick(g, "", "keep the secret"))
	}
	if g.maybe() {
		p.Metadata = json.RawMessage(`{"user":"secret"}`)
	}
	for range g.IntN(4) {
		p.StopSequences = append(p.StopSequences, "END")
	}
	if g.maybe() {
		for range g.IntN(5) {
			p.Tools = append(p.Tools, wire.Tool{Name: pick(g, "read_file", "read_mail", "t", "write_file"), Description: pick(g, "", "finds secrets"),
				InputSchema: json.RawMessage(`{"type":"object","description":"a secret"}`)})
		}
		if g.maybe() {
			p.ToolChoice = &wire.ToolChoice{Mode: pick(g, "", "auto", "required", "none")}
		}
	}
	return p
}

func (g generator) priority() *float64 {
	if g.maybe() {
		return nil
	}
	return new(g.Float64()*3 - 1)
}

func (g generator) block(outer bool) wire.Content {
	types := []string{wire.ContentText, wire.ContentText, wire.ContentText, wire.ContentImage, wire.ContentAudio}
	if outer {
		types = append(types, wire.ContentToolUse, wire.ContentToolResult)
	} else {
		types = append(types, wire.ContentResource, wire.ContentResourceLink)
	}
	c := wire.Content{Type: pick(g, types...)}
	switch c.Type {
	case wire.ContentText:
		c.Text = pick(g, "", "hi", "a secret and secrets")
	case wire.ContentImage:
		c.Data, c.MIMEType = "aGk=", "image/png"
	case wire.ContentAudio:
		c.Data, c.MIMEType = "aGk=", "audio/wav"
	case wire.ContentToolUse:
		c.ID, c.Name, c.Input = "a", "t", json.RawMessage(pick(g, `{}`, `{"a": ["a secret", 1.0]}`))
	case wire.ContentToolResult:
		c.ToolUseID = "a"
		if g.maybe() {
			c.StructuredContent = json.RawMessage(`{"x":"\u0073ecret"}`)
		}
		for range g.IntN(3) {
			c.Content = append(c.Content, g.block(false))
		}
	case wire.ContentResource:
		c.Resource = &wire.Resource{URI: "u:secret"}
		if g.maybe() {
			c.Resource.Text = "the secret"
		} else {
			c.Resource.Blob, c.Resource.MIMEType = "aGk=", pick(g, "image/png", "audio/wav", "text/plain")
		}
	case wire.ContentResourceLink:
		c.URI, c.Name = "u:secret", "secrets"
	}
	return c
}

// Whatever bytes a server sends, what goes out is within the policy.
func FuzzDecide(f *testing.F) {
	f.Add(uint64(1), `{"messages":[{"role":"user","content":{"type":"text","text":"a secret"}}],"maxTokens":100}`)
	f.Add(uint64(2), `{"maxTokens":1,"messages":[{"role":"assistant","content":[{"type":"tool_use","id":"a","name":"f","input":{"x":"secret"}}]},
		{"role":"user","content":[{"type":"tool_result","toolUseId":"a","content":[{"type":"image","data":"aGk=","mimeType":"image/png"}]}]}]}`)
	f.Add(uint64(3), `{"messages":[{"role":"user","content":{"type":"audio","data":"aGk=","mimeType":"audio/wav"}}],"temperature":-3.5,"includeContext":"allServers",
		"modelPreferences":{"hints":[{"name":"İ"},{"name":"ſ"}],"costPriority":1e300},"metadata":{"a":1},"stopSequences":["a","b","c"]}`)
	f.Add(uint64(4), `{"messages":[{"role":"user","content":{"type":"text","text":"x"}}],"maxTokens":9007199254740991,
		"tools":[{"name":"write_file","inputSchema":{"description":"secret"}}],"toolChoice":{"mode":"required"}}`)
	f.Fuzz(func(t *testing.T, seed uint64, data string) {
		params, err := wire.DecodeSamplingParams(json.RawMessage(data))
		if err != nil {
			return
		}
		g := generator{rand.New(rand.NewPCG(seed, 5))}
		c := g.policy()
		// What checkDecision looks for as text may stand in any place here.
		c.Redaction, c.Capabilities.Images, c.Capabilities.Audio = nil, config.Allow, config.Allow
		s := g.session()
		s.RequestBytes = len(data)
		checkDecision(t, "", c, s, params)
	})
}

// benchRequest is late in a loop of tools.
func benchRequest() *wire.SamplingParams {
	p := &wire.SamplingParams{MaxTokens: 1000, ModelPreferences: &wire.ModelPreferences{
		Hints: []wire.ModelHint{{Name: "llama"}, {Name: "claude-3-5-sonnet"}}}}
	words := strings.Repeat("some words of a text ", 10)
	for i := range 25 {
		id := fmt.Sprint("u", i)
		p.Messages = append(p.Messages,
			message(wire.RoleAssistant, text(words), wire.Content{Type: wire.ContentToolUse, ID: id, Name: "t", Input: json.RawMessage(`{"query":"` + words + `"}`)}),
			message(wire.RoleUser, wire.Content{Type: wire.ContentToolResult, ToolUseID: id, Content: []wire.Content{text(words)}}))
	}
	for i := range 32 {
		p.Tools = append(p.Tools, wire.Tool{Name: fmt.Sprint("read_", i), Description: words,
			InputSchema: json.RawMessage(`{"type":"object","properties":{"query":{"type":"string","description":"` + words + `"}}}`)})
	}
	return p
}

// On a request with 50 messages and 32 tools:
//
//	go test ./internal/sampler/policy -run '^$' -bench . -benchmem
func BenchmarkDecide(b *testing.B) {
	globs := func(p *config.Policy) {
		p.Capabilities.ToolNames = config.ToolNames{Allow: []string{"final_response", "write_*", "*_mail", "re?d_*"}, Deny: []string{"*secret*", "delete_*"}}
		p.Capabilities.Images = config.Deny
		p.Models.Fallbacks = []string{"gpt-4o", "reasoner"}
	}
	rules := redacting(mail, number, config.RedactionRule{Name: "key", Pattern: `sk-[A-Za-z0-9]{20,}`, Replacement: "[key]"})
	for name, c := range map[string]*config.Policy{"globs": testPolicy(globs), "globs and redaction": testPolicy(globs, rules)} {
		b.Run(name, func(b *testing.B) {
			p, params, s := compile(b, c), benchRequest(), policy.Session{Declared: withTools}
			b.ReportAllocs()
			for b.Loop() {
				if _, refusal := policy.Decide(p, s, params); refusal != nil {
					b.Fatal(refusal.Message)
				}
			}
		})
	}
}
