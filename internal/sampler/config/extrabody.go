package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// maxExtraBody bounds an extraBody, so that a configuration with many models
// still fits into a ConfigMap.
const maxExtraBody = 16 << 10

// extraBodyType is the type of the fields that hold any JSON object.
var extraBodyType = reflect.TypeFor[json.RawMessage]()

// What a policy says at other places, or the request itself. Were it merged from
// extraBody, a model could be asked that is not allowed, or a limit passed by.
const (
	ofModels      = "write the model into models.allowed"
	ofFallbacks   = "write models.fallbacks"
	ofRequest     = "it comes from the server's request"
	ofPrompt      = "write parameters.systemPrompt"
	ofTools       = "it comes from the server's request: write capabilities.tools, toolNames or toolChoice"
	ofStreams     = "answers are never streamed"
	ofCount       = "there is one answer to a request"
	ofMaxTokens   = "write parameters.maxTokens"
	ofStop        = "it comes from the server's request: write parameters.stopSequences"
	ofTemperature = "write parameters.temperature"
)

// reservedKeys are keys at the top of an extraBody that are refused, each with
// what to do instead.
var reservedKeys = map[string]string{
	"model": ofModels, "models": ofModels, "route": ofFallbacks, "fallbacks": ofFallbacks,
	"context_window_fallbacks": ofFallbacks, "content_policy_fallbacks": ofFallbacks, "preset": ofModels,
	"messages": ofRequest, "contents": ofRequest,
	"system": ofPrompt, "systemInstruction": ofPrompt, "system_instruction": ofPrompt,
	"tools": ofTools, "tool_choice": ofTools, "toolChoice": ofTools, "toolConfig": ofTools, "tool_config": ofTools,
	"functions": ofTools, "function_call": ofTools,
	"stream": ofStreams, "stream_options": ofStreams, "n": ofCount,
	"max_tokens": ofMaxTokens, "max_completion_tokens": ofMaxTokens, "maxTokens": ofMaxTokens, "n_predict": ofMaxTokens,
	"stop": ofStop, "stop_sequences": ofStop, "temperature": ofTemperature,
}

// ReservedExtraBody returns the keys that no extraBody can hold, sorted.
func ReservedExtraBody() []string { return slices.Sorted(maps.Keys(reservedKeys)) }

// reserved says what to do instead of setting a key; empty where it may be set.
// Many servers read keys without regard to case.
func reserved(key string) (instead string) {
	for name, instead := range reservedKeys {
		if strings.EqualFold(name, key) {
			return instead
		}
	}
	return ""
}

// canonicalJSON writes a value so that equal ones have equal bytes, also after
// they were YAML. nil stands for what says nothing: null and {}. What is no JSON
// is left as it is, for Validate to refuse.
func canonicalJSON(raw json.RawMessage) json.RawMessage {
	if len(raw) == 0 {
		return nil
	}
	v, err := decodeAny(raw)
	if err != nil {
		return bytes.Clone(raw)
	}
	v = canonicalNumbers(v)
	if m, ok := v.(map[string]any); v == nil || ok && len(m) == 0 {
		return nil
	}
	out, err := json.Marshal(v)
	if err != nil {
		return bytes.Clone(raw)
	}
	return out
}

func decodeAny(raw []byte) (any, error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, err
	}
	if dec.More() {
		return nil, errors.New("there is more than one value")
	}
	return v, nil
}

// canonicalNumbers writes numbers as YAML would: whole ones exactly while they
// have 64 bits, all others as floats.
func canonicalNumbers(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for key, item := range v {
			v[key] = canonicalNumbers(item)
		}
	case []any:
		for i, item := range v {
			v[i] = canonicalNumbers(item)
		}
	case json.Number:
		if n, err := strconv.ParseInt(v.String(), 10, 64); err == nil {
			return n
		}
		if n, err := strconv.ParseUint(v.String(), 10, 64); err == nil {
			return n
		}
		f, err := strconv.ParseFloat(v.String(), 64)
		if err != nil {
			return v
		}
		if f == 0 { // also -0
			return 0
		}
		return f
	}
	return v
}

// extraBody refuses what is no object, and what the policy decides elsewhere.
func (p *problems) extraBody(path string, raw json.RawMessage) {
	if len(raw) == 0 {
		return
	}
	if len(raw) > maxExtraBody {
		p.add(path, "has %d bytes: write at most %d", len(raw), maxExtraBody)
		return
	}
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		p.add(path, "is no JSON, or holds a number out of range: write an object")
		return
	}
	m, ok := v.(map[string]any)
	if !ok {
		p.errs = append(p.errs, wrongType(path, v, "a mapping"))
		return
	}
	if holdsMergeKey(m) {
		p.add(path, "has a key %q, which means something else in YAML: remove it", mergeKey)
	}
	for _, key := range slices.Sorted(maps.Keys(m)) {
		if instead := reserved(key); instead != "" {
			p.add(path+"."+key, "cannot be set here: remove it (%s)", instead)
		}
	}
}

// mergeKey is read as an order to merge mappings, even in quotes.
const mergeKey = "<<"

func holdsMergeKey(v any) bool {
	switch v := v.(type) {
	case map[string]any:
		for key, item := range v {
			if key == mergeKey || holdsMergeKey(item) {
				return true
			}
		}
	case []any:
		return slices.ContainsFunc(v, holdsMergeKey)
	}
	return false
}
