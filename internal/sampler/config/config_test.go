package config_test

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/config"
)

func TestDecodeFillsInTheDocumentedDefaults(t *testing.T) {
	got, err := config.Decode([]byte(minimal))
	if err != nil {
		t.Fatal(err)
	}
	queueTimeout := config.Duration(10 * time.Second)
	want := &config.Effective{
		APIVersion: config.APIVersion,
		Server:     config.Server{Name: "notes"},
		Upstream: config.Upstream{
			URL: "http://127.0.0.1:8000/mcp", Transport: config.TransportStreamableHTTP, ProtocolEra: config.EraAuto,
		},
		ResidentSession: config.ResidentSession{Mode: config.ResidentProbe, Interval: config.DefaultResidentInterval},
		Limits: config.Limits{
			RequestBytes: 16 << 20, EventBytes: 16 << 20, Sessions: 10_000, Streams: 20_000, SamplingPerSession: 64,
		},
		Policy: &config.Policy{
			Name: "mine",
			Mode: config.ModeAlways,
			Providers: []config.Provider{{
				Name: "openai", Type: config.ProviderOpenAI,
				Credential: &config.Credential{Env: "OPENAI_API_KEY"},
				Timeout:    config.Duration(time.Minute), Retries: 2,
				OpenAI: &config.OpenAI{MaxTokensField: config.MaxCompletionTokens},
			}},
			Models: config.Models{
				Default: "gpt-4o-mini",
				Allowed: []config.Model{{Name: "gpt-4o-mini", Provider: "openai", Model: "gpt-4o-mini"}},

				OnUnknownHint: config.UnknownHintUseDefault,
			},
			Capabilities: config.Capabilities{
				Tools: config.ToolsEnabled, ToolNames: config.ToolNames{Allow: []string{"*"}},
				ToolChoice: []string{"auto", "required", "none"}, MaxTools: 128,
				Images: config.Allow, Audio: config.Deny, IncludeContext: config.IncludeContextIgnore,
			},
			Parameters: config.Parameters{Metadata: config.MetadataDrop},
			Limits: config.SamplingLimits{
				RequestsPerCall: 256, Timeout: config.Duration(5 * time.Minute), QueueTimeout: &queueTimeout, Shares: 1,
			},
			Audit: config.Audit{Level: config.AuditMetadata},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("decoded (-want +got):\n%s", diff)
	}
}

func TestEncodeAndDecodeGiveTheSameValue(t *testing.T) {
	for name, e := range map[string]config.Effective{
		"every field set": full(),
		"no policy": {
			APIVersion: config.APIVersion, Server: config.Server{Name: "n"},
			Upstream: config.Upstream{
				URL: "http://h/mcp", Transport: config.TransportStreamableHTTP, ProtocolEra: config.EraAuto,
			},
			ResidentSession: config.ResidentSession{Mode: config.ResidentOff, Interval: config.DefaultResidentInterval},
			Limits:          config.Limits{RequestBytes: 2048, EventBytes: 4096, Sessions: 2, Streams: 3, SamplingPerSession: 4},
		},
	} {
		t.Run(name, func(t *testing.T) {
			data, err := e.Encode()
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(string(data), "# ") {
				t.Errorf("the file does not begin with a comment:\n%s", data)
			}
			got, err := config.Decode(data)
			if err != nil {
				t.Fatalf("%v\n%s", err, data)
			}
			if diff := cmp.Diff(&e, got); diff != "" {
				t.Errorf("round trip (-want +got):\n%s", diff)
			}
			if e.Hash() != got.Hash() || len(e.Hash()) != 32 {
				t.Errorf("hash %q before and %q after, want the same 32 digits", e.Hash(), got.Hash())
			}
			again, err := got.Encode()
			if err != nil || string(again) != string(data) {
				t.Errorf("second encoding differs (%v):\n%s", err, cmp.Diff(string(data), string(again)))
			}
		})
	}
}

func TestHashFollowsTheMeaning(t *testing.T) {
	base := full()
	short, err := config.Decode([]byte(minimal))
	if err != nil {
		t.Fatal(err)
	}
	spelled := *short
	implicit := spelled.WithDefaults()
	implicit.ResidentSession.Mode = ""
	implicit.Upstream.Transport, implicit.Upstream.ProtocolEra = "", ""
	implicit.Limits = config.Limits{}
	implicit.Policy.Mode = ""
	implicit.Policy.Providers[0].Timeout = 0
	implicit.Policy.Providers[0].OpenAI = nil
	implicit.Policy.Capabilities.Tools = ""
	implicit.Policy.Models.Allowed[0].Model = ""
	implicit.Policy.Models.Allowed[0].ExtraBody = json.RawMessage(" { }")
	implicit.Policy.Models.OnUnknownHint = ""
	implicit.Policy.Capabilities = config.Capabilities{}
	implicit.Policy.Parameters = config.Parameters{ExtraBody: json.RawMessage("null")}
	implicit.Policy.Limits = config.SamplingLimits{}
	implicit.Policy.Audit = config.Audit{}
	if implicit.Hash() != spelled.Hash() {
		t.Error("leaving out defaults changed the hash")
	}
	for name, change := range map[string]func(*config.Effective){
		"another token limit": func(e *config.Effective) { e.Policy.Parameters.MaxTokens.Max = 17 },
		"another default":     func(e *config.Effective) { e.Policy.Models.Default = "large" },
		"no policy":           func(e *config.Effective) { e.Policy = nil },
		"another retry count": func(e *config.Effective) { e.Policy.Providers[0].Retries = 1 },
		"another limit":       func(e *config.Effective) { e.Limits.Streams = 5 },
		"another origin":      func(e *config.Effective) { e.AllowedOrigins[0] = "https://other.example.com" },
		"another header":      func(e *config.Effective) { e.Upstream.Headers[1].Value = "b" },
		"no temperature":      func(e *config.Effective) { e.Policy.Parameters.Temperature = nil },
		"no waiting list":     func(e *config.Effective) { *e.Policy.Limits.QueueTimeout++ },
		"another extra body": func(e *config.Effective) {
			e.Policy.Parameters.ExtraBody = json.RawMessage(`{"reasoning":{"effort":"high"},"seed":7}`)
		},
		"another replacement": func(e *config.Effective) { e.Policy.Redaction[1].Replacement = "x" },
	} {
		e := full()
		change(&e)
		if e.Hash() == base.Hash() {
			t.Errorf("%s: the hash stayed the same", name)
		}
	}
}

func TestWithDefaultsSharesNothing(t *testing.T) {
	e := full()
	c := e.WithDefaults()
	c.Upstream.Headers[0].ValueFrom.File = "other"
	c.Upstream.Headers[1].Value = "other"
	c.AllowedOrigins[0] = "other"
	c.Policy.Name = "other"
	c.Policy.Providers[0].Credential.File = "other"
	c.Policy.Providers[0].OpenAI.MaxTokensField = "other"
	c.Policy.Models.Allowed[0].Hints[0] = "other"
	c.Policy.Parameters.MaxTokens.Max = 1
	c.Policy.Parameters.Temperature.Max = 1
	c.Policy.Parameters.SystemPrompt.Text = "other"
	c.Policy.Parameters.StopSequences.Max = 1
	c.Policy.Parameters.ExtraBody[2] = 'x'
	c.Policy.Providers[0].Headers[0].Value = "other"
	c.Policy.Providers[0].Headers[1].ValueFrom.File = "other"
	c.Policy.Providers[0].OpenAI.Azure.APIVersion = "other"
	c.Policy.Models.Allowed[0].Scores.Cost = 0
	c.Policy.Models.Allowed[0].Prices.Input = 0
	c.Policy.Models.Allowed[0].ExtraBody[2] = 'x'
	c.Policy.Models.Fallbacks[0] = "other"
	c.Policy.Capabilities.ToolNames.Allow[0] = "other"
	c.Policy.Capabilities.ToolNames.Deny[0] = "other"
	c.Policy.Capabilities.ToolChoice[0] = "other"
	c.Policy.Redaction[0].Name = "other"
	*c.Policy.Limits.QueueTimeout = 1
	c.Policy.Limits.Store.Address = "other"
	c.Policy.Limits.Store.Credential.File = "other"
	if diff := cmp.Diff(full(), e); diff != "" {
		t.Errorf("changing the copy changed the original:\n%s", diff)
	}
}

func TestDecodeIsStrict(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(string) string // of minimal
		want   []string            // parts of the error
	}{
		"nothing at all":            {func(string) string { return "" }, []string{"empty"}},
		"a list":                    {func(string) string { return "[]" }, []string{"the configuration: is a list, must be a mapping"}},
		"broken YAML":               {func(string) string { return "a: [" }, []string{"YAML"}},
		"an unknown key at the top": {replace("server:", "sever:"), []string{"sever: unknown key", "server"}},
		"an unknown key in a list": {replace("type: OpenAI,", "type: OpenAI, timout: 5s,"),
			[]string{"policy.providers[0].timout: unknown key", "timeout"}},
		"a key in another case": {replace("server:", "Server:"), []string{"Server: unknown key"}},
		"a key that is there twice": {func(s string) string { return s + "\nserver: {name: b}\n" },
			[]string{`"server" already set`}},
		"a text as a truth value": {replace("upstream: {", `upstream: {external: "yes", `),
			[]string{"upstream.external: is a text, must be true or false"}},
		"a number as a name":     {replace("name: notes", "name: 5"), []string{"server.name: is a number, must be a text"}},
		"a text as retries":      {replace("type: OpenAI,", "type: OpenAI, retries: many,"), []string{"policy.providers[0].retries: is a text"}},
		"a fraction as retries":  {replace("type: OpenAI,", "type: OpenAI, retries: 1.5,"), []string{"policy.providers[0].retries: 1.5 is not a whole number"}},
		"a number as timeout":    {replace("type: OpenAI,", "type: OpenAI, timeout: 60,"), []string{`policy.providers[0].timeout: is a number, must be a text like "60s"`}},
		"a timeout without unit": {replace("type: OpenAI,", `type: OpenAI, timeout: "60",`), []string{`policy.providers[0].timeout: "60" is not a duration`}},
		"a mapping as list":      {replace("- {name: gpt-4o-mini, provider: openai}", "  name: gpt-4o-mini"), []string{"policy.models.allowed: is a mapping, must be a list"}},
		"two documents":          {func(s string) string { return s + "\n---\n" + s }, []string{"more than one YAML document"}},
		"a file without end":     {func(string) string { return strings.Repeat("#", config.MaxBytes+1) }, []string{"at most 1048576"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := config.Decode([]byte(tc.change(minimal)))
			wantParts(t, err, tc.want)
		})
	}
}

func TestDecodeReadsJSONAndALeadingDocumentMarker(t *testing.T) {
	want, err := config.Decode([]byte(minimal))
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string]string{
		"JSON": `{"apiVersion":"sampler.mcp-sampling.dev/v1alpha1","server":{"name":"notes"},
			"upstream":{"url":"http://127.0.0.1:8000/mcp"},"policy":{"name":"mine",
			"providers":[{"name":"openai","type":"OpenAI","timeout":null,"credential":{"env":"OPENAI_API_KEY"}}],
			"models":{"default":"gpt-4o-mini","allowed":[{"name":"gpt-4o-mini","provider":"openai"}]}}}`,
		"a marker": "# comment\n---\n" + minimal,
	} {
		got, err := config.Decode([]byte(data))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestValidateNamesThePathAndWhatToWrite(t *testing.T) {
	provider := func(f func(*config.Provider)) func(*config.Effective) {
		return func(e *config.Effective) { f(&e.Policy.Providers[0]) }
	}
	header := func(h config.Header) func(*config.Effective) {
		return func(e *config.Effective) { e.Upstream.Headers = []config.Header{h} }
	}
	for name, tc := range map[string]struct {
		change func(*config.Effective) // of full
		want   []string                // nil: valid
	}{
		"nothing wrong":       {func(*config.Effective) {}, nil},
		"no policy":           {func(e *config.Effective) { e.Policy = nil }, nil},
		"no credential":       {provider(func(p *config.Provider) { p.Credential = nil }), nil},
		"another API version": {func(e *config.Effective) { e.APIVersion = "v2" }, []string{`apiVersion: is "v2"`, config.APIVersion}},
		"no server name":      {func(e *config.Effective) { e.Server.Name = "" }, []string{"server.name: is missing"}},
		"a long server name":  {func(e *config.Effective) { e.Server.Name = strings.Repeat("x", 254) }, []string{"server.name: has 254 characters"}},
		"a long namespace":    {func(e *config.Effective) { e.Server.Namespace = strings.Repeat("x", 254) }, []string{"server.namespace: has 254 characters"}},
		"a name of 253 characters with more bytes": {func(e *config.Effective) { e.Server.Name = strings.Repeat("ü", 253) }, nil},
		"no upstream":            {func(e *config.Effective) { e.Upstream.URL = "" }, []string{"upstream.url: is missing", "http://127.0.0.1:8000/mcp"}},
		"an upstream of SSH":     {func(e *config.Effective) { e.Upstream.URL = "ssh://h" }, []string{"upstream.url: has no scheme http or https"}},
		"an upstream of no URL":  {func(e *config.Effective) { e.Upstream.URL = "http://a b" }, []string{"upstream.url: is not a URL"}},
		"an upstream of no host": {func(e *config.Effective) { e.Upstream.URL = "http:///mcp" }, []string{"upstream.url: has no host"}},
		"an upstream port of 0":  {func(e *config.Effective) { e.Upstream.URL = "http://h:0/mcp" }, []string{"upstream.url: has port 0"}},
		"an upstream with a query": {func(e *config.Effective) { e.Upstream.URL = "http://h/mcp?a=b" },
			[]string{"upstream.url: has a query"}},
		"an unknown transport": {func(e *config.Effective) { e.Upstream.Transport = "Stdio" },
			[]string{`upstream.transport: is "Stdio": write StreamableHTTP or SSE`}},
		"an unknown era": {func(e *config.Effective) { e.Upstream.ProtocolEra = "Modern" },
			[]string{`upstream.protocolEra: is "Modern": write Auto or Legacy`}},
		"certificates for a server without TLS": {func(e *config.Effective) { e.Upstream.URL = "http://h/mcp" },
			[]string{"upstream.caFile: counts for https only"}},
		"a header without a name": {header(config.Header{Value: "x"}), []string{"upstream.headers[0].name: is missing"}},
		"a header with a space":   {header(config.Header{Name: "X Team", Value: "x"}), []string{"upstream.headers[0].name: is no header name"}},
		"a header of the protocol": {header(config.Header{Name: "mcp-session-id", Value: "x"}),
			[]string{`upstream.headers[0].name: "mcp-session-id" is set for each request: leave it out`}},
		"a header of the transport": {header(config.Header{Name: "Content-length", Value: "1"}),
			[]string{`upstream.headers[0].name: "Content-length" is set for each request`}},
		"a header without a value": {header(config.Header{Name: "X-Team"}), []string{"upstream.headers[0]: has no value"}},
		"a header with two values": {header(config.Header{Name: "X-Team", Value: "x", ValueFrom: &config.Credential{Env: "X"}}),
			[]string{"upstream.headers[0]: has value and valueFrom"}},
		"a header from nowhere": {header(config.Header{Name: "X-Team", ValueFrom: &config.Credential{}}),
			[]string{"upstream.headers[0].valueFrom: says neither file nor env"}},
		"a header with a line end": {header(config.Header{Name: "X-Team", Value: "sk-secret\r\nX-Other: y"}),
			[]string{"upstream.headers[0].value: has a line end"}},
		"a header twice": {func(e *config.Effective) { e.Upstream.Headers[1].Name = "authorization" },
			[]string{`upstream.headers[1].name: "authorization" is there twice`}},
		"replicas without a port": {func(e *config.Effective) { e.Sessions.Replicas = "peers" },
			[]string{`sessions.replicas: is "peers": write host:port`}},
		"replicas with a port of 0": {func(e *config.Effective) { e.Sessions.Replicas = "peers:0" },
			[]string{`sessions.replicas: is "peers:0"`}},
		"replicas without a common key": {func(e *config.Effective) { e.Sessions.KeyFile = "" },
			[]string{"sessions.keyFile: is missing"}},
		"one sampler that keeps no key": {func(e *config.Effective) { e.Sessions = config.Sessions{} }, nil},
		"an origin with a path": {func(e *config.Effective) { e.AllowedOrigins[0] = "https://app.example.com/" },
			[]string{`allowedOrigins[0]: is "https://app.example.com/": write scheme://host`}},
		"an origin without a scheme": {func(e *config.Effective) { e.AllowedOrigins[0] = "app.example.com" },
			[]string{`allowedOrigins[0]: is "app.example.com"`}},
		"an origin of an extension": {func(e *config.Effective) { e.AllowedOrigins[0] = "vscode-webview://abc" }, nil},
		"a request limit too small": {func(e *config.Effective) { e.Limits.RequestBytes = 10 },
			[]string{"limits.requestBytes: is 10: write 1024 to 268435456"}},
		"an event limit too large": {func(e *config.Effective) { e.Limits.EventBytes = 1 << 30 }, []string{"limits.eventBytes: is 1073741824"}},
		"sessions below zero":      {func(e *config.Effective) { e.Limits.Sessions = -1 }, []string{"limits.sessions: is -1: write 1 to 100000"}},
		"too many streams":         {func(e *config.Effective) { e.Limits.Streams = 200_001 }, []string{"limits.streams: is 200001: write 1 to 200000"}},
		"too many sessions":        {func(e *config.Effective) { e.Limits.Sessions = 100_001 }, []string{"limits.sessions: is 100001: write 1 to 100000"}},
		"too much sampling": {func(e *config.Effective) { e.Limits.SamplingPerSession = 257 },
			[]string{"limits.samplingPerSession: is 257: write 1 to 256"}},
		"an unknown resident mode": {func(e *config.Effective) { e.ResidentSession.Mode = "Always" },
			[]string{`residentSession.mode: is "Always": write Probe or Hold or Off`}},
		"looks that are load": {func(e *config.Effective) { e.ResidentSession.Interval = config.Duration(9 * time.Second) },
			[]string{"residentSession.interval: is 9s: write 10s or more"}},
		"an unknown mode": {func(e *config.Effective) { e.Policy.Mode = "Never" },
			[]string{`policy.mode: is "Never": write Always or Fallback`}},
		"no provider": {func(e *config.Effective) { e.Policy.Providers = nil },
			[]string{"policy.providers: is empty", `policy.models.allowed[0].provider: "openai" is no provider`}},
		"two providers of one name": {func(e *config.Effective) {
			e.Policy.Providers = append(e.Policy.Providers, e.Policy.Providers[0])
		}, []string{`policy.providers[1].name: "openai" is there twice`}},
		"an unknown provider type": {provider(func(p *config.Provider) { p.Type = "Pigeon"; p.OpenAI = nil }),
			[]string{`policy.providers[0].type: is "Pigeon": write OpenAI or Anthropic or GoogleGenAI or Webhook`}},
		"a base URL with a password": {provider(func(p *config.Provider) { p.BaseURL = "https://me:pass@h/v1" }),
			[]string{"policy.providers[0].baseURL: holds a user or password"}},
		"a credential of nothing": {provider(func(p *config.Provider) { p.Credential = &config.Credential{Ref: "x"} }),
			[]string{"policy.providers[0].credential: says neither file nor env"}},
		"a credential of both": {provider(func(p *config.Provider) { p.Credential.Env = "KEY" }),
			[]string{"policy.providers[0].credential: says file and env"}},
		"a key where the variable's name belongs": {provider(func(p *config.Provider) {
			p.Credential = &config.Credential{Env: "sk-secret"}
		}), []string{"policy.providers[0].credential.env: is not the name of an environment variable"}},
		"no timeout":           {provider(func(p *config.Provider) { p.Timeout = -1 }), []string{"policy.providers[0].timeout: is -1ns"}},
		"a timeout of 2 hours": {provider(func(p *config.Provider) { p.Timeout = config.Duration(2 * time.Hour) }), []string{"policy.providers[0].timeout: is 2h0m0s"}},
		"retries below zero":   {provider(func(p *config.Provider) { p.Retries = -1 }), []string{"policy.providers[0].retries: is -1: write 0 to 10"}},
		"an unknown tokens field": {provider(func(p *config.Provider) { p.OpenAI.MaxTokensField = "tokens" }),
			[]string{`policy.providers[0].openAI.maxTokensField: is "tokens": write max_completion_tokens or max_tokens`}},
		"no model": {func(e *config.Effective) { e.Policy.Models.Allowed = nil }, []string{"policy.models.allowed: is empty"}},
		"a default that is not allowed": {func(e *config.Effective) { e.Policy.Models.Default = "huge" },
			[]string{`policy.models.default: "huge" is not in policy.models.allowed: write one of "small", "large"`}},
		"two models of one name": {func(e *config.Effective) { e.Policy.Models.Allowed[1].Name = "small" },
			[]string{`policy.models.allowed[1].name: "small" is there twice`}},
		"a model of an unknown provider": {func(e *config.Effective) { e.Policy.Models.Allowed[1].Provider = "x" },
			[]string{`policy.models.allowed[1].provider: "x" is no provider of this policy: write one of "openai"`}},
		"an empty hint": {func(e *config.Effective) { e.Policy.Models.Allowed[0].Hints[1] = "" },
			[]string{"policy.models.allowed[0].hints[1]: is missing"}},
		"an unknown tools value": {func(e *config.Effective) { e.Policy.Capabilities.Tools = "Yes" },
			[]string{`policy.capabilities.tools: is "Yes": write Enabled or Disabled`}},
		"a temperature range upside down": {func(e *config.Effective) {
			e.Policy.Parameters.Temperature = &config.TemperatureRange{Min: 1, Max: 0.5}
		}, []string{"policy.parameters.temperature: is 1 to 0.5"}},
		"a temperature that is no number": {func(e *config.Effective) {
			e.Policy.Parameters.Temperature = &config.TemperatureRange{Min: 0, Max: math.NaN()}
		}, []string{"policy.parameters.temperature"}},
		"a prompt action without text": {func(e *config.Effective) { e.Policy.Parameters.SystemPrompt.Text = "" },
			[]string{"policy.parameters.systemPrompt.text: is empty: action Prepend needs a text"}},
		"a text that does nothing": {func(e *config.Effective) { e.Policy.Parameters.SystemPrompt.Action = config.PromptDrop },
			[]string{"policy.parameters.systemPrompt.text: does nothing with action Drop"}},
		"several things wrong": {func(e *config.Effective) { e.Server.Name = ""; e.Policy.Models.Default = "" },
			[]string{"server.name", "policy.models.default"}},
	} {
		t.Run(name, func(t *testing.T) {
			e := full()
			tc.change(&e)
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

func FuzzDecode(f *testing.F) {
	f.Add([]byte(minimal))
	if data, err := full().Encode(); err == nil {
		f.Add(data)
	}
	f.Add([]byte("policy: {providers: [null]}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := config.Decode(data)
		if err != nil {
			return
		}
		encoded, err := e.Encode()
		if err != nil {
			t.Fatalf("what was decoded cannot be encoded: %v", err)
		}
		again, err := config.Decode(encoded)
		if err != nil {
			t.Fatalf("what was encoded cannot be decoded: %v\n%s", err, encoded)
		}
		if e.Hash() != again.Hash() {
			t.Fatalf("the hash changed:\n%s", cmp.Diff(e, again))
		}
	})
}

func replace(old, by string) func(string) string {
	return func(s string) string { return strings.Replace(s, old, by, 1) }
}

func wantParts(t *testing.T, err error, want []string) {
	t.Helper()
	if err == nil {
		t.Fatal("accepted, want an error")
	}
	for _, part := range want {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q\ndoes not hold %q", err, part)
		}
	}
}
