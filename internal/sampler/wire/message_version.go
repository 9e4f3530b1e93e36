package wire

import "encoding/json"

// VersionModern is the first version of the stateless era: no initialize and no
// session, and servers do not send requests.
const VersionModern = "2026-07-28"

// LegacyVersions are those of the session era, newest first.
func LegacyVersions() []string {
	return []string{"2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"}
}

// Errors of the stateless era.
const (
	// CodeHeaderMismatch means that the header of a request is not what its body
	// says.
	CodeHeaderMismatch = -32020
	// CodeUnsupportedVersion names the versions that it could be instead.
	CodeUnsupportedVersion = -32022
)

// MethodDiscover is how a stateless client begins.
const MethodDiscover = "server/discover"

// IsModern reports whether m says that it is a request of the stateless era. The
// transport may say so too.
func (m Message) IsModern() bool {
	if m.Method == MethodDiscover {
		return true
	}
	meta, err := lookup(m.Params, "_meta")
	if err != nil {
		return false
	}
	raw, err := lookup(meta, "io.modelcontextprotocol/protocolVersion")
	if err != nil || raw == nil {
		return false
	}
	var version string
	return json.Unmarshal(raw, &version) == nil && IsModernVersion(version)
}

// IsModernVersion reports whether a version is of the stateless era. Versions are
// dates, so it compares them as text.
func IsModernVersion(version string) bool {
	return len(version) == len(VersionModern) && version >= VersionModern
}

// UnsupportedVersion is the error for a request of the stateless era where only
// the session era is served.
func UnsupportedVersion(requested string) *Error {
	data, err := json.Marshal(struct {
		Supported []string `json:"supported"`
		Requested string   `json:"requested,omitempty"`
	}{LegacyVersions(), requested})
	if err != nil {
		data = nil
	}
	return &Error{
		Code:    CodeUnsupportedVersion,
		Message: "sampling is served to protocol versions up to " + LegacyVersions()[0] + " only: use initialize",
		Data:    data,
	}
}
