package anthropic_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/config"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider/anthropic"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider/outbound"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/testing/fakeanthropic"
)

const testKey = "sk-ant-test-1234567890"

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// connect starts a fake provider and a client of it. A request that the live API
// would refuse for its shape fails the test.
func connect(t *testing.T, model *fakeanthropic.Server, modifiers ...func(*provider.Options)) *anthropic.Client {
	t.Helper()
	server := httptest.NewUnstartedServer(model)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.Start()
	t.Cleanup(server.Close)
	options := provider.Options{
		BaseURL: server.URL,
		Key:     func() (string, error) { return testKey, nil },
		HTTP:    outbound.New(outbound.Options{}),
	}
	for _, m := range modifiers {
		m(&options)
	}
	t.Cleanup(options.HTTP.CloseIdleConnections)
	client, err := anthropic.New(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, problem := range model.Problems() {
			t.Errorf("the live API would refuse: %s", problem)
		}
	})
	return client
}

func userText(text string) []wire.SamplingMessage {
	return []wire.SamplingMessage{{Role: wire.RoleUser, Content: []wire.Content{{Type: wire.ContentText, Text: text}}}}
}

var hi = provider.Request{Model: "m", MaxTokens: 1, Messages: userText("hi")}

// sent is the JSON body of the only request, with its keys sorted.
func sent(t *testing.T, model *fakeanthropic.Server) string {
	t.Helper()
	requests := model.Requests()
	if len(requests) != 1 {
		t.Fatalf("%d requests, want 1", len(requests))
	}
	return normal(t, string(requests[0].Body))
}

func normal(t *testing.T, s string) string {
	t.Helper()
	dec := json.NewDecoder(strings.NewReader(s))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		t.Fatalf("%v in %s", err, s)
	}
	out, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func TestFailures(t *testing.T) {
	const words = "the provider's own words with " + testKey
	long := `{"type":"message","content":[{"type":"text","text":"` + strings.Repeat("x", 33<<20) + `"}]}`
	use := func(id, name, input string) fakeanthropic.Reply {
		return fakeanthropic.Message("tool_use", fakeanthropic.ToolUse(id, name, input))
	}
	for name, tc := range map[string]struct {
		reply         fakeanthropic.Reply
		wantKind      provider.Kind
		wantStatus    int
		wantRetryable bool
	}{
		"a wrong key":                    {fakeanthropic.Error(401, "authentication_error", words), provider.KindUnauthorized, 401, false},
		"a key without rights":           {fakeanthropic.Error(403, testKey, words), provider.KindUnauthorized, 403, false},
		"no credit":                      {fakeanthropic.Error(402, "billing_error", words), provider.KindRejected, 402, false},
		"too many requests":              {fakeanthropic.Error(429, "rate_limit_error", words), provider.KindRateLimited, 429, true},
		"too much load":                  {fakeanthropic.Error(529, "overloaded_error", words), provider.KindFailed, 529, true},
		"a request it does not like":     {fakeanthropic.Error(400, "invalid_request_error", words), provider.KindRejected, 400, false},
		"a request that is too large":    {fakeanthropic.Raw(413, "text/html", words), provider.KindRejected, 413, false},
		"an unknown model":               {fakeanthropic.Error(404, "not_found_error", words), provider.KindRejected, 404, false},
		"a crash":                        {fakeanthropic.Error(500, "api_error", words), provider.KindFailed, 500, true},
		"a proxy's error page":           {fakeanthropic.Raw(502, "text/html", "<h1>"+words+"</h1>"), provider.KindFailed, 502, true},
		"a timeout of its own":           {fakeanthropic.Error(504, "timeout_error", words), provider.KindTimeout, 504, true},
		"an error that is a list":        {fakeanthropic.Raw(400, "application/json", `[]`), provider.KindRejected, 400, false},
		"an error that never ends":       {fakeanthropic.Raw(500, "application/json", long), provider.KindFailed, 500, true},
		"a redirect":                     {fakeanthropic.Raw(307, "text/plain", words), provider.KindInvalid, 307, false},
		"a redirect with an answer":      {fakeanthropic.Raw(307, "application/json", `{"type":"message","content":[]}`), provider.KindInvalid, 307, false},
		"no JSON":                        {fakeanthropic.Raw(200, "application/json", words), provider.KindInvalid, 0, false},
		"a page":                         {fakeanthropic.Raw(200, "text/html", words), provider.KindInvalid, 0, false},
		"nothing":                        {fakeanthropic.Raw(200, "application/json", ""), provider.KindInvalid, 0, false},
		"JSON that is cut off":           {fakeanthropic.Raw(200, "application/json", `{"type":"message","content":[`), provider.KindInvalid, 0, false},
		"JSON with something more":       {fakeanthropic.Raw(200, "application/json", `{"type":"message","content":[]} {}`), provider.KindInvalid, 0, false},
		"a list":                         {fakeanthropic.Raw(200, "application/json", `[]`), provider.KindInvalid, 0, false},
		"no content":                     {fakeanthropic.Raw(200, "application/json", `{"type":"message"}`), provider.KindInvalid, 0, false},
		"content that is a text":         {fakeanthropic.Raw(200, "application/json", `{"type":"message","content":"`+words+`"}`), provider.KindInvalid, 0, false},
		"deep nesting":                   {fakeanthropic.Raw(200, "application/json", strings.Repeat("[", 1<<20)), provider.KindInvalid, 0, false},
		"an error with status 200":       {fakeanthropic.Raw(200, "application/json", `{"type":"error","error":{"message":"x"}}`), provider.KindInvalid, 0, false},
		"an answer of another family":    {fakeanthropic.Raw(200, "application/json", `{"choices":[]}`), provider.KindInvalid, 0, false},
		"half an answer":                 {fakeanthropic.Half(), provider.KindUnreachable, 0, true},
		"a broken connection":            {fakeanthropic.Reset(), provider.KindUnreachable, 0, true},
		"an endless answer":              {fakeanthropic.Raw(200, "application/json", long), provider.KindInvalid, 0, false},
		"an input that is a list":        {use("a", "f", `[]`), provider.KindMalformed, 0, false},
		"an input that is a text":        {use("a", "f", `"{}"`), provider.KindMalformed, 0, false},
		"an input that is null":          {use("a", "f", `null`), provider.KindMalformed, 0, false},
		"a tool call without an input":   {fakeanthropic.Message("tool_use", json.RawMessage(`{"type":"tool_use","id":"a","name":"f"}`)), provider.KindMalformed, 0, false},
		"a tool call without a name":     {use("a", "", `{}`), provider.KindMalformed, 0, false},
		"a tool call without an id":      {use("", "f", `{}`), provider.KindMalformed, 0, false},
		"a tool call of another type":    {fakeanthropic.Message("tool_use", json.RawMessage(`{"type":"tool_use","id":7}`)), provider.KindInvalid, 0, false},
		"blocks that are no objects":     {fakeanthropic.Message("end_turn", json.RawMessage(`"text"`)), provider.KindInvalid, 0, false},
		"a use of tokens in words":       {fakeanthropic.Raw(200, "application/json", `{"type":"message","content":[],"usage":{"input_tokens":"many"}}`), provider.KindInvalid, 0, false},
		"a stop reason that is a list":   {fakeanthropic.Raw(200, "application/json", `{"type":"message","content":[],"stop_reason":[]}`), provider.KindInvalid, 0, false},
		"a stream that nobody asked for": {fakeanthropic.Raw(200, "text/event-stream", "event: message_start\ndata: {}\n\n"), provider.KindInvalid, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			model := fakeanthropic.New(tc.reply)
			_, err := connect(t, model).CreateMessage(t.Context(), hi)
			var got *provider.Error
			if !errors.As(err, &got) {
				t.Fatalf("error %v, want a *provider.Error", err)
			}
			if got.Kind != tc.wantKind || got.Status != tc.wantStatus || got.Detail == "" || got.Retryable() != tc.wantRetryable {
				t.Errorf("kind %s, status %d, detail %q, retryable %v; want %s, %d, some detail and %v",
					got.Kind, got.Status, got.Detail, got.Retryable(), tc.wantKind, tc.wantStatus, tc.wantRetryable)
			}
			for _, text := range []string{got.Error(), got.Detail, fmt.Sprintf("%+v", got.Cause)} {
				if strings.Contains(text, testKey) || strings.Contains(text, "own words") {
					t.Errorf("%q holds the provider's words or the key", text)
				}
			}
			if n := len(model.Requests()); n != 1 {
				t.Errorf("%d requests, want one attempt", n)
			}
		})
	}
}

func TestTheProvidersErrorTypeIsKeptForTheLog(t *testing.T) {
	_, err := connect(t, fakeanthropic.New(fakeanthropic.Error(529, "overloaded_error", "words"))).CreateMessage(t.Context(), hi)
	var got *provider.Error
	if !errors.As(err, &got) || fmt.Sprint(got.Cause) != "overloaded_error" {
		t.Errorf("error %v, want the type as its cause", err)
	}
}

func TestTheProviderSaysWhenToAskAgain(t *testing.T) {
	_, err := connect(t, fakeanthropic.New(fakeanthropic.RetryAfter("7"))).CreateMessage(t.Context(), hi)
	var got *provider.Error
	if !errors.As(err, &got) || got.RetryAfter != 7*time.Second || !got.Retryable() {
		t.Errorf("error %+v, want one that may be tried again after 7s", got)
	}
}

func TestTheCallerBoundsARequest(t *testing.T) {
	for name, tc := range map[string]struct {
		bound    func(context.Context) (context.Context, context.CancelFunc)
		wantKind provider.Kind
	}{
		"a deadline": {func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, 50*time.Millisecond)
		}, provider.KindTimeout},
		"a caller that leaves": {func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(50*time.Millisecond, cancel)
			return ctx, cancel
		}, provider.KindCanceled},
	} {
		t.Run(name, func(t *testing.T) {
			client := connect(t, fakeanthropic.New(fakeanthropic.Hang()))
			ctx, cancel := tc.bound(t.Context())
			defer cancel()
			_, err := client.CreateMessage(ctx, hi)
			var got *provider.Error
			if !errors.As(err, &got) || got.Kind != tc.wantKind {
				t.Errorf("error %v, want kind %s", err, tc.wantKind)
			}
		})
	}
}

func TestTheLimitOnTokensIsNoReasonToRefuse(t *testing.T) {
	// Above some 21,000 tokens the official client asks for a stream, unless it is
	// told how long a request may take.
	if _, err := connect(t, fakeanthropic.New()).CreateMessage(t.Context(), provider.Request{
		Model: "claude-opus-4-1", MaxTokens: 128_000, Messages: userText("hi"),
	}); err != nil {
		t.Error(err)
	}
}

func TestHeaders(t *testing.T) {
	for name, tc := range map[string]struct {
		modify   func(*provider.Options)
		wantKey  []string
		wantAuth []string
	}{
		"the key of the moment": {func(*provider.Options) {}, []string{testKey}, nil},
		"no key":                {func(o *provider.Options) { o.Key = nil }, nil, nil},
		"headers of the policy go over ours": {func(o *provider.Options) {
			o.HTTP = outbound.New(outbound.Options{Headers: []config.Header{
				{Name: "Authorization", Value: "Bearer gateway"}, {Name: "X-Api-Key", Value: "other"}}})
		}, []string{"other"}, []string{"Bearer gateway"}},
	} {
		t.Run(name, func(t *testing.T) {
			model := fakeanthropic.New()
			client := connect(t, model, tc.modify)
			if _, err := client.CreateMessage(t.Context(), hi); err != nil {
				t.Fatal(err)
			}
			if err := client.Probe(t.Context()); err != nil {
				t.Fatal(err)
			}
			for _, req := range append(model.Requests(), model.Probes()...) {
				if diff := cmp.Diff(tc.wantKey, req.Header.Values("X-Api-Key")); diff != "" {
					t.Errorf("%s: x-api-key (-want +got):\n%s", req.Path, diff)
				}
				if diff := cmp.Diff(tc.wantAuth, req.Header.Values("Authorization")); diff != "" {
					t.Errorf("%s: authorization (-want +got):\n%s", req.Path, diff)
				}
				if got := req.Header.Get("Anthropic-Version"); got != "2023-06-01" {
					t.Errorf("%s: anthropic-version %q", req.Path, got)
				}
				if got := req.Header.Values("X-Stainless-Timeout"); got != nil {
					t.Errorf("%s: a timeout of %s is promised", req.Path, got)
				}
			}
		})
	}
}

func TestTheEnvironmentIsNotRead(t *testing.T) {
	model := fakeanthropic.New()
	stranger := fakeanthropic.New()
	other := httptest.NewServer(stranger)
	defer other.Close()
	for name, value := range map[string]string{
		"ANTHROPIC_API_KEY": "from-environment", "ANTHROPIC_AUTH_TOKEN": "from-environment",
		"ANTHROPIC_BASE_URL": other.URL, "ANTHROPIC_CUSTOM_HEADERS": "X-Stranger: from-environment",
		"ANTHROPIC_PROFILE": "stranger", "ANTHROPIC_CONFIG_DIR": t.TempDir(),
		"ANTHROPIC_FEDERATION_RULE_ID": "from-environment", "ANTHROPIC_ORGANIZATION_ID": "from-environment",
		"ANTHROPIC_IDENTITY_TOKEN": "from-environment", "ANTHROPIC_WORKSPACE_ID": "from-environment",
		"ANTHROPIC_OPEN_TELEMETRY": "true", "ANTHROPIC_OPEN_TELEMETRY_TRACES_CONTENT_MODE": "content",
	} {
		t.Setenv(name, value)
	}
	client := connect(t, model, func(o *provider.Options) { o.Key = nil })
	if _, err := client.CreateMessage(t.Context(), hi); err != nil {
		t.Fatal(err)
	}
	if err := client.Probe(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, req := range append(model.Requests(), model.Probes()...) {
		for name, values := range req.Header {
			if strings.Contains(strings.Join(values, " "), "from-environment") {
				t.Errorf("%s: header %s comes from the environment", req.Path, name)
			}
		}
	}
	if n := len(stranger.Requests()) + len(stranger.Probes()); n != 0 {
		t.Errorf("%d requests went where the environment says", n)
	}
}

func TestBaseURL(t *testing.T) {
	for name, path := range map[string]string{
		"none": "", "a slash": "/", "the version": "/v1", "the version and a slash": "/v1/",
		"a gateway": "/gate/way", "a gateway and the version": "/gate/way/v1",
	} {
		t.Run(name, func(t *testing.T) {
			model := fakeanthropic.New()
			client := connect(t, model, func(o *provider.Options) { o.BaseURL += path })
			if _, err := client.CreateMessage(t.Context(), hi); err != nil {
				t.Fatal(err)
			}
			if err := client.Probe(t.Context()); err != nil {
				t.Fatal(err)
			}
			prefix := strings.TrimSuffix(strings.TrimSuffix(path, "/"), "/v1")
			if got := model.Requests()[0].Path; got != prefix+"/v1/messages" {
				t.Errorf("asked %s", got)
			}
			if got := model.Probes()[0]; got.Path != prefix+"/v1/models" || got.Query != "limit=1" {
				t.Errorf("probed %s?%s", got.Path, got.Query)
			}
		})
	}
}

func TestOptionsThatCannotBe(t *testing.T) {
	for name, options := range map[string]provider.Options{
		"no HTTP client":        {},
		"a base URL of no host": {HTTP: http.DefaultClient, BaseURL: "v1"},
		"another scheme":        {HTTP: http.DefaultClient, BaseURL: "ftp://example.com"},
		"no URL":                {HTTP: http.DefaultClient, BaseURL: "http://[::1"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := anthropic.New(options); err == nil {
				t.Error("no error")
			}
		})
	}
}

func TestKeys(t *testing.T) {
	unreadable := &provider.Error{Kind: provider.KindMissingKey, Detail: "Secret claude, key api-key"}
	for name, tc := range map[string]struct {
		key        func() (string, error)
		wantDetail string
	}{
		"an error that is passed on": {func() (string, error) { return "", fmt.Errorf("read it: %w", unreadable) }, unreadable.Detail},
		"another error":              {func() (string, error) { return "", errors.New("gone") }, "there is no key"},
		"an empty key is not sent":   {func() (string, error) { return "", nil }, "there is no key"},
	} {
		t.Run(name, func(t *testing.T) {
			model := fakeanthropic.New()
			client := connect(t, model, func(o *provider.Options) { o.Key = tc.key })
			_, err := client.CreateMessage(t.Context(), hi)
			for what, err := range map[string]error{"message": err, "probe": client.Probe(t.Context())} {
				var got *provider.Error
				if !errors.As(err, &got) || got.Kind != provider.KindMissingKey || got.Detail != tc.wantDetail {
					t.Errorf("%s: error %v, want %s", what, err, tc.wantDetail)
				}
			}
			if n := len(model.Requests()) + len(model.Probes()); n != 0 {
				t.Errorf("%d requests were sent", n)
			}
		})
	}
}

func TestProbe(t *testing.T) {
	for name, tc := range map[string]struct {
		answer   http.HandlerFunc
		wantKind provider.Kind // empty: fine
	}{
		"a list of models": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, `{"data":[]}`)
		}, ""},
		"a refused key":         {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) }, provider.KindUnauthorized},
		"no such endpoint":      {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) }, ""},
		"too many requests":     {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTooManyRequests) }, provider.KindRateLimited},
		"a crash":               {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }, provider.KindFailed},
		"too much load":         {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(529) }, provider.KindFailed},
		"a redirect to a login": {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/login", http.StatusFound) }, provider.KindInvalid},
		"a web site": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			fmt.Fprint(w, "<html>welcome")
		}, provider.KindInvalid},
		"a broken connection": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, provider.KindUnreachable},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(tc.answer)
			defer server.Close()
			client := connect(t, fakeanthropic.New(), func(o *provider.Options) { o.BaseURL = server.URL })
			err := client.Probe(t.Context())
			var got *provider.Error
			if errors.As(err, &got); (err == nil) != (tc.wantKind == "") || (got != nil && got.Kind != tc.wantKind) {
				t.Errorf("error %v, want kind %q", err, tc.wantKind)
			}
		})
	}
}

// refusingTransport sends nothing.
type refusingTransport struct{ err error }

func (t refusingTransport) RoundTrip(*http.Request) (*http.Response, error) { return nil, t.err }

func TestReasonsNotToSendArePassedOn(t *testing.T) {
	want := &provider.Error{Kind: provider.KindMissingKey, Detail: "ConfigMap ca, key ca.crt"}
	client := connect(t, fakeanthropic.New(), func(o *provider.Options) {
		o.HTTP = &http.Client{Transport: refusingTransport{fmt.Errorf("read the certificates: %w", want)}}
	})
	_, err := client.CreateMessage(t.Context(), hi)
	for what, err := range map[string]error{"message": err, "probe": client.Probe(t.Context())} {
		var got *provider.Error
		if !errors.As(err, &got) || got != want {
			t.Errorf("%s: error %v, want %v", what, err, want)
		}
	}
}
