package webhook_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

func withTools() provider.Request {
	req := question()
	req.Tools = []wire.Tool{{Name: "f", InputSchema: json.RawMessage(`{"type":"object"}`)}}
	return req
}

func TestAnswers(t *testing.T) {
	result := func(model, stop string, blocks ...wire.Content) *provider.Response {
		return &provider.Response{Result: wire.SamplingResult{Role: wire.RoleAssistant, Content: blocks, Model: model, StopReason: stop}}
	}
	counted := func(r *provider.Response, in, out int64) *provider.Response {
		r.Usage = provider.Usage{InputTokens: in, OutputTokens: out}
		return r
	}
	use := func(id, input string) wire.Content {
		return wire.Content{Type: wire.ContentToolUse, ID: id, Name: "f", Input: json.RawMessage(input)}
	}
	image := wire.Content{Type: wire.ContentImage, Data: "aGk=", MIMEType: "image/png"}
	audio := wire.Content{Type: wire.ContentAudio, Data: "aGk=", MIMEType: "audio/wav"}
	const hello = `{"type":"text","text":"hello"}`
	for name, tc := range map[string]struct {
		contentType, body string
		want              *provider.Response
	}{
		"text":                      {"text/plain", "hello\n", result("m", wire.StopEndTurn, text("hello\n"))},
		"text that looks like JSON": {"text/plain", `{"role":"user"}`, result("m", wire.StopEndTurn, text(`{"role":"user"}`))},
		"text with a charset":       {"Text/Plain; charset=UTF-8", "grüße", result("m", wire.StopEndTurn, text("grüße"))},
		"no text":                   {"text/plain", "", result("m", wire.StopEndTurn, text(""))},
		"a JSON string":             {"application/json", ` "hel\"lo" `, result("m", wire.StopEndTurn, text(`hel"lo`))},
		"one block":                 {"application/json", `{"role":"assistant","content":` + hello + `}`, result("m", "", text("hello"))},
		"a list of one":             {"application/json", `{"role":"assistant","content":[` + hello + `]}`, result("m", "", text("hello"))},
		"no blocks":                 {"application/json", `{"role":"assistant","content":[]}`, result("m", "", text(""))},
		"a full result": {
			"application/json; charset=utf-8",
			`{"_meta":{"x":1},"role":"assistant","model":"mine-2","stopReason":"stopSequence","usage":{"inputTokens":3,"outputTokens":4},"error":null,
				"content":[` + hello + `,{"type":"image","data":"aGk=","mimeType":"image/png"},{"type":"audio","data":"aGk=","mimeType":"audio/wav"}]}`,
			counted(result("mine-2", wire.StopStopSequence, text("hello"), image, audio), 3, 4),
		},
		"tool calls": {
			"application/json",
			`{"role":"assistant","content":[` + hello + `,{"type":"tool_use","id":"a","name":"f","input":{"x":1.0}},{"type":"tool_use","id":"b","name":"f","input":{}}]}`,
			result("m", wire.StopToolUse, text("hello"), use("a", `{"x":1.0}`), use("b", `{}`)),
		},
		"tool calls at the limit": {
			"application/json", `{"role":"assistant","stopReason":"maxTokens","content":{"type":"tool_use","id":"a","name":"f","input":{}},"usage":{"outputTokens":9}}`,
			counted(result("m", wire.StopMaxTokens, use("a", `{}`)), 0, 9),
		},
		"a stop reason of its own": {"application/json", `{"role":"assistant","stopReason":"bored","content":` + hello + `,"usage":null}`, result("m", "bored", text("hello"))},
	} {
		t.Run(name, func(t *testing.T) {
			if strings.HasPrefix(tc.contentType, "application/json") {
				if err := follows(t, schema(t, "#/$defs/answer"), tc.body); err != nil {
					t.Errorf("the published schema does not allow it: %v", err)
				}
			}
			client, _ := connect(t, reply(200, tc.contentType, tc.body), nil)
			got, err := client.CreateMessage(t.Context(), withTools())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("response (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAnswersThatCannotBeUsed(t *testing.T) {
	const blocks = `{"role":"assistant","content":`
	for name, tc := range map[string]struct {
		contentType, body string
		want              string
		schemaAllows      bool // what no schema can say
	}{
		"no Content-Type":              {"", ownWords, "neither text/plain nor application/json", true},
		"a web page":                   {"text/html", ownWords, "neither text/plain nor application/json", true},
		"another charset":              {"text/plain; charset=iso-8859-1", ownWords, "not in UTF-8", true},
		"text that is no UTF-8":        {"text/plain", "\xff" + ownWords, "not in UTF-8", true},
		"JSON that is no UTF-8":        {"application/json", "\"\xff" + ownWords + "\"", "not in UTF-8", true},
		"nothing":                      {"application/json", "", "not JSON", false},
		"garbage":                      {"application/json", ownWords, "not JSON", false},
		"half a result":                {"application/json", blocks + `{"type":"text","text":"` + ownWords, "not JSON", false},
		"two results":                  {"application/json", `"` + ownWords + `" "b"`, "not JSON", false},
		"a number":                     {"application/json", "1", "neither a string nor an object", false},
		"null":                         {"application/json", "null", "neither a string nor an object", false},
		"a list":                       {"application/json", `["` + ownWords + `"]`, "neither a string nor an object", false},
		"an empty object":              {"application/json", `{}`, "see result.role", false},
		"a result of the user":         {"application/json", `{"role":"user","content":{"type":"text","text":"` + ownWords + `"}}`, "result.role must be assistant", false},
		"a role of its own":            {"application/json", `{"role":"` + ownWords + `","content":[]}`, "see result.role", false},
		"a role that is a number":      {"application/json", `{"role":5,"content":[]}`, "see result.role", false},
		"no content":                   {"application/json", `{"role":"assistant"}`, "see result.content", false},
		"content that is text":         {"application/json", blocks + `"` + ownWords + `"}`, "see result.content", false},
		"text that is missing":         {"application/json", blocks + `{"type":"text"}}`, "see result.content.text", false},
		"unknown content":              {"application/json", blocks + `[{"type":"` + ownWords + `"}]}`, "see result.content[0].type", false},
		"an image without data":        {"application/json", blocks + `{"type":"image","mimeType":"image/png"}}`, "see result.content.data", false},
		"an image that is no base64":   {"application/json", blocks + `{"type":"image","mimeType":"image/png","data":"` + ownWords + `"}}`, "see result.content.data", true},
		"a tool result":                {"application/json", blocks + `[{"type":"tool_result","toolUseId":"a","content":[]}]}`, "result.content[0] belongs in a user message", false},
		"a tool call without an id":    {"application/json", blocks + `{"type":"tool_use","name":"f","input":{}}}`, "see result.content.id", false},
		"a tool call without a name":   {"application/json", blocks + `{"type":"tool_use","id":"a","input":{}}}`, "see result.content.name", false},
		"a tool call without input":    {"application/json", blocks + `{"type":"tool_use","id":"a","name":"f"}}`, "see result.content.input", false},
		"input that is a list":         {"application/json", blocks + `{"type":"tool_use","id":"a","name":"f","input":[]}}`, "see result.content.input", false},
		"input that is text":           {"application/json", blocks + `{"type":"tool_use","id":"a","name":"f","input":"{}"}}`, "see result.content.input", false},
		"the same id twice":            {"application/json", blocks + `[{"type":"tool_use","id":"a","name":"f","input":{}},{"type":"tool_use","id":"a","name":"f","input":{}}]}`, "result.content[1].id is there twice", true},
		"a model with a long name":     {"application/json", blocks + `[],"model":"` + strings.Repeat("x", 257) + `"}`, "more than 256 bytes", false},
		"a long stop reason":           {"application/json", blocks + `[],"stopReason":"` + strings.Repeat("x", 257) + `"}`, "more than 256 bytes", false},
		"usage that is text":           {"application/json", blocks + `[],"usage":"` + ownWords + `"}`, "usage", false},
		"usage with a fraction":        {"application/json", blocks + `[],"usage":{"inputTokens":1.5}}`, "usage", false},
		"usage below zero":             {"application/json", blocks + `[],"usage":{"outputTokens":-1}}`, "usage", false},
		"usage beyond reason":          {"application/json", blocks + `[],"usage":{"inputTokens":9000000000000000000}}`, "usage", false},
		"an error without a code":      {"application/json", `{"error":{"message":"` + ownWords + `"}}`, "its error has no code", false},
		"an error that is text":        {"application/json", `{"error":"` + ownWords + `"}`, "its error has no code", false},
		"an error with a code of HTTP": {"application/json", `{"error":{"code":500,"message":"` + ownWords + `"}}`, "none of the codes", false},
		"10 MB of garbage":             {"application/json", strings.Repeat(ownWords, 10<<20/len(ownWords)), "not JSON", false},
		"10 MB of lists in lists":      {"application/json", strings.Repeat("[", 10<<20), "not JSON", false},
	} {
		t.Run(name, func(t *testing.T) {
			if err := follows(t, schema(t, "#/$defs/answer"), tc.body); (err == nil) && !tc.schemaAllows {
				t.Errorf("the published schema allows it")
			}
			client, _ := connect(t, reply(200, tc.contentType, tc.body), signed)
			_, err := client.CreateMessage(t.Context(), withTools())
			wantError(t, err, provider.KindInvalid, tc.want)
		})
	}
}

func TestAToolThatNobodyOfferedIsNotCalled(t *testing.T) {
	client, _ := connect(t, replyJSON(`{"role":"assistant","content":{"type":"tool_use","id":"a","name":"f","input":{}}}`), nil)
	_, err := client.CreateMessage(t.Context(), question())
	wantError(t, err, provider.KindInvalid, "none was offered")
}

func TestErrorsOfTheHandler(t *testing.T) {
	for name, tc := range map[string]struct {
		code       string
		wantKind   provider.Kind
		wantDetail string
	}{
		"it refused": {"-1", provider.KindRefused, "the handler refused the request"},
		"it failed":  {"-32603", provider.KindFailed, "the handler says that it failed"},
	} {
		t.Run(name, func(t *testing.T) {
			answer := `{"error":{"code":` + tc.code + `,"message":"` + ownWords + `","data":{}},"role":"assistant"}`
			if err := follows(t, schema(t, "#/$defs/answer"), answer); err != nil {
				t.Errorf("the published schema does not allow it: %v", err)
			}
			client, _ := connect(t, replyJSON(answer), signed)
			_, err := client.CreateMessage(t.Context(), question())
			wantError(t, err, tc.wantKind, tc.wantDetail)
		})
	}

	client, _ := connect(t, replyJSON(`{"error":{"code":-32602,"message":"`+ownWords+`"}}`), signed)
	_, err := client.CreateMessage(t.Context(), question())
	var unsupported *provider.UnsupportedError
	if !errors.As(err, &unsupported) {
		t.Fatalf("error %v, want an UnsupportedError where the handler does not take the request", err)
	}
	wantSafe(t, err.Error())
}
