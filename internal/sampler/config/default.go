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
	DefaultCurrency       = "USD"
	DefaultMaxTools       = 128
	DefaultReplacement    = "[redacted]"

	DefaultRequestsPerCall = 256
	DefaultRequestTimeout  = Duration(5 * time.Minute)
	DefaultQueueTimeout    = Duration(10 * time.Second)

	DefaultRequestBytes       = 16 << 20
	DefaultEventBytes         = 16 << 20
	DefaultSessions           = 10_000
	DefaultStreams            = 20_000
	DefaultSamplingPerSession = 64
)

// WithDefaults returns a copy with every documented default filled in. It
// shares nothing with e, so that either may be changed afterwards.
//
// Retries, Temperature.Max and Replacement keep a zero: there it is a value.
// Decode fills them in where the file leaves them out.
func (e Effective) WithDefaults() Effective {
	setDefault(&e.Upstream.Transport, TransportStreamableHTTP)
	setDefault(&e.Upstream.ProtocolEra, EraAuto)
	e.Upstream.Headers = cloneHeaders(e.Upstream.Headers)
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

// UnmarshalJSON starts from the defaults for which zero is a value of its own.
func (r *RedactionRule) UnmarshalJSON(data []byte) error {
	type plain RedactionRule
	v := plain{Replacement: DefaultReplacement}
	if err := json.Unmarshal(data, &v); err != nil {
		return err
	}
	*r = RedactionRule(v)
	return nil
}

func cloneHeaders(headers []Header) []Header {
	headers = slices.Clone(headers)
	for i := range headers {
		headers[i].ValueFrom = clone(headers[i].ValueFrom)
	}
	return headers
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
