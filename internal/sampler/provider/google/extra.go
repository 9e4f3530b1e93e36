package google

import (
	"encoding/json"
	"maps"
	"strings"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider"
)

// extra is what a policy adds to the body.
type extra map[string]any

// decided are the fields that come from the request alone, also where it has
// none of them.
var decided = []string{"model", "contents", "systemInstruction", "tools", "toolConfig"}

// newExtra reads a JSON object; nil where there is nothing to add. The API knows
// each field by two names, so both are brought into one: what is said twice it
// refuses, or takes the wrong one.
func newExtra(raw json.RawMessage) (extra, error) {
	if len(raw) == 0 {
		return nil, nil
	}
	var fields map[string]any
	if err := json.Unmarshal(raw, &fields); err != nil {
		return nil, &provider.Error{Kind: provider.KindRejected, Detail: "the policy's extraBody is not a JSON object"}
	}
	fields = camelKeys(fields)
	if config, ok := fields["generationConfig"].(map[string]any); ok {
		config = camelKeys(config)
		remove(config, "candidateCount") // only the first is read
		fields["generationConfig"] = config
	}
	for _, name := range decided {
		remove(fields, name)
	}
	if len(fields) == 0 {
		return nil, nil
	}
	return fields, nil
}

// remove takes a field out however it is written: some servers read keys without
// case.
func remove(fields map[string]any, name string) {
	maps.DeleteFunc(fields, func(key string, _ any) bool { return strings.EqualFold(key, name) })
}

// below adds what the body does not say itself.
func (e extra) below(body map[string]any) map[string]any {
	return merge(body, e)
}

// merge returns over with the fields of under that it lacks, in objects within
// objects too. It changes neither.
func merge(over, under map[string]any) map[string]any {
	merged := maps.Clone(under)
	for name, value := range over {
		upper, isObject := value.(map[string]any)
		lower, both := merged[name].(map[string]any)
		remove(merged, name)
		if isObject && both {
			value = merge(upper, lower)
		}
		merged[name] = value
	}
	return merged
}

// camelKeys writes the keys of an object as the API's JSON has them:
// max_output_tokens is maxOutputTokens.
func camelKeys(object map[string]any) map[string]any {
	camel := make(map[string]any, len(object))
	for key, value := range object {
		parts := strings.Split(key, "_")
		for i, part := range parts[1:] {
			if part != "" {
				parts[i+1] = strings.ToUpper(part[:1]) + part[1:]
			}
		}
		camel[strings.Join(parts, "")] = value
	}
	return camel
}
