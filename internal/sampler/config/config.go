// Package config holds the effective configuration of one sampler: what the
// operator renders from an MCPServer and the SamplingPolicy that governs it,
// and what the sampler reads from a mounted file.
//
// It is the only thing that the two halves of the project share on the way
// down, so it knows nothing of Kubernetes and nothing of MCP libraries: a
// sampler in front of a server that runs elsewhere reads the same file, written
// by hand. Compiled forms (clients, matchers) live with those who use them.
package config

import "time"

// APIVersion is the only value that Effective.APIVersion takes. A sampler
// refuses any other one, so that a file made for another release is an error
// and not a misunderstanding.
const APIVersion = "sampler.mcp-sampling.dev/v1alpha1"

// Effective is everything that one sampler does.
type Effective struct {
	// APIVersion is always the constant APIVersion.
	APIVersion string `json:"apiVersion"`
	// Server names the MCP server in logs, metrics and reports.
	Server Server `json:"server"`
	// Upstream is the MCP server that callers are connected to.
	Upstream Upstream `json:"upstream"`
	// ResidentSession is the sampler's own session with the server.
	ResidentSession ResidentSession `json:"residentSession"`
	// Sessions says how replicas of one sampler share callers' sessions.
	Sessions Sessions `json:"sessions,omitzero"`
	// AllowedOrigins are the values of the Origin header that are served, each
	// scheme://host[:port]; "*" is any. A request without the header, which only
	// browsers send, is always served. Empty serves none with it.
	AllowedOrigins []string `json:"allowedOrigins,omitempty"`
	// Limits bound what callers and the server can make the sampler hold.
	Limits Limits `json:"limits"`
	// Policy says who answers the server's sampling requests and how. Without
	// one the sampler passes everything through and declares nothing.
	Policy *Policy `json:"policy,omitempty"`
}

// Server identifies the MCP server. Both names are free text of at most 253
// characters for a sampler outside Kubernetes; the namespace may be empty.
type Server struct {
	Name      string `json:"name"`
	Namespace string `json:"namespace,omitempty"`
}

// Transport is how the server speaks MCP.
type Transport string

const (
	// TransportStreamableHTTP is one endpoint for everything (2025-03-26 and
	// later).
	TransportStreamableHTTP Transport = "StreamableHTTP"
	// TransportSSE is the HTTP+SSE transport of 2024-11-05.
	TransportSSE Transport = "SSE"
)

// ProtocolEra says in which of the protocol's eras callers are served.
type ProtocolEra string

const (
	// EraAuto leaves it to caller and server.
	EraAuto ProtocolEra = "Auto"
	// EraLegacy makes callers of the stateless era fall back to sessions: for
	// servers that know both eras and sample in sessions only.
	EraLegacy ProtocolEra = "Legacy"
)

// Upstream is where the MCP server listens.
type Upstream struct {
	// URL is the server's MCP endpoint, scheme http or https, with the path that
	// callers use on the sampler as well.
	URL string `json:"url"`
	// Transport is StreamableHTTP where it is left out.
	Transport Transport `json:"transport,omitempty"`
	// ProtocolEra is Auto where it is left out.
	ProtocolEra ProtocolEra `json:"protocolEra,omitempty"`
	// External is true for a server that is not a neighbour: whose addresses are
	// a load balancer's, so that no session is pinned to one, and that is reached
	// through the HTTP proxy which HTTPS_PROXY and the like name.
	External bool `json:"external,omitempty"`
	// Headers are put into each request to the server, in place of the caller's
	// of the same name.
	Headers []Header `json:"headers,omitempty"`
	// CAFile holds the certificates (PEM) that an https server is verified with,
	// in place of the system's. It is read again when it changes.
	CAFile string `json:"caFile,omitempty"`
}

// Header is one header of the requests to the server. Exactly one of Value and
// ValueFrom is set.
type Header struct {
	Name  string `json:"name"`
	Value string `json:"value,omitempty"`
	// ValueFrom is where a value is found that is not for everybody's eyes.
	ValueFrom *Credential `json:"valueFrom,omitempty"`
}

// Sessions says how replicas of one sampler share callers' sessions.
type Sessions struct {
	// KeyFile holds the key that seals the names of sessions, at least 32 random
	// bytes, the same for all replicas. It is read when the sampler starts. Left
	// out, the key is made then, and no session outlives the sampler.
	KeyFile string `json:"keyFile,omitempty"`
	// Replicas is the host:port at which all replicas are found: a name with an
	// address for each of them. Left out, there is only one.
	Replicas string `json:"replicas,omitempty"`
}

// Limits bound what callers and the server can make the sampler hold. What is
// above is refused with an error that names the limit.
type Limits struct {
	// RequestBytes bounds the body of a caller's request.
	RequestBytes int64 `json:"requestBytes,omitempty"`
	// EventBytes bounds one message of the server that has to be looked at: a
	// server-sent event, or a result that asks for input in the stateless era.
	// Other results in JSON pass without a look.
	EventBytes int64 `json:"eventBytes,omitempty"`
	// Sessions bounds the sessions that are held. The longest idle one makes
	// room; where none is idle, new ones are refused.
	Sessions int `json:"sessions,omitempty"`
	// Streams bounds the requests and streams of callers that are open at the
	// same time.
	Streams int `json:"streams,omitempty"`
	// SamplingPerSession bounds the sampling requests of one session that are
	// answered at the same time; of one call in the stateless era.
	SamplingPerSession int `json:"samplingPerSession,omitempty"`
}

// ResidentMode says what the sampler does with a session of its own.
type ResidentMode string

const (
	// ResidentProbe connects, looks and closes, again at intervals.
	ResidentProbe ResidentMode = "Probe"
	// ResidentHold stays connected and serves sampling that the server asks for
	// outside of any call.
	ResidentHold ResidentMode = "Hold"
	// ResidentOff never connects on its own.
	ResidentOff ResidentMode = "Off"
)

// ResidentSession configures the sampler's own session with the server.
type ResidentSession struct {
	// Mode is Probe where it is left out.
	Mode ResidentMode `json:"mode,omitempty"`
	// Interval is how long a look at the server is good for: at least 10 s, 1 min
	// where it is left out. A server that starts a process for each session pays
	// for each look with one.
	Interval Duration `json:"interval,omitempty"`
}

// Duration is a time.Duration written as Go does ("60s").
type Duration time.Duration
