package webhook

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

// FuzzAnswer holds that whatever a handler says is a result which can be passed
// on, or an error that is one of ours.
func FuzzAnswer(f *testing.F) {
	for _, body := range []string{
		"hello", `"hello"`, `{"role":"assistant","content":{"type":"text","text":"hello"}}`,
		`{"role":"assistant","model":"m","stopReason":"endTurn","usage":{"inputTokens":1},"content":[{"type":"image","data":"aGk=","mimeType":"image/png"}]}`,
		`{"role":"assistant","content":[{"type":"tool_use","id":"a","name":"f","input":{"x":1.0}}]}`,
		`{"error":{"code":-1,"message":"no"}}`, `{"error":{"code":-32602}}`, `[[[`, `{"role":`, "\xff",
	} {
		f.Add("application/json", body)
		f.Add("text/plain; charset=utf-8", body)
	}
	f.Fuzz(func(t *testing.T, contentType, body string) {
		req := &provider.Request{Model: "asked", Tools: []wire.Tool{{Name: "f"}}}
		response, err := newResponse(contentType, []byte(body), req)
		if err != nil {
			var known *provider.Error
			var unsupported *provider.UnsupportedError
			if response != nil || (!errors.As(err, &known) && !errors.As(err, &unsupported)) {
				t.Fatalf("response %v with error %v", response, err)
			}
			return
		}
		data, err := json.Marshal(response.Result)
		if err != nil {
			t.Fatalf("a result that cannot be written: %v", err)
		}
		var again wire.SamplingResult
		if err := json.Unmarshal(data, &again); err != nil {
			t.Fatalf("a result that cannot be read: %v in %s", err, data)
		}
		compact := cmp.Transformer("compact", func(raw json.RawMessage) string {
			out, err := json.Marshal(raw)
			if err != nil {
				t.Fatal(err)
			}
			return string(out)
		})
		if diff := cmp.Diff(response.Result, again, compact); diff != "" {
			t.Fatalf("a result that changes on its way: %s", diff)
		}
		if again.Role != wire.RoleAssistant || again.Model == "" || len(again.Content) == 0 {
			t.Fatalf("not a result: %s", data)
		}
	})
}
