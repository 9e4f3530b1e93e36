package openai_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/config"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider/openai"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/testing/fakellm"
)

const (
	ofOpenAI = "https://api.openai.com/v1"
	ofEurope = "https://eu.api.openai.com/v1"
	ofAzure  = "https://resource.openai.azure.com/openai/v1"
)

// TestWhatOpenAIRefuses: what cannot be mended is refused before it is sent to
// OpenAI, and sent to servers that may take it.
func TestWhatOpenAIRefuses(t *testing.T) {
	base := func(modify func(*provider.Request)) provider.Request {
		req := provider.Request{Model: "gpt-4.1", MaxTokens: 5, Messages: userText("hi")}
		modify(&req)
		return req
	}
	schema := func(schema string) provider.Request {
		return base(func(r *provider.Request) {
			r.Tools = []wire.Tool{{Name: "f", InputSchema: json.RawMessage(schema)}}
		})
	}
	warm := func(model, extra string) provider.Request {
		return base(func(r *provider.Request) {
			r.Model, r.Temperature, r.ExtraBody = model, new(0.2), json.RawMessage(extra)
		})
	}
	stop := func(model string) provider.Request {
		return base(func(r *provider.Request) { r.Model, r.StopSequences = model, []string{"END"} })
	}
	for name, tc := range map[string]struct {
		request provider.Request
		want    string // empty: sent
	}{
		"four stop sequences":                        {base(func(r *provider.Request) { r.StopSequences = []string{"a", "b", "c", "d"} }), ""},
		"five stop sequences":                        {base(func(r *provider.Request) { r.StopSequences = []string{"a", "b", "c", "d", "e"} }), "stopSequences: the model provider takes 4 at most"},
		"a temperature of 2":                         {base(func(r *provider.Request) { r.Temperature = new(2.0) }), ""},
		"a temperature of 2.1":                       {base(func(r *provider.Request) { r.Temperature = new(2.1) }), "temperature: the model provider takes 0 to 2"},
		"128 tools":                                  {base(func(r *provider.Request) { r.Tools = manyTools(128) }), ""},
		"129 tools":                                  {base(func(r *provider.Request) { r.Tools = manyTools(129) }), "tools: the model provider takes 128 at most"},
		"a schema with oneOf at its top":             {schema(`{"type":"object","oneOf":[{}]}`), "the inputSchema of the tool f has oneOf at its top"},
		"a schema with anyOf further down":           {schema(`{"type":"object","properties":{"a":{"anyOf":[{}]}}}`), ""},
		"a schema of another type":                   {schema(`{"type":"string"}`), "must have the type object"},
		"o3 and a temperature":                       {warm("o3", ""), "temperature: the model takes no other than 1"},
		"o4-mini of a day and a temperature":         {warm("o4-mini-2025-04-16", ""), "temperature"},
		"gpt-5 and a temperature":                    {warm("gpt-5", ""), "temperature"},
		"gpt-5-nano of a day and a temperature":      {warm("gpt-5-nano-2025-08-07", ""), "temperature"},
		"gpt-5.2-pro and a temperature":              {warm("gpt-5.2-pro", ""), "temperature"},
		"a tuned o4-mini and a temperature":          {warm("ft:o4-mini-2025-04-16:org::id", ""), "temperature"},
		"gpt-5-chat-latest and a temperature":        {warm("gpt-5-chat-latest", ""), ""},
		"gpt-5.1 and a temperature":                  {warm("gpt-5.1", ""), ""},
		"gpt-5.1 without effort and a temperature":   {warm("gpt-5.1", `{"reasoning_effort":"none"}`), ""},
		"gpt-5.1 with some effort and a temperature": {warm("gpt-5.1", `{"reasoning_effort":"low"}`), "temperature: the model takes no other than 1 while it reasons"},
		"o3 and the only temperature":                {base(func(r *provider.Request) { r.Model, r.Temperature = "o3", new(1.0) }), ""},
		"o3 and a stop sequence":                     {stop("o3"), "stopSequences: the model takes none"},
		"gpt-5 and a stop sequence":                  {stop("gpt-5"), "stopSequences: the model takes none"},
		"o1 and a stop sequence":                     {stop("o1"), ""},
	} {
		for _, host := range []string{ofOpenAI, ofEurope, ofAzure} {
			t.Run(name+" at "+host, func(t *testing.T) {
				model := fakellm.New()
				_, err := connect(t, model, at(host)).CreateMessage(t.Context(), tc.request)
				var unsupported *provider.UnsupportedError
				if tc.want == "" {
					if err != nil {
						t.Fatal(err)
					}
					wantContract(t, model.Requests()[0].Body)
				} else if !errors.As(err, &unsupported) || !strings.Contains(err.Error(), tc.want) || len(model.Requests()) != 0 {
					t.Errorf("error %v and %d requests, want an UnsupportedError that says %q, and none", err, len(model.Requests()), tc.want)
				}
			})
		}
		if _, err := connect(t, fakellm.New()).CreateMessage(t.Context(), tc.request); err != nil {
			t.Errorf("%s: a compatible server is not asked: %v", name, err)
		}
	}
}

func manyTools(n int) []wire.Tool {
	tools := make([]wire.Tool, n)
	for i := range tools {
		tools[i] = wire.Tool{Name: fmt.Sprintf("f%d", i), InputSchema: json.RawMessage(object)}
	}
	return tools
}

// TestWhatIsMendedForOpenAI: what OpenAI refuses and means the same in other
// words is said in those.
func TestWhatIsMendedForOpenAI(t *testing.T) {
	long := strings.Repeat("é", 1024)
	for name, tc := range map[string]struct {
		request  provider.Request
		want     string // at OpenAI
		wantLost []provider.Loss
	}{
		"a reasoning model knows only the newer name of the limit": {
			request: provider.Request{Model: "o3", MaxTokens: 5, Messages: userText("hi")},
			want:    `{"model":"o3","max_completion_tokens":5,"messages":[{"role":"user","content":"hi"}]}`,
		},
		"another model gets the limit's configured name": {
			request: provider.Request{Model: "m", MaxTokens: 5, Messages: userText("hi")},
			want:    `{"model":"m","max_tokens":5,"messages":[{"role":"user","content":"hi"}]}`,
		},
		"arrays say what they hold, and nothing else changes": {
			request: provider.Request{Model: "m", MaxTokens: 5, Messages: userText("hi"), Tools: []wire.Tool{{Name: "f", InputSchema: json.RawMessage(
				`{"type": "object", "properties": {"a": {"type":"array"}, "b": {"type":["array","null"],"maxItems":9007199254740993},
				"c": {"type":"array","items":{"type":"array"}}, "items": {"type":"string","default":{"type":"array"}},
				"d": {"anyOf":[{"type":"array"},true]}}, "$defs": {"x": {"type":"array"}}}`)}}},
			want: `{"model":"m","max_tokens":5,"messages":[{"role":"user","content":"hi"}],"tools":[{"type":"function","function":{"name":"f","description":"","parameters":
				{"type":"object","properties":{"a":{"type":"array","items":{}},"b":{"type":["array","null"],"maxItems":9007199254740993,"items":{}},
				"c":{"type":"array","items":{"type":"array","items":{}}},"items":{"type":"string","default":{"type":"array"}},
				"d":{"anyOf":[{"type":"array","items":{}},true]}},"$defs":{"x":{"type":"array","items":{}}}}}}]}`,
		},
		"what a description has no room for is put into the schema": {
			request: provider.Request{Model: "m", MaxTokens: 5, Messages: userText("hi"), Tools: []wire.Tool{{Name: "f", Description: long + "and more", InputSchema: json.RawMessage(object)}}},
			want: `{"model":"m","max_tokens":5,"messages":[{"role":"user","content":"hi"}],"tools":[{"type":"function","function":{"name":"f","description":"` + long + `","parameters":
				{"type":"object","properties":{},"description":"and more"}}}]}`,
		},
		"metadata is taken only with answers that are stored": {
			request:  provider.Request{Model: "m", MaxTokens: 5, Messages: userText("hi"), Metadata: json.RawMessage(`{"a":"b"}`)},
			want:     `{"model":"m","max_tokens":5,"messages":[{"role":"user","content":"hi"}]}`,
			wantLost: []provider.Loss{provider.LossMetadata},
		},
		"metadata of answers that are stored": {
			request: provider.Request{Model: "m", MaxTokens: 5, Messages: userText("hi"), Metadata: json.RawMessage(`{"a":"b"}`), ExtraBody: json.RawMessage(`{"store":true}`)},
			want:    `{"model":"m","max_tokens":5,"messages":[{"role":"user","content":"hi"}],"metadata":{"a":"b"},"store":true}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			model := fakellm.New()
			got, err := connect(t, model, at(ofOpenAI), func(o *openai.Options) { o.MaxTokensField = config.MaxTokens }).
				CreateMessage(t.Context(), tc.request)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(normal(t, tc.want), sent(t, model)); diff != "" {
				t.Errorf("body (-want +got):\n%s", diff)
			}
			wantContract(t, model.Requests()[0].Body)
			if diff := cmp.Diff(tc.wantLost, got.Lost); diff != "" {
				t.Errorf("lost (-want +got):\n%s", diff)
			}
		})
	}
}

func TestExtraBodyIsMergedBelowWhatIsDecided(t *testing.T) {
	model := fakellm.New()
	_, err := connect(t, model).CreateMessage(t.Context(), provider.Request{
		Model: "m", MaxTokens: 5, Messages: userText("hi"), Metadata: json.RawMessage(`{"a":"b"}`),
		ExtraBody: json.RawMessage(`{ "seed": 7, "response_format": {"type": "json_object"}, "model": "dear", "messages": [], "tools": [1],
			"tool_choice": "required", "stream": true, "n": 9, "max_tokens": 9, "stop": ["x"], "temperature": 2, "metadata": {"a": "c"}, "functions": [],
			"Model": "dear", "MAX_TOKENS": 9, "Metadata": {"a": "c"}, "n_predict": 9, "preset": "dear", "Context_Window_Fallbacks": [] }`),
	})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"model":"m","max_completion_tokens":5,"messages":[{"role":"user","content":"hi"}],"metadata":{"a":"b"},"seed":7,"response_format":{"type":"json_object"}}`
	if diff := cmp.Diff(normal(t, want), sent(t, model)); diff != "" {
		t.Errorf("body (-want +got):\n%s", diff)
	}
	wantContract(t, model.Requests()[0].Body)
}

func TestSixteenPairsOfMetadata(t *testing.T) {
	pairs := map[string]string{}
	for i := range 17 {
		pairs[fmt.Sprint(i)] = "x"
	}
	metadata, err := json.Marshal(pairs)
	if err != nil {
		t.Fatal(err)
	}
	model := fakellm.New()
	got, err := connect(t, model).CreateMessage(t.Context(), provider.Request{Model: "m", MaxTokens: 5, Messages: userText("hi"), Metadata: metadata})
	if err != nil {
		t.Fatal(err)
	}
	var body struct{ Metadata map[string]string }
	if err := json.Unmarshal(model.Requests()[0].Body, &body); err != nil {
		t.Fatal(err)
	}
	if len(body.Metadata) != 16 || !cmp.Equal(got.Lost, []provider.Loss{provider.LossMetadata}) {
		t.Errorf("%d pairs, lost %v; want 16, and that metadata was lost", len(body.Metadata), got.Lost)
	}
}

func TestAzure(t *testing.T) {
	for name, baseURL := range map[string]string{
		"the endpoint of a resource": "https://resource.openai.azure.com",
		"with a slash":               "https://resource.openai.azure.com/",
		"with the API's first path":  "https://resource.openai.azure.com/openai",
	} {
		t.Run(name, func(t *testing.T) {
			model := &fakellm.Server{Key: testKey}
			client := connect(t, model, at(baseURL), func(o *openai.Options) {
				o.Azure = &config.Azure{APIVersion: "2024-10-21"}
				o.Organization, o.Project = "org", "proj"
			})
			if _, err := client.CreateMessage(t.Context(), provider.Request{Model: "my gpt", MaxTokens: 5, Messages: userText("hi")}); err != nil {
				t.Fatal(err)
			}
			got := model.Requests()[0]
			if got.Path != "/openai/deployments/my gpt/chat/completions" || got.Query != "api-version=2024-10-21" {
				t.Errorf("asked %s?%s", got.Path, got.Query)
			}
			if got.Header.Get("Api-Key") != testKey || got.Header.Get("Authorization") != "" || got.Header.Get("OpenAI-Organization") != "" {
				t.Errorf("headers %v, want the key in api-key alone", got.Header)
			}
			wantContract(t, got.Body)
			if err := client.Probe(t.Context()); err != nil {
				t.Errorf("probe: %v", err)
			}
			model.Key = "another"
			wantKind(t, client.Probe(t.Context()), provider.KindUnauthorized)
			_, err := client.CreateMessage(t.Context(), provider.Request{Model: "gpt", MaxTokens: 5, Messages: userText("hi")})
			wantKind(t, err, provider.KindUnauthorized)
		})
	}
}

func TestAzuresNewerAPIIsABaseURL(t *testing.T) {
	model := &fakellm.Server{Key: testKey}
	client := connect(t, model, at(ofAzure))
	if _, err := client.CreateMessage(t.Context(), provider.Request{Model: "gpt", MaxTokens: 5, Messages: userText("hi")}); err != nil {
		t.Fatal(err)
	}
	if got := model.Requests()[0]; got.Path != "/openai/v1/chat/completions" || got.Query != "" {
		t.Errorf("asked %s?%s", got.Path, got.Query)
	}
	if err := client.Probe(t.Context()); err != nil {
		t.Errorf("probe: %v", err)
	}
}

func TestHeaders(t *testing.T) {
	model := fakellm.New()
	client := connect(t, model, func(o *openai.Options) { o.Organization, o.Project = "org-1", "proj-1" })
	if _, err := client.CreateMessage(t.Context(), provider.Request{Model: "m", MaxTokens: 5, Messages: userText("hi")}); err != nil {
		t.Fatal(err)
	}
	got := model.Requests()[0].Header
	if got.Get("OpenAI-Organization") != "org-1" || got.Get("OpenAI-Project") != "proj-1" {
		t.Errorf("headers %v, want organization and project", got)
	}
	for name := range got {
		if strings.HasPrefix(name, "X-Stainless") {
			t.Errorf("header %s tells what the sampler runs on", name)
		}
	}
}
