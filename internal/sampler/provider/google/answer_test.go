package google_test

import (
	"encoding/json"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/testing/fakegemini"
)

var usage = provider.Usage{
	InputTokens:  fakegemini.PromptTokens,
	OutputTokens: fakegemini.CandidateTokens + fakegemini.ThoughtTokens,
}

func tools(names ...string) []wire.Tool {
	var list []wire.Tool
	for _, name := range names {
		list = append(list, wire.Tool{Name: name, InputSchema: json.RawMessage(`{"type":"object"}`)})
	}
	return list
}

func TestAnswers(t *testing.T) {
	text := func(s string) []wire.Content { return []wire.Content{textBlock(s)} }
	for name, tc := range map[string]struct {
		reply       fakegemini.Reply
		wantContent []wire.Content
		wantStop    string
	}{
		"text":                        {fakegemini.Text("hello"), text("hello"), wire.StopEndTurn},
		"no parts":                    {fakegemini.Finish("STOP"), text(""), wire.StopEndTurn},
		"an empty text":               {fakegemini.Finish("STOP", fakegemini.TextPart("")), text(""), wire.StopEndTurn},
		"texts are pieces of one":     {fakegemini.Finish("STOP", fakegemini.TextPart("hel"), fakegemini.TextPart("lo")), text("hello"), wire.StopEndTurn},
		"thoughts are nobody's":       {fakegemini.Finish("STOP", fakegemini.ThoughtPart("hm"), fakegemini.TextPart("hello")), text("hello"), wire.StopEndTurn},
		"the limit":                   {fakegemini.Finish("MAX_TOKENS", fakegemini.TextPart("hel")), text("hel"), wire.StopMaxTokens},
		"the limit, met in thoughts":  {fakegemini.Finish("MAX_TOKENS"), text(""), wire.StopMaxTokens},
		"the limit of one request":    {fakegemini.Finish("CONTINUATION", fakegemini.TextPart("hel")), text("hel"), wire.StopMaxTokens},
		"a filter: safety":            {fakegemini.Finish("SAFETY", fakegemini.TextPart("hel")), text("hel"), wire.StopContentFilter},
		"a filter: recitation":        {fakegemini.Finish("RECITATION"), text(""), wire.StopContentFilter},
		"a filter: blocklist":         {fakegemini.Finish("BLOCKLIST"), text(""), wire.StopContentFilter},
		"a filter: prohibited":        {fakegemini.Finish("PROHIBITED_CONTENT"), text(""), wire.StopContentFilter},
		"a filter: personal data":     {fakegemini.Finish("SPII"), text(""), wire.StopContentFilter},
		"a filter: an image":          {fakegemini.Finish("IMAGE_SAFETY"), text(""), wire.StopContentFilter},
		"a question that is withheld": {fakegemini.Blocked("PROHIBITED_CONTENT"), text(""), wire.StopContentFilter},
		"another reason":              {fakegemini.Finish("OTHER", fakegemini.TextPart("x")), text("x"), ""},
		"a reason of the future":      {fakegemini.Finish("BORED", fakegemini.TextPart("x")), text("x"), ""},
		"a language it does not know": {fakegemini.Finish("LANGUAGE"), text(""), ""},
		"an image": {fakegemini.Finish("STOP", fakegemini.TextPart("here"), `{"inlineData":{"mimeType":"image/png","data":"aGk="}}`),
			[]wire.Content{textBlock("here"), {Type: wire.ContentImage, MIMEType: "image/png", Data: "aGk="}}, wire.StopEndTurn},
		"speech": {fakegemini.Finish("STOP", `{"inlineData":{"mimeType":"audio/L16;rate=24000","data":"aGk="}}`),
			[]wire.Content{{Type: wire.ContentAudio, MIMEType: "audio/L16;rate=24000", Data: "aGk="}}, wire.StopEndTurn},
		"one tool call": {fakegemini.Finish("STOP", fakegemini.CallPart("a", "f", `{"x": "<1>"}`)),
			[]wire.Content{useBlock("a", "f", `{"x":"<1>"}`)}, wire.StopToolUse},
		"a tool call without arguments": {fakegemini.Finish("STOP", fakegemini.CallPart("a", "f", "")),
			[]wire.Content{useBlock("a", "f", `{}`)}, wire.StopToolUse},
		"text and parallel tool calls": {
			fakegemini.Finish("STOP", fakegemini.TextPart("so"), fakegemini.CallPart("a", "f", `{}`), fakegemini.CallPart("b", "g_h", `{"y":[]}`)),
			append(text("so"), useBlock("a", "f", `{}`), useBlock("b", "g.h", `{"y":[]}`)), wire.StopToolUse},
		"a tool that the model made up": {fakegemini.Finish("STOP", fakegemini.CallPart("a", "rm", `{}`)),
			[]wire.Content{useBlock("a", "rm", `{}`)}, wire.StopToolUse},
		"tool calls at the limit": {fakegemini.Finish("MAX_TOKENS", fakegemini.CallPart("a", "f", `{}`)),
			[]wire.Content{useBlock("a", "f", `{}`)}, wire.StopMaxTokens},
	} {
		t.Run(name, func(t *testing.T) {
			req := hello()
			req.Tools = tools("f", "g.h")
			got, err := connect(t, fake(t, tc.reply)).CreateMessage(t.Context(), req)
			if err != nil {
				t.Fatal(err)
			}
			want := &provider.Response{
				Result: wire.SamplingResult{Role: wire.RoleAssistant, Content: tc.wantContent, Model: "gemini-2.5-flash", StopReason: tc.wantStop},
				Usage:  usage,
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("response (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAnAnswerThatSaysLittle(t *testing.T) {
	model := fake(t, fakegemini.Raw(200, "application/json", `{"candidates":[{"content":{"parts":[{"text":"hello"}]}}]}`))
	got, err := connect(t, model).CreateMessage(t.Context(), hello())
	if err != nil {
		t.Fatal(err)
	}
	want := &provider.Response{Result: wire.SamplingResult{
		Role: wire.RoleAssistant, Content: []wire.Content{textBlock("hello")}, Model: "gemini-2.5-flash",
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("response (-want +got):\n%s", diff)
	}
}

func TestTheModelThatAnsweredIsNamed(t *testing.T) {
	model := fake(t, fakegemini.Raw(200, "application/json", `{"candidates":[{"content":{"parts":[{"text":"x"}]}}],"modelVersion":"gemini-3.8-flash-001"}`))
	got, err := connect(t, model).CreateMessage(t.Context(), hello())
	if err != nil || got.Result.Model != "gemini-3.8-flash-001" {
		t.Errorf("model %q, error %v", got.Result.Model, err)
	}
}

func TestToolCallsHaveIDsOfTheirOwn(t *testing.T) {
	call := func(id string) fakegemini.Part { return fakegemini.CallPart(id, "f", `{}`) }
	req := hello()
	req.Tools = tools("f")
	req.Messages = append(req.Messages, assistant(useBlock("old", "f", `{}`)), user(result("old", textBlock("1"))))
	got, err := connect(t, fake(t, fakegemini.Finish("STOP", call(""), call(""), call("new"), call("new"), call("old")))).CreateMessage(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{"old": true}
	for i, block := range got.Result.Content {
		if block.ID == "" || seen[block.ID] || len(block.ID) > 64 {
			t.Errorf("block %d: id %q", i, block.ID)
		}
		seen[block.ID] = true
	}
	if len(seen) != 6 || !seen["new"] {
		t.Errorf("ids %v, want 5 new ones and among them that of the provider", seen)
	}
}

// TestToolLoop is FastMCP's: tools, parallel calls, a failed one, and a
// structured answer by a tool of its own that is required.
func TestToolLoop(t *testing.T) {
	const signature = "c2lnbmF0dXJl"
	model := fake(t,
		fakegemini.Finish("STOP", fakegemini.SignedCallPart("1", "f", `{"x":1,"y":"<"}`, signature), fakegemini.CallPart("2", "files_read", `{}`)),
		fakegemini.Finish("STOP", fakegemini.SignedCallPart("3", "final_response", `{"answer":42}`, "b3RoZXI=")))
	client := connect(t, model)
	req := hello()
	req.Model = "gemini-3.8-flash"
	req.Tools = tools("f", "files/read", "final_response")
	req.ToolChoice = wire.ToolChoiceRequired
	first, err := client.CreateMessage(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	want := []wire.Content{useBlock("1", "f", `{"x":1,"y":"<"}`), useBlock("2", "files/read", `{}`)}
	if diff := cmp.Diff(want, first.Result.Content); diff != "" {
		t.Fatalf("first answer (-want +got):\n%s", diff)
	}
	calls := first.Result.Content
	// A server may write the same arguments in its own way.
	calls[0].Input = json.RawMessage(`{ "y": "\u003c", "x": 1.0 }`)
	failed := result("2", textBlock("no such file"))
	failed.IsError = true
	req.Messages = append(req.Messages, assistant(calls...), user(result("1", textBlock("one")), failed))
	second, err := client.CreateMessage(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]wire.Content{useBlock("3", "final_response", `{"answer":42}`)}, second.Result.Content); diff != "" {
		t.Errorf("second answer (-want +got):\n%s", diff)
	}
	contents := object(t, string(model.Requests()[1].Body))["contents"].([]any)
	parts := contents[1].(map[string]any)["parts"].([]any)
	if got := parts[0].(map[string]any)["thoughtSignature"]; got != signature {
		t.Errorf("signature %v, want the model's own", got)
	}
	if got, ok := parts[1].(map[string]any)["thoughtSignature"]; ok {
		t.Errorf("the second call has the signature %v", got)
	}
}

func TestSignaturesAreForTheCallThatTheyCameWith(t *testing.T) {
	const (
		signature   = "c2lnbmF0dXJl"
		placeholder = "c2tpcF90aG91Z2h0X3NpZ25hdHVyZV92YWxpZGF0b3I="
	)
	for name, tc := range map[string]struct {
		change func(*provider.Request, *wire.Content)
		want   any
	}{
		"the same call":     {func(*provider.Request, *wire.Content) {}, signature},
		"another id":        {func(_ *provider.Request, c *wire.Content) { c.ID = "2" }, placeholder},
		"other arguments":   {func(_ *provider.Request, c *wire.Content) { c.Input = json.RawMessage(`{"x":"[redacted]"}`) }, placeholder},
		"another tool":      {func(_ *provider.Request, c *wire.Content) { c.Name = "g" }, placeholder},
		"another session":   {func(r *provider.Request, _ *wire.Content) { r.Context.Session = "s2" }, placeholder},
		"another server":    {func(r *provider.Request, _ *wire.Content) { r.Context.Server = "m2" }, placeholder},
		"another model":     {func(r *provider.Request, _ *wire.Content) { r.Model = "gemini-4-argon" }, placeholder},
		"a model before it": {func(r *provider.Request, _ *wire.Content) { r.Model = "gemini-2.5-pro" }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			model := fake(t, fakegemini.Finish("STOP", fakegemini.SignedCallPart("1", "f", `{"x":"y"}`, signature)))
			client := connect(t, model)
			req := hello()
			req.Model, req.Tools, req.Context = "gemini-3.8-flash", tools("f", "g"), provider.Context{Server: "m", Session: "s"}
			first, err := client.CreateMessage(t.Context(), req)
			if err != nil {
				t.Fatal(err)
			}
			call := first.Result.Content[0]
			tc.change(&req, &call)
			req.Messages = append(req.Messages, assistant(call), user(result(call.ID, textBlock("one"))))
			if _, err := client.CreateMessage(t.Context(), req); err != nil {
				t.Fatal(err)
			}
			contents := object(t, string(model.Requests()[1].Body))["contents"].([]any)
			if got := contents[1].(map[string]any)["parts"].([]any)[0].(map[string]any)["thoughtSignature"]; got != tc.want {
				t.Errorf("signature %v, want %v", got, tc.want)
			}
		})
	}
}

func TestParallelRequestsShareAClient(t *testing.T) {
	model := fake(t)
	model.Always(fakegemini.Finish("STOP", fakegemini.SignedCallPart("", "f", `{}`, "c2lnbmF0dXJl")))
	client := connect(t, model)
	req := hello()
	req.Tools = tools("f")
	errs := make(chan error)
	for range 16 {
		go func() {
			_, err := client.CreateMessage(t.Context(), req)
			errs <- err
		}()
	}
	for range 16 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if n := len(model.Requests()); n != 16 {
		t.Errorf("%d requests, want 16", n)
	}
}

// TestTheFakeAnswersAsTheAPIDoes holds the fake to the published messages too.
func TestTheFakeAnswersAsTheAPIDoes(t *testing.T) {
	for name, reply := range map[string]fakegemini.Reply{
		"text":    fakegemini.Text("x"),
		"parts":   fakegemini.Finish("MAX_TOKENS", fakegemini.ThoughtPart("t"), fakegemini.SignedCallPart("a", "f", `{"x":1}`, "c2ln")),
		"blocked": fakegemini.Blocked("SAFETY"),
	} {
		w := httptest.NewRecorder()
		reply(w, nil, fakegemini.Request{Model: "gemini-2.5-flash"})
		if _, err := decodePublished(t, "GenerateContentResponse", w.Body.Bytes()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
