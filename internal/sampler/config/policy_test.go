package config_test

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/config"
)

func TestValidateNamesWhatIsWrongWithAPolicy(t *testing.T) {
	provider := func(f func(*config.Provider)) func(*config.Policy) {
		return func(p *config.Policy) { f(&p.Providers[0]) }
	}
	model := func(f func(*config.Model)) func(*config.Policy) {
		return func(p *config.Policy) { f(&p.Models.Allowed[0]) }
	}
	caps := func(f func(*config.Capabilities)) func(*config.Policy) {
		return func(p *config.Policy) { f(&p.Capabilities) }
	}
	params := func(f func(*config.Parameters)) func(*config.Policy) {
		return func(p *config.Policy) { f(&p.Parameters) }
	}
	rule := func(f func(*config.RedactionRule)) func(*config.Policy) {
		return func(p *config.Policy) { f(&p.Redaction[0]) }
	}
	limits := func(f func(*config.SamplingLimits)) func(*config.Policy) {
		return func(p *config.Policy) { f(&p.Limits) }
	}
	store := func(f func(*config.Store)) func(*config.Policy) {
		return func(p *config.Policy) { f(p.Limits.Store) }
	}
	other := func(family config.ProviderType, header string) func(*config.Policy) {
		return provider(func(p *config.Provider) {
			p.Type, p.OpenAI = family, nil
			if header != "" {
				p.Headers = []config.Header{{Name: header, Value: "sk-secret"}}
			}
		})
	}
	for name, tc := range map[string]struct {
		change func(*config.Policy) // of full
		want   []string             // nil: valid
	}{
		"a provider of Anthropic":   {other(config.ProviderAnthropic, ""), nil},
		"a provider of Google":      {other(config.ProviderGoogleGenAI, ""), nil},
		"a handler of the user's":   {other(config.ProviderWebhook, ""), nil},
		"no bundle for the vendor":  {provider(func(p *config.Provider) { p.OpenAI.Azure, p.BaseURL, p.CAFile = nil, "", "" }), nil},
		"a bundle for the vendor":   {provider(func(p *config.Provider) { p.OpenAI.Azure, p.BaseURL = nil, "" }), nil},
		"an organization":           {provider(func(p *config.Provider) { p.OpenAI.Azure, p.OpenAI.Organization = nil, "org-1" }), nil},
		"a key in a header only":    {provider(func(p *config.Provider) { p.Credential, p.Headers[0].Name = nil, "Api-Key" }), nil},
		"a bearer token for Azure":  {provider(func(p *config.Provider) { p.Headers[0].Name = "Authorization" }), nil},
		"a handler without address": {func(p *config.Policy) { other(config.ProviderWebhook, "")(p); p.Providers[0].BaseURL = "" }, []string{"policy.providers[0].baseURL: is missing: type Webhook needs the address"}},
		"Azure without address":     {provider(func(p *config.Provider) { p.BaseURL = "" }), []string{"policy.providers[0].baseURL: is missing: Azure needs"}},
		"Azure's whole address": {provider(func(p *config.Provider) { p.BaseURL = "https://x.openai.azure.com/openai/deployments/gpt-4o" }),
			[]string{`policy.providers[0].baseURL: ends with "/openai/deployments/gpt-4o"`}},
		"OpenAI's whole address": {provider(func(p *config.Provider) { p.OpenAI.Azure, p.BaseURL = nil, "https://h/v1/chat/completions/" }),
			[]string{`policy.providers[0].baseURL: ends with "/chat/completions"`}},
		"Anthropic's whole address": {func(p *config.Policy) {
			other(config.ProviderAnthropic, "x-team")(p)
			p.Providers[0].BaseURL = "https://api.anthropic.com/v1/messages"
		}, []string{`policy.providers[0].baseURL: ends with "/messages"`}},
		"Gemini's whole address": {func(p *config.Policy) {
			other(config.ProviderGoogleGenAI, "x-team")(p)
			p.Providers[0].BaseURL = "https://h/v1beta/models/gemini:generateContent"
		}, []string{`policy.providers[0].baseURL: ends with "/models/gemini:generateContent"`}},
		"Azure without a version":   {provider(func(p *config.Provider) { p.OpenAI.Azure.APIVersion = "" }), []string{"policy.providers[0].openAI.azure.apiVersion: is missing"}},
		"Azure with a query":        {provider(func(p *config.Provider) { p.OpenAI.Azure.APIVersion = "1&x=y" }), []string{`policy.providers[0].openAI.azure.apiVersion: is "1&x=y"`}},
		"Azure with a project":      {provider(func(p *config.Provider) { p.OpenAI.Project = "p" }), []string{"policy.providers[0].openAI.azure: has neither"}},
		"a project of two lines":    {provider(func(p *config.Provider) { p.OpenAI.Azure, p.OpenAI.Project = nil, "a\nb" }), []string{"policy.providers[0].openAI.project: is no value"}},
		"OpenAI's part for others":  {provider(func(p *config.Provider) { p.Type = config.ProviderAnthropic }), []string{"policy.providers[0].openAI: counts for type OpenAI only"}},
		"a bundle without TLS":      {provider(func(p *config.Provider) { p.BaseURL = "http://llm.example.com/v1" }), []string{"policy.providers[0].caFile: counts for https only"}},
		"a header twice":            {provider(func(p *config.Provider) { p.Headers[0].Name = "x-gateway-key" }), []string{"policy.providers[0].headers[1].name", "there twice"}},
		"a header of the transport": {provider(func(p *config.Provider) { p.Headers[0].Name = "Host" }), []string{`policy.providers[0].headers[0].name: "Host" is set for each request`}},
		"a second key for Azure":    {provider(func(p *config.Provider) { p.Headers[0].Name = "api-key" }), []string{`headers[0].name: "api-key" carries the credential`}},
		"a second key for OpenAI": {provider(func(p *config.Provider) { p.OpenAI.Azure, p.Headers[0].Name = nil, "authorization" }),
			[]string{`headers[0].name: "authorization" carries the credential`}},
		"a second key for Anthropic":  {other(config.ProviderAnthropic, "x-api-key"), []string{`headers[0].name: "x-api-key" carries the credential`}},
		"a second key for Google":     {other(config.ProviderGoogleGenAI, "x-goog-api-key"), []string{`headers[0].name: "x-goog-api-key" carries the credential`}},
		"a signature of the user's":   {other(config.ProviderWebhook, "webhook-signature"), []string{`headers[0].name: "webhook-signature" is set for each request`}},
		"a token for a handler":       {other(config.ProviderWebhook, "Authorization"), nil},
		"a fallback that is unknown":  {func(p *config.Policy) { p.Models.Fallbacks = []string{"huge"} }, []string{`policy.models.fallbacks[0]: "huge" is not in policy.models.allowed`}},
		"a fallback twice":            {func(p *config.Policy) { p.Models.Fallbacks = []string{"large", "large"} }, []string{`policy.models.fallbacks[1]: "large" is there twice`}},
		"many fallbacks":              {func(p *config.Policy) { p.Models.Fallbacks = make([]string, 17) }, []string{"policy.models.fallbacks: has 17 models: write at most 16"}},
		"many models":                 {func(p *config.Policy) { p.Models.Allowed = make([]config.Model, 65) }, []string{"policy.models.allowed: has 65 models"}},
		"an unknown hint rule":        {func(p *config.Policy) { p.Models.OnUnknownHint = "Guess" }, []string{`policy.models.onUnknownHint: is "Guess": write UseDefault or Reject`}},
		"a score above 1":             {model(func(m *config.Model) { m.Scores.Cost = 1.5 }), []string{"policy.models.allowed[0].scores.cost: is 1.5: write 0 to 1"}},
		"a score below 0":             {model(func(m *config.Model) { m.Scores.Speed = -1 }), []string{"policy.models.allowed[0].scores.speed: is -1"}},
		"a score that is no number":   {model(func(m *config.Model) { m.Scores.Intelligence = math.NaN() }), []string{"policy.models.allowed[0].scores.intelligence: is NaN"}},
		"a price below 0":             {model(func(m *config.Model) { m.Prices.Input = -1 }), []string{"policy.models.allowed[0].prices.input: is -1"}},
		"a price without end":         {model(func(m *config.Model) { m.Prices.Output = math.Inf(1) }), []string{"policy.models.allowed[0].prices.output: is +Inf"}},
		"a currency of a sign":        {model(func(m *config.Model) { m.Prices.Currency = "$" }), []string{`policy.models.allowed[0].prices.currency: is "$"`, "USD"}},
		"a model's extra body":        {model(func(m *config.Model) { m.ExtraBody = json.RawMessage(`{"model":"x"}`) }), []string{"policy.models.allowed[0].extraBody.model: cannot be set here: remove it (write the model into models.allowed)"}},
		"no mode of choice":           {caps(func(c *config.Capabilities) { c.ToolChoice = []string{} }), []string{"policy.capabilities.toolChoice: is empty"}},
		"an unknown mode of choice":   {caps(func(c *config.Capabilities) { c.ToolChoice = []string{"any"} }), []string{`policy.capabilities.toolChoice[0]: is "any": write auto or required or none`}},
		"a mode of choice twice":      {caps(func(c *config.Capabilities) { c.ToolChoice = []string{"auto", "auto"} }), []string{`policy.capabilities.toolChoice[1]: "auto" is there twice`}},
		"an empty glob":               {caps(func(c *config.Capabilities) { c.ToolNames.Deny = []string{""} }), []string{"policy.capabilities.toolNames.deny[0]: is missing"}},
		"many globs":                  {caps(func(c *config.Capabilities) { c.ToolNames.Allow = make([]string, 65) }), []string{"policy.capabilities.toolNames.allow: has 65 globs: write at most 64"}},
		"too many tools":              {caps(func(c *config.Capabilities) { c.MaxTools = 1025 }), []string{"policy.capabilities.maxTools: is 1025: write 1 to 1024"}},
		"images of a kind":            {caps(func(c *config.Capabilities) { c.Images = "Some" }), []string{`policy.capabilities.images: is "Some": write Allow or Deny`}},
		"audio of a kind":             {caps(func(c *config.Capabilities) { c.Audio = "Some" }), []string{`policy.capabilities.audio: is "Some"`}},
		"context of a kind":           {caps(func(c *config.Capabilities) { c.IncludeContext = "Some" }), []string{`policy.capabilities.includeContext: is "Some": write Ignore or Reject`}},
		"only a number for silence":   {params(func(p *config.Parameters) { p.MaxTokens.Max = 0 }), nil},
		"a limit of nothing":          {params(func(p *config.Parameters) { p.MaxTokens.Max, p.MaxTokens.Default = 0, 0 }), []string{"policy.parameters.maxTokens: says neither max nor default"}},
		"a default above the maximum": {params(func(p *config.Parameters) { p.MaxTokens.Default = 5000 }), []string{"policy.parameters.maxTokens.default: is 5000, above max: write at most 4096"}},
		"tokens below 0":              {params(func(p *config.Parameters) { p.MaxTokens.Max = -1 }), []string{"policy.parameters.maxTokens.max: is -1: write 0 to 10000000"}},
		"a long prompt":               {params(func(p *config.Parameters) { p.SystemPrompt.Text = strings.Repeat("x", 16385) }), []string{"policy.parameters.systemPrompt.text: has 16385 characters"}},
		"no stop sequences":           {params(func(p *config.Parameters) { p.StopSequences.Max = 0 }), nil},
		"many stop sequences":         {params(func(p *config.Parameters) { p.StopSequences.Max = 65 }), []string{"policy.parameters.stopSequences.max: is 65: write 0 to 64"}},
		"metadata of a kind":          {params(func(p *config.Parameters) { p.Metadata = "Some" }), []string{`policy.parameters.metadata: is "Some": write Drop or Pass`}},
		"an extra body of a list":     {params(func(p *config.Parameters) { p.ExtraBody = json.RawMessage(`[]`) }), []string{"policy.parameters.extraBody: is a list, must be a mapping"}},
		"an extra body of no JSON":    {params(func(p *config.Parameters) { p.ExtraBody = json.RawMessage(`{`) }), []string{"policy.parameters.extraBody: is no JSON"}},
		"a number out of range":       {params(func(p *config.Parameters) { p.ExtraBody = json.RawMessage(`{"a":1e999}`) }), []string{"policy.parameters.extraBody: is no JSON, or holds a number out of range"}},
		"a long extra body": {params(func(p *config.Parameters) {
			p.ExtraBody = json.RawMessage(`{"a":"` + strings.Repeat("x", 16<<10) + `"}`)
		}), []string{"policy.parameters.extraBody: has 16392 bytes"}},
		"a key that merges":           {params(func(p *config.Parameters) { p.ExtraBody = json.RawMessage(`{"a":[{"<<":{}}]}`) }), []string{`policy.parameters.extraBody: has a key "<<"`}},
		"a reserved key further down": {params(func(p *config.Parameters) { p.ExtraBody = json.RawMessage(`{"options":{"temperature":1}}`) }), nil},
		"a rule twice":                {func(p *config.Policy) { p.Redaction[1].Name = "mail" }, []string{`policy.redaction[1].name: "mail" is there twice`}},
		"many rules":                  {func(p *config.Policy) { p.Redaction = make([]config.RedactionRule, 33) }, []string{"policy.redaction: has 33 rules: write at most 32"}},
		"a rule without a pattern":    {rule(func(r *config.RedactionRule) { r.Pattern = "" }), []string{"policy.redaction[0].pattern: is missing"}},
		"a long pattern":              {rule(func(r *config.RedactionRule) { r.Pattern = strings.Repeat("x", 1025) }), []string{"policy.redaction[0].pattern: has 1025 characters"}},
		"a pattern with look-around":  {rule(func(r *config.RedactionRule) { r.Pattern = "(?=sk-secret)" }), []string{"policy.redaction[0].pattern: is no regular expression of RE2 (invalid or unsupported Perl syntax)"}},
		"a pattern of nothing":        {rule(func(r *config.RedactionRule) { r.Pattern = "(x*)" }), []string{"policy.redaction[0].pattern: matches the empty text"}},
		"a pattern of a boundary":     {rule(func(r *config.RedactionRule) { r.Pattern = `(^|\b)+` }), []string{"policy.redaction[0].pattern: matches the empty text only"}},
		"a boundary and a text":       {rule(func(r *config.RedactionRule) { r.Pattern = `\b(x)\b` }), nil},
		"a group of that name":        {rule(func(r *config.RedactionRule) { r.Pattern, r.Replacement = "(?P<a>x)", "${a}$$b" }), nil},
		"a group that is not there":   {rule(func(r *config.RedactionRule) { r.Replacement = "$1x" }), []string{`policy.redaction[0].replacement: names the group "1x"`, "${1}"}},
		"a group above the last":      {rule(func(r *config.RedactionRule) { r.Replacement = "$2" }), []string{`policy.redaction[0].replacement: names the group "2"`}},
		"a long replacement":          {rule(func(r *config.RedactionRule) { r.Replacement = strings.Repeat("x", 1025) }), []string{"policy.redaction[0].replacement: has 1025 characters"}},
		"a direction of a kind":       {rule(func(r *config.RedactionRule) { r.Direction = "Up" }), []string{`policy.redaction[0].direction: is "Up": write Request or Response or Both`}},
		"concurrency below 0":         {limits(func(l *config.SamplingLimits) { l.Concurrent, l.PerSession.Concurrent = -1, 0 }), []string{"policy.limits.concurrent: is -1: write 0 to 10000"}},
		"a session above its server":  {limits(func(l *config.SamplingLimits) { l.PerSession.TokensPerDay = 1_000_001 }), []string{"policy.limits.perSession.tokensPerDay: is 1000001, above the server's", "at most 1000000"}},
		"a session without a server":  {limits(func(l *config.SamplingLimits) { l.Concurrent = 0 }), nil},
		"many requests of a call":     {limits(func(l *config.SamplingLimits) { l.RequestsPerCall = 10_001 }), []string{"policy.limits.requestsPerCall: is 10001: write 1 to 10000"}},
		"requests of a few bytes":     {limits(func(l *config.SamplingLimits) { l.RequestBytes = 10 }), []string{"policy.limits.requestBytes: is 10: write 1024 to 268435456"}},
		"a timeout of nothing":        {limits(func(l *config.SamplingLimits) { l.Timeout = 1 }), []string{"policy.limits.timeout: is 1ns: write 1s to 1h0m0s"}},
		"a long wait":                 {limits(func(l *config.SamplingLimits) { *l.QueueTimeout = config.Duration(time.Hour) }), []string{"policy.limits.queueTimeout: is 1h0m0s: write 0s to 10m0s"}},
		"many shares":                 {limits(func(l *config.SamplingLimits) { l.Shares = 101 }), []string{"policy.limits.shares: is 101: write 1 to 100"}},
		"a store of nothing": {limits(func(l *config.SamplingLimits) {
			*l = config.SamplingLimits{RequestsPerCall: 1, Timeout: l.Timeout, Shares: 1, Store: l.Store}
		}),
			[]string{"policy.limits.store: has nothing to count"}},
		"a store without a port":   {store(func(s *config.Store) { s.Address = "redis" }), []string{"policy.limits.store.address: is no address: write host:port"}},
		"a store with a password":  {store(func(s *config.Store) { s.Address = "me:pass@redis:1" }), []string{"policy.limits.store.address: is no address"}},
		"a store at a port of 0":   {store(func(s *config.Store) { s.Address = "redis:0" }), []string{"policy.limits.store.address: is no address"}},
		"a store of IPv6":          {store(func(s *config.Store) { s.Address = "[::1]:6379" }), nil},
		"a user without a key":     {store(func(s *config.Store) { s.Credential = nil }), []string{"policy.limits.store.username: needs a credential"}},
		"certificates without TLS": {store(func(s *config.Store) { s.TLS = false }), []string{"policy.limits.store.caFile: counts for TLS only"}},
		"a store that fails":       {store(func(s *config.Store) { s.OnUnavailable = "Panic" }), []string{`policy.limits.store.onUnavailable: is "Panic": write FailOpen or FailClosed`}},
		"a level of audit":         {func(p *config.Policy) { p.Audit.Level = "All" }, []string{`policy.audit.level: is "All": write None or Metadata or Content`}},
	} {
		t.Run(name, func(t *testing.T) {
			e := full()
			tc.change(e.Policy)
			err := e.Validate()
			if tc.want == nil {
				if err != nil {
					t.Errorf("refused: %v", err)
				}
				return
			}
			wantParts(t, err, tc.want)
			for _, secret := range []string{"sk-secret", "pass@"} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("the error quotes what may be a secret: %v", err)
				}
			}
		})
	}
}

func TestEveryReservedKeyIsRefused(t *testing.T) {
	keys := config.ReservedExtraBody()
	if len(keys) != 29 {
		t.Errorf("%d keys are reserved, want 29", len(keys))
	}
	// Servers written in Go read these as if they were model and messages.
	for _, key := range append(keys, "Model", "MAX_TOKENS", "me\u017f\u017fages") {
		e := full()
		e.Policy.Parameters.ExtraBody = json.RawMessage(fmt.Sprintf(`{%q:null}`, key))
		wantParts(t, e.Validate(), []string{"policy.parameters.extraBody." + key + ": cannot be set here: remove it ("})
	}
}

func TestExtraBodiesThatMeanTheSameAreTheSame(t *testing.T) {
	for name, tc := range map[string]struct{ body, want string }{
		"nothing":               {``, ``},
		"null":                  {` null `, ``},
		"an empty object":       {`{ }`, ``},
		"keys in another order": {`{"b": 1, "a": {"d": [1, 2], "c": null}}`, `{"a":{"c":null,"d":[1,2]},"b":1}`},
		"numbers as YAML has them": {`{"a": 1.0, "b": 1e2, "c": -0.0, "d": 0.1, "e": 9007199254740993, "f": 18446744073709551615, "g": 1e300}`,
			`{"a":1,"b":100,"c":0,"d":0.1,"e":9007199254740993,"f":18446744073709551615,"g":1e+300}`},
		"texts that look like others": {`{"<": "yes", "on": "1", "~": "null", "x": "a: b\n# c"}`, `{"\u003c":"yes","on":"1","x":"a: b\n# c","~":"null"}`},
	} {
		t.Run(name, func(t *testing.T) {
			e := full()
			e.Policy.Parameters.ExtraBody = json.RawMessage(tc.body)
			if got := string(e.WithDefaults().Policy.Parameters.ExtraBody); got != tc.want {
				t.Errorf("it is %s, want %s", got, tc.want)
			}
			data, err := e.Encode()
			if err != nil {
				t.Fatal(err)
			}
			decoded, err := config.Decode(data)
			if err != nil {
				t.Fatal(err)
			}
			if got := string(decoded.Policy.Parameters.ExtraBody); got != tc.want {
				t.Errorf("after a file it is %s, want %s", got, tc.want)
			}
			if e.Hash() != decoded.Hash() {
				t.Error("the hash is another one after a file")
			}
		})
	}
}

func TestDecodeKnowsWhatAPolicyLeavesOut(t *testing.T) {
	e, err := config.Decode([]byte(minimal + `
  redaction: [{name: a, pattern: x}, {name: b, pattern: x, replacement: ""}]
  limits: {queueTimeout: 0s}
  parameters: {extraBody: {seed: 7}}
`))
	if err != nil {
		t.Fatal(err)
	}
	if got := e.Policy.Redaction[0].Replacement; got != "[redacted]" {
		t.Errorf("a replacement that is left out is %q", got)
	}
	if got := e.Policy.Redaction[1].Replacement; got != "" {
		t.Errorf("an empty replacement is %q", got)
	}
	if got := *e.Policy.Limits.QueueTimeout; got != 0 {
		t.Errorf("a queue without waiting waits %s", got)
	}
	_, err = config.Decode([]byte(minimal + "  parameters: {extraBody: [1]}\n"))
	wantParts(t, err, []string{"policy.parameters.extraBody: is a list, must be a mapping"})
}
