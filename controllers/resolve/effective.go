package resolve

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/config"
)

// EffectivePolicy returns what samplers make of a policy, with every default
// filled in. An error says what they would refuse, in the words of the policy's
// author.
func EffectivePolicy(policy *mcpv1alpha1.SamplingPolicy) (*config.Policy, error) {
	out, _, err := effectivePolicy(policy)
	return out, err
}

// effectivePolicy also returns what has to be mounted for it.
func effectivePolicy(policy *mcpv1alpha1.SamplingPolicy) (*config.Policy, mounts, error) {
	var needs mounts
	spec := &policy.Spec
	if _, err := compile(spec.TargetSelector); err != nil {
		return nil, mounts{}, err
	}
	out := config.Policy{
		Name:         policy.Name,
		Mode:         config.Mode(spec.Mode),
		Models:       models(&spec.Models),
		Capabilities: capabilities(&spec.Capabilities),
		Parameters:   parameters(spec.Parameters),
		Redaction:    redaction(spec.Redaction),
		Limits:       samplingLimits(&spec.Limits, &needs),
		Audit:        config.Audit{Level: config.AuditLevel(spec.Audit.Level)},
	}
	for i := range spec.Providers {
		out.Providers = append(out.Providers, provider(&spec.Providers[i], &needs))
	}

	// Only a whole configuration can be validated; whatever is around the policy
	// here is right.
	whole := config.Effective{
		APIVersion: config.APIVersion,
		Server:     config.Server{Name: "any"},
		Upstream:   config.Upstream{URL: "http://any/mcp"},
		Policy:     &out,
	}.WithDefaults()
	if err := whole.Validate(); err != nil {
		// Users know the same fields under spec.
		return nil, mounts{}, errors.New(strings.NewReplacer("policy.", "spec.", ".caFile", ".caBundleRef").Replace(oneLine(err)))
	}
	return whole.Policy, needs, nil
}

func provider(p *mcpv1alpha1.Provider, needs *mounts) config.Provider {
	out := config.Provider{
		Name:       p.Name,
		Type:       config.ProviderType(p.Type),
		BaseURL:    p.BaseURL,
		Credential: needs.credential(p.Credential),
		Headers:    needs.headers(p.Headers),
		CAFile:     needs.bundle(p.CABundleRef),
		Timeout:    duration(p.Timeout),
		Retries:    config.DefaultRetries,
	}
	if p.Retries != nil {
		out.Retries = int(*p.Retries)
	}
	if o := p.OpenAI; o != nil {
		out.OpenAI = &config.OpenAI{
			MaxTokensField: config.MaxTokensField(o.MaxTokensField),
			Organization:   o.Organization,
			Project:        o.Project,
		}
		if o.Azure != nil {
			out.OpenAI.Azure = &config.Azure{APIVersion: o.Azure.APIVersion}
		}
	}
	return out
}

func models(m *mcpv1alpha1.Models) config.Models {
	out := config.Models{
		Default:       m.Default,
		Fallbacks:     slices.Clone(m.Fallbacks),
		OnUnknownHint: config.OnUnknownHint(m.OnUnknownHint),
	}
	for _, from := range m.Allowed {
		model := config.Model{
			Name: from.Name, Provider: from.Provider, Model: from.Model,
			Hints: slices.Clone(from.Hints), ExtraBody: object(from.ExtraBody),
		}
		if s := from.Scores; s != nil {
			model.Scores = &config.Scores{Cost: s.Cost, Speed: s.Speed, Intelligence: s.Intelligence}
		}
		if p := from.Prices; p != nil {
			model.Prices = &config.Prices{Input: p.Input, Output: p.Output, Currency: p.Currency}
		}
		out.Allowed = append(out.Allowed, model)
	}
	return out
}

func capabilities(c *mcpv1alpha1.Capabilities) config.Capabilities {
	out := config.Capabilities{
		Tools:          config.ToolsCapability(c.Tools),
		ToolNames:      config.ToolNames{Allow: slices.Clone(c.ToolNames.Allow), Deny: slices.Clone(c.ToolNames.Deny)},
		MaxTools:       int(c.MaxTools),
		Images:         config.Permission(c.Images),
		Audio:          config.Permission(c.Audio),
		IncludeContext: config.IncludeContext(c.IncludeContext),
	}
	for _, choice := range c.ToolChoice {
		out.ToolChoice = append(out.ToolChoice, string(choice))
	}
	return out
}

func parameters(p *mcpv1alpha1.Parameters) config.Parameters {
	var out config.Parameters
	if p == nil {
		return out
	}
	out.Metadata, out.ExtraBody = config.MetadataAction(p.Metadata), object(p.ExtraBody)
	if m := p.MaxTokens; m != nil {
		out.MaxTokens = &config.MaxTokensLimit{Max: m.Max, OnExceed: config.OnExceed(m.OnExceed), Default: m.Default}
	}
	if t := p.Temperature; t != nil {
		out.Temperature = &config.TemperatureRange{Max: config.DefaultMaxTemperature}
		if t.Min != nil {
			out.Temperature.Min = *t.Min
		}
		if t.Max != nil {
			out.Temperature.Max = *t.Max
		}
	}
	if s := p.SystemPrompt; s != nil {
		out.SystemPrompt = &config.SystemPromptAction{Action: config.PromptAction(s.Action), Text: s.Text}
	}
	if s := p.StopSequences; s != nil {
		out.StopSequences = &config.StopSequencesLimits{Max: int(s.Max)}
	}
	return out
}

func redaction(rules []mcpv1alpha1.RedactionRule) []config.RedactionRule {
	var out []config.RedactionRule
	for _, from := range rules {
		rule := config.RedactionRule{
			Name: from.Name, Pattern: from.Pattern, Replacement: config.DefaultReplacement,
			Direction: config.Direction(from.Direction),
		}
		if from.Replacement != nil {
			rule.Replacement = *from.Replacement
		}
		out = append(out, rule)
	}
	return out
}

func samplingLimits(l *mcpv1alpha1.SamplingLimits, needs *mounts) config.SamplingLimits {
	out := config.SamplingLimits{
		Concurrent:        int(l.Concurrent),
		RequestsPerMinute: l.RequestsPerMinute,
		TokensPerMinute:   l.TokensPerMinute,
		TokensPerDay:      l.TokensPerDay,
		RequestsPerCall:   int(l.RequestsPerCall),
		RequestBytes:      l.RequestBytes,
		Timeout:           duration(l.Timeout),
	}
	if s := l.PerSession; s != nil {
		out.PerSession = config.SessionLimits{
			Concurrent:        int(s.Concurrent),
			RequestsPerMinute: s.RequestsPerMinute,
			TokensPerMinute:   s.TokensPerMinute,
			TokensPerDay:      s.TokensPerDay,
		}
	}
	if l.QueueTimeout != nil {
		d := duration(l.QueueTimeout)
		out.QueueTimeout = &d
	}
	if s := l.Store; s != nil {
		out.Store = &config.Store{
			Address:       s.Address,
			Username:      s.Username,
			Credential:    needs.credential(s.Credential),
			TLS:           s.TLS,
			CAFile:        needs.bundle(s.CABundleRef),
			OnUnavailable: config.OnUnavailable(s.OnUnavailable),
		}
	}
	return out
}

// duration is 0, which stands for the default, where there is none.
func duration(d *metav1.Duration) config.Duration {
	if d == nil {
		return 0
	}
	return config.Duration(d.Duration)
}

func object(o *apiextensionsv1.JSON) json.RawMessage {
	if o == nil {
		return nil
	}
	return slices.Clone(o.Raw)
}
