package anthropic_test

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/testing/fakeanthropic"
)

func TestAnswers(t *testing.T) {
	message, say, call := fakeanthropic.Message, fakeanthropic.TextBlock, fakeanthropic.ToolUse
	for name, tc := range map[string]struct {
		reply       fakeanthropic.Reply
		wantContent []wire.Content
		wantStop    string
	}{
		"text":                     {fakeanthropic.Text("hello"), []wire.Content{text("hello")}, wire.StopEndTurn},
		"several texts":            {message("end_turn", say("a"), say(""), say("b")), []wire.Content{text("a"), text("b")}, wire.StopEndTurn},
		"no content":               {message("end_turn"), []wire.Content{text("")}, wire.StopEndTurn},
		"an empty text":            {message("end_turn", say("")), []wire.Content{text("")}, wire.StopEndTurn},
		"thoughts are the model's": {message("end_turn", fakeanthropic.Thinking("hm"), json.RawMessage(`{"type":"redacted_thinking","data":"x"}`), say("a")), []wire.Content{text("a")}, wire.StopEndTurn},
		"thoughts alone":           {message("max_tokens", fakeanthropic.Thinking("hm")), []wire.Content{text("")}, wire.StopMaxTokens},
		"the limit":                {message("max_tokens", say("hel")), []wire.Content{text("hel")}, wire.StopMaxTokens},
		"the context's limit":      {message("model_context_window_exceeded", say("hel")), []wire.Content{text("hel")}, wire.StopMaxTokens},
		"a stop sequence":          {message("stop_sequence", say("hel")), []wire.Content{text("hel")}, wire.StopStopSequence},
		"a stop sequence that only its field tells": {fakeanthropic.Raw(200, "application/json", `{"type":"message","content":[{"type":"text","text":"so"}],"model":"m",
			"stop_reason":"end_turn","stop_sequence":"END","usage":{"input_tokens":16,"output_tokens":7}}`), []wire.Content{text("so")}, wire.StopStopSequence},
		"a refusal":                   {message("refusal", say("I will")), []wire.Content{text("I will")}, wire.StopRefusal},
		"a refusal without a word":    {message("refusal"), []wire.Content{text("")}, wire.StopRefusal},
		"a pause":                     {message("pause_turn", say("so")), []wire.Content{text("so")}, ""},
		"another reason":              {message("eos", say("so")), []wire.Content{text("so")}, ""},
		"no reason":                   {fakeanthropic.Raw(200, "text/plain", `{"content":[{"type":"text","text":"so"}],"model":"m","stop_reason":null,"usage":{"input_tokens":16,"output_tokens":7}}`), []wire.Content{text("so")}, ""},
		"one tool call":               {message("tool_use", call("a", "f", `{"x":1.0}`)), []wire.Content{use("a", "f", `{"x":1.0}`)}, wire.StopToolUse},
		"text and parallel calls":     {message("tool_use", say("so"), call("a", "f", `{}`), call("b", "g", `{"y":[]}`)), []wire.Content{text("so"), use("a", "f", `{}`), use("b", "g", `{"y":[]}`)}, wire.StopToolUse},
		"a call that ends normally":   {message("end_turn", call("a", "f", `{}`)), []wire.Content{use("a", "f", `{}`)}, wire.StopToolUse},
		"a call that is cut off":      {message("max_tokens", call("a", "f", `{}`), call("b", "g", `{}`)), []wire.Content{use("a", "f", `{}`)}, wire.StopMaxTokens},
		"nothing but a call cut off":  {message("max_tokens", call("b", "g", `{}`)), []wire.Content{text("")}, wire.StopMaxTokens},
		"final_response of a program": {message("tool_use", call("a", "final_response", `{"answer":42}`)), []wire.Content{use("a", "final_response", `{"answer":42}`)}, wire.StopToolUse},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := connect(t, fakeanthropic.New(tc.reply)).CreateMessage(t.Context(), hi)
			if err != nil {
				t.Fatal(err)
			}
			want := &provider.Response{
				Result: wire.SamplingResult{Role: wire.RoleAssistant, Content: tc.wantContent, Model: "m", StopReason: tc.wantStop},
				Usage: provider.Usage{
					InputTokens:  fakeanthropic.InputTokens + fakeanthropic.CacheCreation + fakeanthropic.CacheRead,
					OutputTokens: fakeanthropic.OutputTokens,
				},
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("response (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTheModelThatAnswered(t *testing.T) {
	for name, tc := range map[string]struct{ answer, want string }{
		"it says":         {`{"type":"message","content":[],"model":"claude-sonnet-4-5-20250929"}`, "claude-sonnet-4-5-20250929"},
		"it does not say": {`{"type":"message","content":[]}`, "m"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := connect(t, fakeanthropic.New(fakeanthropic.Raw(200, "application/json", tc.answer))).CreateMessage(t.Context(), hi)
			if err != nil {
				t.Fatal(err)
			}
			if got.Result.Model != tc.want || got.Usage != (provider.Usage{}) {
				t.Errorf("model %q and usage %+v, want %q and none", got.Result.Model, got.Usage, tc.want)
			}
		})
	}
}
