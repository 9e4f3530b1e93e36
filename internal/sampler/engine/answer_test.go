package engine

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/goleak"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/audit"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/config"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/limits"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/policy"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/statusz"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/telemetry"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/testing/fakellm"
)

func TestMain(m *testing.M) {
	// Google's client starts it when it is linked in, and nothing ends it.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("go.opencensus.io/stats/view.(*worker).start"))
}

const (
	testKey = "sk-test-1234567890"
	words   = "the provider's own words about " + testKey
	content = "what the user said"
)

var (
	toolsDeclared = policy.Session{Declared: wire.SamplingCapability{Declared: true, Tools: true}}
	plainDeclared = policy.Session{Declared: wire.SamplingCapability{Declared: true}}
)

// answerOf has a request answered and reported.
func answerOf(ctx context.Context, e *Engine, s policy.Session, params json.RawMessage) (json.RawMessage, *wire.Error) {
	result, failure, report := e.Answer(ctx, "s1", s, params)
	report()
	if e.audit != nil {
		e.audit.Flush()
	}
	return result, failure
}

// testPolicy has one provider at baseURL and two models; modifiers change it.
func testPolicy(baseURL string, modifiers ...func(*config.Policy)) *config.Policy {
	p := &config.Policy{
		Name: "p", Mode: config.ModeAlways,
		Providers: []config.Provider{{
			Name: "main", Type: config.ProviderOpenAI, BaseURL: baseURL,
			Timeout: config.Duration(10 * time.Second),
			OpenAI:  &config.OpenAI{MaxTokensField: config.MaxTokens},
		}},
		Models: config.Models{Default: "small", Allowed: []config.Model{
			{Name: "small", Provider: "main", Model: "small-1"},
			{Name: "large", Provider: "main", Model: "large-1", Hints: []string{"opus"}},
		}},
		Capabilities: config.Capabilities{Tools: config.ToolsEnabled},
	}
	for _, m := range modifiers {
		m(p)
	}
	return p
}

// start makes an engine whose only provider is model.
func start(t *testing.T, model http.Handler, options Options, modifiers ...func(*config.Policy)) *Engine {
	t.Helper()
	server := httptest.NewServer(model)
	options.Server = config.Server{Name: "notes"}
	options.Policy = testPolicy(server.URL+"/v1", modifiers...)
	e, err := New(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		closeIdle(e)
		server.Close()
	})
	return e
}

func closeIdle(e *Engine) {
	for _, t := range e.targets {
		t.client.(client).CloseIdleConnections()
	}
}

func withKeyFile(path string) func(*config.Policy) {
	return func(p *config.Policy) {
		p.Providers[0].Credential = &config.Credential{File: path, Ref: "Secret openai, key api-key"}
	}
}

func ask(extra string) json.RawMessage {
	return json.RawMessage(`{"maxTokens":100,"messages":[{"role":"user","content":{"type":"text","text":"` + content + `"}}]` + extra + `}`)
}

// asked is what the model was sent.
type asked struct {
	Model       string            `json:"model"`
	MaxTokens   int64             `json:"max_tokens"`
	Temperature *float64          `json:"temperature"`
	ToolChoice  string            `json:"tool_choice"`
	Stop        []string          `json:"stop"`
	Messages    []json.RawMessage `json:"messages"`
	Tools       []json.RawMessage `json:"tools"`
}

func lastAsked(t *testing.T, model *fakellm.Server) asked {
	t.Helper()
	requests := model.Requests()
	if len(requests) == 0 {
		t.Fatal("the model was not asked")
	}
	var a asked
	if err := json.Unmarshal(requests[len(requests)-1].Body, &a); err != nil {
		t.Fatal(err)
	}
	return a
}

func TestAnswers(t *testing.T) {
	const tools = `,"tools":[{"name":"add","inputSchema":{"type":"object"}},{"name":"final_response","inputSchema":{"type":"object"}}]`
	for name, tc := range map[string]struct {
		params string
		change func(*config.Policy)
		reply  fakellm.Reply
		want   string // the result
		asked  func(asked) bool
	}{
		"a text": {
			params: string(ask("")), reply: fakellm.Text("hello"),
			want:  `{"role":"assistant","content":{"type":"text","text":"hello"},"model":"small-1","stopReason":"endTurn"}`,
			asked: func(a asked) bool { return a.Model == "small-1" && a.MaxTokens == 100 && a.Temperature == nil },
		},
		"code keeps its characters": {
			params: string(ask("")), reply: fakellm.Text("a<b && c>d"),
			want: `{"role":"assistant","content":{"type":"text","text":"a<b && c>d"},"model":"small-1","stopReason":"endTurn"}`,
		},
		"the model of a hint": {
			params: string(ask(`,"modelPreferences":{"hints":[{"name":"unknown"},{"name":"claude-opus-4"}],"costPriority":1}`)), reply: fakellm.Text("x"),
			want:  `{"role":"assistant","content":{"type":"text","text":"x"},"model":"large-1","stopReason":"endTurn"}`,
			asked: func(a asked) bool { return a.Model == "large-1" },
		},
		"a hint outside of the allowed models": {
			params: string(ask(`,"modelPreferences":{"hints":[{"name":"gpt-5"}]}`)), reply: fakellm.Text("x"),
			want:  `{"role":"assistant","content":{"type":"text","text":"x"},"model":"small-1","stopReason":"endTurn"}`,
			asked: func(a asked) bool { return a.Model == "small-1" },
		},
		"a limit on tokens": {
			params: string(ask("")), reply: fakellm.Finish("length", "hel"),
			change: func(p *config.Policy) {
				p.Parameters.MaxTokens = &config.MaxTokensLimit{Max: 17, OnExceed: config.ExceedClamp}
			},
			want:  `{"role":"assistant","content":{"type":"text","text":"hel"},"model":"small-1","stopReason":"maxTokens"}`,
			asked: func(a asked) bool { return a.MaxTokens == 17 },
		},
		"temperature zero, stop sequences and a changed prompt": {
			params: string(ask(`,"temperature":0,"stopSequences":["END"],"systemPrompt":"server's"`)), reply: fakellm.Text("x"),
			change: func(p *config.Policy) {
				p.Parameters.SystemPrompt = &config.SystemPromptAction{Action: config.PromptPrepend, Text: "policy's"}
			},
			want: `{"role":"assistant","content":{"type":"text","text":"x"},"model":"small-1","stopReason":"endTurn"}`,
			asked: func(a asked) bool {
				return a.Temperature != nil && *a.Temperature == 0 && cmp.Equal(a.Stop, []string{"END"}) &&
					string(a.Messages[0]) == `{"role":"system","content":"policy's\n\nserver's"}`
			},
		},
		"a filter is not a normal end": {
			params: string(ask("")), reply: fakellm.Finish("content_filter", "hel"),
			want: `{"role":"assistant","content":{"type":"text","text":"hel"},"model":"small-1","stopReason":"contentFilter"}`,
		},
		"includeContext, metadata and task are ignored": {
			params: string(ask(`,"includeContext":"allServers","metadata":{"a":1},"task":{"ttl":1}`)), reply: fakellm.Text("x"),
			want: `{"role":"assistant","content":{"type":"text","text":"x"},"model":"small-1","stopReason":"endTurn"}`,
		},
		"parallel tool calls": {
			params: string(ask(tools + `,"toolChoice":{"mode":"auto"}`)),
			reply: fakellm.Finish("tool_calls", "so", fakellm.Call{ID: "a", Name: "add", Arguments: `{"x":1.0}`},
				fakellm.Call{ID: "b", Name: "add", Arguments: `{}`}),
			want: `{"role":"assistant","content":[{"type":"text","text":"so"},{"type":"tool_use","id":"a","name":"add","input":{"x":1.0}},` +
				`{"type":"tool_use","id":"b","name":"add","input":{}}],"model":"small-1","stopReason":"toolUse"}`,
			asked: func(a asked) bool { return len(a.Tools) == 2 && a.ToolChoice == "auto" },
		},
		"structured output by a required tool": {
			params: string(ask(tools + `,"toolChoice":{"mode":"required"}`)),
			reply:  fakellm.Finish("stop", "", fakellm.Call{ID: "a", Name: "final_response", Arguments: `{"value":3}`}),
			want:   `{"role":"assistant","content":{"type":"tool_use","id":"a","name":"final_response","input":{"value":3}},"model":"small-1","stopReason":"toolUse"}`,
			asked:  func(a asked) bool { return a.ToolChoice == "required" },
		},
		"the turn after the tools ran": {
			params: `{"maxTokens":100,"messages":[{"role":"user","content":{"type":"text","text":"add"}},
				{"role":"assistant","content":[{"type":"tool_use","id":"a","name":"add","input":{}},{"type":"tool_use","id":"b","name":"add","input":{}}]},
				{"role":"user","content":[{"type":"tool_result","toolUseId":"a","content":[{"type":"text","text":"3"}]},
				{"type":"tool_result","toolUseId":"b","isError":true,"content":[{"type":"text","text":"no"}]}]}]` + tools + `}`,
			reply: fakellm.Text("three"),
			want:  `{"role":"assistant","content":{"type":"text","text":"three"},"model":"small-1","stopReason":"endTurn"}`,
			asked: func(a asked) bool {
				return len(a.Messages) == 4 && strings.Contains(string(a.Messages[2]), `"3"`) && strings.Contains(string(a.Messages[3]), `"Error: no"`)
			},
		},
		"an image of the user": {
			params: `{"maxTokens":100,"messages":[{"role":"user","content":{"type":"image","data":"aGk=","mimeType":"image/png"}}]}`,
			reply:  fakellm.Text("a cat"),
			want:   `{"role":"assistant","content":{"type":"text","text":"a cat"},"model":"small-1","stopReason":"endTurn"}`,
			asked:  func(a asked) bool { return strings.Contains(string(a.Messages[0]), "data:image/png;base64,aGk=") },
		},
	} {
		t.Run(name, func(t *testing.T) {
			model := fakellm.New(tc.reply)
			var changes []func(*config.Policy)
			if tc.change != nil {
				changes = append(changes, tc.change)
			}
			got, werr := answerOf(t.Context(), start(t, model, Options{}, changes...), toolsDeclared, json.RawMessage(tc.params))
			if werr != nil {
				t.Fatalf("error %d %s", werr.Code, werr.Message)
			}
			if diff := cmp.Diff(tc.want, string(got)); diff != "" {
				t.Errorf("result (-want +got):\n%s", diff)
			}
			if a := lastAsked(t, model); tc.asked != nil && !tc.asked(a) {
				t.Errorf("the model was asked %s", model.Requests()[0].Body)
			}
		})
	}
}

func TestErrors(t *testing.T) {
	timeout := func(p *config.Policy) { p.Providers[0].Timeout = config.Duration(30 * time.Millisecond) }
	for name, tc := range map[string]struct {
		params   json.RawMessage
		session  policy.Session
		change   func(*config.Policy)
		reply    fakellm.Reply
		wantCode int
		want     string
		wantAsk  int
	}{
		"tools without the capability": {params: ask(`,"tools":[{"name":"t","inputSchema":{}}]`), session: plainDeclared,
			wantCode: -32602, want: "sampling.tools"},
		"a tool choice without the capability": {params: ask(`,"toolChoice":{"mode":"none"}`), session: plainDeclared,
			wantCode: -32602, want: "sampling.tools"},
		"tools that the policy disabled since": {params: ask(`,"tools":[{"name":"t","inputSchema":{}}]`), session: toolsDeclared,
			change:   func(p *config.Policy) { p.Capabilities.Tools = config.ToolsDisabled },
			wantCode: -1, want: "does not allow tools"},
		"too many tokens": {params: ask(""), change: func(p *config.Policy) {
			p.Parameters.MaxTokens = &config.MaxTokensLimit{Max: 17, OnExceed: config.ExceedReject}
		}, wantCode: -1, want: "maxTokens is 100, the sampling policy allows at most 17"},
		"no parameters":      {params: nil, wantCode: -32602, want: "params: must be an object"},
		"no limit on tokens": {params: json.RawMessage(`{"messages":[{"role":"user","content":{"type":"text","text":"x"}}]}`), wantCode: -32602, want: "maxTokens: is missing"},
		"a tool_result beside a text": {params: json.RawMessage(`{"maxTokens":1,"messages":[
			{"role":"assistant","content":{"type":"tool_use","id":"a","name":"t","input":{}}},
			{"role":"user","content":[{"type":"tool_result","toolUseId":"a","content":[]},{"type":"text","text":"and"}]}]}`),
			wantCode: -32602, want: "messages[1].content[1]"},
		"a tool_use without its result": {params: json.RawMessage(`{"maxTokens":1,"messages":[
			{"role":"assistant","content":{"type":"tool_use","id":"a","name":"t","input":{}}}]}`),
			wantCode: -32602, want: "messages[0]"},
		"an image of an unknown type": {params: json.RawMessage(`{"maxTokens":1,"messages":[
			{"role":"user","content":{"type":"image","data":"aGk=","mimeType":"image/tiff"}}]}`),
			wantCode: -32602, want: "image/png"},
		"an image of the assistant": {params: json.RawMessage(`{"maxTokens":1,"messages":[
			{"role":"assistant","content":{"type":"image","data":"aGk=","mimeType":"image/png"}}]}`),
			wantCode: -32602, want: "in user messages only"},
		"a provider that is not there": {params: ask(""), change: func(p *config.Policy) { p.Models.Allowed[0].Provider = "gone" },
			wantCode: -32603, want: "the model provider is not configured"},
		"a missing key": {params: ask(""), change: withKeyFile("/nowhere/key"),
			wantCode: -32603, want: "the model provider is not configured"},
		"a refused key": {params: ask(""), reply: fakellm.Error(401, "invalid_api_key", words), wantAsk: 1,
			wantCode: -32603, want: "the model provider is not configured correctly"},
		"too many requests": {params: ask(""), reply: fakellm.Error(429, "rate_limit_exceeded", words), wantAsk: 1,
			wantCode: -32603, want: "the model provider has too many requests now"},
		"a provider that crashes": {params: ask(""), reply: fakellm.Error(500, "server_error", words), wantAsk: 1,
			wantCode: -32603, want: "the model provider failed"},
		"a request that is not accepted": {params: ask(""), reply: fakellm.Error(400, "context_length_exceeded", words), wantAsk: 1,
			wantCode: -32603, want: "the model provider did not accept the request"},
		"a provider that hangs": {params: ask(""), reply: fakellm.Hang(), change: timeout, wantAsk: 1,
			wantCode: -32603, want: "the model provider did not answer in time"},
		"garbage": {params: ask(""), reply: fakellm.Raw(200, "application/json", words), wantAsk: 1,
			wantCode: -32603, want: "the model provider gave an answer that cannot be used"},
		"half an answer": {params: ask(""), reply: fakellm.Half(), wantAsk: 1,
			wantCode: -32603, want: "the model provider cannot be reached"},
		"arguments that are no object": {params: ask(`,"tools":[{"name":"t","inputSchema":{}}]`), session: toolsDeclared, wantAsk: 1,
			reply:    fakellm.ToolCalls(fakellm.Call{ID: "a", Name: "t", Arguments: `{"x":`}),
			wantCode: -32603, want: "the model made a tool call whose arguments are not a JSON object"},
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			model := fakellm.New()
			if tc.reply != nil {
				model.Then(tc.reply)
			}
			var changes []func(*config.Policy)
			if tc.change != nil {
				changes = append(changes, tc.change)
			}
			e := start(t, model, Options{Audit: audit.New(&log, slog.New(slog.DiscardHandler))}, changes...)
			got, werr := answerOf(t.Context(), e, tc.session, tc.params)
			if werr == nil || got != nil {
				t.Fatalf("result %s and error %v, want an error alone", got, werr)
			}
			if werr.Code != tc.wantCode || !strings.Contains(werr.Message, tc.want) || werr.Data != nil {
				t.Errorf("error %d %q %s, want %d %q", werr.Code, werr.Message, werr.Data, tc.wantCode, tc.want)
			}
			if n := len(model.Requests()); n != tc.wantAsk {
				t.Errorf("the model was asked %d times, want %d", n, tc.wantAsk)
			}
			if n := strings.Count(log.String(), "\n"); n != 1 {
				t.Errorf("%d records, want 1:\n%s", n, &log)
			}
			for what, text := range map[string]string{"error": werr.Message, "record": log.String(), "status": fmt.Sprint(e.Status())} {
				for _, secret := range []string{testKey, "own words", content} {
					if strings.Contains(text, secret) {
						t.Errorf("%s holds %q: %s", what, secret, text)
					}
				}
			}
		})
	}
}

func TestWithoutAPolicyNothingIsAnswered(t *testing.T) {
	e, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, werr := answerOf(t.Context(), e, toolsDeclared, ask("")); werr == nil || werr.Code != -1 {
		t.Errorf("error %v, want code -1", werr)
	}
	caller := wire.SamplingCapability{Declared: true}
	if got := e.Declare(caller); got != caller {
		t.Errorf("declares %+v, want what the caller said", got)
	}
	if e.Takes(policy.Session{Caller: caller, Declared: caller}, ask("")) {
		t.Error("takes a request that is the caller's")
	}
	if got := e.Status(); got != nil {
		t.Errorf("status %v, want none", got)
	}
	e.Run(t.Context()) // ends at once: nothing to watch
}

func TestFallbackLeavesToTheCallerWhatItCanDo(t *testing.T) {
	e := start(t, fakellm.New(), Options{}, func(p *config.Policy) { p.Mode = config.ModeFallback })
	s := policy.Session{Caller: wire.SamplingCapability{Declared: true}, Declared: wire.SamplingCapability{Declared: true, Tools: true}}
	if got := e.Declare(s.Caller); got != s.Declared {
		t.Errorf("declares %+v, want %+v", got, s.Declared)
	}
	if e.Takes(s, ask("")) {
		t.Error("takes a request that the caller can serve")
	}
	if !e.Takes(s, ask(`,"tools":[{"name":"t","inputSchema":{}}]`)) {
		t.Error("leaves a request with tools to a caller that knows none")
	}
}

func TestCancellationEndsTheModelCall(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	left := make(chan struct{})
	e := start(t, fakellm.New(func(_ http.ResponseWriter, r *http.Request, _ fakellm.Request) {
		cancel()
		<-r.Context().Done()
		close(left)
	}), Options{})
	_, werr := answerOf(ctx, e, plainDeclared, ask(""))
	if werr == nil || werr.Message != "the sampling request was canceled" {
		t.Errorf("error %v, want a cancellation", werr)
	}
	select {
	case <-left:
	case <-time.After(10 * time.Second):
		t.Error("the provider still has the request")
	}
	if got := e.Status()[0].State; got != statusz.ProviderUnknown {
		t.Errorf("state %s after a cancellation, want Unknown", got)
	}
}

func TestParallelRequestsDoNotWaitForEachOther(t *testing.T) {
	const n = 8
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	open := make(chan struct{})
	model := fakellm.New()
	model.Always(fakellm.Gate(open, fakellm.Echo()))
	e := start(t, model, Options{})
	var g sync.WaitGroup
	for i := range n {
		g.Go(func() {
			params := json.RawMessage(fmt.Sprintf(`{"maxTokens":%d,"messages":[{"role":"user","content":{"type":"text","text":"q%d"}}]}`, 100+i, i))
			got, werr := answerOf(ctx, e, plainDeclared, params)
			if werr != nil || !strings.Contains(string(got), fmt.Sprintf("at most %d tokens, was asked: q%d", 100+i, i)) {
				t.Errorf("request %d: %s, %v", i, got, werr)
			}
		})
	}
	if err := model.Await(ctx, n); err != nil { // all are there before one is answered
		t.Error(err)
	}
	close(open)
	g.Wait()
}

func TestRequestsAreCounted(t *testing.T) {
	tel := telemetry.New()
	e := start(t, fakellm.New(fakellm.Text("x"), fakellm.Error(500, "", words)), Options{Telemetry: tel})
	answerOf(t.Context(), e, plainDeclared, ask(""))
	answerOf(t.Context(), e, plainDeclared, ask(""))
	answerOf(t.Context(), e, plainDeclared, ask(`,"tools":[{"name":"t","inputSchema":{}}]`))
	answerOf(t.Context(), e, plainDeclared, nil)
	w := httptest.NewRecorder()
	tel.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	for _, want := range []string{
		`mcp_sampling_requests_total{mcp_sampling_policy="p",mcp_sampling_decision="answered",mcp_sampling_reason="DefaultModel"} 1`,
		`mcp_sampling_requests_total{mcp_sampling_policy="p",mcp_sampling_decision="failed",mcp_sampling_reason="Failed"} 1`,
		`mcp_sampling_requests_total{mcp_sampling_policy="p",mcp_sampling_decision="refused",mcp_sampling_reason="ToolsNotDeclared"} 1`,
		`mcp_sampling_requests_total{mcp_sampling_policy="p",mcp_sampling_decision="invalid",mcp_sampling_reason="InvalidParams"} 1`,
		`gen_ai_client_operation_duration_seconds_count{error_type="failed",mcp_sampling_policy="p",gen_ai_operation_name="chat",gen_ai_provider_name="openai",gen_ai_request_model="small-1"} 1`,
		`gen_ai_client_token_usage_sum{mcp_sampling_policy="p",gen_ai_operation_name="chat",gen_ai_provider_name="openai",gen_ai_request_model="small-1",gen_ai_token_type="input"} 11`,
	} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("no %s in\n%s", want, w.Body)
		}
	}
}

func TestTheRecordSaysWhatWasDecided(t *testing.T) {
	var log bytes.Buffer
	e := start(t, fakellm.New(fakellm.Text("x")), Options{Audit: audit.New(&log, slog.New(slog.DiscardHandler)), ConfigHash: "h1"}, func(p *config.Policy) {
		p.Models.Allowed[1].Prices = &config.Prices{Input: 2, Output: 8, Currency: "EUR"}
	})
	params := ask(`,"modelPreferences":{"hints":[{"name":"claude-opus"},{"name":"what the user said"}]}`)
	if _, werr := answerOf(t.Context(), e, plainDeclared, params); werr != nil {
		t.Fatal(werr)
	}
	var got audit.Record
	if err := json.Unmarshal(log.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(params)
	want := audit.Record{
		Type: audit.Type, Server: "notes", Session: "s1", Policy: "p", ConfigHash: "h1",
		Decision: "answered", Reason: "HintMatched", Hints: []string{"claude-opus", noModelName},
		Model: "large", Answered: "large-1", Provider: "main", InputTokens: 11, OutputTokens: 7,
		Cost:       &audit.Cost{Amount: (11*2.0 + 7*8.0) / 1e6, Currency: "EUR"},
		StopReason: "endTurn", ContentHash: "sha256:" + hex.EncodeToString(sum[:]),
		Attempts: []audit.Attempt{{Provider: "main", Model: "large-1"}},
	}
	timing := cmpopts.IgnoreFields(audit.Record{}, "Time", "Duration", "Queue", "Models", "Own")
	if diff := cmp.Diff(want, got, timing, cmpopts.IgnoreFields(audit.Attempt{}, "Duration")); diff != "" {
		t.Errorf("record (-want +got):\n%s", diff)
	}
	if sum := got.Queue + got.Models + got.Own; got.Duration <= 0 || got.Models <= 0 || math.Abs(sum-got.Duration) > 1e-6 {
		t.Errorf("%v s are not %v waiting, %v of models and %v own", got.Duration, got.Queue, got.Models, got.Own)
	}
}

func TestTheReportWaitsTillItIsCalledAndSaysHowLongTheAnswerTook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		tel := telemetry.New()
		e, err := New(Options{Policy: testPolicy("http://unused"), Telemetry: tel, Audit: audit.New(&log, slog.New(slog.DiscardHandler)), newClient: fakeClients(&fakeProvider{})})
		if err != nil {
			t.Fatal(err)
		}
		_, failure, report := e.Answer(t.Context(), "s1", plainDeclared, ask(""))
		if failure != nil || log.Len() > 0 {
			t.Fatalf("failure %v and log %q before the report", failure, &log)
		}
		time.Sleep(time.Hour)
		report()
		e.audit.Flush()
		if want := `"duration":0,`; !strings.Contains(log.String(), want) {
			t.Errorf("no %s in %s", want, &log)
		}
		w := httptest.NewRecorder()
		tel.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
		want := `gen_ai_client_operation_duration_seconds_sum{mcp_sampling_policy="p",gen_ai_operation_name="chat",gen_ai_provider_name="openai",gen_ai_request_model="small-1"} 0` + "\n"
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("no %s in\n%s", want, w.Body)
		}
	})
}

func TestFailuresAreInTheLogWhereThereAreNoRecords(t *testing.T) {
	var log, records bytes.Buffer
	e := start(t, fakellm.New(fakellm.Error(500, "server_error", words)), Options{
		Audit: audit.New(&records, slog.New(slog.DiscardHandler)), Logger: slog.New(slog.NewTextHandler(&log, nil)),
	}, func(p *config.Policy) { p.Audit.Level = config.AuditNone })
	answerOf(t.Context(), e, plainDeclared, ask(""))
	for _, want := range []string{"level=WARN", "reason=Failed", "provider=main", `detail="HTTP 500"`} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("no %s in %s", want, &log)
		}
	}
	if strings.Contains(log.String(), "own words") || records.Len() > 0 {
		t.Errorf("log %s and records %s", &log, &records)
	}
}

func TestLimitsSayWhatToDo(t *testing.T) {
	for name, tc := range map[string]struct {
		exceeded limits.Exceeded
		want     string
	}{
		"soon":         {limits.Exceeded{Limit: limits.RequestsPerMinute, Max: 600, RetryAfter: 11200 * time.Millisecond}, "the sampling policy's limit requestsPerMinute (600) is used up: try again in 12 s"},
		"much later":   {limits.Exceeded{Limit: limits.TokensPerDay, Max: 9, RetryAfter: 86582 * time.Second}, "the sampling policy's limit tokensPerDay (9) is used up: try again in 24h3m"},
		"nobody knows": {limits.Exceeded{Limit: limits.Concurrent, Max: 2}, "the sampling policy's limit concurrent (2) is used up: try again later"},
		"never": {limits.Exceeded{Limit: limits.TokensPerMinute, Max: 10, Needs: 120},
			"the sampling policy's limit tokensPerMinute is 10, and the request alone may use 120 tokens: ask for a lower maxTokens, or with less text"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := limitText(&tc.exceeded); got != tc.want {
				t.Errorf("%q, want %q", got, tc.want)
			}
		})
	}
}

// BenchmarkAnswer is what the engine adds to a model call.
func BenchmarkAnswer(b *testing.B) {
	tel := telemetry.New()
	e, err := New(Options{Policy: testPolicy("http://unused"), Telemetry: tel, newClient: fakeClients(&fakeProvider{})})
	if err != nil {
		b.Fatal(err)
	}
	params := ask(`,"modelPreferences":{"hints":[{"name":"claude-opus-4"}]},"systemPrompt":"be brief"`)
	b.ReportAllocs()
	for b.Loop() {
		if _, werr := answerOf(b.Context(), e, plainDeclared, params); werr != nil {
			b.Fatal(werr)
		}
	}
}

// BenchmarkAnswerLong is the same for a long conversation with many tools.
func BenchmarkAnswerLong(b *testing.B) {
	e, err := New(Options{Policy: testPolicy("http://unused"), Telemetry: telemetry.New(), Audit: audit.New(io.Discard, slog.New(slog.DiscardHandler)), newClient: fakeClients(&fakeProvider{})})
	if err != nil {
		b.Fatal(err)
	}
	var messages, tools []string
	for i := range 50 {
		messages = append(messages, fmt.Sprintf(`{"role":%q,"content":{"type":"text","text":%q}}`,
			[]string{wire.RoleUser, wire.RoleAssistant}[i%2], strings.Repeat("some words ", 20)))
	}
	for i := range 32 {
		tools = append(tools, fmt.Sprintf(`{"name":"tool_%d","description":"does it","inputSchema":{"type":"object","properties":{"q":{"type":"string"}}}}`, i))
	}
	params := json.RawMessage(`{"maxTokens":100,"messages":[` + strings.Join(messages, ",") + `],"tools":[` + strings.Join(tools, ",") + `]}`)
	b.SetBytes(int64(len(params)))
	b.ReportAllocs()
	for b.Loop() {
		if _, werr := answerOf(b.Context(), e, toolsDeclared, params); werr != nil {
			b.Fatal(werr)
		}
	}
}
