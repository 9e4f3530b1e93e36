package openai

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider/toolname"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

// Whatever a server answers is a valid result, or an error that says so.
func FuzzNewResponse(f *testing.F) {
	for _, seed := range []string{
		`{"model":"m","choices":[{"finish_reason":"stop","message":{"content":"hello"}}],"usage":{"prompt_tokens":1,"completion_tokens":2}}`,
		`{"choices":[{"finish_reason":"tool_calls","message":{"content":null,"tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{\"x\":1}"}}]}}]}`,
		`{"choices":[{"message":{"content":[{"type":"text","text":"a"},7,null],"refusal":"no"}}]}`,
		`{"choices":[{"message":{"tool_calls":[{"function":{"name":"f","arguments":{"x":[]}}}]}}],"usage":{"prompt_tokens":-1e300}}`,
		`{"error":{"message":"x"}}`, `[]`, `nul`, ``, `{"choices":[{"message":`,
	} {
		f.Add([]byte(seed))
	}
	names := toolname.New([]string{"f", "g h"}, toolname.Identifier, maxToolName)
	f.Fuzz(func(t *testing.T, answer []byte) {
		got, err := newResponse(answer, "m", names)
		if err != nil {
			var known *provider.Error
			if !errors.As(err, &known) || (known.Kind != provider.KindInvalid && known.Kind != provider.KindMalformed) || known.Cause != nil {
				t.Fatalf("error %v, want one of kind invalid or malformed without words of the answer", err)
			}
			return
		}
		if got.Usage.InputTokens < 0 || got.Usage.OutputTokens < 0 {
			t.Fatalf("usage %+v", got.Usage)
		}
		text, err := json.Marshal(got.Result)
		if err != nil {
			t.Fatalf("write the result: %v", err)
		}
		var again wire.SamplingResult
		if err := json.Unmarshal(text, &again); err != nil {
			t.Fatalf("%v in %s", err, text)
		}
	})
}

// Whatever schema a tool has, what is sent of it is JSON.
func FuzzNewTool(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"type":"object"}`, ` { "type" : "object" , "properties":{"a":{"type":"array"}}} `, `null`, ``,
		`{"type":["array"],"items":[{"type":"array"}],"anyOf":[true,{"type":"array","items":1}],"properties":[]}`,
	} {
		f.Add([]byte(seed), "does something", true)
	}
	f.Fuzz(func(t *testing.T, schema []byte, description string, vendor bool) {
		if len(schema) > 0 && !json.Valid(schema) {
			return // requests are decoded before
		}
		got, err := newTool(&wire.Tool{Name: "f", Description: description, InputSchema: schema}, "f", vendor)
		if err == nil && !json.Valid(got.Function.Parameters) {
			t.Fatalf("%s became %s", schema, got.Function.Parameters)
		}
	})
}
