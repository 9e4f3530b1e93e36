package openai_test

import (
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/testing/fakellm"
)

// request reads the parameters of a sampling request as a server sends them.
func request(t *testing.T, params string) provider.Request {
	t.Helper()
	p, err := wire.DecodeSamplingParams(json.RawMessage(params))
	if err != nil {
		t.Fatalf("%s: %v", params, err)
	}
	req := provider.Request{
		Model: "m", Messages: p.Messages, Temperature: p.Temperature, MaxTokens: p.MaxTokens,
		StopSequences: p.StopSequences, Tools: p.Tools, Metadata: p.Metadata,
	}
	if p.SystemPrompt != nil {
		req.SystemPrompt = *p.SystemPrompt
	}
	if p.ToolChoice != nil {
		req.ToolChoice = p.ToolChoice.Mode
	}
	return req
}

const (
	hi      = `"maxTokens":5,"messages":[{"role":"user","content":{"type":"text","text":"hi"}}]`
	hiOut   = `"model":"m","max_completion_tokens":5,"messages":[{"role":"user","content":"hi"}]`
	png     = `{"type":"image","data":"aGk=","mimeType":"image/png"}`
	pngOut  = `{"type":"image_url","image_url":{"url":"data:image/png;base64,aGk="}}`
	object  = `{"type":"object","properties":{}}`
	tools   = `"tools":[{"name":"f","inputSchema":` + object + `}]`
	toolOut = `"tools":[{"type":"function","function":{"name":"f","description":"","parameters":` + object + `}}]`
)

// TestSamplingHandlerBehaviours holds what the handlers of MCP's client
// libraries do with this API, without what they lose. See also TestRequests.
func TestSamplingHandlerBehaviours(t *testing.T) {
	for name, tc := range map[string]struct {
		params   string
		reply    fakellm.Reply
		wantBody string
		// wantResult is the whole answer to the server; empty means a plain text.
		wantResult string
		wantLost   []provider.Loss
	}{
		"text is a text": {
			params: `{` + hi + `}`, reply: fakellm.Text("hello"), wantBody: `{` + hiOut + `}`,
			wantResult: `{"role":"assistant","content":{"type":"text","text":"hello"},"model":"m","stopReason":"endTurn"}`,
		},
		"the system prompt is a system message": {
			params:   `{"systemPrompt":"be brief",` + hi + `}`,
			wantBody: `{"model":"m","max_completion_tokens":5,"messages":[{"role":"system","content":"be brief"},{"role":"user","content":"hi"}]}`,
		},
		"messages keep their order": {
			params: `{"maxTokens":5,"messages":[{"role":"user","content":{"type":"text","text":"1"}},
				{"role":"assistant","content":{"type":"text","text":"2"}},{"role":"user","content":{"type":"text","text":"3"}}]}`,
			wantBody: `{"model":"m","max_completion_tokens":5,"messages":[{"role":"user","content":"1"},
				{"role":"assistant","content":"2"},{"role":"user","content":"3"}]}`,
		},
		"temperature zero is said": {
			params: `{"temperature":0,` + hi + `}`, wantBody: `{"temperature":0,` + hiOut + `}`,
		},
		"stop sequences are said": {
			params: `{"stopSequences":["END","."],` + hi + `}`, wantBody: `{"stop":["END","."],` + hiOut + `}`,
		},
		"a jpeg image": {
			params:   `{"maxTokens":5,"messages":[{"role":"user","content":{"type":"image","data":"aGk=","mimeType":"image/jpeg"}}]}`,
			wantBody: `{"model":"m","max_completion_tokens":5,"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/jpeg;base64,aGk="}}]}]}`,
		},
		"a png image": {
			params:   `{"maxTokens":5,"messages":[{"role":"user","content":` + png + `}]}`,
			wantBody: `{"model":"m","max_completion_tokens":5,"messages":[{"role":"user","content":[` + pngOut + `]}]}`,
		},
		"a gif image": {
			params:   `{"maxTokens":5,"messages":[{"role":"user","content":{"type":"image","data":"aGk=","mimeType":"image/gif"}}]}`,
			wantBody: `{"model":"m","max_completion_tokens":5,"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/gif;base64,aGk="}}]}]}`,
		},
		"a webp image": {
			params:   `{"maxTokens":5,"messages":[{"role":"user","content":{"type":"image","data":"aGk=","mimeType":"image/webp"}}]}`,
			wantBody: `{"model":"m","max_completion_tokens":5,"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/webp;base64,aGk="}}]}]}`,
		},
		"audio as wav": {
			params:   `{"maxTokens":5,"messages":[{"role":"user","content":{"type":"audio","data":"aGk=","mimeType":"audio/wav"}}]}`,
			wantBody: `{"model":"m","max_completion_tokens":5,"messages":[{"role":"user","content":[{"type":"input_audio","input_audio":{"data":"aGk=","format":"wav"}}]}]}`,
		},
		"audio as mp3": {
			params:   `{"maxTokens":5,"messages":[{"role":"user","content":{"type":"audio","data":"aGk=","mimeType":"audio/mpeg"}}]}`,
			wantBody: `{"model":"m","max_completion_tokens":5,"messages":[{"role":"user","content":[{"type":"input_audio","input_audio":{"data":"aGk=","format":"mp3"}}]}]}`,
		},
		"an empty text beside an image is left out": {
			params:   `{"maxTokens":5,"messages":[{"role":"user","content":[{"type":"text","text":""},` + png + `]}]}`,
			wantBody: `{"model":"m","max_completion_tokens":5,"messages":[{"role":"user","content":[` + pngOut + `]}]}`,
		},
		"toolChoice auto": {
			params: `{` + tools + `,"toolChoice":{"mode":"auto"},` + hi + `}`, wantBody: `{` + toolOut + `,"tool_choice":"auto",` + hiOut + `}`,
		},
		"toolChoice required": {
			params: `{` + tools + `,"toolChoice":{"mode":"required"},` + hi + `}`, wantBody: `{` + toolOut + `,"tool_choice":"required",` + hiOut + `}`,
		},
		"toolChoice none": {
			params: `{` + tools + `,"toolChoice":{"mode":"none"},` + hi + `}`, wantBody: `{` + toolOut + `,"tool_choice":"none",` + hiOut + `}`,
		},
		"no toolChoice": {
			params: `{` + tools + `,` + hi + `}`, wantBody: `{` + toolOut + `,` + hiOut + `}`,
		},
		"a schema without type and properties gets them": {
			params:   `{"tools":[{"name":"f","inputSchema":{"title":"T","additionalProperties":false}}],` + hi + `}`,
			wantBody: `{"tools":[{"type":"function","function":{"name":"f","description":"","parameters":{"title":"T","additionalProperties":false,"type":"object","properties":{}}}}],` + hiOut + `}`,
		},
		"names that the API refuses are replaced, in history too": {
			params: `{"maxTokens":5,"tools":[{"name":"files/read","inputSchema":` + object + `},{"name":"files_read","inputSchema":` + object + `}],"messages":[
				{"role":"assistant","content":{"type":"tool_use","id":"a","name":"files/read","input":{}}},
				{"role":"user","content":{"type":"tool_result","toolUseId":"a","content":[]}}]}`,
			reply: fakellm.ToolCalls(
				fakellm.Call{ID: "b", Name: "files_read_2b733164", Arguments: `{}`},
				fakellm.Call{ID: "c", Name: "files_read", Arguments: `{}`},
				fakellm.Call{ID: "d", Name: "made_up", Arguments: `{}`}),
			wantBody: `{"model":"m","max_completion_tokens":5,"tools":[
				{"type":"function","function":{"name":"files_read_2b733164","description":"","parameters":` + object + `}},
				{"type":"function","function":{"name":"files_read","description":"","parameters":` + object + `}}],"messages":[
				{"role":"assistant","tool_calls":[{"id":"a","type":"function","function":{"name":"files_read_2b733164","arguments":"{}"}}]},
				{"role":"tool","tool_call_id":"a","content":""}]}`,
			wantResult: `{"role":"assistant","content":[{"type":"tool_use","id":"b","name":"files/read","input":{}},
				{"type":"tool_use","id":"c","name":"files_read","input":{}},{"type":"tool_use","id":"d","name":"made_up","input":{}}],
				"model":"m","stopReason":"toolUse"}`,
		},
		"ids that are too long are shortened on both sides": {
			params: `{"maxTokens":5,"messages":[
				{"role":"assistant","content":{"type":"tool_use","id":"` + strings.Repeat("i", 41) + `","name":"f","input":{}}},
				{"role":"user","content":{"type":"tool_result","toolUseId":"` + strings.Repeat("i", 41) + `","content":[]}}]}`,
			wantBody: `{"model":"m","max_completion_tokens":5,"messages":[
				{"role":"assistant","tool_calls":[{"id":"call_2f53ab97230bb0423a8164fc990fad9e","type":"function","function":{"name":"f","arguments":"{}"}}]},
				{"role":"tool","tool_call_id":"call_2f53ab97230bb0423a8164fc990fad9e","content":""}]}`,
		},
		"a tool result keeps its texts, its image and that it failed": {
			params: `{"maxTokens":5,"messages":[
				{"role":"assistant","content":{"type":"tool_use","id":"a","name":"f","input":{"x":1}}},
				{"role":"user","content":{"type":"tool_result","toolUseId":"a","isError":true,"structuredContent":{"y":1},
					"content":[{"type":"text","text":"1"},{"type":"text","text":"2"},` + png + `]}}]}`,
			wantBody: `{"model":"m","max_completion_tokens":5,"messages":[
				{"role":"assistant","tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{\"x\":1}"}}]},
				{"role":"tool","tool_call_id":"a","content":"Error: 1\n2"},
				{"role":"user","content":[{"type":"text","text":"From the result of tool call a:"},` + pngOut + `]}]}`,
			wantLost: []provider.Loss{provider.LossToolResultMedia, provider.LossStructuredContent, provider.LossToolError},
		},
		"metadata that is no text, or too long, is lost": {
			params: `{"metadata":{"user":"u","n":1,"deep":{},"` + strings.Repeat("k", 65) + `":"v","v":"` + strings.Repeat("é", 513) + `"},` + hi + `}`, wantBody: `{"metadata":{"user":"u"},` + hiOut + `}`,
			wantLost: []provider.Loss{provider.LossMetadata},
		},
		"metadata that is null is none": {
			params: `{"metadata":null,` + hi + `}`, wantBody: `{` + hiOut + `}`,
		},
		"metadata that fits is kept": {
			params: `{"metadata":{"` + strings.Repeat("k", 64) + `":"` + strings.Repeat("é", 512) + `"},` + hi + `}`, wantBody: `{"metadata":{"` + strings.Repeat("k", 64) + `":"` + strings.Repeat("é", 512) + `"},` + hiOut + `}`,
		},
		"tool calls end with toolUse": {
			params: `{` + tools + `,` + hi + `}`, wantBody: `{` + toolOut + `,` + hiOut + `}`,
			reply:      fakellm.ToolCalls(fakellm.Call{ID: "a", Name: "f", Arguments: `{"x":1}`}),
			wantResult: `{"role":"assistant","content":{"type":"tool_use","id":"a","name":"f","input":{"x":1}},"model":"m","stopReason":"toolUse"}`,
		},
		"a tool that is required ends with toolUse, though the API says stop": {
			params: `{` + tools + `,"toolChoice":{"mode":"required"},` + hi + `}`, wantBody: `{` + toolOut + `,"tool_choice":"required",` + hiOut + `}`,
			reply:      fakellm.Finish("stop", "", fakellm.Call{ID: "a", Name: "f", Arguments: `{"x":1}`}),
			wantResult: `{"role":"assistant","content":{"type":"tool_use","id":"a","name":"f","input":{"x":1}},"model":"m","stopReason":"toolUse"}`,
		},
		"the limit ends with maxTokens": {
			params: `{` + hi + `}`, wantBody: `{` + hiOut + `}`, reply: fakellm.Finish("length", "hel"),
			wantResult: `{"role":"assistant","content":{"type":"text","text":"hel"},"model":"m","stopReason":"maxTokens"}`,
		},
		"a filter is not passed off as an end": {
			params: `{` + hi + `}`, wantBody: `{` + hiOut + `}`, reply: fakellm.Finish("content_filter", "hel"),
			wantResult: `{"role":"assistant","content":{"type":"text","text":"hel"},"model":"m","stopReason":"contentFilter"}`,
		},
		"an unknown reason is not passed off as an end": {
			params: `{` + hi + `}`, wantBody: `{` + hiOut + `}`, reply: fakellm.Finish("eos_token", "hel"),
			wantResult: `{"role":"assistant","content":{"type":"text","text":"hel"},"model":"m"}`,
		},
		"content in parts is their text": {
			params: `{` + hi + `}`, wantBody: `{` + hiOut + `}`,
			reply: fakellm.Raw(200, "application/json", `{"model":"m-2","choices":[{"finish_reason":"stop","message":{"content":[
				{"type":"thinking","thinking":[{"type":"text","text":"hm"}]},{"type":"text","text":"hel"},{"type":"text","text":"lo"}]}}]}`),
			wantResult: `{"role":"assistant","content":{"type":"text","text":"hello"},"model":"m-2","stopReason":"endTurn"}`,
		},
		"of several choices the first is taken, whatever the others are": {
			params: `{` + hi + `}`, wantBody: `{` + hiOut + `}`,
			reply: fakellm.Raw(200, "application/json", `{"model":"m-2","choices":[{"finish_reason":"stop","message":{"content":"first"}},
				{"finish_reason":"length","message":{"content":"second","refusal":"no"}},7,"x",[1],null,{"message":7}]}`),
			wantResult: `{"role":"assistant","content":{"type":"text","text":"first"},"model":"m-2","stopReason":"endTurn"}`,
		},
		"arguments that are an object are taken as they are": {
			params: `{` + tools + `,` + hi + `}`, wantBody: `{` + toolOut + `,` + hiOut + `}`,
			reply: fakellm.Raw(200, "application/json", `{"choices":[{"finish_reason":"tool_calls","message":{"tool_calls":[
				{"id":"a","function":{"name":"f","arguments":{"x":9007199254740993}}}]}}]}`),
			wantResult: `{"role":"assistant","content":{"type":"tool_use","id":"a","name":"f","input":{"x":9007199254740993}},"model":"m","stopReason":"toolUse"}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.reply == nil {
				tc.reply = fakellm.Text("ok")
				tc.wantResult = `{"role":"assistant","content":{"type":"text","text":"ok"},"model":"m","stopReason":"endTurn"}`
			}
			model := fakellm.New(tc.reply)
			got, err := connect(t, model).CreateMessage(t.Context(), request(t, tc.params))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(normal(t, tc.wantBody), sent(t, model)); diff != "" {
				t.Errorf("body (-want +got):\n%s", diff)
			}
			wantContract(t, model.Requests()[0].Body)
			result, err := json.Marshal(got.Result)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(normal(t, tc.wantResult), normal(t, string(result))); diff != "" {
				t.Errorf("result (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.wantLost, got.Lost); diff != "" {
				t.Errorf("lost (-want +got):\n%s", diff)
			}
		})
	}
}

func TestIncompleteToolRoundsAreNotSent(t *testing.T) {
	use := wire.SamplingMessage{Role: wire.RoleAssistant, Content: []wire.Content{
		{Type: wire.ContentToolUse, ID: "a", Name: "f", Input: json.RawMessage(`{}`)},
		{Type: wire.ContentToolUse, ID: "b", Name: "f", Input: json.RawMessage(`{}`)}}}
	result := func(ids ...string) wire.SamplingMessage {
		m := wire.SamplingMessage{Role: wire.RoleUser}
		for _, id := range ids {
			m.Content = append(m.Content, wire.Content{Type: wire.ContentToolResult, ToolUseID: id})
		}
		return m
	}
	mixed := result("a", "b")
	mixed.Content = append(mixed.Content, wire.Content{Type: wire.ContentText, Text: "and?"})
	for name, messages := range map[string][]wire.SamplingMessage{
		"no result":                         {use},
		"another message":                   {use, userText("hi")[0], result("a", "b")},
		"an assistant's message in between": {use, use},
		"one result is missing":             {use, result("a")},
		"one result comes twice":            {use, result("a", "a")},
		"a result of nothing":               {use, result("a", "c")},
		"a result without a call":           {result("a")},
		"results beside a text":             {use, mixed},
		"no messages at all":                nil,
	} {
		model := fakellm.New()
		_, err := connect(t, model).CreateMessage(t.Context(), provider.Request{Model: "m", MaxTokens: 1, Messages: messages})
		var unsupported *provider.UnsupportedError
		if !errors.As(err, &unsupported) || len(model.Requests()) != 0 {
			t.Errorf("%s: error %v and %d requests, want an UnsupportedError and none", name, err, len(model.Requests()))
		}
	}
}

// A server's tool loop: what one answer asks for, the next request answers.
func TestAToolLoop(t *testing.T) {
	model := fakellm.New(
		fakellm.ToolCalls(fakellm.Call{ID: "1", Name: "add", Arguments: `{"a":2}`}, fakellm.Call{ID: "2", Name: "look up", Arguments: `{}`}),
		fakellm.ToolCalls(fakellm.Call{ID: "3", Name: "look_up", Arguments: `{}`}),
		fakellm.Text("done"))
	client := connect(t, model)
	req := provider.Request{Model: "m", MaxTokens: 5, Messages: userText("go"), Tools: []wire.Tool{
		{Name: "add", InputSchema: json.RawMessage(object)}, {Name: "look up", InputSchema: json.RawMessage(object)}}}
	var stops []string
	for range 3 {
		got, err := client.CreateMessage(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		stops = append(stops, got.Result.StopReason)
		results := wire.SamplingMessage{Role: wire.RoleUser}
		for _, c := range got.Result.Content {
			if c.Type == wire.ContentToolUse {
				results.Content = append(results.Content, wire.Content{Type: wire.ContentToolResult, ToolUseID: c.ID,
					Content: []wire.Content{{Type: wire.ContentText, Text: "result of " + c.Name}}})
			}
		}
		req.Messages = append(req.Messages, wire.SamplingMessage{Role: wire.RoleAssistant, Content: got.Result.Content}, results)
	}
	if diff := cmp.Diff([]string{wire.StopToolUse, wire.StopToolUse, wire.StopEndTurn}, stops); diff != "" {
		t.Errorf("stop reasons (-want +got):\n%s", diff)
	}
	for _, r := range model.Requests() {
		wantContract(t, r.Body)
	}
	want := `{"model":"m","max_completion_tokens":5,"tools":[
		{"type":"function","function":{"name":"add","description":"","parameters":` + object + `}},
		{"type":"function","function":{"name":"look_up","description":"","parameters":` + object + `}}],"messages":[
		{"role":"user","content":"go"},
		{"role":"assistant","tool_calls":[{"id":"1","type":"function","function":{"name":"add","arguments":"{\"a\":2}"}},
			{"id":"2","type":"function","function":{"name":"look_up","arguments":"{}"}}]},
		{"role":"tool","tool_call_id":"1","content":"result of add"},
		{"role":"tool","tool_call_id":"2","content":"result of look up"},
		{"role":"assistant","tool_calls":[{"id":"3","type":"function","function":{"name":"look_up","arguments":"{}"}}]},
		{"role":"tool","tool_call_id":"3","content":"result of look up"}]}`
	if diff := cmp.Diff(normal(t, want), normal(t, string(model.Requests()[2].Body))); diff != "" {
		t.Errorf("the last request (-want +got):\n%s", diff)
	}
}

func TestCallsWithoutAnIDOfTheirOwnGetOne(t *testing.T) {
	model := fakellm.New(fakellm.ToolCalls(
		fakellm.Call{Name: "f", Arguments: `{}`}, fakellm.Call{ID: "a", Name: "f", Arguments: `{}`}, fakellm.Call{ID: "a", Name: "f", Arguments: `{}`}))
	got, err := connect(t, model).CreateMessage(t.Context(), provider.Request{Model: "m", MaxTokens: 1, Messages: userText("hi")})
	if err != nil {
		t.Fatal(err)
	}
	ids := map[string]bool{}
	for _, c := range got.Result.Content {
		ids[c.ID] = true
	}
	if len(ids) != 3 || ids[""] || !ids["a"] {
		t.Errorf("ids %v, want three, one of them the server's", ids)
	}
}

func TestParallelRequestsGetTheirOwnAnswers(t *testing.T) {
	client := connect(t, fakellm.New())
	var group sync.WaitGroup
	for i := range 16 {
		text := strings.Repeat("x", i+1)
		group.Go(func() {
			got, err := client.CreateMessage(t.Context(), provider.Request{Model: "m", MaxTokens: 1, Messages: userText(text)})
			if err != nil || !strings.HasSuffix(got.Result.Content[0].Text, ": "+text) {
				t.Errorf("asked %q, got %+v, %v", text, got, err)
			}
		})
	}
	group.Wait()
}
