package google_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/testing/fakegemini"
)

// object reads JSON as the API does: all its numbers are doubles.
func object(t *testing.T, text string) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return v
}

// ask sends a request to a provider that accepts it, and compares its body. The
// limit on tokens, 5, is added to what is wanted.
func ask(t *testing.T, req provider.Request, want string) *provider.Response {
	t.Helper()
	if req.Model == "" {
		req.Model = "gemini-2.5-flash"
	}
	if req.MaxTokens == 0 {
		req.MaxTokens = 5
	}
	model := fake(t)
	response, err := connect(t, model).CreateMessage(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	wanted := object(t, want)
	config, _ := wanted["generationConfig"].(map[string]any)
	if config == nil {
		config = map[string]any{}
		wanted["generationConfig"] = config
	}
	if config["maxOutputTokens"] == nil {
		config["maxOutputTokens"] = 5.0
	}
	if diff := cmp.Diff(wanted, object(t, string(model.Requests()[0].Body))); diff != "" {
		t.Errorf("body (-want +got):\n%s", diff)
	}
	return response
}

func user(blocks ...wire.Content) wire.SamplingMessage {
	return wire.SamplingMessage{Role: wire.RoleUser, Content: blocks}
}

func assistant(blocks ...wire.Content) wire.SamplingMessage {
	return wire.SamplingMessage{Role: wire.RoleAssistant, Content: blocks}
}

func result(id string, blocks ...wire.Content) wire.Content {
	return wire.Content{Type: wire.ContentToolResult, ToolUseID: id, Content: blocks}
}

var (
	image = wire.Content{Type: wire.ContentImage, Data: "aGk=", MIMEType: "image/PNG"}
	audio = wire.Content{Type: wire.ContentAudio, Data: "aGk=", MIMEType: "audio/x-wav"}
)

const (
	hiContents = `"contents":[{"role":"user","parts":[{"text":"hi"}]}]`
	imagePart  = `{"inlineData":{"mimeType":"image/png","data":"aGk="}}`
	audioPart  = `{"inlineData":{"mimeType":"audio/wav","data":"aGk="}}`
)

func TestRequests(t *testing.T) {
	for name, tc := range map[string]struct {
		request provider.Request
		want    string
	}{
		"text alone": {
			request: provider.Request{Messages: userText("hi")},
			want:    `{` + hiContents + `}`,
		},
		"all parameters, temperature zero": {
			request: provider.Request{Messages: userText("hi"), Temperature: new(0.0), SystemPrompt: "be brief", StopSequences: []string{"END", "\n"}},
			want: `{` + hiContents + `,"systemInstruction":{"role":"user","parts":[{"text":"be brief"}]},
				"generationConfig":{"temperature":0,"stopSequences":["END","\n"]}}`,
		},
		"a temperature that no float has exactly": {
			request: provider.Request{Messages: userText("hi"), Temperature: new(0.7)},
			want:    `{` + hiContents + `,"generationConfig":{"temperature":0.7}}`,
		},
		"more tokens than the API can count": {
			request: provider.Request{Messages: userText("hi"), MaxTokens: 1 << 40},
			want:    `{` + hiContents + `,"generationConfig":{"maxOutputTokens":2147483647}}`,
		},
		"an empty stop sequence stops nothing": {
			request: provider.Request{Messages: userText("hi"), StopSequences: []string{""}},
			want:    `{` + hiContents + `}`,
		},
		"a model without a system instruction reads it first": {
			request: provider.Request{Model: "gemma-3-27b-it", Messages: userText("hi"), SystemPrompt: "be brief"},
			want:    `{"contents":[{"role":"user","parts":[{"text":"be brief"},{"text":"hi"}]}]}`,
		},
		"the order of a conversation, roles merged": {
			request: provider.Request{Messages: []wire.SamplingMessage{
				user(textBlock("one")), user(textBlock("two"), textBlock("three")),
				assistant(textBlock("four")), assistant(textBlock("five")), user(textBlock("six")),
			}},
			want: `{"contents":[{"role":"user","parts":[{"text":"one"},{"text":"two"},{"text":"three"}]},
				{"role":"model","parts":[{"text":"four"},{"text":"five"}]},{"role":"user","parts":[{"text":"six"}]}]}`,
		},
		"a conversation that the assistant begins": {
			request: provider.Request{Messages: []wire.SamplingMessage{assistant(textBlock("one")), user(textBlock("two"))}},
			want: `{"contents":[{"role":"user","parts":[{"text":" "}]},{"role":"model","parts":[{"text":"one"}]},
				{"role":"user","parts":[{"text":"two"}]}]}`,
		},
		"messages that say nothing": {
			request: provider.Request{Messages: []wire.SamplingMessage{
				user(), assistant(textBlock("one")), user(textBlock("")), assistant(textBlock("")), user(textBlock(""), image),
			}},
			want: `{"contents":[{"role":"user","parts":[{"text":" "}]},{"role":"model","parts":[{"text":"one"}]},
				{"role":"user","parts":[{"text":" "},` + imagePart + `]}]}`,
		},
		"no messages": {
			request: provider.Request{SystemPrompt: "say hello"},
			want:    `{"contents":[{"role":"user","parts":[{"text":" "}]}],"systemInstruction":{"role":"user","parts":[{"text":"say hello"}]}}`,
		},
		"an older model continues the assistant": {
			request: provider.Request{Model: "gemini-3.5-flash", Messages: []wire.SamplingMessage{user(textBlock("hi")), assistant(textBlock("{"))}},
			want:    `{"contents":[{"role":"user","parts":[{"text":"hi"}]},{"role":"model","parts":[{"text":"{"}]}]}`,
		},
		"an image and audio between texts, of both roles": {
			request: provider.Request{Messages: []wire.SamplingMessage{
				user(textBlock("look"), image, audio, textBlock("and?")), assistant(image, audio), user(textBlock("so?")),
			}},
			want: `{"contents":[{"role":"user","parts":[{"text":"look"},` + imagePart + `,` + audioPart + `,{"text":"and?"}]},
				{"role":"model","parts":[` + imagePart + `,` + audioPart + `]},{"role":"user","parts":[{"text":"so?"}]}]}`,
		},
		"types of media by other names, and with parameters": {
			request: provider.Request{Messages: []wire.SamplingMessage{user(
				wire.Content{Type: wire.ContentImage, Data: "aGk=", MIMEType: "image/jpg"},
				wire.Content{Type: wire.ContentAudio, Data: "aGk=", MIMEType: "audio/ogg; codecs=opus"},
				wire.Content{Type: wire.ContentAudio, Data: "aGk=", MIMEType: "audio/mpeg"})}},
			want: `{"contents":[{"role":"user","parts":[{"inlineData":{"mimeType":"image/jpeg","data":"aGk="}},
				{"inlineData":{"mimeType":"audio/ogg","data":"aGk="}},{"inlineData":{"mimeType":"audio/mpeg","data":"aGk="}}]}]}`,
		},
		"tools, whose schemas lose nothing": {
			request: provider.Request{Messages: userText("hi"), Tools: []wire.Tool{
				{Name: "f", Description: "does <f>", InputSchema: json.RawMessage(
					`{"$schema":"s","title":"F","type":"object","z":1.0,"a":9007199254740992,"oneOf":[{"required":["b"]}],"unevaluatedProperties":false}`)},
				{Name: "g", InputSchema: json.RawMessage(`{}`)}}},
			want: `{` + hiContents + `,"tools":[{"functionDeclarations":[{"name":"f","description":"does <f>","parametersJsonSchema":
				{"$schema":"s","title":"F","type":"object","z":1,"a":9007199254740992,"oneOf":[{"required":["b"]}],"unevaluatedProperties":false}},
				{"name":"g","parametersJsonSchema":{"type":"object"}}]}]}`,
		},
		"names of tools that the API refuses": {
			request: provider.Request{Messages: userText("hi"), Tools: []wire.Tool{
				{Name: "files.read", InputSchema: json.RawMessage(`{"type":"object"}`)}, {Name: "3d", InputSchema: json.RawMessage(`{"type":"object"}`)}}},
			want: `{` + hiContents + `,"tools":[{"functionDeclarations":[{"name":"files_read","parametersJsonSchema":{"type":"object"}},
				{"name":"x_3d","parametersJsonSchema":{"type":"object"}}]}]}`,
		},
		"the choice of tools: auto":     choice(wire.ToolChoiceAuto, "AUTO"),
		"the choice of tools: required": choice(wire.ToolChoiceRequired, "ANY"),
		"the choice of tools: none":     choice(wire.ToolChoiceNone, "NONE"),
		"a choice without tools is left out": {
			request: provider.Request{Messages: userText("hi"), ToolChoice: wire.ToolChoiceNone},
			want:    `{` + hiContents + `}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got := ask(t, tc.request, tc.want); got.Lost != nil {
				t.Errorf("lost %v", got.Lost)
			}
		})
	}
}

func choice(mode, want string) struct {
	request provider.Request
	want    string
} {
	return struct {
		request provider.Request
		want    string
	}{
		provider.Request{Messages: userText("hi"), ToolChoice: mode, Tools: []wire.Tool{{Name: "f", InputSchema: json.RawMessage(`{"type":"object"}`)}}},
		`{` + hiContents + `,"tools":[{"functionDeclarations":[{"name":"f","parametersJsonSchema":{"type":"object"}}]}],
			"toolConfig":{"functionCallingConfig":{"mode":"` + want + `"}}}`,
	}
}

func TestToolRounds(t *testing.T) {
	use := func(id string) wire.Content { return useBlock(id, "f", `{"x": 1.0}`) }
	call := func(id string) string { return `{"functionCall":{"id":"` + id + `","name":"f","args":{"x":1}}}` }
	// The placeholder, in base64.
	signed := func(id string) string {
		return `{"functionCall":{"id":"` + id + `","name":"f","args":{"x":1}},"thoughtSignature":"c2tpcF90aG91Z2h0X3NpZ25hdHVyZV92YWxpZGF0b3I="}`
	}
	answer := func(id, response string) string {
		return `{"functionResponse":{"id":"` + id + `","name":"f","response":` + response + `}}`
	}
	structured := func(id, value string, failed bool, blocks ...wire.Content) wire.Content {
		c := result(id, blocks...)
		c.StructuredContent, c.IsError = json.RawMessage(value), failed
		return c
	}
	failed := func(id, text string) wire.Content {
		c := result(id, textBlock(text))
		c.IsError = true
		return c
	}
	one := func(r wire.Content) []wire.SamplingMessage {
		return []wire.SamplingMessage{user(textBlock("hi")), assistant(use("a")), user(r)}
	}
	oneWant := func(response string) string {
		return `{"contents":[{"role":"user","parts":[{"text":"hi"}]},{"role":"model","parts":[` + call("a") + `]},
			{"role":"user","parts":[` + answer("a", response) + `]}]}`
	}
	for name, tc := range map[string]struct {
		model    string
		messages []wire.SamplingMessage
		want     string
		wantLost []provider.Loss
	}{
		"texts are joined":                     {messages: one(result("a", textBlock("1"), textBlock("2"))), want: oneWant(`{"output":"1\n2"}`)},
		"a result of nothing":                  {messages: one(result("a")), want: oneWant(`{"output":""}`)},
		"a failed tool":                        {messages: one(failed("a", "no such file")), want: oneWant(`{"error":"no such file"}`)},
		"a failed tool with structure":         {messages: one(structured("a", `{"code":5}`, true)), want: oneWant(`{"error":{"code":5}}`)},
		"structured content":                   {messages: one(structured("a", `{"y": 2}`, false)), want: oneWant(`{"y":2}`)},
		"structured content, said in text too": {messages: one(structured("a", `{"y": 2}`, false, textBlock(`{"y":2}`))), want: oneWant(`{"y":2}`)},
		"structured content beside a text": {messages: one(structured("a", `{"y": 2}`, false, textBlock("two"))),
			want: oneWant(`{"text":"two","structuredContent":{"y":2}}`)},
		"structured content that is empty":                   {messages: one(structured("a", `{}`, false)), want: oneWant(`{"output":{}}`)},
		"structured content with a field that has a meaning": {messages: one(structured("a", `{"error":null}`, false)), want: oneWant(`{"output":{"error":null}}`)},
		"a link and a text resource": {
			messages: one(result("a", wire.Content{Type: wire.ContentResourceLink, Name: "notes", URI: "file:///n"},
				wire.Content{Type: wire.ContentResource, Resource: &wire.Resource{URI: "u:", Text: "inside"}})),
			want: oneWant(`{"output":"notes file:///n\ninside"}`),
		},
		"parallel calls, answered in another order, and a word of the user": {
			messages: []wire.SamplingMessage{
				user(textBlock("hi")), assistant(textBlock("so"), use("a"), use("b")),
				user(result("b", textBlock("2")), result("a", textBlock("1"))), user(textBlock("go on")),
			},
			want: `{"contents":[{"role":"user","parts":[{"text":"hi"}]},{"role":"model","parts":[{"text":"so"},` + call("a") + `,` + call("b") + `]},
				{"role":"user","parts":[` + answer("a", `{"output":"1"}`) + `,` + answer("b", `{"output":"2"}`) + `]},
				{"role":"user","parts":[{"text":"go on"}]}]}`,
		},
		"calls that open the conversation": {
			messages: []wire.SamplingMessage{assistant(use("a")), user(result("a", textBlock("1")))},
			want: `{"contents":[{"role":"user","parts":[{"text":" "}]},{"role":"model","parts":[` + call("a") + `]},
				{"role":"user","parts":[` + answer("a", `{"output":"1"}`) + `]}]}`,
		},
		"a call beside an image": {
			messages: []wire.SamplingMessage{user(textBlock("hi")), assistant(image, use("a")), user(result("a", textBlock("1")))},
			want: `{"contents":[{"role":"user","parts":[{"text":"hi"}]},{"role":"model","parts":[` + imagePart + `,` + call("a") + `]},
				{"role":"user","parts":[` + answer("a", `{"output":"1"}`) + `]}]}`,
		},
		"a tool whose name the API refuses": {
			messages: []wire.SamplingMessage{user(textBlock("hi")), assistant(useBlock("a", "files.read", `{}`)), user(result("a", textBlock("1")))},
			want: `{"contents":[{"role":"user","parts":[{"text":"hi"}]},{"role":"model","parts":[{"functionCall":{"id":"a","name":"files_read"}}]},
				{"role":"user","parts":[{"functionResponse":{"id":"a","name":"files_read","response":{"output":"1"}}}]}]}`,
		},
		"media of results follow, for older models": {
			messages: []wire.SamplingMessage{
				user(textBlock("hi")), assistant(use("a"), use("b")),
				user(result("b", audio), result("a", textBlock("1"), image)),
			},
			want: `{"contents":[{"role":"user","parts":[{"text":"hi"}]},{"role":"model","parts":[` + call("a") + `,` + call("b") + `]},
				{"role":"user","parts":[` + answer("a", `{"output":"1"}`) + `,` + answer("b", `{"output":""}`) + `]},
				{"role":"user","parts":[{"text":"From the result of tool call a:"},` + imagePart + `,{"text":"From the result of tool call b:"},` + audioPart + `]}]}`,
			wantLost: []provider.Loss{provider.LossToolResultMedia},
		},
		"newer models see them in the result, but for audio": {
			model: "gemini-3.8-flash",
			messages: []wire.SamplingMessage{
				user(textBlock("hi")), assistant(use("a"), use("b")),
				user(result("a", textBlock("1"), image, wire.Content{Type: wire.ContentResource, Resource: &wire.Resource{URI: "u:", MIMEType: "application/pdf", Blob: "aGk="}}),
					result("b", audio)),
			},
			want: `{"contents":[{"role":"user","parts":[{"text":"hi"}]},{"role":"model","parts":[` + signed("a") + `,` + call("b") + `]},
				{"role":"user","parts":[{"functionResponse":{"id":"a","name":"f","response":{"output":"1"},
					"parts":[` + imagePart + `,{"inlineData":{"mimeType":"application/pdf","data":"aGk="}}]}},` + answer("b", `{"output":""}`) + `]},
				{"role":"user","parts":[{"text":"From the result of tool call b:"},` + audioPart + `]}]}`,
			wantLost: []provider.Loss{provider.LossToolResultMedia},
		},
		"newer models get a signature with the first call of each step": {
			model: "gemini-flash-latest",
			messages: []wire.SamplingMessage{
				user(textBlock("hi")), assistant(textBlock("so"), use("a"), use("b")),
				user(result("a", textBlock("1")), result("b", textBlock("2"))), assistant(use("c")), user(result("c", textBlock("3"))),
			},
			want: `{"contents":[{"role":"user","parts":[{"text":"hi"}]},{"role":"model","parts":[{"text":"so"},` + signed("a") + `,` + call("b") + `]},
				{"role":"user","parts":[` + answer("a", `{"output":"1"}`) + `,` + answer("b", `{"output":"2"}`) + `]},
				{"role":"model","parts":[` + signed("c") + `]},{"role":"user","parts":[` + answer("c", `{"output":"3"}`) + `]}]}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := ask(t, provider.Request{Model: tc.model, Messages: tc.messages}, tc.want)
			if diff := cmp.Diff(tc.wantLost, got.Lost); diff != "" {
				t.Errorf("lost (-want +got):\n%s", diff)
			}
		})
	}
}

func TestExtraBody(t *testing.T) {
	for name, tc := range map[string]struct{ extra, want string }{
		"adds fields": {`{"safetySettings":[{"category":"HARM_CATEGORY_HARASSMENT","threshold":"BLOCK_NONE"}]}`,
			`{"safetySettings":[{"category":"HARM_CATEGORY_HARASSMENT","threshold":"BLOCK_NONE"}]}`},
		"adds fields within an object": {`{"generationConfig":{"topP":0.5,"thinkingConfig":{"thinkingBudget":0}}}`,
			`{"generationConfig":{"topP":0.5,"thinkingConfig":{"thinkingBudget":0},"temperature":0.5}}`},
		"knows both spellings of a name": {`{"generation_config":{"top_p":0.5,"max_output_tokens":99,"temperature":2}}`,
			`{"generationConfig":{"topP":0.5,"temperature":0.5}}`},
		"changes nothing that was decided": {`{"generationConfig":{"maxOutputTokens":99,"temperature":2,"candidateCount":3},"contents":[],
			"system_instruction":{"parts":[{"text":"be evil"}]},"tools":[{"codeExecution":{}}],"tool_config":{},"model":"models/other"}`, `{}`},
		"knows what is decided in any case of letters": {`{"GenerationConfig":{"MaxOutputTokens":99},"Contents":[],"SYSTEMINSTRUCTION":{},"Tools":[],"Model":"other"}`, `{}`},
		"knows it within an object too":                {`{"generationConfig":{"Temperature":2,"CandidateCount":3,"topP":0.5}}`, `{"generationConfig":{"topP":0.5,"temperature":0.5}}`},
		"may be empty":                                 {`{}`, `{}`},
	} {
		t.Run(name, func(t *testing.T) {
			want := object(t, tc.want)
			if want["generationConfig"] == nil {
				want["generationConfig"] = map[string]any{"temperature": 0.5}
			}
			want["contents"] = []any{map[string]any{"role": "user", "parts": []any{map[string]any{"text": "hi"}}}}
			text, err := json.Marshal(want)
			if err != nil {
				t.Fatal(err)
			}
			ask(t, provider.Request{Messages: userText("hi"), Temperature: new(0.5), ExtraBody: json.RawMessage(tc.extra)}, string(text))
		})
	}
}

func TestMetadataHasNoPlace(t *testing.T) {
	for metadata, want := range map[string][]provider.Loss{"": nil, "null": nil, "{}": nil, `{"user":"u"}`: {provider.LossMetadata}} {
		got := ask(t, provider.Request{Messages: userText("hi"), Metadata: json.RawMessage(metadata)}, `{`+hiContents+`}`)
		if diff := cmp.Diff(want, got.Lost); diff != "" {
			t.Errorf("%s: lost (-want +got):\n%s", metadata, diff)
		}
	}
}

func TestWhatTheAPICannotExpressIsNotSent(t *testing.T) {
	media := func(kind, mimeType string) []wire.SamplingMessage {
		return []wire.SamplingMessage{user(wire.Content{Type: kind, Data: "aGk=", MIMEType: mimeType})}
	}
	prefill := []wire.SamplingMessage{user(textBlock("hi")), assistant(textBlock("{"))}
	for name, tc := range map[string]struct {
		model    string
		messages []wire.SamplingMessage
		want     string
	}{
		"an image of another type":   {"", media(wire.ContentImage, "image/x-icon"), "it takes image/png, "},
		"an image that is audio":     {"", media(wire.ContentImage, "audio/wav"), "it takes image/png, "},
		"audio of another type":      {"", media(wire.ContentAudio, "audio/midi"), "it takes audio/wav, "},
		"a blob of another type":     {"", []wire.SamplingMessage{assistant(useBlock("a", "f", `{}`)), user(result("a", wire.Content{Type: wire.ContentResource, Resource: &wire.Resource{URI: "u:", Blob: "aGk=", MIMEType: "application/zip"}}))}, "application/pdf"},
		"data that is no base64":     {"", []wire.SamplingMessage{user(wire.Content{Type: wire.ContentImage, Data: "?", MIMEType: "image/png"})}, "base64"},
		"unknown content":            {"", []wire.SamplingMessage{user(wire.Content{Type: "video"})}, "no content of type video"},
		"a tool call of the user":    {"", []wire.SamplingMessage{user(useBlock("a", "f", `{}`))}, "no content of type tool_use"},
		"a result without its call":  {"", []wire.SamplingMessage{user(result("a"))}, "tool_result must answer"},
		"a result beside a text":     {"", []wire.SamplingMessage{assistant(useBlock("a", "f", `{}`)), user(result("a"), textBlock("x"))}, "tool_result must answer"},
		"a call without its result":  {"", []wire.SamplingMessage{assistant(useBlock("a", "f", `{}`), useBlock("b", "f", `{}`)), user(result("a"))}, "must be answered"},
		"an input that is no object": {"", []wire.SamplingMessage{assistant(useBlock("a", "f", `[]`))}, "input of a tool_use"},
		"a last word of the assistant, at models that do not continue it": {"gemini-3.6-flash", prefill, "must be one of the user"},
		"the same at a smaller model":                                     {"models/gemini-3.5-flash-lite", prefill, "must be one of the user"},
		"the same at a later one":                                         {"gemini-4-neon", prefill, "must be one of the user"},
		"the same at the latest":                                          {"gemini-flash-lite-latest", prefill, "must be one of the user"},
	} {
		t.Run(name, func(t *testing.T) {
			model := fake(t)
			req := hello()
			req.Messages = tc.messages
			if tc.model != "" {
				req.Model = tc.model
			}
			_, err := connect(t, model).CreateMessage(t.Context(), req)
			var unsupported *provider.UnsupportedError
			if !errors.As(err, &unsupported) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want an UnsupportedError that says %q", err, tc.want)
			}
			if n := len(model.Requests()); n != 0 {
				t.Errorf("%d requests were sent", n)
			}
		})
	}
}

func TestGooglesOwnLimitsHoldAtGoogleOnly(t *testing.T) {
	for name, tc := range map[string]struct {
		modify func(*provider.Request)
		want   string
	}{
		"six stop sequences": {func(r *provider.Request) { r.StopSequences = strings.Split("abcdef", "") }, "at most 5 stop sequences"},
		"a high temperature": {func(r *provider.Request) { r.Temperature = new(2.5) }, "temperature from 0 to 2"},
		"a low temperature":  {func(r *provider.Request) { r.Temperature = new(-0.5) }, "temperature from 0 to 2"},
	} {
		t.Run(name, func(t *testing.T) {
			req := hello()
			tc.modify(&req)
			_, err := connect(t, fake(t), func(o *provider.Options) { o.BaseURL = "" }).CreateMessage(t.Context(), req)
			var unsupported *provider.UnsupportedError
			if !errors.As(err, &unsupported) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want an UnsupportedError that says %q", err, tc.want)
			}
			// Another server may take it; this one is as strict as Google's.
			model := fakegemini.New()
			_, err = connect(t, model).CreateMessage(t.Context(), req)
			wantKind(t, err, provider.KindRejected)
			if n := len(model.Requests()); n != 1 {
				t.Errorf("%d requests were sent, want 1", n)
			}
		})
	}
}

func TestAModelsNameCannotChangeTheAddress(t *testing.T) {
	for _, name := range []string{"", "a?key=b", "../files", "a#b", "a&b", "%2e%2e/files"} {
		model := fake(t)
		req := hello()
		req.Model = name
		_, err := connect(t, model).CreateMessage(t.Context(), req)
		wantKind(t, err, provider.KindRejected)
		if n := len(model.Requests()); n != 0 {
			t.Errorf("%q: %d requests were sent", name, n)
		}
	}
}
