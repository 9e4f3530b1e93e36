package config_test

import (
	"encoding/json"
	"time"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/config"
)

// minimal is the shortest file with a policy that a person would write.
const minimal = `
apiVersion: sampler.mcp-sampling.dev/v1alpha1
server: {name: notes}
upstream: {url: "http://127.0.0.1:8000/mcp"}
policy:
  name: mine
  providers:
  - {name: openai, type: OpenAI, credential: {env: OPENAI_API_KEY}}
  models:
    default: gpt-4o-mini
    allowed:
    - {name: gpt-4o-mini, provider: openai}
`

// full has no field at its default.
func full() config.Effective {
	return config.Effective{
		APIVersion: config.APIVersion,
		Server:     config.Server{Name: "notes", Namespace: "team-a"},
		Upstream: config.Upstream{
			URL: "https://notes.example.com/sse", Transport: config.TransportSSE, ProtocolEra: config.EraLegacy, External: true,
			Headers: []config.Header{
				{Name: "Authorization", ValueFrom: &config.Credential{File: "/keys/notes", Ref: "Secret notes, key token"}},
				{Name: "X-Team", Value: "a"},
			},
			CAFile: "/ca/ca.crt",
		},
		ResidentSession: config.ResidentSession{Mode: config.ResidentHold, Interval: config.Duration(2 * time.Minute)},
		Sessions:        config.Sessions{KeyFile: "/keys/session", Replicas: "notes-peers.team-a.svc:8080"},
		AllowedOrigins:  []string{"https://app.example.com", "*"},
		Limits:          config.Limits{RequestBytes: 2048, EventBytes: 4096, Sessions: 2, Streams: 3, SamplingPerSession: 4},
		Policy: &config.Policy{
			Name: "mine",
			Mode: config.ModeFallback,
			Providers: []config.Provider{{
				Name: "openai", Type: config.ProviderOpenAI, BaseURL: "https://llm.example.com/v1",
				Credential: &config.Credential{File: "/keys/openai", Ref: "Secret openai, key api-key"},
				Headers: []config.Header{
					{Name: "X-Team", Value: "a"},
					{Name: "X-Gateway-Key", ValueFrom: &config.Credential{File: "/keys/gateway", Ref: "Secret gateway, key key"}},
				},
				CAFile:  "/ca/openai.crt",
				Timeout: config.Duration(90 * time.Second), Retries: 0,
				OpenAI: &config.OpenAI{MaxTokensField: config.MaxTokens, Azure: &config.Azure{APIVersion: "2024-10-21"}},
			}},
			Models: config.Models{
				Default: "small",
				Allowed: []config.Model{
					{
						Name: "small", Provider: "openai", Model: "gpt-4o-mini", Hints: []string{"haiku", "mini"},
						Scores:    &config.Scores{Cost: 0.9, Speed: 0.8, Intelligence: 0.5},
						Prices:    &config.Prices{Input: 0.15, Output: 0.6, Currency: "EUR"},
						ExtraBody: json.RawMessage(`{"top_k":40}`),
					},
					{Name: "large", Provider: "openai", Model: "gpt-4o"},
				},
				Fallbacks:     []string{"large"},
				OnUnknownHint: config.UnknownHintReject,
			},
			Capabilities: config.Capabilities{
				Tools:      config.ToolsDisabled,
				ToolNames:  config.ToolNames{Allow: []string{"get_*"}, Deny: []string{"*_secret"}},
				ToolChoice: []string{"auto", "none"}, MaxTools: 8,
				Images: config.Deny, Audio: config.Allow, IncludeContext: config.IncludeContextReject,
			},
			Parameters: config.Parameters{
				MaxTokens:     &config.MaxTokensLimit{Max: 4096, OnExceed: config.ExceedReject, Default: 256},
				Temperature:   &config.TemperatureRange{Min: 0, Max: 0},
				SystemPrompt:  &config.SystemPromptAction{Action: config.PromptPrepend, Text: "Be brief."},
				StopSequences: &config.StopSequencesLimits{Max: 4},
				Metadata:      config.MetadataPass,
				ExtraBody:     json.RawMessage(`{"reasoning":{"effort":"low"},"seed":7}`),
			},
			Redaction: []config.RedactionRule{
				{Name: "mail", Pattern: `(\w+)@example[.]com`, Replacement: "$1@…", Direction: config.DirectionRequest},
				{Name: "card", Pattern: `\d{16}`, Replacement: "", Direction: config.DirectionBoth},
			},
			Limits: config.SamplingLimits{
				Concurrent: 8, RequestsPerMinute: 60, TokensPerMinute: 10_000, TokensPerDay: 1_000_000,
				PerSession:      config.SessionLimits{Concurrent: 2, RequestsPerMinute: 30, TokensPerMinute: 5_000, TokensPerDay: 500_000},
				RequestsPerCall: 16, RequestBytes: 1 << 20, Timeout: config.Duration(2 * time.Minute),
				QueueTimeout: new(config.Duration), Shares: 3,
				Store: &config.Store{
					Address: "redis.example:6379", Username: "sampler",
					Credential: &config.Credential{File: "/keys/redis", Ref: "Secret redis, key password"},
					TLS:        true, CAFile: "/ca/redis.crt", OnUnavailable: config.FailClosed,
				},
			},
			Audit: config.Audit{Level: config.AuditContent},
		},
	}
}
