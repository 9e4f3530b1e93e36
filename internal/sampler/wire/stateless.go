package wire

import (
	"bytes"
	"encoding/json"
)

// Methods of the stateless era whose result can ask for input (specification:
// multi round-trip requests).
const (
	MethodCallTool     = "tools/call"
	MethodGetPrompt    = "prompts/get"
	MethodReadResource = "resources/read"
)

// Members of _meta by which each request says what a session says once.
const (
	// MetaVersion names the version of the request.
	MetaVersion      = "io.modelcontextprotocol/protocolVersion"
	metaCapabilities = "io.modelcontextprotocol/clientCapabilities"
)

// Stateless is what a request of the stateless era says beside its arguments.
type Stateless struct {
	// Version is empty where the request names none.
	Version string
	// Sampling is what the caller declares. Capable is false where the request has
	// no capabilities, which each must have.
	Sampling SamplingCapability
	Capable  bool
	// Name is the tool, prompt or resource that the request is for, which the
	// header Mcp-Name repeats; HasName is false where there is none.
	Name    string
	HasName bool
	// InputResponses are what a caller adds on its retry. State is the state of
	// the request; absent and null are nil.
	InputResponses, State json.RawMessage
}

// ReadStateless reads the params of a request.
func ReadStateless(m Message) Stateless {
	var s Stateless
	nameMember := ""
	switch m.Method {
	case MethodCallTool, MethodGetPrompt:
		nameMember = "name"
	case MethodReadResource:
		nameMember = "uri"
	}
	var meta json.RawMessage
	err := eachMember(m.Params, func(f member) error {
		value := m.Params[f.valueStart:f.valueEnd]
		switch string(f.name) {
		case "_meta":
			meta = value
		case nameMember:
			s.Name, s.HasName = text(value)
		case memberResponses:
			s.InputResponses = notNull(value)
		case memberState:
			s.State = notNull(value)
		}
		return nil
	})
	if err != nil || meta == nil {
		return s
	}
	_ = eachMember(meta, func(f member) error { // what cannot be read is not said
		value := meta[f.valueStart:f.valueEnd]
		switch string(f.name) {
		case MetaVersion:
			s.Version, _ = text(value)
		case metaCapabilities:
			s.Sampling, s.Capable = samplingIn(value), isObject(value)
		}
		return nil
	})
	return s
}

// DeclareStateless returns the request body with the sampling capability want in
// its _meta. No byte outside of that capability changes, and the body itself is
// returned where nothing does.
func DeclareStateless(body []byte, want SamplingCapability) ([]byte, error) {
	return declareAt(body, want, "params", "_meta", metaCapabilities)
}

// TakesRounds reports whether the result of a method can ask for input.
func TakesRounds(method string) bool {
	switch method {
	case MethodCallTool, MethodGetPrompt, MethodReadResource:
		return true
	}
	return false
}

// CanonicalParams returns what a request is for, so that its retries have the
// same: the params without what a retry changes, and without _meta.
func CanonicalParams(params json.RawMessage) []byte {
	var members map[string]any
	decoder := json.NewDecoder(bytes.NewReader(params))
	decoder.UseNumber()
	if decoder.Decode(&members) != nil {
		return params
	}
	for _, name := range []string{"_meta", memberResponses, memberState} {
		delete(members, name)
	}
	canonical, err := json.Marshal(members) // in the order of names
	if err != nil {
		return params
	}
	return canonical
}

// text returns the text of a JSON string.
func text(value json.RawMessage) (string, bool) {
	if len(value) < 2 || value[0] != '"' {
		return "", false
	}
	unquoted, err := unquote(value)
	return string(unquoted), err == nil
}

func notNull(value json.RawMessage) json.RawMessage {
	if string(value) == "null" {
		return nil
	}
	return value
}

// Text returns the text of a JSON string; empty for anything else.
func Text(value json.RawMessage) string {
	s, _ := text(value)
	return s
}
