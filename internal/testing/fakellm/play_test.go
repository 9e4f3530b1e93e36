package fakellm_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/testing/fakellm"
)

func TestPlay(t *testing.T) {
	model := &fakellm.Server{}
	model.Always(fakellm.Play(
		fakellm.Turn{Calls: []fakellm.Call{{ID: "1", Name: "stock", Arguments: `{"item":"lamp"}`}}},
		fakellm.Turn{Text: "I found {results}."},
	))
	const question, call = `{"role":"user","content":"?"}`, `{"role":"assistant","content":null}`
	for name, tc := range map[string]struct {
		messages string
		want     []string
	}{
		"a new conversation":                  {question, []string{`"finish_reason":"tool_calls"`, `"name":"stock"`, `"id":"1"`}},
		"the tools have answered":             {question + "," + call + `,{"role":"tool","content":"12"},{"role":"tool","content":"120 euro"}`, []string{`"finish_reason":"stop"`, "I found 12, 120 euro."}},
		"it goes on after the last turn":      {question + "," + call + "," + call + "," + question, []string{`"finish_reason":"stop"`, "I found ."}},
		"what is no conversation is an error": {`"`, []string{"invalid_json"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := httptest.NewRecorder()
			model.ServeHTTP(got, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/chat/completions", strings.NewReader(`{"messages":[`+tc.messages+`]}`)))
			for _, want := range tc.want {
				if !strings.Contains(got.Body.String(), want) {
					t.Errorf("the answer is %s, want %s in it", got.Body, want)
				}
			}
		})
	}
}
