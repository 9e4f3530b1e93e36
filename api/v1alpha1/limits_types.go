package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// SamplingLimits bound what one server may use. Several samplers of a server
// divide them among each other, unless they count together in a store.
//
// +kubebuilder:validation:XValidation:rule="!has(self.perSession) || [[has(self.perSession.concurrent) ? self.perSession.concurrent : 0, has(self.concurrent) ? self.concurrent : 0], [has(self.perSession.requestsPerMinute) ? self.perSession.requestsPerMinute : 0, has(self.requestsPerMinute) ? self.requestsPerMinute : 0], [has(self.perSession.tokensPerMinute) ? self.perSession.tokensPerMinute : 0, has(self.tokensPerMinute) ? self.tokensPerMinute : 0], [has(self.perSession.tokensPerDay) ? self.perSession.tokensPerDay : 0, has(self.tokensPerDay) ? self.tokensPerDay : 0]].all(l, l[1] == 0 || l[0] <= l[1])",message="a limit of limits.perSession above the server's own would never count: lower or remove it"
// +kubebuilder:validation:XValidation:rule="!has(self.store) || has(self.concurrent) || has(self.requestsPerMinute) || has(self.tokensPerMinute) || has(self.tokensPerDay)",message="limits.store has nothing to count: write concurrent, requestsPerMinute, tokensPerMinute or tokensPerDay, or remove it"
type SamplingLimits struct {
	// concurrent is the highest number of requests at the same time, 1 to 10000.
	// Omitted sets no limit.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10000
	Concurrent int32 `json:"concurrent,omitempty"`

	// requestsPerMinute is the highest number of requests in any 60 seconds, 1 to
	// 1000000. Omitted sets no limit.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000000
	RequestsPerMinute int64 `json:"requestsPerMinute,omitempty"`

	// tokensPerMinute is the highest number of tokens, of questions and answers,
	// in any 60 seconds, 1 to 1000000000000. Omitted sets no limit.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000000000000
	TokensPerMinute int64 `json:"tokensPerMinute,omitempty"`

	// tokensPerDay is the highest number of tokens in any 24 hours, 1 to
	// 1000000000000. Omitted sets no limit.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000000000000
	TokensPerDay int64 `json:"tokensPerDay,omitempty"`

	// perSession are limits on each session; in the stateless era of the protocol,
	// on each call. Omitted sets none.
	// +optional
	PerSession *SessionLimits `json:"perSession,omitempty"`

	// requestsPerCall is the highest number of sampling requests within one call
	// of a tool, 1 to 10000: it ends loops. Omitted means 256.
	// +optional
	// +kubebuilder:default=256
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10000
	RequestsPerCall int32 `json:"requestsPerCall,omitempty"`

	// requestBytes bounds what a server sends with one request, 1024 to 268435456.
	// Omitted sets no limit but those of the MCPServer.
	// +optional
	// +kubebuilder:validation:Minimum=1024
	// +kubebuilder:validation:Maximum=268435456
	RequestBytes int64 `json:"requestBytes,omitempty"`

	// timeout bounds one request with all waiting, retries and fallbacks, 1s to
	// 1h. Omitted means 5m.
	// +optional
	// +kubebuilder:default="5m"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s') && duration(self) <= duration('1h')",message="limits.timeout must be a duration such as 30s or 5m, from 1s to 1h"
	Timeout *metav1.Duration `json:"timeout,omitempty"`

	// queueTimeout is how long a request waits for its turn before it is refused,
	// 0s to 10m. Sessions that wait get turns alike. 0s refuses at once. Omitted
	// means 10s.
	// +optional
	// +kubebuilder:default="10s"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('0s') && duration(self) <= duration('10m')",message="limits.queueTimeout must be a duration such as 5s or 1m, from 0s to 10m"
	QueueTimeout *metav1.Duration `json:"queueTimeout,omitempty"`

	// store is where the samplers of a server count together. Omitted gives each
	// sampler its share of the limits.
	// +optional
	Store *LimitStore `json:"store,omitempty"`
}

// SessionLimits are limits on one session.
type SessionLimits struct {
	// concurrent is the highest number of requests at the same time, 1 to 10000.
	// Omitted sets no limit.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10000
	Concurrent int32 `json:"concurrent,omitempty"`

	// requestsPerMinute is the highest number of requests in any 60 seconds, 1 to
	// 1000000. Omitted sets no limit.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000000
	RequestsPerMinute int64 `json:"requestsPerMinute,omitempty"`

	// tokensPerMinute is the highest number of tokens in any 60 seconds, 1 to
	// 1000000000000. Omitted sets no limit.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000000000000
	TokensPerMinute int64 `json:"tokensPerMinute,omitempty"`

	// tokensPerDay is the highest number of tokens in any 24 hours, 1 to
	// 1000000000000. Omitted sets no limit.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000000000000
	TokensPerDay int64 `json:"tokensPerDay,omitempty"`
}

// LimitStore is a Redis, a Valkey, or whatever speaks their protocol.
//
// +kubebuilder:validation:XValidation:rule="!has(self.username) || has(self.credential)",message="limits.store.username needs credential: name the Secret with the password, or remove username"
// +kubebuilder:validation:XValidation:rule="!has(self.caBundleRef) || (has(self.tls) && self.tls)",message="limits.store.caBundleRef is for a store with TLS: write tls: true, or remove caBundleRef"
type LimitStore struct {
	// address is host:port of the store. At most 253 characters.
	// +required
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^([A-Za-z0-9._-]+|[[][0-9A-Fa-f:.]+[]]):([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])$')",message="address must be host:port, such as redis.example:6379, without a scheme or a password (that is for limits.store.credential)"
	Address string `json:"address"`

	// username logs in together with credential. Omitted means the default user.
	// At most 253 characters.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Username string `json:"username,omitempty"`

	// credential is where the password is found. Omitted logs nobody in.
	// +optional
	Credential *Credential `json:"credential,omitempty"`

	// tls encrypts the connection. Omitted means false.
	// +optional
	TLS bool `json:"tls,omitempty"`

	// caBundleRef names the certificates that the store is verified with, in place
	// of the system's. Omitted uses the system's.
	// +optional
	CABundleRef *ConfigMapKeyRef `json:"caBundleRef,omitempty"`

	// onUnavailable is what happens while the store does not answer: FailOpen goes
	// on with each sampler's share of the limits, FailClosed refuses all requests.
	// Omitted means FailOpen.
	// +optional
	// +kubebuilder:default=FailOpen
	OnUnavailable OnUnavailable `json:"onUnavailable,omitempty"`
}

// OnUnavailable says what happens while the store does not answer.
//
// +kubebuilder:validation:Enum=FailOpen;FailClosed
type OnUnavailable string

const (
	// OnUnavailableFailOpen goes on with each sampler's share.
	OnUnavailableFailOpen OnUnavailable = "FailOpen"
	// OnUnavailableFailClosed refuses all requests.
	OnUnavailableFailClosed OnUnavailable = "FailClosed"
)

// Audit says what is recorded of each request.
type Audit struct {
	// level is how much is written to the sampler's output of each request: None
	// for nothing, Metadata for all but content, Content for all. Omitted means
	// Metadata.
	// +optional
	// +kubebuilder:default=Metadata
	Level AuditLevel `json:"level,omitempty"`
}

// AuditLevel is how much is recorded.
//
// +kubebuilder:validation:Enum=None;Metadata;Content
type AuditLevel string

const (
	// AuditNone records nothing.
	AuditNone AuditLevel = "None"
	// AuditMetadata records all but content.
	AuditMetadata AuditLevel = "Metadata"
	// AuditContent records what was asked and answered, too.
	AuditContent AuditLevel = "Content"
)
