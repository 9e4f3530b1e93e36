package openai_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/config"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider/openai"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/testing/fakellm"
)

func TestRequests(t *testing.T) {
	image := wire.Content{Type: wire.ContentImage, Data: "aGk=", MIMEType: "image/PNG"}
	text := func(s string) wire.Content { return wire.Content{Type: wire.ContentText, Text: s} }
	use := func(id string) wire.Content {
		return wire.Content{Type: wire.ContentToolUse, ID: id, Name: "f", Input: json.RawMessage(`{"x": 1.0}`)}
	}
	for name, tc := range map[string]struct {
		request   provider.Request
		modifiers []func(*openai.Options)
		want      string
	}{
		"text alone": {
			request: provider.Request{Model: "m", MaxTokens: 5, Messages: userText("hi")},
			want:    `{"model":"m","max_completion_tokens":5,"messages":[{"role":"user","content":"hi"}]}`,
		},
		"the older name of the limit": {
			request:   provider.Request{Model: "m", MaxTokens: 5, Messages: userText("hi")},
			modifiers: []func(*openai.Options){func(o *openai.Options) { o.MaxTokensField = config.MaxTokens }},
			want:      `{"model":"m","max_tokens":5,"messages":[{"role":"user","content":"hi"}]}`,
		},
		"all parameters, temperature zero": {
			request: provider.Request{Model: "m", MaxTokens: 5, Messages: userText("hi"), Temperature: new(0.0),
				SystemPrompt: "be brief", StopSequences: []string{"END", "\n"}},
			want: `{"model":"m","max_completion_tokens":5,"temperature":0,"stop":["END","\n"],
				"messages":[{"role":"system","content":"be brief"},{"role":"user","content":"hi"}]}`,
		},
		"the order of a conversation": {
			request: provider.Request{Model: "m", MaxTokens: 5, Messages: []wire.SamplingMessage{
				{Role: wire.RoleAssistant, Content: []wire.Content{text("one")}},
				{Role: wire.RoleUser, Content: []wire.Content{text("two"), text("three")}},
				{Role: wire.RoleAssistant, Content: []wire.Content{text("four"), text("five")}},
				{Role: wire.RoleUser},
			}},
			want: `{"model":"m","max_completion_tokens":5,"messages":[{"role":"assistant","content":"one"},
				{"role":"user","content":"two\nthree"},{"role":"assistant","content":"four\nfive"},{"role":"user","content":""}]}`,
		},
		"an image and audio between texts": {
			request: provider.Request{Model: "m", MaxTokens: 5, Messages: []wire.SamplingMessage{{Role: wire.RoleUser, Content: []wire.Content{
				text("look"), image, {Type: wire.ContentAudio, Data: "aGk=", MIMEType: "audio/mpeg"}, text("and?")}}}},
			want: `{"model":"m","max_completion_tokens":5,"messages":[{"role":"user","content":[{"type":"text","text":"look"},
				{"type":"image_url","image_url":{"url":"data:image/png;base64,aGk="}},
				{"type":"input_audio","input_audio":{"data":"aGk=","format":"mp3"}},{"type":"text","text":"and?"}]}]}`,
		},
		"tools, whose schemas lose nothing": {
			request: provider.Request{Model: "m", MaxTokens: 5, Messages: userText("hi"), ToolChoice: "required", Tools: []wire.Tool{
				{Name: "f", Description: "does <f>", InputSchema: json.RawMessage(
					`{"$schema":"s","type":"object","z":1.0,"a":9007199254740993,"oneOf":[{"required":["b"]}],"unevaluatedProperties":false}`)},
				{Name: "g", InputSchema: json.RawMessage(`{}`)}}},
			want: `{"model":"m","max_completion_tokens":5,"messages":[{"role":"user","content":"hi"}],"tool_choice":"required","tools":[
				{"type":"function","function":{"name":"f","description":"does <f>","parameters":
				{"$schema":"s","type":"object","z":1.0,"a":9007199254740993,"oneOf":[{"required":["b"]}],"unevaluatedProperties":false,"properties":{}}}},
				{"type":"function","function":{"name":"g","description":"","parameters":{"type":"object","properties":{}}}}]}`,
		},
		"a choice of no tools is left out": {
			request: provider.Request{Model: "m", MaxTokens: 5, Messages: userText("hi"), ToolChoice: "none"},
			want:    `{"model":"m","max_completion_tokens":5,"messages":[{"role":"user","content":"hi"}]}`,
		},
		"a round of tools": {
			request: provider.Request{Model: "m", MaxTokens: 5, Messages: []wire.SamplingMessage{
				{Role: wire.RoleUser, Content: []wire.Content{text("hi")}},
				{Role: wire.RoleAssistant, Content: []wire.Content{text("so"), use("a"), use("b"), use("c")}},
				{Role: wire.RoleUser, Content: []wire.Content{
					{Type: wire.ContentToolResult, ToolUseID: "c", Content: []wire.Content{text("1"), text("2")}, StructuredContent: json.RawMessage(`{"ignored":1}`)},
					{Type: wire.ContentToolResult, ToolUseID: "a", IsError: true, Content: []wire.Content{text("no such file"), image}},
					{Type: wire.ContentToolResult, ToolUseID: "b", StructuredContent: json.RawMessage(`{ "y": 2 }`)},
				}},
			}},
			want: `{"model":"m","max_completion_tokens":5,"messages":[{"role":"user","content":"hi"},
				{"role":"assistant","content":"so","tool_calls":[
					{"id":"a","type":"function","function":{"name":"f","arguments":"{\"x\":1.0}"}},
					{"id":"b","type":"function","function":{"name":"f","arguments":"{\"x\":1.0}"}},
					{"id":"c","type":"function","function":{"name":"f","arguments":"{\"x\":1.0}"}}]},
				{"role":"tool","tool_call_id":"c","content":"1\n2"},
				{"role":"tool","tool_call_id":"a","content":"Error: no such file"},
				{"role":"tool","tool_call_id":"b","content":"{\"y\":2}"},
				{"role":"user","content":[{"type":"text","text":"From the result of tool call a:"},
					{"type":"image_url","image_url":{"url":"data:image/png;base64,aGk="}}]}]}`,
		},
		"tool calls without text": {
			request: provider.Request{Model: "m", MaxTokens: 5, Messages: []wire.SamplingMessage{
				{Role: wire.RoleAssistant, Content: []wire.Content{use("a")}},
				{Role: wire.RoleUser, Content: []wire.Content{{Type: wire.ContentToolResult, ToolUseID: "a", Content: []wire.Content{
					{Type: wire.ContentResourceLink, Name: "notes", URI: "file:///n"},
					{Type: wire.ContentResource, Resource: &wire.Resource{URI: "u:", Text: "inside"}}}}}},
			}},
			want: `{"model":"m","max_completion_tokens":5,"messages":[
				{"role":"assistant","tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{\"x\":1.0}"}}]},
				{"role":"tool","tool_call_id":"a","content":"notes file:///n\ninside"}]}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			model := fakellm.New(fakellm.Text("ok"))
			client := connect(t, model, tc.modifiers...)
			if _, err := client.CreateMessage(t.Context(), tc.request); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(normal(t, tc.want), sent(t, model)); diff != "" {
				t.Errorf("body (-want +got):\n%s", diff)
			}
			wantContract(t, model.Requests()[0].Body)
		})
	}
}

func TestWhatTheAPICannotExpressIsNotSent(t *testing.T) {
	one := func(role string, c wire.Content) []wire.SamplingMessage {
		return []wire.SamplingMessage{{Role: role, Content: []wire.Content{c}}}
	}
	for name, tc := range map[string]struct {
		messages []wire.SamplingMessage
		want     string
	}{
		"an image of another type":  {one(wire.RoleUser, wire.Content{Type: wire.ContentImage, Data: "aGk=", MIMEType: "image/tiff"}), "image/png"},
		"audio of another type":     {one(wire.RoleUser, wire.Content{Type: wire.ContentAudio, Data: "aGk=", MIMEType: "audio/ogg"}), "audio/wav"},
		"an image of the assistant": {one(wire.RoleAssistant, wire.Content{Type: wire.ContentImage, Data: "aGk=", MIMEType: "image/png"}), "image content in user messages only"},
		"audio of the assistant":    {one(wire.RoleAssistant, wire.Content{Type: wire.ContentAudio, Data: "aGk=", MIMEType: "audio/wav"}), "audio content in user messages only"},
		"tool calls beside an image": {[]wire.SamplingMessage{{Role: wire.RoleAssistant, Content: []wire.Content{
			{Type: wire.ContentToolUse, ID: "a", Name: "f", Input: json.RawMessage(`{}`)},
			{Type: wire.ContentImage, Data: "aGk=", MIMEType: "image/png"}}}}, "image content in user messages only"},
		"unknown content": {one(wire.RoleUser, wire.Content{Type: "video"}), "no content of type video"},
		"an unknown blob": {one(wire.RoleUser, wire.Content{Type: wire.ContentResource, Resource: &wire.Resource{URI: "u:", Blob: "aGk=", MIMEType: "application/pdf"}}), "image/png"},
	} {
		t.Run(name, func(t *testing.T) {
			model := fakellm.New()
			_, err := connect(t, model).CreateMessage(t.Context(), provider.Request{Model: "m", MaxTokens: 1, Messages: tc.messages})
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

func TestAnswers(t *testing.T) {
	text := func(s string) []wire.Content { return []wire.Content{{Type: wire.ContentText, Text: s}} }
	use := func(id, name, input string) wire.Content {
		return wire.Content{Type: wire.ContentToolUse, ID: id, Name: name, Input: json.RawMessage(input)}
	}
	for name, tc := range map[string]struct {
		reply       fakellm.Reply
		wantContent []wire.Content
		wantStop    string
	}{
		"text":            {fakellm.Text("hello"), text("hello"), wire.StopEndTurn},
		"no text":         {fakellm.Text(""), text(""), wire.StopEndTurn},
		"the limit":       {fakellm.Finish("length", "hel"), text("hel"), wire.StopMaxTokens},
		"a filter":        {fakellm.Finish("content_filter", "hel"), text("hel"), wire.StopContentFilter},
		"a filter at all": {fakellm.Finish("content_filter", ""), text(""), wire.StopContentFilter},
		"a refusal":       {fakellm.Refusal("I will not"), text("I will not"), wire.StopRefusal},
		"another reason":  {fakellm.Finish("eos", "x"), text("x"), ""},
		"one tool call": {fakellm.ToolCalls(fakellm.Call{ID: "a", Name: "f", Arguments: `{"x": 1.0}`}),
			[]wire.Content{use("a", "f", `{"x": 1.0}`)}, wire.StopToolUse},
		"text and parallel tool calls": {fakellm.Finish("tool_calls", "so",
			fakellm.Call{ID: "a", Name: "f", Arguments: `{}`}, fakellm.Call{ID: "b", Name: "g", Arguments: `{"y":[]}`}),
			append(text("so"), use("a", "f", `{}`), use("b", "g", `{"y":[]}`)), wire.StopToolUse},
		"tool calls that end with stop": {fakellm.Finish("stop", "", fakellm.Call{ID: "a", Name: "f", Arguments: `{}`}),
			[]wire.Content{use("a", "f", `{}`)}, wire.StopToolUse},
		"tool calls at the limit": {fakellm.Finish("length", "", fakellm.Call{ID: "a", Name: "f", Arguments: `{}`}),
			[]wire.Content{use("a", "f", `{}`)}, wire.StopMaxTokens},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := connect(t, fakellm.New(tc.reply)).CreateMessage(t.Context(), provider.Request{Model: "m", MaxTokens: 1, Messages: userText("hi")})
			if err != nil {
				t.Fatal(err)
			}
			want := &provider.Response{
				Result: wire.SamplingResult{Role: wire.RoleAssistant, Content: tc.wantContent, Model: "m", StopReason: tc.wantStop},
				Usage:  provider.Usage{InputTokens: fakellm.PromptTokens, OutputTokens: fakellm.CompletionTokens},
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("response (-want +got):\n%s", diff)
			}
		})
	}
}
