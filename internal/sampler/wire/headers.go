package wire

import (
	"encoding/base64"
	"fmt"
	"strings"
)

// Headers of Streamable HTTP.
const (
	HeaderSession = "Mcp-Session-Id"
	HeaderVersion = "Mcp-Protocol-Version"
	// HeaderAudit is the sampler's own: by what name audit records know the session
	// that a response names.
	HeaderAudit = "Mcp-Sampling-Session"
	// HeaderMethod and HeaderName repeat what a request of the stateless era is
	// and is for.
	HeaderMethod = "Mcp-Method"
	HeaderName   = "Mcp-Name"
)

// DecodeHeader undoes how values are written that cannot stand in a header
// (specification, Streamable HTTP, value encoding). Others it returns as they
// are.
func DecodeHeader(value string) (string, error) {
	encoded, ok := strings.CutPrefix(value, "=?base64?")
	if !ok {
		return value, nil
	}
	if encoded, ok = strings.CutSuffix(encoded, "?="); !ok {
		return value, nil
	}
	decoded, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return "", fmt.Errorf("reading a header in base64: %w", err)
	}
	return string(decoded), nil
}
