package anthropic_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/testing/fakeanthropic"
)

// Pieces of requests.
var (
	png = wire.Content{Type: wire.ContentImage, Data: "aGk=", MIMEType: "image/PNG"}
	wav = wire.Content{Type: wire.ContentAudio, Data: "aGk=", MIMEType: "audio/wav"}
)

func text(s string) wire.Content { return wire.Content{Type: wire.ContentText, Text: s} }

func use(id, name, input string) wire.Content {
	return wire.Content{Type: wire.ContentToolUse, ID: id, Name: name, Input: json.RawMessage(input)}
}

func result(id string, content ...wire.Content) wire.Content {
	return wire.Content{Type: wire.ContentToolResult, ToolUseID: id, Content: content}
}

func failed(id string, content ...wire.Content) wire.Content {
	c := result(id, content...)
	c.IsError = true
	return c
}

func structured(c wire.Content, json string) wire.Content {
	c.StructuredContent = []byte(json)
	return c
}

func resource(mimeType, text, blob string) wire.Content {
	return wire.Content{Type: wire.ContentResource, Resource: &wire.Resource{URI: "file:///a", MIMEType: mimeType, Text: text, Blob: blob}}
}

func user(c ...wire.Content) wire.SamplingMessage {
	return wire.SamplingMessage{Role: wire.RoleUser, Content: c}
}

func assistant(c ...wire.Content) wire.SamplingMessage {
	return wire.SamplingMessage{Role: wire.RoleAssistant, Content: c}
}

// called is a conversation in which a tool was called and gave results.
func called(results ...wire.Content) []wire.SamplingMessage {
	uses := make([]wire.Content, len(results))
	for i, r := range results {
		uses[i] = use(r.ToolUseID, "f", `{}`)
	}
	return []wire.SamplingMessage{user(text("hi")), assistant(uses...), user(results...)}
}

// calledJSON is what is sent of called: the calls' ids, and the last message.
func calledJSON(last string, ids ...string) string {
	uses := make([]string, len(ids))
	for i, id := range ids {
		uses[i] = `{"type":"tool_use","id":"` + id + `","name":"f","input":{}}`
	}
	return `{"model":"m","max_tokens":5,"messages":[{"role":"user","content":[{"type":"text","text":"hi"}]},
		{"role":"assistant","content":[` + strings.Join(uses, ",") + `]},{"role":"user","content":` + last + `}]}`
}

// asks is a request with a model and a limit.
func asks(messages ...wire.SamplingMessage) provider.Request {
	return provider.Request{Model: "m", MaxTokens: 5, Messages: messages}
}

func with(r provider.Request, modify func(*provider.Request)) provider.Request {
	modify(&r)
	return r
}

const hiJSON = `{"role":"user","content":[{"type":"text","text":"hi"}]}`

func TestConversations(t *testing.T) {
	for name, tc := range map[string]struct {
		request  provider.Request
		want     string
		wantLost []provider.Loss
	}{
		"text alone": {
			request: asks(user(text("hi"))),
			want:    `{"model":"m","max_tokens":5,"messages":[` + hiJSON + `]}`,
		},
		"all parameters, temperature zero": {
			request: with(asks(user(text("hi"))), func(r *provider.Request) {
				r.Temperature, r.SystemPrompt, r.StopSequences = new(0.0), "be brief", []string{"END", "\nUser:"}
			}),
			want: `{"model":"m","max_tokens":5,"temperature":0,"stop_sequences":["END","\nUser:"],
				"system":[{"type":"text","text":"be brief"}],"messages":[` + hiJSON + `]}`,
		},
		"a system prompt of white space is none": {
			request: with(asks(user(text("hi"))), func(r *provider.Request) { r.SystemPrompt = " \n" }),
			want:    `{"model":"m","max_tokens":5,"messages":[` + hiJSON + `]}`,
		},
		"the order of a conversation": {
			request: asks(assistant(text("one")), user(text("two"), text("three")), assistant(text("four")), user(text("five <&>"))),
			want: `{"model":"m","max_tokens":5,"messages":[{"role":"assistant","content":[{"type":"text","text":"one"}]},
				{"role":"user","content":[{"type":"text","text":"two"},{"type":"text","text":"three"}]},
				{"role":"assistant","content":[{"type":"text","text":"four"}]},
				{"role":"user","content":[{"type":"text","text":"five <&>"}]}]}`,
		},
		"consecutive messages of one role become one": {
			request: asks(user(text("a")), user(text("b")), assistant(text("c")), assistant(text("d")), user(text("e"))),
			want: `{"model":"m","max_tokens":5,"messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]},
				{"role":"assistant","content":[{"type":"text","text":"c"},{"type":"text","text":"d"}]},
				{"role":"user","content":[{"type":"text","text":"e"}]}]}`,
		},
		"text that nobody can read is left out": {
			request: asks(user(text(""), text("a"), text(" \n")), assistant(text("")), user(text("b"))),
			want: `{"model":"m","max_tokens":5,"messages":[{"role":"user","content":[{"type":"text","text":"a"},
				{"type":"text","text":"b"}]}]}`,
		},
		"a last message of the assistant loses the space at its end": {
			request: asks(user(text("hi")), assistant(text("The best answer is ( \n"))),
			want: `{"model":"m","max_tokens":5,"messages":[` + hiJSON + `,
				{"role":"assistant","content":[{"type":"text","text":"The best answer is ("}]}]}`,
		},
		"images between texts": {
			request: asks(user(text("look"), png, wire.Content{Type: wire.ContentImage, Data: "a\nGk=\r\n", MIMEType: "image/jpg; q=1"},
				wire.Content{Type: wire.ContentImage, Data: "aGk=", MIMEType: "image/gif"}, text("and?"))),
			want: `{"model":"m","max_tokens":5,"messages":[{"role":"user","content":[{"type":"text","text":"look"},
				{"type":"image","source":{"type":"base64","media_type":"image/png","data":"aGk="}},
				{"type":"image","source":{"type":"base64","media_type":"image/jpeg","data":"aGk="}},
				{"type":"image","source":{"type":"base64","media_type":"image/gif","data":"aGk="}},
				{"type":"text","text":"and?"}]}]}`,
		},
		"parallel tool calls and their results, in order": {
			request: asks(user(text("hi")), assistant(text("so"), use("a", "f", `{"x": 1.0}`), use("b", "g", `{}`)),
				user(result("b", text("two")), result("a", text("one"), text("more"))), user(text("go on"))),
			want: `{"model":"m","max_tokens":5,"messages":[` + hiJSON + `,
				{"role":"assistant","content":[{"type":"text","text":"so"},{"type":"tool_use","id":"a","name":"f","input":{"x":1.0}},
					{"type":"tool_use","id":"b","name":"g","input":{}}]},
				{"role":"user","content":[{"type":"tool_result","tool_use_id":"b","content":[{"type":"text","text":"two"}]},
					{"type":"tool_result","tool_use_id":"a","content":[{"type":"text","text":"one"},{"type":"text","text":"more"}]},
					{"type":"text","text":"go on"}]}]}`,
		},
		"a result without content": {
			request: asks(called(result("a"))...),
			want:    calledJSON(`[{"type":"tool_result","tool_use_id":"a"}]`, "a"),
		},
		"a result with an image": {
			request: asks(called(result("a", text("see"), png))...),
			want: calledJSON(`[{"type":"tool_result","tool_use_id":"a","content":[{"type":"text","text":"see"},
				{"type":"image","source":{"type":"base64","media_type":"image/png","data":"aGk="}}]}]`, "a"),
		},
		"a tool that failed": {
			request: asks(called(failed("a", text("no such file")))...),
			want:    calledJSON(`[{"type":"tool_result","tool_use_id":"a","is_error":true,"content":[{"type":"text","text":"no such file"}]}]`, "a"),
		},
		"a tool that failed without a word": {
			request: asks(called(failed("a", text("")))...),
			want:    calledJSON(`[{"type":"tool_result","tool_use_id":"a","is_error":true,"content":[{"type":"text","text":"Error"}]}]`, "a"),
		},
		"images of a tool that failed follow all results": {
			request: asks(called(failed("a", text("no"), png), result("b", text("yes")))...),
			want: calledJSON(`[{"type":"tool_result","tool_use_id":"a","is_error":true,"content":[{"type":"text","text":"no"}]},
				{"type":"tool_result","tool_use_id":"b","content":[{"type":"text","text":"yes"}]},
				{"type":"text","text":"From the result of tool call a:"},
				{"type":"image","source":{"type":"base64","media_type":"image/png","data":"aGk="}}]`, "a", "b"),
			wantLost: []provider.Loss{provider.LossToolResultMedia},
		},
		"structured content in place of text": {
			request: asks(called(structured(result("a", png), `{ "b": 1.0, "a": [] }`))...),
			want: calledJSON(`[{"type":"tool_result","tool_use_id":"a","content":[{"type":"text","text":"{\"b\":1.0,\"a\":[]}"},
				{"type":"image","source":{"type":"base64","media_type":"image/png","data":"aGk="}}]}]`, "a"),
		},
		"structured content beside text": {
			request:  asks(called(structured(result("a", text("one")), `{"a":1}`))...),
			want:     calledJSON(`[{"type":"tool_result","tool_use_id":"a","content":[{"type":"text","text":"one"}]}]`, "a"),
			wantLost: []provider.Loss{provider.LossStructuredContent},
		},
		"resources in a result": {
			request: asks(called(result("a", resource("text/plain", "read me", ""), resource("application/pdf", "", "aGk="),
				resource("image/webp", "", "aGk="), resource("text/csv", "", "YSxi"),
				wire.Content{Type: wire.ContentResourceLink, Name: "more", URI: "https://example.com/more"}))...),
			want: calledJSON(`[{"type":"tool_result","tool_use_id":"a","content":[{"type":"text","text":"read me"},
				{"type":"document","source":{"type":"base64","media_type":"application/pdf","data":"aGk="}},
				{"type":"image","source":{"type":"base64","media_type":"image/webp","data":"aGk="}},
				{"type":"text","text":"a,b"},{"type":"text","text":"more https://example.com/more"}]}]`, "a"),
		},
		"ids that the API refuses, and ids of each round anew": {
			request: asks(user(text("hi")), assistant(use("call 1", "f", `{}`)), user(result("call 1", text("one"))),
				assistant(use("call_1", "f", `{}`)), user(result("call_1", text("two"))),
				assistant(use("call_1", "f", `{}`)), user(result("call_1", text("three")))),
			want: `{"model":"m","max_tokens":5,"messages":[` + hiJSON + `,
				{"role":"assistant","content":[{"type":"tool_use","id":"toolu_1","name":"f","input":{}}]},
				{"role":"user","content":[{"type":"tool_result","tool_use_id":"toolu_1","content":[{"type":"text","text":"one"}]}]},
				{"role":"assistant","content":[{"type":"tool_use","id":"call_1","name":"f","input":{}}]},
				{"role":"user","content":[{"type":"tool_result","tool_use_id":"call_1","content":[{"type":"text","text":"two"}]}]},
				{"role":"assistant","content":[{"type":"tool_use","id":"toolu_3","name":"f","input":{}}]},
				{"role":"user","content":[{"type":"tool_result","tool_use_id":"toolu_3","content":[{"type":"text","text":"three"}]}]}]}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			model := fakeanthropic.New()
			got, err := connect(t, model).CreateMessage(t.Context(), tc.request)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(normal(t, tc.want), sent(t, model)); diff != "" {
				t.Errorf("request (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.wantLost, got.Lost); diff != "" {
				t.Errorf("lost (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTools(t *testing.T) {
	const schema = `{"type":"object","properties":{"z":{"type":"number","maximum":1.10},"a":{"const":"<&>"}},"$schema":"x","required":[]}`
	long := strings.Repeat("n", 129)
	tool := func(name, schema string) wire.Tool {
		return wire.Tool{Name: name, InputSchema: json.RawMessage(schema)}
	}
	for name, tc := range map[string]struct {
		tools  []wire.Tool
		choice string
		want   string // the fields tools and tool_choice
	}{
		"a schema keeps its bytes": {
			tools: []wire.Tool{{Name: "f", Description: "does", InputSchema: json.RawMessage(schema)}},
			want:  `"tools":[{"name":"f","description":"does","input_schema":` + schema + `}]`,
		},
		"auto":                   {[]wire.Tool{tool("f", schema)}, wire.ToolChoiceAuto, `"tools":[{"name":"f","input_schema":` + schema + `}],"tool_choice":{"type":"auto"}`},
		"required":               {[]wire.Tool{tool("f", schema)}, wire.ToolChoiceRequired, `"tools":[{"name":"f","input_schema":` + schema + `}],"tool_choice":{"type":"any"}`},
		"none":                   {[]wire.Tool{tool("f", schema)}, wire.ToolChoiceNone, `"tools":[{"name":"f","input_schema":` + schema + `}],"tool_choice":{"type":"none"}`},
		"a choice without tools": {nil, wire.ToolChoiceNone, ``},
		"a schema without a type": {
			tools: []wire.Tool{tool("f", `{}`), tool("g", ` { "properties":{}}`)},
			want:  `"tools":[{"name":"f","input_schema":{"type":"object"}},{"name":"g","input_schema":{"type":"object","properties":{}}}]`,
		},
		"names that the API refuses": {
			tools: []wire.Tool{tool("files/read", schema), tool("files_write", schema), tool(long, `{"type":"object"}`)},
			want: `"tools":[{"name":"files_read","input_schema":` + schema + `},{"name":"files_write","input_schema":` + schema + `},
				{"name":"nnn","input_schema":{"type":"object"}}]`,
		},
		"what only Anthropic refuses in a schema": {
			tools: []wire.Tool{tool("f", `{"type":"object","anyOf":[],"properties":{"a b":{}}}`)},
			want:  `"tools":[{"name":"f","input_schema":{"type":"object","anyOf":[],"properties":{"a b":{}}}}]`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			model := fakeanthropic.New()
			if _, err := connect(t, model).CreateMessage(t.Context(), with(asks(user(text("hi"))), func(r *provider.Request) {
				r.Tools, r.ToolChoice = tc.tools, tc.choice
			})); err != nil {
				t.Fatal(err)
			}
			var body map[string]json.RawMessage
			if err := json.Unmarshal(model.Requests()[0].Body, &body); err != nil {
				t.Fatal(err)
			}
			got := ""
			for _, field := range []string{"tools", "tool_choice"} {
				if body[field] != nil {
					got += `,"` + field + `":` + string(body[field])
				}
			}
			// The name that is too long has a hash at its end.
			if i := strings.Index(got, "nnn"); i >= 0 {
				got = got[:i] + "nnn" + got[i+128:]
			}
			want := strings.NewReplacer("\n", "", "\t", "").Replace(tc.want)
			if diff := cmp.Diff(want, strings.TrimPrefix(got, ",")); diff != "" {
				t.Errorf("tools, byte for byte (-want +got):\n%s", diff)
			}
		})
	}
}

func TestNamesOfToolsAreMappedBack(t *testing.T) {
	model := fakeanthropic.New(fakeanthropic.Message("tool_use",
		fakeanthropic.ToolUse("a", "files_read", `{}`), fakeanthropic.ToolUse("b", "made_up", `{}`)))
	got, err := connect(t, model).CreateMessage(t.Context(), with(
		asks(user(text("hi")), assistant(use("1", "files/read", `{}`)), user(result("1", text("x")))),
		func(r *provider.Request) {
			r.Tools = []wire.Tool{{Name: "files/read", InputSchema: json.RawMessage(`{"type":"object"}`)}}
		}))
	if err != nil {
		t.Fatal(err)
	}
	if body := string(model.Requests()[0].Body); strings.Contains(body, "files/read") || strings.Count(body, `"files_read"`) != 2 {
		t.Errorf("the call in the history has another name than the tool: %s", body)
	}
	want := []wire.Content{use("a", "files/read", `{}`), use("b", "made_up", `{}`)}
	if diff := cmp.Diff(want, got.Result.Content); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
}

func TestMetadata(t *testing.T) {
	for name, tc := range map[string]struct {
		metadata string
		want     string
		wantLost []provider.Loss
	}{
		"none":                         {``, ``, nil},
		"empty":                        {`{}`, ``, nil},
		"a user":                       {`{"user_id":"u-1"}`, `,"metadata":{"user_id":"u-1"}`, nil},
		"a user and more":              {`{"user_id":"u-1","team":"x"}`, `,"metadata":{"user_id":"u-1"}`, []provider.Loss{provider.LossMetadata}},
		"a user that is a number":      {`{"user_id":7}`, ``, []provider.Loss{provider.LossMetadata}},
		"a user that is too long":      {`{"user_id":"` + strings.Repeat("u", 257) + `"}`, ``, []provider.Loss{provider.LossMetadata}},
		"no object":                    {`[]`, ``, []provider.Loss{provider.LossMetadata}},
		"several unknown are one loss": {`{"a":1,"b":2}`, ``, []provider.Loss{provider.LossMetadata}},
	} {
		t.Run(name, func(t *testing.T) {
			model := fakeanthropic.New()
			got, err := connect(t, model).CreateMessage(t.Context(), with(asks(user(text("hi"))), func(r *provider.Request) {
				r.Metadata = json.RawMessage(tc.metadata)
			}))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(normal(t, `{"model":"m","max_tokens":5,"messages":[`+hiJSON+`]`+tc.want+`}`), sent(t, model)); diff != "" {
				t.Errorf("request (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.wantLost, got.Lost); diff != "" {
				t.Errorf("lost (-want +got):\n%s", diff)
			}
		})
	}
}

func TestExtraBody(t *testing.T) {
	plain := asks(user(text("hi")))
	tools := []wire.Tool{{Name: "f", InputSchema: json.RawMessage(`{"type":"object"}`)}}
	for name, tc := range map[string]struct {
		request provider.Request
		extra   string
		want    string // the fields of extra that are sent
	}{
		"fields of the API":                   {plain, `{"top_k":5,"service_tier":"auto"}`, `{"service_tier":"auto","top_k":5}`},
		"what is decided goes over":           {plain, `{"max_tokens":9,"model":"x","messages":[],"top_k":5}`, `{"top_k":5}`},
		"what is decided, written otherwise":  {plain, `{"Model":"x","MAX_TOKENS":9,"Messages":[],"Temperature":1,"Tools":[],"top_k":5}`, `{"top_k":5}`},
		"thinking beside sampling it refuses": {plain, `{"thinking":{"type":"adaptive"},"top_k":5,"top_p":0.5}`, `{"thinking":{"type":"adaptive"}}`},
		"thinking beside sampling it takes":   {plain, `{"thinking":{"type":"adaptive"},"top_p":0.95}`, `{"thinking":{"type":"adaptive"},"top_p":0.95}`},
		"no thinking beside sampling":         {plain, `{"thinking":{"type":"disabled"},"top_k":5}`, `{"thinking":{"type":"disabled"},"top_k":5}`},
		"empty":                               {plain, `{}`, `{}`},
		"top_p":                               {plain, `{"top_p":0.5}`, `{"top_p":0.5}`},
		"top_p beside a temperature": {with(plain, func(r *provider.Request) { r.Temperature = new(0.5) }),
			`{"top_p":0.5}`, `{}`},
		"thinking": {plain, `{"thinking":{"type":"adaptive"}}`, `{"thinking":{"type":"adaptive"}}`},
		"no thinking, whatever comes": {with(plain, func(r *provider.Request) { r.Temperature = new(0.5) }),
			`{"thinking":{"type":"disabled"}}`, `{"thinking":{"type":"disabled"}}`},
		"thinking beside another temperature": {with(plain, func(r *provider.Request) { r.Temperature = new(0.5) }),
			`{"thinking":{"type":"adaptive"}}`, `{}`},
		"thinking beside a tool that must be called": {with(plain, func(r *provider.Request) { r.Tools, r.ToolChoice = tools, "required" }),
			`{"thinking":{"type":"adaptive"}}`, `{}`},
		"thinking before an answer that has begun": {asks(user(text("hi")), assistant(text("so"))),
			`{"thinking":{"type":"adaptive"}}`, `{}`},
		"a budget within the limit": {with(plain, func(r *provider.Request) { r.MaxTokens = 2000 }),
			`{"thinking":{"type":"enabled","budget_tokens":1024}}`, `{"thinking":{"type":"enabled","budget_tokens":1024}}`},
		"a budget over the limit": {plain, `{"thinking":{"type":"enabled","budget_tokens":1024}}`, `{}`},
		"a budget after a tool's result": {with(asks(called(result("a"))...), func(r *provider.Request) { r.MaxTokens = 2000 }),
			`{"thinking":{"type":"enabled","budget_tokens":1024}}`, `{}`},
	} {
		t.Run(name, func(t *testing.T) {
			without, model := fakeanthropic.New(), fakeanthropic.New()
			if _, err := connect(t, without).CreateMessage(t.Context(), tc.request); err != nil {
				t.Fatal(err)
			}
			if _, err := connect(t, model).CreateMessage(t.Context(), with(tc.request, func(r *provider.Request) {
				r.ExtraBody = json.RawMessage(tc.extra)
			})); err != nil {
				t.Fatal(err)
			}
			var want map[string]any
			for _, part := range []string{sent(t, without), tc.want} {
				if err := json.Unmarshal([]byte(part), &want); err != nil {
					t.Fatal(err)
				}
			}
			var got map[string]any
			if err := json.Unmarshal([]byte(sent(t, model)), &got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("request (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAnExtraBodyThatIsNoObject(t *testing.T) {
	model := fakeanthropic.New()
	_, err := connect(t, model).CreateMessage(t.Context(), with(hi, func(r *provider.Request) { r.ExtraBody = json.RawMessage(`[]`) }))
	var got *provider.Error
	if !errors.As(err, &got) || len(model.Requests()) != 0 {
		t.Errorf("error %v after %d requests, want a *provider.Error before any", err, len(model.Requests()))
	}
}
