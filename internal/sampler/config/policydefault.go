package config

import "slices"

func (p Policy) withDefaults() Policy {
	setDefault(&p.Mode, ModeAlways)
	p.Providers = slices.Clone(p.Providers)
	for i := range p.Providers {
		p.Providers[i] = p.Providers[i].withDefaults()
	}
	p.Models = p.Models.withDefaults()
	p.Capabilities = p.Capabilities.withDefaults()
	p.Parameters = p.Parameters.withDefaults()
	p.Redaction = slices.Clone(p.Redaction)
	for i := range p.Redaction {
		setDefault(&p.Redaction[i].Direction, DirectionBoth)
	}
	p.Limits = p.Limits.withDefaults()
	setDefault(&p.Audit.Level, AuditMetadata)
	return p
}

func (p Provider) withDefaults() Provider {
	p.Credential = clone(p.Credential)
	p.Headers = cloneHeaders(p.Headers)
	setDefault(&p.Timeout, DefaultTimeout)
	p.OpenAI = clone(p.OpenAI)
	if p.OpenAI == nil && p.Type == ProviderOpenAI {
		p.OpenAI = &OpenAI{}
	}
	if p.OpenAI != nil {
		setDefault(&p.OpenAI.MaxTokensField, MaxCompletionTokens)
		p.OpenAI.Azure = clone(p.OpenAI.Azure)
	}
	return p
}

func (m Models) withDefaults() Models {
	m.Allowed = slices.Clone(m.Allowed)
	for i := range m.Allowed {
		model := &m.Allowed[i]
		setDefault(&model.Model, model.Name)
		model.Hints = slices.Clone(model.Hints)
		model.Scores = clone(model.Scores)
		model.Prices = clone(model.Prices)
		if model.Prices != nil {
			setDefault(&model.Prices.Currency, DefaultCurrency)
		}
		model.ExtraBody = canonicalJSON(model.ExtraBody)
	}
	m.Fallbacks = slices.Clone(m.Fallbacks)
	setDefault(&m.OnUnknownHint, UnknownHintUseDefault)
	return m
}

func (c Capabilities) withDefaults() Capabilities {
	setDefault(&c.Tools, ToolsEnabled)
	c.ToolNames = ToolNames{Allow: slices.Clone(c.ToolNames.Allow), Deny: slices.Clone(c.ToolNames.Deny)}
	if len(c.ToolNames.Allow) == 0 {
		c.ToolNames.Allow = []string{"*"}
	}
	c.ToolChoice = slices.Clone(c.ToolChoice)
	if c.ToolChoice == nil { // an empty list is an error and no default
		c.ToolChoice = slices.Clone(toolChoices)
	}
	setDefault(&c.MaxTools, DefaultMaxTools)
	setDefault(&c.Images, Allow)
	setDefault(&c.Audio, Deny)
	setDefault(&c.IncludeContext, IncludeContextIgnore)
	return c
}

func (params Parameters) withDefaults() Parameters {
	params.MaxTokens = clone(params.MaxTokens)
	if limit := params.MaxTokens; limit != nil {
		setDefault(&limit.OnExceed, ExceedClamp)
	}
	params.Temperature = clone(params.Temperature)
	params.SystemPrompt = clone(params.SystemPrompt)
	params.StopSequences = clone(params.StopSequences)
	setDefault(&params.Metadata, MetadataDrop)
	params.ExtraBody = canonicalJSON(params.ExtraBody)
	return params
}

func (l SamplingLimits) withDefaults() SamplingLimits {
	setDefault(&l.RequestsPerCall, DefaultRequestsPerCall)
	setDefault(&l.Timeout, DefaultRequestTimeout)
	l.QueueTimeout = clone(l.QueueTimeout)
	if l.QueueTimeout == nil {
		d := DefaultQueueTimeout
		l.QueueTimeout = &d
	}
	setDefault(&l.Shares, 1)
	l.Store = clone(l.Store)
	if l.Store != nil {
		l.Store.Credential = clone(l.Store.Credential)
		setDefault(&l.Store.OnUnavailable, FailOpen)
	}
	return l
}
