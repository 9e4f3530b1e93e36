package anthropic_test

import (
	"encoding/json"
	"fmt"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/testing/fakeanthropic"
)

// A server's loop, as FastMCP runs it: each answer and its results go back into
// the next request, until the model ends its turn. final_response is the tool by
// which FastMCP asks for structured output.
func TestAToolLoop(t *testing.T) {
	model := fakeanthropic.New(
		fakeanthropic.Message("tool_use", fakeanthropic.Thinking("hm"), fakeanthropic.TextBlock("let me see"),
			fakeanthropic.ToolUse("toolu_a", "search_web", `{"q":"x"}`), fakeanthropic.ToolUse("toolu_b", "search_web", `{"q":"y"}`)),
		fakeanthropic.Message("tool_use", fakeanthropic.ToolUse("toolu_c", "final_response", `{"answer":"no number"}`)),
		fakeanthropic.Message("tool_use", fakeanthropic.ToolUse("toolu_d", "final_response", `{"answer":42}`)),
		fakeanthropic.Text("done"),
	)
	client := connect(t, model)
	object := json.RawMessage(`{"type":"object"}`)
	req := with(asks(user(text("what is it?"))), func(r *provider.Request) {
		r.Tools = []wire.Tool{{Name: "search.web", InputSchema: object}, {Name: "final_response", InputSchema: object}}
		r.ToolChoice = wire.ToolChoiceRequired
	})
	rounds := []struct {
		want     []wire.Content
		wantStop string
		results  []wire.Content
	}{
		{[]wire.Content{text("let me see"), use("toolu_a", "search.web", `{"q":"x"}`), use("toolu_b", "search.web", `{"q":"y"}`)}, wire.StopToolUse,
			[]wire.Content{result("toolu_b", text("40")), failed("toolu_a", text("not found"))}},
		{[]wire.Content{use("toolu_c", "final_response", `{"answer":"no number"}`)}, wire.StopToolUse,
			[]wire.Content{failed("toolu_c", text("answer must be a number"))}},
		{[]wire.Content{use("toolu_d", "final_response", `{"answer":42}`)}, wire.StopToolUse,
			[]wire.Content{result("toolu_d", text("ok"))}},
		{[]wire.Content{text("done")}, wire.StopEndTurn, nil},
	}
	for i, round := range rounds {
		got, err := client.CreateMessage(t.Context(), req)
		if err != nil {
			t.Fatalf("round %d: %v", i, err)
		}
		if diff := cmp.Diff(round.want, got.Result.Content); diff != "" || got.Result.StopReason != round.wantStop {
			t.Fatalf("round %d: stop reason %q, want %q; content (-want +got):\n%s", i, got.Result.StopReason, round.wantStop, diff)
		}
		req.Messages = append(req.Messages, assistant(got.Result.Content...), user(round.results...))
	}
}

func TestOneClientServesManyAtOnce(t *testing.T) {
	model := fakeanthropic.New()
	client := connect(t, model)
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			if _, err := client.CreateMessage(t.Context(), asks(user(text(fmt.Sprint("question ", i))))); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := len(model.Requests()); n != 16 {
		t.Errorf("%d requests, want 16", n)
	}
}
