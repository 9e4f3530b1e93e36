package webhook_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

func TestRequests(t *testing.T) {
	image := wire.Content{Type: wire.ContentImage, Data: "aGk=", MIMEType: "image/tiff"}
	audio := wire.Content{Type: wire.ContentAudio, Data: "aGk=", MIMEType: "audio/ogg"}
	use := func(id string) wire.Content {
		return wire.Content{Type: wire.ContentToolUse, ID: id, Name: "a tool/of any name", Input: json.RawMessage(`{"x":1.0,"y":9007199254740993}`)}
	}
	const toolUse = `"name":"a tool/of any name","input":{"x":1.0,"y":9007199254740993}}`
	one := func(role string, blocks ...wire.Content) provider.Request {
		return provider.Request{Model: "m", MaxTokens: 9, Messages: []wire.SamplingMessage{{Role: role, Content: blocks}}}
	}
	for name, tc := range map[string]struct {
		request provider.Request
		want    string // of params
	}{
		"text":                             {question(), `{"messages":[{"role":"user","content":{"type":"text","text":"hi"}}],"maxTokens":9}`},
		"several texts":                    {one(wire.RoleUser, text("a"), text("")), `{"messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":""}]}],"maxTokens":9}`},
		"code is not escaped":              {one(wire.RoleUser, text("a<b && c>d")), `{"messages":[{"role":"user","content":{"type":"text","text":"a<b && c>d"}}],"maxTokens":9}`},
		"an image of any type":             {one(wire.RoleUser, image), `{"messages":[{"role":"user","content":{"type":"image","data":"aGk=","mimeType":"image/tiff"}}],"maxTokens":9}`},
		"audio of any type":                {one(wire.RoleUser, audio), `{"messages":[{"role":"user","content":{"type":"audio","data":"aGk=","mimeType":"audio/ogg"}}],"maxTokens":9}`},
		"images and audio beside text":     {one(wire.RoleUser, text("see"), image, audio), `{"messages":[{"role":"user","content":[{"type":"text","text":"see"},{"type":"image","data":"aGk=","mimeType":"image/tiff"},{"type":"audio","data":"aGk=","mimeType":"audio/ogg"}]}],"maxTokens":9}`},
		"images and audio of an assistant": {one(wire.RoleAssistant, image, audio), `{"messages":[{"role":"assistant","content":[{"type":"image","data":"aGk=","mimeType":"image/tiff"},{"type":"audio","data":"aGk=","mimeType":"audio/ogg"}]}],"maxTokens":9}`},
		"several turns": {
			provider.Request{Model: "m", MaxTokens: 9, Messages: []wire.SamplingMessage{
				{Role: wire.RoleUser, Content: []wire.Content{text("1")}}, {Role: wire.RoleAssistant, Content: []wire.Content{text("2")}},
				{Role: wire.RoleUser, Content: []wire.Content{text("3")}}, {Role: wire.RoleUser, Content: []wire.Content{text("4")}},
			}},
			`{"messages":[{"role":"user","content":{"type":"text","text":"1"}},{"role":"assistant","content":{"type":"text","text":"2"}},
				{"role":"user","content":{"type":"text","text":"3"}},{"role":"user","content":{"type":"text","text":"4"}}],"maxTokens":9}`,
		},
		"all parameters": {
			provider.Request{
				Model: "m", MaxTokens: 9, Messages: question().Messages, SystemPrompt: "be brief", Temperature: new(float64),
				StopSequences: []string{"END", "\n"}, ToolChoice: wire.ToolChoiceRequired, Metadata: json.RawMessage(`{"a": {"b": 1.0}}`),
				Tools: []wire.Tool{{Name: "f", Description: "does", InputSchema: json.RawMessage(`{"$schema":"s","type":"object","oneOf":[{"required":["b"]}]}`)}, {Name: "g", InputSchema: json.RawMessage(`{}`)}},
			},
			`{"messages":[{"role":"user","content":{"type":"text","text":"hi"}}],"maxTokens":9,"systemPrompt":"be brief","temperature":0,
				"stopSequences":["END","\n"],"toolChoice":{"mode":"required"},"metadata":{"a":{"b":1.0}},
				"tools":[{"name":"f","description":"does","inputSchema":{"$schema":"s","type":"object","oneOf":[{"required":["b"]}]}},{"name":"g","inputSchema":{}}]}`,
		},
		"a round of tools with all that a result can hold": {
			provider.Request{Model: "m", MaxTokens: 9, Messages: []wire.SamplingMessage{
				{Role: wire.RoleUser, Content: []wire.Content{text("hi")}},
				{Role: wire.RoleAssistant, Content: []wire.Content{text("so"), image, use("a"), use("b")}},
				{Role: wire.RoleUser, Content: []wire.Content{
					{Type: wire.ContentToolResult, ToolUseID: "b", IsError: true, Content: []wire.Content{text("no such file")}},
					{Type: wire.ContentToolResult, ToolUseID: "a", StructuredContent: json.RawMessage(`{"k":1.0}`), Content: []wire.Content{
						image, audio, {Type: wire.ContentResourceLink, Name: "notes", URI: "file:///n"},
						{Type: wire.ContentResource, Resource: &wire.Resource{URI: "u:", Blob: "aGk=", MIMEType: "application/pdf"}}}},
				}},
			}},
			`{"messages":[{"role":"user","content":{"type":"text","text":"hi"}},
				{"role":"assistant","content":[{"type":"text","text":"so"},{"type":"image","data":"aGk=","mimeType":"image/tiff"},
					{"type":"tool_use","id":"a",` + toolUse + `,{"type":"tool_use","id":"b",` + toolUse + `]},
				{"role":"user","content":[
					{"type":"tool_result","toolUseId":"b","isError":true,"content":[{"type":"text","text":"no such file"}]},
					{"type":"tool_result","toolUseId":"a","structuredContent":{"k":1.0},"content":[
						{"type":"image","data":"aGk=","mimeType":"image/tiff"},{"type":"audio","data":"aGk=","mimeType":"audio/ogg"},
						{"type":"resource_link","uri":"file:///n","name":"notes"},
						{"type":"resource","resource":{"uri":"u:","blob":"aGk=","mimeType":"application/pdf"}}]}]}],"maxTokens":9}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			client, handler := connect(t, replyText("ok"), signed)
			tc.request.Context = provider.Context{Server: "notes", Namespace: "team", Session: "0123abcd", Policy: "default"}
			response, err := client.CreateMessage(t.Context(), tc.request)
			if err != nil {
				t.Fatal(err)
			}
			if len(response.Lost) > 0 {
				t.Errorf("lost %v", response.Lost)
			}
			got := handler.only(t)
			want := `{"type":"sampling/createMessage","id":"` + got.header.Get("webhook-id") + `","model":"m","params":` + tc.want +
				`,"context":{"server":"notes","namespace":"team","session":"0123abcd","policy":"default"}}`
			if diff := cmp.Diff(normal(t, want), normal(t, string(got.body))); diff != "" {
				t.Errorf("body (-want +got):\n%s", diff)
			}
			if err := follows(t, schema(t, ""), string(got.body)); err != nil {
				t.Errorf("the published schema does not allow it: %v", err)
			}
			wantMCP(t, got.body)
			if got.method != http.MethodPost || got.header.Get("Content-Type") != "application/json" {
				t.Errorf("%s with Content-Type %q", got.method, got.header.Get("Content-Type"))
			}
		})
	}
}

// wantMCP checks that the types of an SDK and our own decoder read the
// parameters.
func wantMCP(t *testing.T, data []byte) {
	t.Helper()
	var got struct {
		Params json.RawMessage `json:"params"`
	}
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	var params mcp.CreateMessageWithToolsParams
	if err := json.Unmarshal(got.Params, &params); err != nil {
		t.Errorf("the SDK's type does not read the parameters: %v", err)
	}
	if _, err := wire.DecodeSamplingParams(got.Params); err != nil {
		t.Errorf("they are no sampling parameters: %v", err)
	}
}

func TestExtraBodyStandsBesideWhatIsDecided(t *testing.T) {
	client, handler := connect(t, replyText("ok"), nil)
	req := question()
	req.ExtraBody = json.RawMessage(`{"tier": "gold", "seed": 1.0, "model": "other", "params": {}, "context": null, "id": "x", "type": "y", "Model": "other", "PARAMS": {}}`)
	if _, err := client.CreateMessage(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	got := handler.only(t)
	want := `{"type":"sampling/createMessage","id":"` + got.header.Get("webhook-id") + `","model":"m","tier":"gold","seed":1.0,
		"params":{"messages":[{"role":"user","content":{"type":"text","text":"hi"}}],"maxTokens":9},"context":{"server":"","policy":""}}`
	if diff := cmp.Diff(normal(t, want), normal(t, string(got.body))); diff != "" {
		t.Errorf("body (-want +got):\n%s", diff)
	}
}

func TestWhatCannotBeWrittenIsNotSent(t *testing.T) {
	client, handler := connect(t, replyText("ok"), nil)

	req := question()
	req.Messages[0].Content[0].Type = "video"
	_, err := client.CreateMessage(t.Context(), req)
	var unsupported *provider.UnsupportedError
	if !errors.As(err, &unsupported) {
		t.Errorf("error %v of unknown content, want an UnsupportedError", err)
	}

	req = question()
	req.ExtraBody = json.RawMessage(`[]`)
	_, err = client.CreateMessage(t.Context(), req)
	wantError(t, err, provider.KindRejected, "extraBody")

	if len(handler.requests) > 0 {
		t.Error("a request was sent")
	}
}

func TestTheSchemaKnowsEveryParameter(t *testing.T) {
	properties := schema(t, "#/$defs/params").Properties
	data, err := json.Marshal(wire.SamplingParams{
		ModelPreferences: &wire.ModelPreferences{}, SystemPrompt: new(string), Temperature: new(float64), StopSequences: []string{""},
		Metadata: json.RawMessage(`{}`), Tools: []wire.Tool{{InputSchema: json.RawMessage(`{}`)}}, ToolChoice: &wire.ToolChoice{},
	})
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(data, &all); err != nil {
		t.Fatal(err)
	}
	var missing []string
	for name := range all {
		if properties[name] == nil {
			missing = append(missing, name)
		}
	}
	if got := strings.Join(slices.Sorted(slices.Values(missing)), " "); got != "modelPreferences" {
		t.Errorf("the schema lacks %q, want only what is decided before", got)
	}
}
