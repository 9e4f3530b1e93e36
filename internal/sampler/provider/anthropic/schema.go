package anthropic

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider/toolname"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

// maxArgument is the bound of Anthropic's API on an argument's name.
const maxArgument = 64

// isArgument reports whether that API takes the name of an argument.
func isArgument(name string) bool {
	for i, r := range name {
		if r != '.' && !toolname.Identifier(i, r) {
			return false
		}
	}
	return name != "" && len(name) <= maxArgument
}

// schema passes a tool's schema on as it came. The API demands its type, which
// MCP's rules leave no choice about, and refuses what some servers write.
func (q *question) schema(t wire.Tool) (json.RawMessage, error) {
	var fields struct {
		Type       json.RawMessage            `json:"type"`
		Properties map[string]json.RawMessage `json:"properties"`
		OneOf      json.RawMessage            `json:"oneOf"`
		AnyOf      json.RawMessage            `json:"anyOf"`
		AllOf      json.RawMessage            `json:"allOf"`
	}
	raw := bytes.TrimSpace(t.InputSchema)
	if len(raw) == 0 || raw[0] != '{' || json.Unmarshal(raw, &fields) != nil {
		return nil, unsupported(fmt.Sprintf("the inputSchema of tool %q is not a JSON schema of an object", t.Name))
	}
	if q.rules.vendor {
		if fields.OneOf != nil || fields.AnyOf != nil || fields.AllOf != nil {
			return nil, unsupported(fmt.Sprintf("the model provider takes no oneOf, anyOf or allOf at the top of an inputSchema, as tool %q has", t.Name))
		}
		for name := range fields.Properties {
			if !isArgument(name) {
				return nil, unsupported(fmt.Sprintf("the model provider takes names of arguments of at most 64 letters, digits, '_', '.' and '-' only: tool %q has others", t.Name))
			}
		}
	}
	switch string(fields.Type) {
	case `"object"`:
		return raw, nil
	case "":
		rest := bytes.TrimSpace(raw[1:])
		if rest[0] == '}' {
			return json.RawMessage(`{"type":"object"}`), nil
		}
		return append([]byte(`{"type":"object",`), rest...), nil
	default:
		return nil, unsupported(fmt.Sprintf("the inputSchema of tool %q must have the type object", t.Name))
	}
}
