package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TransportType names one of MCP's transports.
//
// +kubebuilder:validation:Enum=StreamableHTTP;SSE;Stdio
type TransportType string

const (
	// TransportStreamableHTTP is one HTTP endpoint for everything (specification
	// 2025-03-26 and later).
	TransportStreamableHTTP TransportType = "StreamableHTTP"
	// TransportSSE is a stream and an endpoint for messages (specification
	// 2024-11-05). Callers speak it too.
	TransportSSE TransportType = "SSE"
	// TransportStdio is a process that reads and writes lines. Callers speak
	// Streamable HTTP.
	TransportStdio TransportType = "Stdio"
)

// ProtocolEra says in which of the protocol's eras callers are served.
//
// +kubebuilder:validation:Enum=Auto;Legacy
type ProtocolEra string

const (
	// ProtocolEraAuto leaves it to caller and server.
	ProtocolEraAuto ProtocolEra = "Auto"
	// ProtocolEraLegacy makes every caller use sessions.
	ProtocolEraLegacy ProtocolEra = "Legacy"
)

// StdioProcess says how many processes a server over stdio needs.
//
// +kubebuilder:validation:Enum=PerSession;Shared
type StdioProcess string

const (
	// StdioPerSession runs a process for each session.
	StdioPerSession StdioProcess = "PerSession"
	// StdioShared runs one process for all sessions.
	StdioShared StdioProcess = "Shared"
)

// DefaultServerPort is used where spec.transport.port is omitted.
const DefaultServerPort int32 = 8000

// Transport is how the server speaks MCP.
//
// +kubebuilder:validation:XValidation:rule="!has(self.stdio) || (has(self.type) && self.type == 'Stdio')",message="transport.stdio is for transport type Stdio: set type to Stdio, or remove stdio"
// +kubebuilder:validation:XValidation:rule="!has(self.type) || self.type != 'SSE' || !has(self.protocolEra) || self.protocolEra == 'Auto'",message="transport type SSE has only the era with sessions: remove transport.protocolEra"
type Transport struct {
	// type is the transport: StreamableHTTP, SSE (that of 2024-11-05), or Stdio
	// (the container's command is started by a bridge that speaks Streamable HTTP
	// for it). Omitted means StreamableHTTP.
	// +optional
	// +kubebuilder:default=StreamableHTTP
	Type TransportType `json:"type,omitempty"`

	// port is where the container listens, 1 to 65535. Omitted means 8000. Only
	// with container.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Port *int32 `json:"port,omitempty"`

	// path is the path of the MCP endpoint, at the server and for callers.
	// Omitted means /sse for type SSE and /mcp for the others. It begins with a
	// slash; there is no query, fragment or escape in it. At most 253 characters.
	// Not with remote.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule=`self.matches("^/[A-Za-z0-9._~!$&'()*+,;=:@/-]*$")`,message="path must begin with / and hold only letters, digits and -._~!$&'()*+,;=:@/ after it, such as /mcp: no query, no fragment, no % escapes"
	// +kubebuilder:validation:XValidation:rule="!self.startsWith('/.well-known')",message="a path below /.well-known is passed to the server as it is: choose another one for the MCP endpoint"
	Path *string `json:"path,omitempty"`

	// protocolEra says in which era of the protocol callers are served: Auto
	// leaves it to caller and server; Legacy makes callers of 2026-07-28 and later
	// fall back to sessions, for a server that knows both eras and samples in
	// sessions only. Omitted means Auto.
	// +optional
	// +kubebuilder:default=Auto
	ProtocolEra ProtocolEra `json:"protocolEra,omitempty"`

	// stdio says how the command of a server over stdio is run. Only with type
	// Stdio.
	// +optional
	Stdio *StdioTransport `json:"stdio,omitempty"`
}

// StdioTransport says how a server over stdio is run.
//
// +kubebuilder:validation:XValidation:rule="!has(self.maxProcesses) || !has(self.process) || self.process == 'PerSession'",message="transport.stdio.maxProcesses is for process PerSession: with Shared there is one, remove maxProcesses"
type StdioTransport struct {
	// process says whether each session has a process of its own (PerSession), or
	// all share one (Shared), for servers that keep nothing of a session: what
	// its process asks for and cannot be attributed to one session is refused.
	// Omitted means PerSession.
	// +optional
	// +kubebuilder:default=PerSession
	Process StdioProcess `json:"process,omitempty"`

	// maxProcesses bounds the processes of one pod, 1 to 10000. Where all are in
	// use, a new session is refused with 503. Omitted means 64. Only with process
	// PerSession.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10000
	MaxProcesses *int32 `json:"maxProcesses,omitempty"`

	// idleTimeout ends a session, and its process, in which nobody has called for
	// that long, 1s to 168h. Omitted means 30m.
	// +optional
	// +kubebuilder:default="30m"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s') && duration(self) <= duration('168h')",message="idleTimeout must be a duration such as 90s, 30m or 8h, from 1s to 168h"
	IdleTimeout *metav1.Duration `json:"idleTimeout,omitempty"`
}

// RemoteServer is a server that is reached by a URL.
//
// +kubebuilder:validation:XValidation:rule="!has(self.caBundleRef) || self.url.startsWith('https:')",message="remote.caBundleRef is for a server with TLS: begin remote.url with https://, or remove caBundleRef"
type RemoteServer struct {
	// url is the server's MCP endpoint, http or https, without credentials, query
	// or fragment. Callers use its path on the sampler too. At most 1024
	// characters.
	// +required
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule=`isURL(self) && self.matches("^https?://[A-Za-z0-9._:[\\]-]+(/[A-Za-z0-9._~!$&'()*+,;=:@/-]*)?$")`,message="url must be the address of the MCP endpoint, such as https://mcp.example.com/mcp: http or https, without credentials, query, fragment or % escapes (put a key into a Secret and name it in remote.headers)"
	// +kubebuilder:validation:XValidation:rule="!isURL(self) || (url(self).getHostname() != '' && (url(self).getPort() == '' || (url(self).getPort().size() <= 5 && int(url(self).getPort()) >= 1 && int(url(self).getPort()) <= 65535)))",message="url must have a host, and a port from 1 to 65535 or none"
	URL string `json:"url"`

	// headers are put into each request to the server, in place of the caller's
	// of the same name. At most 16 items.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:XValidation:rule="self.all(h, self.exists_one(o, o.name.lowerAscii() == h.name.lowerAscii()))",message="write each header once: names differ by more than upper and lower case"
	Headers []Header `json:"headers,omitempty"`

	// caBundleRef names the certificates that the server is verified with, in
	// place of the system's. Omitted uses the system's.
	// +optional
	CABundleRef *ConfigMapKeyRef `json:"caBundleRef,omitempty"`
}

// Header is one header of requests that samplers send.
//
// +kubebuilder:validation:XValidation:rule="has(self.value) != has(self.valueFrom)",message="write either value, which everybody may read, or valueFrom, for each header"
type Header struct {
	// name is the name of the header. At most 128 characters.
	// +required
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9!#$%&*+.^_|~-]+$')",message="name must be the name of a header, such as Authorization or X-Api-Key"
	// +kubebuilder:validation:XValidation:rule="!self.lowerAscii().startsWith('mcp-') && !(self.lowerAscii() in ['connection', 'content-length', 'content-type', 'accept', 'accept-encoding', 'host', 'transfer-encoding', 'te', 'trailer', 'upgrade', 'expect', 'keep-alive', 'proxy-connection', 'last-event-id', 'origin'])",message="this header is set for each request by the sampler: remove it"
	Name string `json:"name"`

	// value is the value, printable ASCII. At most 4096 characters.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=4096
	// +kubebuilder:validation:XValidation:rule="self.matches('^[ -~]*$')",message="value must be one line of printable ASCII"
	Value string `json:"value,omitempty"`

	// valueFrom is where a value is found that is not for everybody's eyes.
	// +optional
	ValueFrom *HeaderSource `json:"valueFrom,omitempty"`
}

// HeaderSource says where the value of a header is found.
type HeaderSource struct {
	// secretKeyRef is a key of a Secret in this namespace that holds the whole
	// value, such as "Bearer …". The operator mounts it into the sampler's pods
	// and never reads it.
	// +required
	SecretKeyRef SecretKeyRef `json:"secretKeyRef"`
}

// ConfigMapKeyRef names a key of a ConfigMap in the same namespace.
type ConfigMapKeyRef struct {
	// name is the name of the ConfigMap. At most 253 characters.
	// +required
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$`
	Name string `json:"name"`

	// key is the key inside the ConfigMap. Omitted means ca.crt. At most 253
	// characters.
	// +optional
	// +kubebuilder:default=ca.crt
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[-_a-zA-Z0-9][-._a-zA-Z0-9]*$`
	Key string `json:"key,omitempty"`
}
