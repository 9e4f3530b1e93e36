package google_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider/google"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider/outbound"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/testing/fakegemini"
)

const testKey = "AIza-test-1234567890"

// TestMain knows the goroutine that a library of the SDK starts with each process.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("go.opencensus.io/stats/view.(*worker).start"))
}

// connect starts a fake provider and a client of it.
func connect(t *testing.T, model http.Handler, modifiers ...func(*provider.Options)) *google.Client {
	t.Helper()
	server := httptest.NewServer(model)
	client := outbound.New(outbound.Options{})
	t.Cleanup(func() {
		client.CloseIdleConnections()
		server.Close()
	})
	options := provider.Options{
		BaseURL: server.URL,
		Key:     func() (string, error) { return testKey, nil },
		HTTP:    client,
	}
	for _, m := range modifiers {
		m(&options)
	}
	c, err := google.New(options)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// fake makes a provider whose requests are checked: against the published
// messages and against the API's rules.
func fake(t *testing.T, script ...fakegemini.Reply) *fakegemini.Server {
	t.Helper()
	model := fakegemini.New(script...)
	model.Key = testKey
	t.Cleanup(func() {
		for _, broken := range model.Broken() {
			t.Errorf("the API would refuse it: %s", broken)
		}
		for i, req := range model.Requests() {
			if _, err := decodePublished(t, "GenerateContentRequest", req.Body); err != nil {
				t.Errorf("request %d: %v", i, err)
			}
		}
	})
	return model
}

func userText(text string) []wire.SamplingMessage {
	return []wire.SamplingMessage{{Role: wire.RoleUser, Content: []wire.Content{textBlock(text)}}}
}

func textBlock(text string) wire.Content { return wire.Content{Type: wire.ContentText, Text: text} }

func useBlock(id, name, input string) wire.Content {
	return wire.Content{Type: wire.ContentToolUse, ID: id, Name: name, Input: json.RawMessage(input)}
}

func hello() provider.Request {
	return provider.Request{Model: "gemini-2.5-flash", MaxTokens: 5, Messages: userText("hi")}
}

func wantKind(t *testing.T, err error, want provider.Kind) *provider.Error {
	t.Helper()
	var got *provider.Error
	if !errors.As(err, &got) || got.Kind != want {
		t.Fatalf("error %v, want kind %s", err, want)
	}
	return got
}

func TestFailures(t *testing.T) {
	const words = "the provider's own words with " + testKey
	// The SDK has a word to say in the process's log now and then.
	var logged bytes.Buffer
	log.SetOutput(&logged)
	t.Cleanup(func() {
		log.SetOutput(os.Stderr)
		if text := logged.String(); strings.Contains(text, testKey) || strings.Contains(text, "own words") {
			t.Errorf("the log holds the provider's words or the key: %q", text)
		}
	})
	long := func(n int) string {
		return `{"candidates":[{"content":{"parts":[{"text":"` + strings.Repeat("x", n<<20) + `"}]}}]}`
	}
	answer := func(text string) fakegemini.Reply { return fakegemini.Raw(200, "application/json", text) }
	call := func(part fakegemini.Part) fakegemini.Reply { return fakegemini.Finish("STOP", part) }
	for name, tc := range map[string]struct {
		reply      fakegemini.Reply
		wantKind   provider.Kind
		wantStatus int
		wantRetry  time.Duration
	}{
		"a wrong key, which is a 400":        {fakegemini.WrongKey(words), provider.KindUnauthorized, 400, 0},
		"a key that is missing":              {fakegemini.Error(401, "UNAUTHENTICATED", words), provider.KindUnauthorized, 401, 0},
		"a key without rights":               {fakegemini.Error(403, testKey, words), provider.KindUnauthorized, 403, 0},
		"a quota that is used up":            {fakegemini.UsedUp("34.5s"), provider.KindRateLimited, 429, 34500 * time.Millisecond},
		"a quota for a very long time":       {fakegemini.UsedUp("999999s"), provider.KindRateLimited, 429, 24 * time.Hour},
		"a delay that is none":               {fakegemini.UsedUp("soon"), provider.KindRateLimited, 429, 0},
		"too many requests":                  {fakegemini.RetryAfter("7"), provider.KindFailed, 503, 7 * time.Second},
		"a request it does not like":         {fakegemini.Error(400, "INVALID_ARGUMENT", words), provider.KindRejected, 400, 0},
		"a country it does not serve":        {fakegemini.Error(400, "FAILED_PRECONDITION", words), provider.KindRejected, 400, 0},
		"an unknown model":                   {fakegemini.Error(404, "NOT_FOUND", words), provider.KindRejected, 404, 0},
		"a crash":                            {fakegemini.Error(500, "INTERNAL", words), provider.KindFailed, 500, 0},
		"a deadline of its own":              {fakegemini.Error(504, "DEADLINE_EXCEEDED", words), provider.KindTimeout, 504, 0},
		"a status that its body denies":      {fakegemini.Raw(500, "application/json", `{"error":{"code":200,"message":"fine"}}`), provider.KindFailed, 500, 0},
		"a proxy's error page":               {fakegemini.Raw(502, "text/html", "<h1>"+words+"</h1>"), provider.KindFailed, 502, 0},
		"an error without a body":            {fakegemini.Raw(500, "text/plain", ""), provider.KindFailed, 500, 0},
		"an error that is a list":            {fakegemini.Raw(400, "application/json", `[{"error":{"message":"`+words+`"}}]`), provider.KindRejected, 400, 0},
		"an error of another shape":          {fakegemini.Raw(400, "application/json", `{"error":"`+words+`"}`), provider.KindRejected, 400, 0},
		"a redirect":                         {fakegemini.Raw(307, "text/plain", words), provider.KindInvalid, 307, 0},
		"no JSON":                            {answer(words), provider.KindInvalid, 200, 0},
		"a page":                             {fakegemini.Raw(200, "text/html", words), provider.KindInvalid, 200, 0},
		"nothing":                            {answer(""), provider.KindInvalid, 0, 0},
		"null":                               {answer("null"), provider.KindInvalid, 200, 0},
		"a list":                             {answer("[]"), provider.KindInvalid, 200, 0},
		"no candidates":                      {answer(`{"candidates":[]}`), provider.KindInvalid, 0, 0},
		"candidates that are a text":         {answer(`{"candidates":"` + words + `"}`), provider.KindInvalid, 200, 0},
		"a candidate that is null":           {answer(`{"candidates":[null]}`), provider.KindInvalid, 200, 0},
		"a candidate that is a text":         {answer(`{"candidates":["` + words + `"]}`), provider.KindInvalid, 200, 0},
		"parts that are a text":              {answer(`{"candidates":[{"content":{"parts":"` + words + `"}}]}`), provider.KindInvalid, 200, 0},
		"a text that is a number":            {answer(`{"candidates":[{"content":{"parts":[{"text":5}]}}]}`), provider.KindInvalid, 200, 0},
		"too many tokens to count":           {answer(`{"candidates":[{"content":{}}],"usageMetadata":{"promptTokenCount":99999999999}}`), provider.KindInvalid, 200, 0},
		"an error with status 200":           {answer(`{"error":{"code":400,"message":"` + words + `"}}`), provider.KindInvalid, 0, 0},
		"a part that the model runs itself":  {call(`{"executableCode":{"language":"PYTHON","code":"1"}}`), provider.KindInvalid, 0, 0},
		"media of an unknown kind":           {call(`{"inlineData":{"mimeType":"font/woff","data":"aGk="}}`), provider.KindInvalid, 0, 0},
		"half an answer":                     {fakegemini.Half(200, `{"candidates":[{"content":`), provider.KindUnreachable, 0, 0},
		"half an error":                      {fakegemini.Half(500, `{"error":{"message":"`+words), provider.KindFailed, 500, 0},
		"no answer at all":                   {fakegemini.Reset(), provider.KindUnreachable, 0, 0},
		"ten megabytes of nothing":           {answer(strings.Repeat("x", 10<<20)), provider.KindInvalid, 200, 0},
		"an endless answer":                  {answer(long(33)), provider.KindInvalid, 0, 0},
		"a tool call that it could not read": {fakegemini.Finish("MALFORMED_FUNCTION_CALL"), provider.KindMalformed, 0, 0},
		"a call of no tool that was offered": {fakegemini.Finish("UNEXPECTED_TOOL_CALL"), provider.KindMalformed, 0, 0},
		"a signature that it misses":         {fakegemini.Finish("MISSING_THOUGHT_SIGNATURE"), provider.KindRejected, 0, 0},
		"arguments that are a text":          {call(fakegemini.CallPart("a", "f", `"`+words+`"`)), provider.KindMalformed, 200, 0},
		"arguments that are a list":          {call(fakegemini.CallPart("a", "f", `[]`)), provider.KindMalformed, 200, 0},
		"a tool call without a name":         {call(fakegemini.CallPart("a", "", `{}`)), provider.KindMalformed, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			model := fake(t, tc.reply)
			req := hello()
			req.Tools = []wire.Tool{{Name: "f", InputSchema: json.RawMessage(`{"type":"object"}`)}}
			_, err := connect(t, model).CreateMessage(t.Context(), req)
			got := wantKind(t, err, tc.wantKind)
			if got.Status != tc.wantStatus || got.RetryAfter != tc.wantRetry || got.Detail == "" {
				t.Errorf("status %d, retry after %s, detail %q; want %d, %s and some detail", got.Status, got.RetryAfter, got.Detail, tc.wantStatus, tc.wantRetry)
			}
			for _, text := range []string{got.Error(), got.Detail, fmt.Sprintf("%+v", got.Cause)} {
				if strings.Contains(text, testKey) || strings.Contains(text, "own words") {
					t.Errorf("%q holds the provider's words or the key", text)
				}
			}
			if n := len(model.Requests()); n != 1 {
				t.Errorf("%d requests, want 1", n)
			}
		})
	}
}

func TestTenMegabytesOfTextAreAnAnswer(t *testing.T) {
	text := strings.Repeat("word ", 2<<20)
	got, err := connect(t, fake(t, fakegemini.Text(text))).CreateMessage(t.Context(), hello())
	if err != nil {
		t.Fatal(err)
	}
	if got.Result.Content[0].Text != text {
		t.Error("another text came")
	}
}

func TestTheProvidersCodesAreKeptForTheLog(t *testing.T) {
	_, err := connect(t, fake(t, fakegemini.WrongKey("words"))).CreateMessage(t.Context(), hello())
	if got := wantKind(t, err, provider.KindUnauthorized); fmt.Sprint(got.Cause) != "INVALID_ARGUMENT, API_KEY_INVALID" {
		t.Errorf("cause %v, want the two codes", got.Cause)
	}
}

func TestASlowModelIsATimeout(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := connect(t, fake(t, fakegemini.Hang())).CreateMessage(ctx, hello())
	wantKind(t, err, provider.KindTimeout)
}

func TestACallerThatLeavesEndsTheCall(t *testing.T) {
	for name, begin := range map[string]func(http.ResponseWriter) error{
		"before the answer": func(http.ResponseWriter) error { return nil },
		"in the middle of it": func(w http.ResponseWriter) error {
			_, _ = w.Write([]byte(`{"candidates":`))
			return http.NewResponseController(w).Flush()
		},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			left := make(chan struct{})
			model := fake(t, func(w http.ResponseWriter, r *http.Request, _ fakegemini.Request) {
				if err := begin(w); err != nil {
					t.Error(err)
				}
				cancel()
				<-r.Context().Done()
				close(left)
			})
			_, err := connect(t, model).CreateMessage(ctx, hello())
			wantKind(t, err, provider.KindCanceled)
			select {
			case <-left:
			case <-time.After(10 * time.Second):
				t.Error("the provider still has the request")
			}
		})
	}
}

func TestNobodyListens(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	address := server.URL
	server.Close()
	client := connect(t, fake(t), func(o *provider.Options) { o.BaseURL = address })
	_, err := client.CreateMessage(t.Context(), hello())
	for what, err := range map[string]error{"request": err, "probe": client.Probe(t.Context())} {
		if got := wantKind(t, err, provider.KindUnreachable); got.Detail != "connection refused" {
			t.Errorf("%s: detail %q", what, got.Detail)
		}
	}
}

func TestAnErrorOfTheTransportIsPassedOn(t *testing.T) {
	want := &provider.Error{Kind: provider.KindMissingKey, Detail: "a header is missing"}
	client := connect(t, fake(t), func(o *provider.Options) {
		o.HTTP = &http.Client{Transport: transportFunc(func(*http.Request) (*http.Response, error) { return nil, want })}
	})
	_, err := client.CreateMessage(t.Context(), hello())
	for what, err := range map[string]error{"request": err, "probe": client.Probe(t.Context())} {
		if !errors.Is(err, want) || err.Error() != want.Error() {
			t.Errorf("%s: error %v, want %v", what, err, want)
		}
	}
}

type transportFunc func(*http.Request) (*http.Response, error)

func (f transportFunc) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

func TestTheKeyIsThatOfTheConfigurationAlone(t *testing.T) {
	for name, value := range map[string]string{
		"GOOGLE_API_KEY": "from-the-environment", "GEMINI_API_KEY": "from-the-environment",
		"GOOGLE_GENAI_USE_VERTEXAI": "true", "GOOGLE_GENAI_USE_ENTERPRISE": "true",
		"GOOGLE_CLOUD_PROJECT": "project", "GOOGLE_CLOUD_LOCATION": "location", "GOOGLE_CLOUD_REGION": "region",
		"GOOGLE_GEMINI_BASE_URL": "http://127.0.0.1:1", "GOOGLE_VERTEX_BASE_URL": "http://127.0.0.1:1",
		"GOOGLE_APPLICATION_CREDENTIALS": "/nowhere",
	} {
		t.Setenv(name, value)
	}
	for name, tc := range map[string]struct {
		key  func() (string, error)
		want [][]string
	}{
		"is sent":             {func() (string, error) { return testKey, nil }, [][]string{{testKey}, {testKey}}},
		"is not made up":      {nil, [][]string{nil, nil}},
		"follows its changes": {rotating("one", "two"), [][]string{{"one"}, {"two"}}},
	} {
		t.Run(name, func(t *testing.T) {
			model := fake(t)
			model.Key = ""
			client := connect(t, model, func(o *provider.Options) { o.Key = tc.key })
			var got [][]string
			for range 2 {
				if _, err := client.CreateMessage(t.Context(), hello()); err != nil {
					t.Fatal(err)
				}
			}
			for _, req := range model.Requests() {
				got = append(got, req.Header.Values("X-Goog-Api-Key"))
				if text := fmt.Sprint(req.Header, req.Path, req.Query, string(req.Body)); strings.Contains(text, "environment") || strings.Contains(text, "location") {
					t.Errorf("the environment shows in %s", text)
				}
				if req.Path != "/v1beta/models/gemini-2.5-flash:generateContent" || req.Header.Get("Authorization") != "" {
					t.Errorf("asked %s with Authorization %q", req.Path, req.Header.Get("Authorization"))
				}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("keys (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTheDefaultIsGooglesOwn(t *testing.T) {
	t.Setenv("GOOGLE_GEMINI_BASE_URL", "http://127.0.0.1:1")
	var asked []string
	client := connect(t, fake(t), func(o *provider.Options) {
		o.BaseURL = ""
		o.HTTP = &http.Client{Transport: transportFunc(func(req *http.Request) (*http.Response, error) {
			asked = append(asked, req.URL.String())
			return nil, io.ErrUnexpectedEOF
		})}
	})
	_, err := client.CreateMessage(t.Context(), hello())
	wantKind(t, err, provider.KindUnreachable)
	wantKind(t, client.Probe(t.Context()), provider.KindUnreachable)
	want := []string{
		"https://generativelanguage.googleapis.com/v1beta/models/gemini-2.5-flash:generateContent",
		"https://generativelanguage.googleapis.com/v1beta/models?pageSize=1",
	}
	if diff := cmp.Diff(want, asked); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
}

func TestTheBaseURLMayNameAVersion(t *testing.T) {
	for base, want := range map[string]string{
		"": "/v1beta", "/": "/v1beta", "/v1beta": "/v1beta", "/v1beta/": "/v1beta", "/v1": "/v1", "/v1alpha": "/v1alpha",
		"/proxy/gemini": "/proxy/gemini/v1beta", "/proxy/gemini/v1": "/proxy/gemini/v1",
	} {
		t.Run("base "+base, func(t *testing.T) {
			model := fake(t)
			var paths []string
			handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				paths = append(paths, r.URL.Path)
				model.ServeHTTP(w, r)
			})
			client := connect(t, handler, func(o *provider.Options) { o.BaseURL += base })
			req := hello()
			req.Model = "models/gemini-2.5-flash"
			if _, err := client.CreateMessage(t.Context(), req); err != nil {
				t.Error(err)
			}
			if err := client.Probe(t.Context()); err != nil {
				t.Error(err)
			}
			if diff := cmp.Diff([]string{want + "/models/gemini-2.5-flash:generateContent", want + "/models"}, paths); diff != "" {
				t.Errorf("paths (-want +got):\n%s", diff)
			}
		})
	}
}

func TestWithoutItsKeyNothingIsSent(t *testing.T) {
	for name, key := range map[string]func() (string, error){
		"empty":      func() (string, error) { return "", nil },
		"unreadable": func() (string, error) { return "", io.EOF },
	} {
		model := fake(t)
		client := connect(t, model, func(o *provider.Options) { o.Key = key })
		_, err := client.CreateMessage(t.Context(), hello())
		wantKind(t, err, provider.KindMissingKey)
		wantKind(t, client.Probe(t.Context()), provider.KindMissingKey)
		if n := len(model.Requests()); n != 0 {
			t.Errorf("%s: %d requests were sent", name, n)
		}
	}
}

func TestARedirectIsNotFollowed(t *testing.T) {
	visited := make(chan struct{}, 2)
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { visited <- struct{}{} }))
	defer other.Close()
	client := connect(t, http.RedirectHandler(other.URL, http.StatusTemporaryRedirect))
	_, err := client.CreateMessage(t.Context(), hello())
	wantKind(t, err, provider.KindInvalid)
	wantKind(t, client.Probe(t.Context()), provider.KindInvalid)
	if len(visited) != 0 {
		t.Error("the other host was asked")
	}
}

func TestProbe(t *testing.T) {
	const words = "words with " + testKey
	for name, tc := range map[string]struct {
		reply fakegemini.Reply
		want  provider.Kind // empty: no error
	}{
		"a list of models":         {fakegemini.Raw(200, "application/json", `{"models":[]}`), ""},
		"no list of models":        {fakegemini.Raw(404, "text/plain", "no"), ""},
		"another method":           {fakegemini.Raw(405, "text/plain", "no"), ""},
		"a wrong key":              {fakegemini.WrongKey(words), provider.KindUnauthorized},
		"a key without rights":     {fakegemini.Error(403, "PERMISSION_DENIED", words), provider.KindUnauthorized},
		"too many requests":        {fakegemini.UsedUp("1s"), provider.KindRateLimited},
		"a crash":                  {fakegemini.Raw(500, "text/html", words), provider.KindFailed},
		"another 400":              {fakegemini.Error(400, "FAILED_PRECONDITION", words), provider.KindRejected},
		"a web site":               {fakegemini.Raw(200, "text/html; charset=utf-8", words), provider.KindInvalid},
		"no answer":                {fakegemini.Reset(), provider.KindUnreachable},
		"an error that is cut off": {fakegemini.Half(500, `{"error":`), provider.KindFailed},
	} {
		t.Run(name, func(t *testing.T) {
			asked := make(chan string, 2)
			client := connect(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				asked <- r.Method + " " + r.URL.String() + " " + r.Header.Get("X-Goog-Api-Key")
				tc.reply(w, r, fakegemini.Request{})
			}))
			err := client.Probe(t.Context())
			if tc.want == "" && err != nil {
				t.Errorf("%v, want no error", err)
			} else if tc.want != "" {
				if got := wantKind(t, err, tc.want); strings.Contains(fmt.Sprint(got, got.Detail, got.Cause), "words") {
					t.Errorf("%+v holds the provider's words", got)
				}
			}
			if got := <-asked; got != "GET /v1beta/models?pageSize=1 "+testKey {
				t.Errorf("asked %s", got)
			}
		})
	}
}

func TestNewRefusesBadOptions(t *testing.T) {
	for name, options := range map[string]provider.Options{
		"no URL":         {BaseURL: "://", HTTP: http.DefaultClient},
		"no host":        {BaseURL: "https://", HTTP: http.DefaultClient},
		"another scheme": {BaseURL: "ftp://h/v1", HTTP: http.DefaultClient},
		"no HTTP client": {},
	} {
		if _, err := google.New(options); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// rotating returns another key at each call.
func rotating(keys ...string) func() (string, error) {
	return func() (string, error) {
		key := keys[0]
		keys = keys[1:]
		return key, nil
	}
}
