// Package statusz is what a sampler says about itself: the only thing that the
// two halves of the project share on the way up. The sampler serves a Report as
// JSON at Path of its admin port; the operator reads it from every sampler pod
// and turns it into conditions.
//
// A report holds no key, no message content and no text of a provider. Names
// and versions that come from an MCP server are untrusted: the sampler cuts
// them to MaxText and whoever shows them treats them as text.
package statusz

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

const (
	// Path is where the admin port serves the report.
	Path = "/statusz"
	// ParamSince is a time (RFC 3339) in the report's query: what was found out about
	// the server before is old news, and the sampler looks again.
	ParamSince = "since"
	// MaxText is the length in bytes that free text is cut to.
	MaxText = 256
	// MaxBytes bounds a whole report; readers refuse a longer one.
	MaxBytes = 64 << 10
)

// Report is one sampler's state at one moment.
type Report struct {
	// ConfigHash is config.Effective.Hash of the configuration in use; empty
	// before the first one was loaded.
	ConfigHash string `json:"configHash,omitempty"`
	// ConfigError says why a newer file is not in use, in words for users.
	ConfigError string `json:"configError,omitempty"`
	// SessionKey tells keys of sessions apart: a short digest of a value derived
	// from the key.
	SessionKey string `json:"sessionKey,omitempty"`
	// Policy is the name of the policy in use; empty without one.
	Policy string `json:"policy,omitempty"`
	// Providers holds one entry per provider of the policy, in its order.
	Providers []Provider `json:"providers,omitempty"`
	// Store is that of the policy's limits; nil without one.
	Store *Store `json:"store,omitempty"`
	// Files are what the configuration names, but for keys of sessions and of
	// providers: values of headers, certificates, the store's password.
	Files []File `json:"files,omitempty"`
	// Server is what the resident session found.
	Server Server `json:"server"`
	// Sessions is the number of callers' sessions now open.
	Sessions int `json:"sessions"`
}

// CredentialState says what became of a provider's key.
type CredentialState string

const (
	// CredentialNone means that the provider needs none.
	CredentialNone CredentialState = "None"
	// CredentialLoaded means that there is a key.
	CredentialLoaded CredentialState = "Loaded"
	// CredentialMissing means that the file is absent or empty.
	CredentialMissing CredentialState = "Missing"
)

// ProviderState says how the newest contact with a provider went.
type ProviderState string

const (
	// ProviderUnknown means that there was none yet, or one that told nothing.
	ProviderUnknown ProviderState = "Unknown"
	// ProviderHealthy means that it answered.
	ProviderHealthy ProviderState = "Healthy"
	// ProviderRefused means that it refused the key (HTTP 401 or 403).
	ProviderRefused ProviderState = "CredentialRefused"
	// ProviderUnreachable means no connection, no such host, or no answer in
	// time.
	ProviderUnreachable ProviderState = "Unreachable"
	// ProviderFailing means that it answered with another error.
	ProviderFailing ProviderState = "Failing"
)

// Provider is the state of one provider as this sampler sees it.
type Provider struct {
	Name       string          `json:"name"`
	Credential CredentialState `json:"credential"`
	// CredentialRef is what users call the key's place.
	CredentialRef string        `json:"credentialRef,omitempty"`
	State         ProviderState `json:"state"`
	// Model is the name, at the provider, of a model that it does not know, in
	// state Failing; empty otherwise.
	Model string `json:"model,omitempty"`
	// Detail is a short, safe text ("HTTP 401", "connection refused"). It never
	// quotes what the provider said.
	Detail string `json:"detail,omitempty"`
	// At is when State was seen.
	At time.Time `json:"at,omitzero"`
}

// StoreState says how the newest contact with the store of the limits went.
type StoreState string

const (
	// StoreUnknown means that there was none yet.
	StoreUnknown StoreState = "Unknown"
	// StoreHealthy means that it answered.
	StoreHealthy StoreState = "Healthy"
	// StoreRefused means that it refused who logs in.
	StoreRefused StoreState = "CredentialRefused"
	// StoreUnreachable means no connection, or no answer in time.
	StoreUnreachable StoreState = "Unreachable"
)

// Store is where samplers count limits together.
type Store struct {
	State StoreState `json:"state"`
	// Detail is a short, safe text.
	Detail string `json:"detail,omitempty"`
	// FailsClosed means that nothing is answered while it is not healthy.
	FailsClosed bool `json:"failsClosed,omitempty"`
	// At is when State was seen.
	At time.Time `json:"at,omitzero"`
}

// File is something that the configuration names by a file.
type File struct {
	// Path is that of the configuration.
	Path string `json:"path"`
	// State is Missing also for a file in which there is nothing of use.
	State CredentialState `json:"state"`
}

// ServerState says what the resident session found.
type ServerState string

const (
	// ServerUnknown means that it has not looked yet, cannot, or never does.
	ServerUnknown ServerState = "Unknown"
	// ServerVerified means that the handshake and the tool list succeeded.
	ServerVerified ServerState = "Verified"
	// ServerUnauthorized means that the server wants credentials from callers,
	// so that the sampler cannot look by itself (HTTP 401 or 403).
	ServerUnauthorized ServerState = "Unauthorized"
	// ServerUnreachable means no connection or no answer in time.
	ServerUnreachable ServerState = "Unreachable"
	// ServerNotMCP means that something answered which is no MCP server at that
	// path.
	ServerNotMCP ServerState = "NotMCP"
	// ServerWrongEra means that it knows only the stateless era, where the
	// configuration wants sessions.
	ServerWrongEra ServerState = "WrongEra"
)

// Eras of the protocol, as Server.Era has them.
const (
	// EraLegacy is that of sessions, versions up to 2025-11-25.
	EraLegacy = "Legacy"
	// EraModern is the stateless one, version 2026-07-28 and later.
	EraModern = "Modern"
)

// Server is what the resident session found out about the MCP server.
type Server struct {
	State ServerState `json:"state"`
	// Upstream is config.Upstream.Hash of what was looked at.
	Upstream        string `json:"upstream,omitempty"`
	Name            string `json:"name,omitempty"`
	Version         string `json:"version,omitempty"`
	ProtocolVersion string `json:"protocolVersion,omitempty"`
	// Era is EraLegacy, or EraModern for a server that has no sessions; empty as
	// long as it is not known.
	Era string `json:"era,omitempty"`
	// Tools is the number of tools it lists; absent if it has no tools
	// capability.
	Tools *int32 `json:"tools,omitempty"`
	// Detail is a short, safe text for users.
	Detail string    `json:"detail,omitempty"`
	At     time.Time `json:"at,omitzero"`
}

// Clean makes untrusted text fit for a report and for whoever shows it: one line
// of valid UTF-8 that can be printed, of at most MaxText bytes.
func Clean(s string) string {
	if len(s) > 4*MaxText {
		s = s[:4*MaxText]
	}
	s = strings.TrimSpace(strings.Map(printable, s))
	for len(s) > MaxText {
		_, size := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-size]
	}
	return strings.TrimSpace(s)
}

// printable drops what cannot be printed, also what hides or turns other text.
func printable(r rune) rune {
	switch {
	case unicode.IsSpace(r):
		return ' '
	case r == utf8.RuneError, !unicode.IsPrint(r):
		return -1
	default:
		return r
	}
}
