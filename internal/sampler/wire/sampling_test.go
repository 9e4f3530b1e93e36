package wire

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDecodeSamplingParams(t *testing.T) {
	zero, prompt := 0.0, ""
	for name, tc := range map[string]struct {
		params string
		want   *SamplingParams
	}{
		"the smallest request": {
			`{"messages":[{"role":"user","content":{"type":"text","text":"hi"}}],"maxTokens":100}`,
			&SamplingParams{MaxTokens: 100, Messages: []SamplingMessage{
				{Role: RoleUser, Content: []Content{{Type: ContentText, Text: "hi"}}}}},
		},
		"no maxTokens: the policy knows": {
			`{"messages":[{"role":"user","content":{"type":"text","text":"hi"}}],"maxTokens":null}`,
			&SamplingParams{Messages: []SamplingMessage{
				{Role: RoleUser, Content: []Content{{Type: ContentText, Text: "hi"}}}}},
		},
		"priorities outside of what they may be, and hints that say nothing": {
			`{"messages":[{"role":"user","content":{"type":"text","text":"hi"}}],"maxTokens":1,
			"modelPreferences":{"hints":[],"costPriority":-1,"speedPriority":7,"intelligencePriority":null}}`,
			&SamplingParams{MaxTokens: 1,
				ModelPreferences: &ModelPreferences{Hints: []ModelHint{}, CostPriority: new(-1.0), SpeedPriority: new(7.0)},
				Messages:         []SamplingMessage{{Role: RoleUser, Content: []Content{{Type: ContentText, Text: "hi"}}}}},
		},
		"every field, with what is ignored": {
			`{"messages":[{"role":"user","_meta":{"a":1},"content":[{"type":"text","text":"","annotations":{"priority":1}}]}],
			"modelPreferences":{"hints":[{"name":"haiku"},{}],"costPriority":0.5},
			"systemPrompt":"","includeContext":"allServers","temperature":0,"maxTokens":1e2,"stopSequences":["END"],
			"metadata":{"b": 2},"task":{"ttl":1},"_meta":{"progressToken":1},
			"tools":[{"name":"t","description":"d","title":"x","inputSchema":{"$schema":"s","type":"object", "oneOf":[]}}],
			"toolChoice":{"mode":"required"}}`,
			&SamplingParams{
				MaxTokens: 100, Temperature: &zero, SystemPrompt: &prompt, IncludeContext: ContextAllServers,
				ModelPreferences: &ModelPreferences{Hints: []ModelHint{{Name: "haiku"}, {}}, CostPriority: new(0.5)},
				StopSequences:    []string{"END"}, Metadata: json.RawMessage(`{"b": 2}`),
				Tools:      []Tool{{Name: "t", Description: "d", InputSchema: json.RawMessage(`{"$schema":"s","type":"object", "oneOf":[]}`)}},
				ToolChoice: &ToolChoice{Mode: ToolChoiceRequired},
				Messages:   []SamplingMessage{{Role: RoleUser, Content: []Content{{Type: ContentText}}}},
			},
		},
		"null is as good as absent": {
			`{"messages":[{"role":"user","content":{"type":"text","text":"hi"}}],"maxTokens":1,"temperature":null,
			"systemPrompt":null,"tools":null,"toolChoice":null,"stopSequences":null,"metadata":null,"modelPreferences":null}`,
			&SamplingParams{MaxTokens: 1, Messages: []SamplingMessage{
				{Role: RoleUser, Content: []Content{{Type: ContentText, Text: "hi"}}}}},
		},
		"media": {
			`{"maxTokens":1,"messages":[{"role":"user","content":[
			{"type":"image","data":"aGk=","mimeType":"image/png"},{"type":"audio","data":"aGk=","mimeType":"audio/wav"}]}]}`,
			&SamplingParams{MaxTokens: 1, Messages: []SamplingMessage{{Role: RoleUser, Content: []Content{
				{Type: ContentImage, Data: "aGk=", MIMEType: "image/png"},
				{Type: ContentAudio, Data: "aGk=", MIMEType: "audio/wav"}}}}},
		},
		"parallel tool uses and their results": {
			`{"maxTokens":1,"messages":[
			{"role":"assistant","content":[{"type":"text","text":"so"},
				{"type":"tool_use","id":"a","name":"f","input":{"x": 1.0}},{"type":"tool_use","id":"b","name":"g","input":{}}]},
			{"role":"user","content":[
				{"type":"tool_result","toolUseId":"b","content":[{"type":"text","text":"2"},{"type":"resource_link","uri":"u:1","name":"n"}],"isError":true},
				{"type":"tool_result","toolUseId":"a","content":[{"type":"resource","resource":{"uri":"u:2","text":"t"}}],"structuredContent":{"y":1}}]}]}`,
			&SamplingParams{MaxTokens: 1, Messages: []SamplingMessage{
				{Role: RoleAssistant, Content: []Content{
					{Type: ContentText, Text: "so"},
					{Type: ContentToolUse, ID: "a", Name: "f", Input: json.RawMessage(`{"x": 1.0}`)},
					{Type: ContentToolUse, ID: "b", Name: "g", Input: json.RawMessage(`{}`)}}},
				{Role: RoleUser, Content: []Content{
					{Type: ContentToolResult, ToolUseID: "b", IsError: true, Content: []Content{
						{Type: ContentText, Text: "2"}, {Type: ContentResourceLink, URI: "u:1", Name: "n"}}},
					{Type: ContentToolResult, ToolUseID: "a", StructuredContent: json.RawMessage(`{"y":1}`), Content: []Content{
						{Type: ContentResource, Resource: &Resource{URI: "u:2", Text: "t"}}}}}},
			}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := DecodeSamplingParams(json.RawMessage(tc.params))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("params (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDecodeSamplingParamsNamesThePlaceOfAMistake(t *testing.T) {
	const secret = "the-message-content"
	text := `{"type":"text","text":"` + secret + `"}`
	use := `{"role":"assistant","content":[{"type":"tool_use","id":"a","name":"f","input":{}},{"type":"tool_use","id":"b","name":"f","input":{}}]}`
	result := func(id string) string { return `{"type":"tool_result","toolUseId":"` + id + `","content":[]}` }
	messages := func(list string) string { return `{"maxTokens":1,"messages":[` + list + `]}` }
	user := func(content string) string { return messages(`{"role":"user","content":` + content + `}`) }
	for name, tc := range map[string]struct{ params, want string }{
		"no parameters":            {``, "params: must be an object"},
		"a list":                   {`[]`, "params: must be an object"},
		"half an object":           {`{"maxTokens":`, "params: is not valid JSON"},
		"no messages":              {`{"maxTokens":1}`, "messages: is missing or empty"},
		"messages of another type": {`{"maxTokens":1,"messages":7}`, "messages: must not be a JSON number"},
		"a message that is a text": {messages(`{"role":"user","content":` + text + `},"x"`), "messages[1]: must not be a JSON string"},
		"fewer tokens than none":   {`{"maxTokens":-1}`, "maxTokens: must be 1 or more"},
		"an unknown context":       {`{"maxTokens":1,"includeContext":"` + secret + `"}`, "includeContext: must be none, thisServer or allServers"},
		"a context that is a list": {`{"maxTokens":1,"includeContext":["none"]}`, "includeContext: must not be a JSON array"},
		"metadata that is a text":  {`{"maxTokens":1,"metadata":"` + secret + `"}`, "metadata: must be an object"},
		"a hint that is a text":    {`{"maxTokens":1,"modelPreferences":{"hints":["` + secret + `"]}}`, "modelPreferences.hints[0]: must not be a JSON string"},
		"hints that are one hint":  {`{"maxTokens":1,"modelPreferences":{"hints":{"name":"x"}}}`, "modelPreferences.hints: must not be a JSON object"},
		"preferences that are a list": {`{"maxTokens":1,"modelPreferences":[{"name":"x"}]}`,
			"modelPreferences: must not be a JSON array"},
		"a priority that is a text":  {`{"maxTokens":1,"modelPreferences":{"costPriority":"high"}}`, "modelPreferences.costPriority: must not be a JSON string"},
		"a priority beyond numbers":  {`{"maxTokens":1,"modelPreferences":{"costPriority":1e999}}`, "modelPreferences.costPriority: must not be a JSON number"},
		"half a token":               {`{"maxTokens":0.5}`, "maxTokens: must be a whole number"},
		"tokens as text":             {`{"maxTokens":"5"}`, "maxTokens: must be a whole number"},
		"too many tokens to count":   {`{"maxTokens":1e300}`, "maxTokens: must be a whole number"},
		"no token":                   {`{"maxTokens":0}`, "maxTokens: must be 1 or more"},
		"temperature as text":        {`{"maxTokens":1,"temperature":"hot"}`, "temperature: must not be a JSON string"},
		"an unknown role":            {messages(`{"role":"system","content":` + text + `}`), "messages[0].role: must be user or assistant"},
		"a role that is a number":    {messages(`{"role":"user","content":` + text + `},{"role":1}`), "messages[1].role: must not be a JSON number"},
		"no content":                 {messages(`{"role":"user"}`), "messages[0].content: is missing"},
		"a bare text as content":     {user(`"hi"`), "messages[0].content: must be a content block or a list of them"},
		"an unknown type":            {user(`{"type":"video"}`), "messages[0].content.type: is not a known type of content here"},
		"no type":                    {user(`[` + text + `,{}]`), "messages[0].content[1].type: is missing"},
		"a number as text":           {user(`[` + text + `,{"type":"text","text":5}]`), "messages[0].content[1].text: must not be a JSON number"},
		"text without text":          {user(`{"type":"text"}`), "messages[0].content.text: is missing"},
		"an image without data":      {user(`{"type":"image","mimeType":"image/png"}`), "messages[0].content.data: is missing or empty"},
		"an image without MIME type": {user(`{"type":"image","data":"aGk="}`), "messages[0].content.mimeType: is missing or empty"},
		"an image that is no base64": {user(`{"type":"image","data":"a!","mimeType":"image/png"}`), "messages[0].content.data: is not valid base64"},
		"a resource in a message":    {user(`{"type":"resource_link","uri":"u:"}`), "messages[0].content.type: is not a known type of content here"},
		"a tool use without input":   {messages(`{"role":"assistant","content":{"type":"tool_use","id":"a","name":"f"}}`), "messages[0].content.input: must be an object"},
		"a tool use of a user":       {user(`{"type":"tool_use","id":"a","name":"f","input":{}}`), "messages[0].content[0]: tool_use belongs in an assistant message"},
		"a tool use id twice": {messages(`{"role":"assistant","content":[{"type":"tool_use","id":"a","name":"f","input":{}},{"type":"tool_use","id":"a","name":"f","input":{}}]}`),
			"messages[0].content[1].id: is there twice"},
		"a tool use at the end": {messages(use), "messages[0]: holds a tool_use, but no message with its tool_result follows"},
		"a tool use and then text": {messages(use + `,{"role":"user","content":` + text + `}`),
			"messages[1]: must answer every tool_use of the message before"},
		"a tool use and then the assistant again": {messages(use + `,{"role":"assistant","content":` + text + `}`),
			"messages[1]: must answer every tool_use of the message before"},
		"half of the results": {messages(use + `,{"role":"user","content":[` + result("a") + `]}`),
			"messages[1]: must answer every tool_use of the message before"},
		"a result too much": {messages(use + `,{"role":"user","content":[` + result("a") + `,` + result("b") + `,` + result("c") + `]}`),
			"messages[1].content[2].toolUseId: names no tool_use of the message before"},
		"a result twice": {messages(use + `,{"role":"user","content":[` + result("a") + `,` + result("a") + `]}`),
			"messages[1].content[1].toolUseId: is answered twice"},
		"a result of nothing": {user(result("a")), "messages[0].content[0].toolUseId: names no tool_use of the message before"},
		"a result of the assistant": {messages(`{"role":"assistant","content":` + result("a") + `}`),
			"messages[0].content[0]: tool_result belongs in a user message"},
		"results before text": {messages(use + `,{"role":"user","content":[` + result("a") + `,` + text + `]}`),
			"messages[1].content[1]: a message with tool_result must hold nothing else"},
		"results after text": {messages(use + `,{"role":"user","content":[` + text + `,` + result("a") + `]}`),
			"messages[1].content[1]: a message with tool_result must hold nothing else"},
		"a result without an id":     {user(`{"type":"tool_result","content":[]}`), "messages[0].content.toolUseId: is missing or empty"},
		"a result without content":   {user(`{"type":"tool_result","toolUseId":"a"}`), "messages[0].content.content: is missing"},
		"a result with a bare block": {user(`{"type":"tool_result","toolUseId":"a","content":` + text + `}`), "messages[0].content.content: must be a list of content blocks"},
		"a tool use in a result": {user(`{"type":"tool_result","toolUseId":"a","content":[{"type":"tool_use","id":"a","name":"f","input":{}}]}`),
			"messages[0].content.content[0].type: is not a known type of content here"},
		"a resource of nothing": {user(`{"type":"tool_result","toolUseId":"a","content":[{"type":"resource","resource":{"uri":"u:"}}]}`),
			"messages[0].content.content[0].resource: has neither text nor blob"},
		"a tool without name":    {`{"maxTokens":1,"tools":[{"inputSchema":{}}]}`, "tools[0].name: is missing or empty"},
		"a tool without schema":  {`{"maxTokens":1,"tools":[{"name":"t"}]}`, "tools[0].inputSchema: must be an object"},
		"a tool of another type": {`{"maxTokens":1,"tools":[{"name":"t","inputSchema":{}},5]}`, "tools[1]: must not be a JSON number"},
		"an unknown tool choice": {`{"maxTokens":1,"toolChoice":{"mode":"maybe"}}`, "toolChoice.mode: must be auto, required or none"},
		"a tool twice": {`{"maxTokens":1,"tools":[{"name":"t","inputSchema":{}},{"name":"u","inputSchema":{}},{"name":"t","inputSchema":{}}]}`,
			"tools[2].name: is there twice"},
		"a tool with a name without end": {`{"maxTokens":1,"tools":[{"name":"` + strings.Repeat("a", maxName+1) + `","inputSchema":{}}]}`,
			"tools[0].name: is longer than 1024 bytes"},
		"a tool use with a name without end": {messages(`{"role":"assistant","content":{"type":"tool_use","id":"a","name":"` + strings.Repeat("a", maxName+1) + `","input":{}}}`),
			"messages[0].content.name: is longer than 1024 bytes"},
		"a tool use with an id without end": {messages(`{"role":"assistant","content":{"type":"tool_use","id":"` + strings.Repeat("a", maxID+1) + `","name":"f","input":{}}}`),
			"messages[0].content.id: is longer than 65536 bytes"},
		"a hint without end": {`{"maxTokens":1,"modelPreferences":{"hints":[{"name":"` + strings.Repeat("a", maxName+1) + `"}]}}`,
			"modelPreferences.hints[0].name: is longer than 1024 bytes"},
		"more tokens than 31 bits":         {`{"maxTokens":2147483648}`, "maxTokens: must be at most 2147483647"},
		"as many tokens as 63 bits":        {`{"maxTokens":9223372036854775807}`, "maxTokens: must be at most 2147483647"},
		"a stop sequence that is a number": {`{"maxTokens":1,"stopSequences":["a",1]}`, "stopSequences[1]: must not be a JSON number"},
		"a tool required out of none":      {`{"maxTokens":1,"toolChoice":{"mode":"required"},"tools":[]}`, "toolChoice.mode: is required, but there are no tools"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := DecodeSamplingParams(json.RawMessage(tc.params))
			if err == nil {
				t.Fatalf("accepted as %+v", got)
			}
			if err.Code != CodeInvalidParams || !strings.HasPrefix(err.Message, tc.want) {
				t.Errorf("error %d %q, want %d %q", err.Code, err.Message, CodeInvalidParams, tc.want)
			}
			if strings.Contains(err.Message, secret) {
				t.Errorf("error %q quotes the content", err.Message)
			}
		})
	}
}

func TestSamplingResultOnTheWire(t *testing.T) {
	for name, tc := range map[string]struct {
		result SamplingResult
		want   string
	}{
		"one block is a bare object": {
			SamplingResult{Role: RoleAssistant, Model: "m", StopReason: StopEndTurn, Content: []Content{{Type: ContentText, Text: "a<b"}}},
			`{"role":"assistant","content":{"type":"text","text":"a<b"},"model":"m","stopReason":"endTurn"}`,
		},
		"an empty text is still a text": {
			SamplingResult{Role: RoleAssistant, Model: "m", Content: []Content{{Type: ContentText}}},
			`{"role":"assistant","content":{"type":"text","text":""},"model":"m"}`,
		},
		"several blocks are a list": {
			SamplingResult{Role: RoleAssistant, Model: "m", StopReason: StopToolUse, Content: []Content{
				{Type: ContentText, Text: "so"}, {Type: ContentToolUse, ID: "a", Name: "f", Input: json.RawMessage(`{"x":1.0}`)}}},
			`{"role":"assistant","content":[{"type":"text","text":"so"},{"type":"tool_use","id":"a","name":"f","input":{"x":1.0}}],"model":"m","stopReason":"toolUse"}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			data, err := marshal(tc.result)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, string(data)); diff != "" {
				t.Errorf("JSON (-want +got):\n%s", diff)
			}
			var back SamplingResult
			if err := json.Unmarshal(data, &back); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.result, back); diff != "" {
				t.Errorf("read again (-want +got):\n%s", diff)
			}
		})
	}
}

func TestMessagesSurviveARoundTrip(t *testing.T) {
	want := []SamplingMessage{
		{Role: RoleUser, Content: []Content{{Type: ContentImage, Data: "aGk=", MIMEType: "image/png"}}},
		{Role: RoleUser, Content: []Content{{Type: ContentToolResult, ToolUseID: "a", IsError: true,
			StructuredContent: json.RawMessage(`{"a":1}`), Content: []Content{
				{Type: ContentResourceLink, URI: "u:1", Name: "n", MIMEType: "text/plain"},
				{Type: ContentResource, Resource: &Resource{URI: "u:2", Blob: "aGk=", MIMEType: "image/png"}},
			}}}},
	}
	data, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got []SamplingMessage
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("round trip (-want +got):\n%s", diff)
	}
	if _, err := json.Marshal(Content{Type: "video"}); err == nil {
		t.Error("a block of unknown type was written")
	}
}

func TestNeedsTools(t *testing.T) {
	for params, want := range map[string]bool{
		`{"messages":[{"content":{"type":"text"}}]}`: false,
		`{"tools":null}`:                 false,
		`{"tools":[]}`:                   false,
		`{"tools":[{}]}`:                 true,
		`{"toolChoice":{"mode":"none"}}`: true,
		`{"messages":[{"content":{"type":"tool_use"}}]}`:                      true,
		`{"messages":[{"content":[{"type":"text"},{"type":"tool_result"}]}]}`: true,
		`{"messages":[{"content":7}]}`:                                        false,
		`garbage`:                                                             false,
	} {
		if got := NeedsTools(json.RawMessage(params)); got != want {
			t.Errorf("NeedsTools(%s) = %v, want %v", params, got, want)
		}
	}
}

func FuzzDecodeSamplingParams(f *testing.F) {
	f.Add(`{"messages":[{"role":"user","content":{"type":"text","text":"hi"}}],"maxTokens":100}`)
	f.Add(`{"maxTokens":1,"messages":[{"role":"assistant","content":[{"type":"tool_use","id":"a","name":"f","input":{}}]},
		{"role":"user","content":[{"type":"tool_result","toolUseId":"a","content":[{"type":"image","data":"aGk=","mimeType":"image/png"}]}]}]}`)
	f.Fuzz(func(t *testing.T, data string) {
		p, err := DecodeSamplingParams(json.RawMessage(data))
		if (p == nil) == (err == nil) {
			t.Fatalf("params %v and error %v, want exactly one", p, err)
		}
		if err != nil {
			if err.Code != CodeInvalidParams || err.Message == "" {
				t.Fatalf("error %d %q", err.Code, err.Message)
			}
			return
		}
		encoded, merr := json.Marshal(p)
		if merr != nil {
			t.Fatalf("what was read cannot be written: %v", merr)
		}
		if _, err := DecodeSamplingParams(encoded); err != nil {
			t.Fatalf("what was written cannot be read: %v\n%s", err, encoded)
		}
	})
}
