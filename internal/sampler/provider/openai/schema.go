package openai

import (
	"bytes"
	"encoding/json"
	"strings"
	"unicode/utf8"

	"github.com/tidwall/gjson"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

// newTool makes a tool's schema say outright what the API wants to read, and
// leaves all the rest as it is. name is what the API is told.
func newTool(t *wire.Tool, name string, vendor bool) (tool, error) {
	schema := gjson.ParseBytes(t.InputSchema)
	if schema.Exists() && schema.Type != gjson.Null && !schema.IsObject() {
		return tool{}, refusedSchema(t.Name, "is not an object")
	}
	var typed, hasProperties, described bool
	var problem string
	schema.ForEach(func(key, value gjson.Result) bool {
		switch key.String() {
		case "type":
			typed = true
			if vendor && value.String() != "object" {
				problem = "must have the type object"
			}
		case "properties":
			hasProperties = true
		case "description":
			described = true
		case "oneOf", "anyOf", "allOf", "enum", "not":
			if vendor {
				problem = "has " + key.String() + " at its top, which the model provider refuses"
			}
		}
		return true
	})
	if problem != "" {
		return tool{}, refusedSchema(t.Name, problem)
	}
	parameters := t.InputSchema
	if vendor && bytes.Contains(parameters, []byte(`"array"`)) {
		parameters = appendSchema(nil, schema, 0)
	}
	description, rest := t.Description, ""
	if vendor {
		description, rest = cut(t.Description, maxToolDescription)
	}
	var added []byte
	if !typed {
		added = append(added, `,"type":"object"`...)
	}
	if !hasProperties {
		// The vendor refuses a schema without them.
		added = append(added, `,"properties":{}`...)
	}
	switch {
	case rest == "":
	case described:
		return tool{}, &provider.UnsupportedError{What: "the description of the tool " + t.Name + " is too long for the model provider"}
	default:
		// What the description has no room for, the schema's has.
		text, err := json.Marshal(rest)
		if err != nil {
			return tool{}, refusedSchema(t.Name, "cannot be written")
		}
		added = append(append(added, `,"description":`...), text...)
	}
	return tool{Type: typeFunction, Function: function{
		Name: name, Description: description, Parameters: withMembers(parameters, added),
	}}, nil
}

// withMembers adds members, each after a comma, to an object.
func withMembers(object json.RawMessage, added []byte) json.RawMessage {
	if len(added) == 0 {
		return object
	}
	inside := bytes.TrimSpace(object)
	if len(inside) < 2 || inside[0] != '{' { // absent or null
		inside = []byte("{}")
	}
	inside = bytes.TrimSpace(inside[1 : len(inside)-1])
	out := make([]byte, 0, len(inside)+len(added)+2)
	out = append(append(out, '{'), inside...)
	if len(inside) == 0 {
		added = added[1:]
	}
	return append(append(out, added...), '}')
}

func refusedSchema(name, problem string) error {
	return &provider.UnsupportedError{What: "the inputSchema of the tool " + name + " " + problem}
}

// cut parts a text after most characters, as JSON counts them.
func cut(text string, most int) (head, rest string) {
	if len(text) <= most || utf8.RuneCountInString(text) <= most {
		return text, ""
	}
	for i := range text {
		if most == 0 {
			return text[:i], text[i:]
		}
		most--
	}
	return text, ""
}

// Where schemas are found in a schema.
var (
	schemaMembers = map[string]bool{
		"items": true, "additionalProperties": true, "additionalItems": true, "contains": true,
		"propertyNames": true, "not": true, "if": true, "then": true, "else": true,
		"unevaluatedItems": true, "unevaluatedProperties": true,
		"anyOf": true, "oneOf": true, "allOf": true, "prefixItems": true,
	}
	schemaMaps = map[string]bool{
		"properties": true, "patternProperties": true, "$defs": true, "definitions": true, "dependentSchemas": true,
	}
)

// maxDepth is how deep a schema is mended: each level reads all below it again.
const maxDepth = 32

// appendSchema writes a schema whose arrays all say what their items are: the
// vendor refuses arrays that leave it out, which means the same as {}.
func appendSchema(out []byte, schema gjson.Result, depth int) []byte {
	if schema.IsArray() {
		return appendEach(out, schema, '[', ']', nil, depth)
	}
	if !schema.IsObject() || depth > maxDepth {
		return append(out, schema.Raw...)
	}
	isArray, hasItems := false, false
	schema.ForEach(func(key, value gjson.Result) bool {
		switch key.String() {
		case "type":
			isArray = value.String() == "array" || (value.IsArray() && strings.Contains(value.Raw, `"array"`))
		case "items":
			hasItems = true
		}
		return true
	})
	out = appendEach(out, schema, '{', '}', func(key string) (nested, isMap bool) {
		return schemaMembers[key], schemaMaps[key]
	}, depth)
	if isArray && !hasItems {
		out = append(out[:len(out)-1], `,"items":{}}`...)
	}
	return out
}

// appendEach writes what a list or an object holds. place says of a member
// whether it is a schema, or a map of them; nil means that all are schemas.
func appendEach(out []byte, v gjson.Result, begin, end byte, place func(key string) (nested, isMap bool), depth int) []byte {
	out = append(out, begin)
	first := true
	v.ForEach(func(key, value gjson.Result) bool {
		if !first {
			out = append(out, ',')
		}
		first = false
		if begin == '{' {
			out = append(append(out, key.Raw...), ':')
		}
		nested, isMap := true, false
		if place != nil {
			nested, isMap = place(key.String())
		}
		switch {
		case isMap && value.IsObject():
			out = appendEach(out, value, '{', '}', nil, depth+1)
		case nested:
			out = appendSchema(out, value, depth+1)
		default:
			out = append(out, value.Raw...)
		}
		return true
	})
	return append(out, end)
}
