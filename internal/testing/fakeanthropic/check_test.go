package fakeanthropic_test

import (
	"strings"
	"testing"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/testing/fakeanthropic"
)

// The fake guards what adapters send, so it must not let pass what the live API
// would not.
func TestCheck(t *testing.T) {
	const hi = `{"role":"user","content":[{"type":"text","text":"hi"}]}`
	body := func(fields string) string { return `{"model":"claude-sonnet-4-5","max_tokens":9,` + fields + `}` }
	messages := func(list string) string { return body(`"messages":[` + list + `]`) }
	tools := func(fields string) string { return body(`"messages":[` + hi + `],"tools":[` + fields + `]`) }
	named := func(model, fields string) string {
		return strings.Replace(body(fields), "claude-sonnet-4-5", model, 1)
	}
	const call = hi + `,{"role":"assistant","content":[{"type":"tool_use","id":"a","name":"f","input":{}}]}`
	for name, tc := range map[string]struct{ body, want string }{
		"what is fine": {body(`"system":[{"type":"text","text":"be brief"}],"temperature":0.5,"stop_sequences":["END"],"metadata":{"user_id":"u"},
			"tools":[{"name":"f","description":"d","input_schema":{"type":"object","additionalProperties":false}}],"tool_choice":{"type":"none"},
			"messages":[` + call + `,{"role":"user","content":[{"type":"tool_result","tool_use_id":"a","content":[{"type":"text","text":"x"}]}]}]`), ""},
		"no JSON":                     {`{`, "not JSON"},
		"no max_tokens":               {`{"model":"m","messages":[` + hi + `]}`, "max_tokens: is missing"},
		"an unknown field":            {body(`"messages":[` + hi + `],"n":1`), "n: extra inputs"},
		"an unknown field in a block": {messages(`{"role":"user","content":[{"type":"text","text":"hi","mime":"x"}]}`), "mime: extra inputs"},
		"an unknown type of block":    {messages(`{"role":"user","content":[{"type":"input_audio"}]}`), "not a known type"},
		"a block without its field":   {messages(`{"role":"user","content":[{"type":"text"}]}`), "text: is missing"},
		"a number that is a text":     {body(`"temperature":"0","messages":[` + hi + `]`), "temperature: must be a float64"},
		"a fraction of a token":       {`{"model":"m","max_tokens":1.5,"messages":[` + hi + `]}`, "must be a int64"},
		"an unknown choice":           {body(`"messages":[` + hi + `],"tool_choice":{"type":"required"}`), "not a known type"},
		"a stream":                    {body(`"stream":true,"messages":[` + hi + `]`), "stream"},
		"no tokens":                   {`{"model":"m","max_tokens":0,"messages":[` + hi + `]}`, "1 or more"},
		"heat":                        {body(`"temperature":1.5,"messages":[` + hi + `]`), "range: 0..1"},
		"temperature and top_p":       {body(`"temperature":1,"top_p":1,"messages":[` + hi + `]`), "cannot both"},
		"a blank stop sequence":       {body(`"stop_sequences":["\n"],"messages":[` + hi + `]`), "non-whitespace"},
		"a blank system prompt":       {body(`"system":[{"type":"text","text":" "}],"messages":[` + hi + `]`), "non-whitespace"},
		"no messages":                 {messages(``), "at least one"},
		"a system message":            {messages(`{"role":"system","content":[{"type":"text","text":"hi"}]}`), "unexpected role"},
		"two messages of one role":    {messages(hi + `,` + hi), "must alternate"},
		"an empty message":            {messages(`{"role":"user","content":[]}`), "non-empty content"},
		"a blank text":                {messages(`{"role":"user","content":[{"type":"text","text":"\n"}]}`), "non-whitespace"},
		"white space at the end":      {messages(hi + `,{"role":"assistant","content":[{"type":"text","text":"so "}]}`), "trailing whitespace"},
		"an image of the assistant": {messages(hi + `,{"role":"assistant","content":[{"type":"image","source":{"type":"base64","media_type":"image/png","data":"aGk="}}]},` + hi),
			"only permitted in user"},
		"an image of another type":     {messages(`{"role":"user","content":[{"type":"image","source":{"type":"base64","media_type":"image/tiff","data":"aGk="}}]}`), "image/tiff"},
		"an image that is no base64":   {messages(`{"role":"user","content":[{"type":"image","source":{"type":"base64","media_type":"image/png","data":"?"}}]}`), "invalid base64"},
		"a call without a result":      {messages(call), "without `tool_result`"},
		"a call without a result next": {messages(call + `,` + hi), "without `tool_result`"},
		"a result of no call":          {messages(`{"role":"user","content":[{"type":"tool_result","tool_use_id":"a"}]}`), "unexpected `tool_use_id`"},
		"a result after a text": {messages(call + `,{"role":"user","content":[{"type":"text","text":"x"},{"type":"tool_result","tool_use_id":"a"}]}`),
			"must come first"},
		"two results of one call": {messages(call + `,{"role":"user","content":[{"type":"tool_result","tool_use_id":"a"},{"type":"tool_result","tool_use_id":"a"}]}`),
			"single result"},
		"a call of the user":      {messages(`{"role":"user","content":[{"type":"tool_use","id":"a","name":"f","input":{}}]}`), "only be in `assistant`"},
		"an id with a dot":        {messages(strings.Replace(call, `"id":"a"`, `"id":"a.b"`, 1)), ".id: String should match"},
		"a name with a slash":     {messages(strings.Replace(call, `"name":"f"`, `"name":"f/g"`, 1)), ".name: String should match"},
		"an input that is a list": {messages(strings.Replace(call, `{}`, `[]`, 1)), "valid dictionary"},
		"an id twice": {messages(call + `,{"role":"user","content":[{"type":"tool_result","tool_use_id":"a"}]}` + strings.TrimPrefix(call, hi) + `,{"role":"user","content":[{"type":"tool_result","tool_use_id":"a"}]}`),
			"must be unique"},
		"an image of a failure": {messages(call + `,{"role":"user","content":[{"type":"tool_result","tool_use_id":"a","is_error":true,"content":[{"type":"image","source":{"type":"base64","media_type":"image/png","data":"aGk="}}]}]}`),
			"must be type"},
		"a failure without a word":  {messages(call + `,{"role":"user","content":[{"type":"tool_result","tool_use_id":"a","is_error":true}]}`), "cannot be empty"},
		"a choice without tools":    {body(`"messages":[` + hi + `],"tool_choice":{"type":"auto"}`), "while providing tools"},
		"a tool without a schema":   {tools(`{"name":"f"}`), "input_schema: is missing"},
		"a tool's name":             {tools(`{"name":"a b","input_schema":{"type":"object"}}`), "name: String should match"},
		"two tools of one name":     {tools(`{"name":"f","input_schema":{"type":"object"}},{"name":"f","input_schema":{"type":"object"}}`), "must be unique"},
		"a schema without a type":   {tools(`{"name":"f","input_schema":{}}`), "input_schema.type: is missing"},
		"a schema of a list":        {tools(`{"name":"f","input_schema":{"type":"array"}}`), `must be "object"`},
		"a schema that is a choice": {tools(`{"name":"f","input_schema":{"type":"object","oneOf":[]}}`), "at the top level"},
		"an argument's name":        {tools(`{"name":"f","input_schema":{"type":"object","properties":{"a b":{}}}}`), "Property keys"},
		"a long user id":            {body(`"metadata":{"user_id":"` + strings.Repeat("u", 257) + `"},"messages":[` + hi + `]`), "256 characters"},
		"a temperature of Opus 5":   {named("claude-opus-5", `"temperature":0,"messages":[`+hi+`]`), "deprecated for this model"},
		"a prefill of Opus 4.6":     {named("claude-opus-4-6", `"messages":[`+hi+`,{"role":"assistant","content":[{"type":"text","text":"so"}]}]`), "prefill"},
		"a forced tool of Opus 5.5": {named("claude-opus-5-5", `"messages":[`+hi+`],"tools":[{"name":"f","input_schema":{"type":"object"}}],"tool_choice":{"type":"any"}`),
			"forced tool use"},
		"a budget over the limit":         {body(`"thinking":{"type":"enabled","budget_tokens":1024},"messages":[` + hi + `]`), "must be greater"},
		"thinking at another temperature": {body(`"thinking":{"type":"adaptive"},"temperature":0,"messages":[` + hi + `]`), "only be set to 1"},
	} {
		t.Run(name, func(t *testing.T) {
			got := strings.Join(fakeanthropic.Check([]byte(tc.body)), "; ")
			if (tc.want == "") != (got == "") || !strings.Contains(got, tc.want) {
				t.Errorf("problems %q, want %q among them", got, tc.want)
			}
		})
	}
}
