package openai_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/testing/fakellm"
)

// contract is what OpenAI publishes of a request, and no member that it does
// not know. answers is what it publishes of an answer.
var (
	contract = sync.OnceValues(func() (*jsonschema.Schema, error) { return published("CreateChatCompletionRequest") })
	answers  = sync.OnceValues(func() (*jsonschema.Schema, error) { return published("CreateChatCompletionResponse") })
)

func published(name string) (*jsonschema.Schema, error) {
	const document = "https://openai.invalid/chat-completions.json"
	data, err := os.ReadFile("testdata/openai-openapi/chat-completions.json")
	if err != nil {
		return nil, err
	}
	all, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource(document, all); err != nil {
		return nil, err
	}
	strict := map[string]any{
		"$ref":                  document + "#/components/schemas/" + name,
		"unevaluatedProperties": false,
	}
	if err := c.AddResource("https://openai.invalid/strict.json", strict); err != nil {
		return nil, err
	}
	return c.Compile("https://openai.invalid/strict.json")
}

// wantContract checks a request against what OpenAI publishes.
func wantContract(t *testing.T, body []byte) {
	t.Helper()
	schema, err := contract()
	if err != nil {
		t.Fatal(err)
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(v); err != nil {
		t.Errorf("OpenAI's description does not allow the request: %v\n%s", err, body)
	}
}

func TestTheContractRefuses(t *testing.T) {
	schema, err := contract()
	if err != nil {
		t.Fatal(err)
	}
	for name, body := range map[string]string{
		"no messages":                  `{"model":"m","messages":[]}`,
		"an unknown member":            `{"model":"m","messages":[{"role":"user","content":"hi"}],"colour":1}`,
		"five stop sequences":          `{"model":"m","messages":[{"role":"user","content":"hi"}],"stop":["a","b","c","d","e"]}`,
		"an image of the assistant":    `{"model":"m","messages":[{"role":"assistant","content":[{"type":"image_url","image_url":{"url":"u"}}]}]}`,
		"metadata that is no text":     `{"model":"m","messages":[{"role":"user","content":"hi"}],"metadata":{"a":1}}`,
		"a choice that does not exist": `{"model":"m","messages":[{"role":"user","content":"hi"}],"tool_choice":"any"}`,
	} {
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader([]byte(body)))
		if err != nil {
			t.Fatal(err)
		}
		if schema.Validate(v) == nil {
			t.Errorf("%s is allowed: the check would find nothing", name)
		}
	}
}

// What the fake says is what OpenAI would say.
func TestTheFakeAnswersAsPublished(t *testing.T) {
	schema, err := answers()
	if err != nil {
		t.Fatal(err)
	}
	call := fakellm.Call{ID: "a", Name: "f", Arguments: `{}`}
	for name, reply := range map[string]fakellm.Reply{
		"a text":              fakellm.Text("hello"),
		"nothing":             fakellm.Text(""),
		"tool calls":          fakellm.ToolCalls(call, call),
		"a text with a call":  fakellm.Finish("tool_calls", "so", call),
		"a refusal":           fakellm.Refusal("no"),
		"the limit on tokens": fakellm.Finish("length", "hel"),
		"a filter":            fakellm.Finish("content_filter", ""),
		"an echo":             fakellm.Echo(),
	} {
		w := httptest.NewRecorder()
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/chat/completions",
			strings.NewReader(`{"model":"m","messages":[{"role":"user","content":"hi"}]}`))
		fakellm.New(reply).ServeHTTP(w, r)
		v, err := jsonschema.UnmarshalJSON(w.Body)
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(v); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
