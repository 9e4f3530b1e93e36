package fakegemini_test

import (
	"strings"
	"testing"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/testing/fakegemini"
)

func TestRules(t *testing.T) {
	const (
		hi       = `{"role":"user","parts":[{"text":"hi"}]}`
		call     = `{"role":"model","parts":[{"functionCall":{"id":"1","name":"f"}}]}`
		response = `{"role":"user","parts":[{"functionResponse":{"id":"1","name":"f","response":{"output":"x"}}}]}`
	)
	contents := func(list ...string) string { return `{"contents":[` + strings.Join(list, ",") + `]}` }
	with := func(rest string) string { return `{"contents":[` + hi + `],` + rest + `}` }
	for name, tc := range map[string]struct {
		model, body string
		want        string // empty: no rule is broken
	}{
		"a round of tools":                {"gemini-2.5-pro", contents(hi, call, response, hi), ""},
		"a last word of the model":        {"gemini-2.5-pro", contents(hi, `{"role":"model","parts":[{"text":"x"}]}`), ""},
		"no JSON":                         {"", `{`, "no JSON"},
		"no contents":                     {"", `{}`, "not specified"},
		"another role":                    {"", contents(`{"role":"tool","parts":[{"text":"x"}]}`), "valid roles"},
		"no parts":                        {"", contents(`{"role":"user","parts":[]}`), "must not be empty"},
		"an empty text":                   {"", contents(`{"role":"user","parts":[{"text":""}]}`), "empty text"},
		"two kinds in one part":           {"", contents(`{"role":"user","parts":[{"text":"x","inlineData":{"mimeType":"image/png","data":"aGk="}}]}`), "2 kinds"},
		"another type of media":           {"", contents(`{"role":"user","parts":[{"inlineData":{"mimeType":"font/woff","data":"aGk="}}]}`), "MIME type"},
		"no model's last word, newly":     {"gemini-3.6-flash", contents(hi, `{"role":"model","parts":[{"text":"x"}]}`), "ending with a model turn"},
		"a call that opens":               {"gemini-2.5-pro", contents(call, response), "immediately after a user turn"},
		"a call that is not answered":     {"gemini-2.5-pro", contents(hi, call), "without its response"},
		"a call that is answered by text": {"gemini-2.5-pro", contents(hi, call, hi), "number of function response parts"},
		"a response to another call":      {"gemini-2.5-pro", contents(hi, call, strings.Replace(response, `"1"`, `"2"`, 1)), "not that of call"},
		"a response without a call":       {"gemini-2.5-pro", contents(hi, response), "immediately after a function call"},
		"no signature, newly":             {"gemini-3-pro-preview", contents(hi, call, response), "thought_signature"},
		"a picture from a function, before Gemini 3": {"gemini-2.5-pro", contents(hi, call,
			`{"role":"user","parts":[{"functionResponse":{"id":"1","name":"f","response":{},"parts":[{"inlineData":{"mimeType":"image/png","data":"aGk="}}]}}]}`), "multimodal"},
		"a name with a dot":        {"", with(`"tools":[{"functionDeclarations":[{"name":"a.b","parametersJsonSchema":{"type":"object"}}]}]`), "invalid function name"},
		"a name twice":             {"", with(`"tools":[{"functionDeclarations":[{"name":"a","parametersJsonSchema":{"type":"object"}},{"name":"a","parametersJsonSchema":{"type":"object"}}]}]`), "declared twice"},
		"a schema of no object":    {"", with(`"tools":[{"functionDeclarations":[{"name":"a","parametersJsonSchema":{}}]}]`), "does not describe an object"},
		"a choice without tools":   {"", with(`"toolConfig":{"functionCallingConfig":{"mode":"ANY"}}`), "without functions"},
		"many stop sequences":      {"", with(`"generationConfig":{"stopSequences":["a","b","c","d","e","f"]}`), "more than 5"},
		"a temperature of three":   {"", with(`"generationConfig":{"temperature":3}`), "temperature"},
		"no tokens":                {"", with(`"generationConfig":{"maxOutputTokens":0}`), "maxOutputTokens"},
		"two candidates":           {"", with(`"generationConfig":{"candidateCount":2}`), "candidates"},
		"a system of pictures":     {"", with(`"systemInstruction":{"parts":[{"inlineData":{}}]}`), "text only"},
		"a call by the user":       {"", contents(strings.Replace(call, "model", "user", 1)), "function call of the user"},
		"a response by the model":  {"", contents(hi, call, strings.Replace(response, "user", "model", 1)), "response of the model"},
		"data that is not base64":  {"", contents(`{"role":"user","parts":[{"inlineData":{"mimeType":"image/png","data":"?"}}]}`), "no base64"},
		"an empty stop sequence":   {"", with(`"generationConfig":{"stopSequences":[""]}`), "empty stop sequence"},
		"an unknown calling mode":  {"", with(`"toolConfig":{"functionCallingConfig":{"mode":"SOME"}}`), "unknown mode"},
		"a response without value": {"", contents(hi, call, `{"role":"user","parts":[{"functionResponse":{"id":"1","name":"f"}}]}`), "without a response"},
	} {
		t.Run(name, func(t *testing.T) {
			broken := fakegemini.Rules(fakegemini.Request{Model: tc.model, Body: []byte(tc.body)})
			if tc.want == "" && broken != nil {
				t.Errorf("broken %q, want none", broken)
			}
			if tc.want != "" && !strings.Contains(strings.Join(broken, "; "), tc.want) {
				t.Errorf("broken %q, want one that says %q", broken, tc.want)
			}
		})
	}
}
