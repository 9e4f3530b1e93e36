package config

import (
	"encoding/json"
	"slices"
	"time"
)

// What a hand-written file gets where it says nothing. The operator writes all
// of them out.
const (
	DefaultResidentInterval = Duration(time.Minute)

	DefaultTimeout        = Duration(60 * time.Second)
	DefaultRetries        = 2
	DefaultMaxTemperature = 2.0

	DefaultRequestBytes       = 16 << 20
	DefaultEventBytes         = 16 << 20
	DefaultSessions           = 10_000
	DefaultStreams            = 20_000
	DefaultSamplingPerSession = 64
)

// WithDefaults returns a copy with every documented default filled in. It
// shares nothing with e, so that either may be changed afterwards.
//
// Retries and Temperature.Max keep a zero: there it is a value. Decode fills
// them in where the file leaves them out.
func (e Effective) WithDefaults() Effective {
	setDefault(&e.Upstream.Transport, TransportStreamableHTTP)
	setDefault(&e.Upstream.ProtocolEra, EraAuto)
	e.Upstream.Headers = slices.Clone(e.Upstream.Headers)
	for i := range e.Upstream.Headers {
		e.Upstream.Headers[i].ValueFrom = clone(e.Upstream.Headers[i].ValueFrom)
	}
	setDefault(&e.ResidentSession.Mode, ResidentProbe)
	setDefault(&e.ResidentSession.Interval, DefaultResidentInterval)
	e.AllowedOrigins = slices.Clone(e.AllowedOrigins)
	setDefault(&e.Limits.RequestBytes, DefaultRequestBytes)
	setDefault(&e.Limits.EventBytes, DefaultEventBytes)
	setDefault(&e.Limits.Sessions, DefaultSessions)
	setDefault(&e.Limits.Streams, DefaultStreams)
	setDefault(&e.Limits.SamplingPerSession, DefaultSamplingPerSession)
	if e.Policy != nil {
		p := e.Policy.withDefaults()
		e.Policy = &p
	}
	return e
}

func (p Policy) withDefaults() Policy {
	setDefault(&p.Mode, ModeAlways)
	p.Providers = slices.Clone(p.Providers)
	for i := range p.Providers {
		p.Providers[i] = p.Providers[i].withDefaults()
	}
	p.Models.Allowed = slices.Clone(p.Models.Allowed)
	for i := range p.Models.Allowed {
		m := &p.Models.Allowed[i]
		setDefault(&m.Model, m.Name)
		m.Hints = slices.Clone(m.Hints)
	}
	setDefault(&p.Capabilities.Tools, ToolsEnabled)
	p.Parameters.MaxTokens = clone(p.Parameters.MaxTokens)
	if limit := p.Parameters.MaxTokens; limit != nil {
		setDefault(&limit.OnExceed, ExceedClamp)
	}
	p.Parameters.Temperature = clone(p.Parameters.Temperature)
	p.Parameters.SystemPrompt = clone(p.Parameters.SystemPrompt)
	return p
}

func (p Provider) withDefaults() Provider {
	p.Credential = clone(p.Credential)
	setDefault(&p.Timeout, DefaultTimeout)
	p.OpenAI = clone(p.OpenAI)
	if p.Type != ProviderOpenAI {
		return p
	}
	if p.OpenAI == nil {
		p.OpenAI = &OpenAI{}
	}
	setDefault(&p.OpenAI.MaxTokensField, MaxCompletionTokens)
	return p
}

// UnmarshalJSON starts from the defaults for which zero is a value of its own.
func (p *Provider) UnmarshalJSON(data []byte) error {
	type plain Provider
	v := plain{Retries: DefaultRetries}
	if err := json.Unmarshal(data, &v); err != nil {
		return err
	}
	*p = Provider(v)
	return nil
}

// UnmarshalJSON starts from the defaults for which zero is a value of its own.
func (r *TemperatureRange) UnmarshalJSON(data []byte) error {
	type plain TemperatureRange
	v := plain{Max: DefaultMaxTemperature}
	if err := json.Unmarshal(data, &v); err != nil {
		return err
	}
	*r = TemperatureRange(v)
	return nil
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func clone[T any](p *T) *T {
	if p == nil {
		return nil
	}
	v := *p
	return &v
}
