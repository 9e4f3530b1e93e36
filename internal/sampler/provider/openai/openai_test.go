package openai_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/config"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider/openai"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/testing/fakellm"
)

const testKey = "sk-test-1234567890"

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// connect starts a fake provider and a client of it.
func connect(t *testing.T, model http.Handler, modifiers ...func(*openai.Options)) *openai.Client {
	t.Helper()
	server := httptest.NewServer(model)
	t.Cleanup(server.Close)
	options := openai.Options{Options: provider.Options{
		BaseURL: server.URL + "/v1",
		Key:     func() (string, error) { return testKey, nil },
		HTTP:    &http.Client{Transport: &fakeTransport{Transport: &http.Transport{}}, CheckRedirect: lastResponse},
	}}
	for _, m := range modifiers {
		m(&options)
	}
	t.Cleanup(options.HTTP.CloseIdleConnections)
	client, err := openai.New(options)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func lastResponse(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// fakeTransport bounds answers, as the transports of package outbound do.
type fakeTransport struct {
	*http.Transport
	// host is where requests to all hosts are sent; empty means to their own.
	host string
}

func (t *fakeTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	if t.host != "" {
		req = req.Clone(req.Context())
		req.URL.Scheme, req.URL.Host = "http", t.host
	}
	resp, err := t.Transport.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	resp.Body = &boundedBody{resp.Body, 32 << 20}
	return resp, nil
}

type boundedBody struct {
	io.ReadCloser
	left int
}

func (b *boundedBody) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, provider.ErrTooLong
	}
	n, err := b.ReadCloser.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}

// at makes the client believe that it speaks to another host.
func at(baseURL string) func(*openai.Options) {
	return func(o *openai.Options) {
		here, err := url.Parse(o.BaseURL)
		if err != nil {
			panic(err) // a test server's own address
		}
		o.BaseURL = baseURL
		o.HTTP.Transport.(*fakeTransport).host = here.Host
	}
}

func userText(text string) []wire.SamplingMessage {
	return []wire.SamplingMessage{{Role: wire.RoleUser, Content: []wire.Content{{Type: wire.ContentText, Text: text}}}}
}

// sent is the JSON body of the only request, with its keys sorted.
func sent(t *testing.T, model *fakellm.Server) string {
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
	long := `{"choices":[{"message":{"content":"` + strings.Repeat("x", 33<<20) + `"}}]}`
	for name, tc := range map[string]struct {
		reply      fakellm.Reply
		wantKind   provider.Kind
		wantStatus int
	}{
		"a wrong key":                   {fakellm.Error(401, "invalid_api_key", words), provider.KindUnauthorized, 401},
		"a key without rights":          {fakellm.Error(403, testKey, words), provider.KindUnauthorized, 403},
		"too many requests":             {fakellm.Error(429, "rate_limit_exceeded", words), provider.KindRateLimited, 429},
		"a request it does not like":    {fakellm.Error(400, "invalid", words), provider.KindRejected, 400},
		"an unknown model":              {fakellm.Error(404, "model_not_found", words), provider.KindRejected, 404},
		"a crash":                       {fakellm.Error(500, "", words), provider.KindFailed, 500},
		"a proxy's error page":          {fakellm.Raw(502, "text/html", "<h1>"+words+"</h1>"), provider.KindFailed, 502},
		"a gateway's timeout":           {fakellm.Raw(504, "text/html", words), provider.KindTimeout, 504},
		"an error that is a list":       {fakellm.Raw(400, "application/json", `[]`), provider.KindRejected, 400},
		"a redirect":                    {fakellm.Raw(307, "text/plain", words), provider.KindInvalid, 307},
		"no JSON":                       {fakellm.Raw(200, "application/json", words), provider.KindInvalid, 0},
		"a page":                        {fakellm.Raw(200, "text/html", words), provider.KindInvalid, 0},
		"no choices":                    {fakellm.Raw(200, "application/json", `{"choices":[]}`), provider.KindInvalid, 0},
		"an error with status 200":      {fakellm.Raw(200, "application/json", `{"error":{"message":"x"}}`), provider.KindInvalid, 0},
		"half an answer":                {fakellm.Half(), provider.KindUnreachable, 0},
		"an endless answer":             {fakellm.Raw(200, "application/json", long), provider.KindInvalid, 0},
		"arguments that are no JSON":    {fakellm.ToolCalls(fakellm.Call{ID: "a", Name: "f", Arguments: `{"x":`}), provider.KindMalformed, 0},
		"arguments that are a list":     {fakellm.ToolCalls(fakellm.Call{ID: "a", Name: "f", Arguments: `[]`}), provider.KindMalformed, 0},
		"arguments that are not there":  {fakellm.ToolCalls(fakellm.Call{ID: "a", Name: "f"}), provider.KindMalformed, 0},
		"a tool call without a name":    {fakellm.ToolCalls(fakellm.Call{ID: "a", Arguments: `{}`}), provider.KindMalformed, 0},
		"a message of another type":     {fakellm.Raw(200, "application/json", `{"choices":[{"message":"hello"}]}`), provider.KindInvalid, 0},
		"content of another type":       {fakellm.Raw(200, "application/json", `{"choices":[{"message":{"content":7}}]}`), provider.KindInvalid, 0},
		"choices that are null":         {fakellm.Raw(200, "application/json", `{"choices":null}`), provider.KindInvalid, 0},
		"a choice that is null":         {fakellm.Raw(200, "application/json", `{"choices":[null,{"message":{"content":"second"}}]}`), provider.KindInvalid, 0},
		"choices of another type":       {fakellm.Raw(200, "application/json", `{"choices":{"message":{}}}`), provider.KindInvalid, 0},
		"calls of another type":         {fakellm.Raw(200, "application/json", `{"choices":[{"message":{"tool_calls":[7]}}]}`), provider.KindInvalid, 0},
		"no message":                    {fakellm.Raw(200, "application/json", `{"choices":[{"finish_reason":"stop"}]}`), provider.KindInvalid, 0},
		"an answer and something more":  {fakellm.Raw(200, "application/json", `{"choices":[{"message":{}}]} data`), provider.KindInvalid, 0},
		"an empty answer":               {fakellm.Raw(200, "application/json", ""), provider.KindInvalid, 0},
		"arguments with something more": {fakellm.ToolCalls(fakellm.Call{ID: "a", Name: "f", Arguments: `{}{}`}), provider.KindMalformed, 0},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := connect(t, fakellm.New(tc.reply)).CreateMessage(t.Context(), provider.Request{Model: "m", MaxTokens: 1, Messages: userText("hi")})
			var got *provider.Error
			if !errors.As(err, &got) {
				t.Fatalf("error %v, want a *provider.Error", err)
			}
			if got.Kind != tc.wantKind || got.Status != tc.wantStatus || got.Detail == "" {
				t.Errorf("kind %s, status %d, detail %q; want %s, %d and some detail", got.Kind, got.Status, got.Detail, tc.wantKind, tc.wantStatus)
			}
			for _, text := range []string{got.Error(), got.Detail, fmt.Sprintf("%+v", got.Cause)} {
				if strings.Contains(text, testKey) || strings.Contains(text, "own words") {
					t.Errorf("%q holds the provider's words or the key", text)
				}
			}
		})
	}
}

func TestTheProvidersCodesAreKeptForTheLog(t *testing.T) {
	_, err := connect(t, fakellm.New(fakellm.Error(404, "model_not_found", "words"))).
		CreateMessage(t.Context(), provider.Request{Model: "m", MaxTokens: 1, Messages: userText("hi")})
	var got *provider.Error
	if !errors.As(err, &got) || fmt.Sprint(got.Cause) != "fake_error, model_not_found" {
		t.Errorf("error %v with cause %v, want the two codes", err, got.Cause)
	}
}

func TestAFailureIsNotTriedAgain(t *testing.T) {
	for _, status := range []int{408, 409, 429, 500, 503} {
		model := fakellm.New(fakellm.RetryAfter(status, "7"), fakellm.Text("ok"))
		_, err := connect(t, model).CreateMessage(t.Context(), provider.Request{Model: "m", MaxTokens: 1, Messages: userText("hi")})
		var got *provider.Error
		if !errors.As(err, &got) || got.RetryAfter != 7*time.Second {
			t.Errorf("status %d: error %v, want one that says to wait for 7 seconds", status, err)
		}
		if n := len(model.Requests()); n != 1 {
			t.Errorf("status %d: %d requests, want 1", status, n)
		}
	}
}

func TestASlowModelIsATimeout(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := connect(t, fakellm.New(fakellm.Hang())).CreateMessage(ctx, provider.Request{Model: "m", MaxTokens: 1, Messages: userText("hi")})
	wantKind(t, err, provider.KindTimeout)
}

func TestACallerThatLeavesEndsTheCall(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	left := make(chan struct{})
	model := fakellm.New(func(_ http.ResponseWriter, r *http.Request, _ fakellm.Request) {
		cancel()
		<-r.Context().Done()
		close(left)
	})
	_, err := connect(t, model).CreateMessage(ctx, provider.Request{Model: "m", MaxTokens: 1, Messages: userText("hi")})
	wantKind(t, err, provider.KindCanceled)
	select {
	case <-left:
	case <-time.After(10 * time.Second):
		t.Error("the provider still has the request")
	}
}

func TestUnreachable(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	address := server.URL
	server.Close()
	tlsServer := httptest.NewUnstartedServer(http.NotFoundHandler())
	tlsServer.Config.ErrorLog = log.New(io.Discard, "", 0) // it complains about clients that don't trust it
	tlsServer.StartTLS()
	defer tlsServer.Close()
	plainServer := httptest.NewServer(http.NotFoundHandler())
	defer plainServer.Close()
	noSuchHost := &http.Transport{}
	noSuchHost.DialContext = func(context.Context, string, string) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: "nowhere.invalid", IsNotFound: true}}
	}
	for name, tc := range map[string]struct {
		baseURL   string
		transport *http.Transport
		want      string
	}{
		"nobody listens":            {address, nil, "connection refused"},
		"no such host":              {"http://nowhere.invalid", noSuchHost, "the host name cannot be resolved"},
		"a certificate of nobody":   {tlsServer.URL, nil, "its TLS certificate is not trusted"},
		"no TLS where it should be": {strings.Replace(plainServer.URL, "http:", "https:", 1), nil, "it does not speak TLS at this port"},
	} {
		t.Run(name, func(t *testing.T) {
			client := connect(t, fakellm.New(), func(o *openai.Options) {
				o.BaseURL = tc.baseURL
				if tc.transport != nil {
					o.HTTP.Transport = tc.transport
				}
			})
			_, err := client.CreateMessage(t.Context(), provider.Request{Model: "m", MaxTokens: 1, Messages: userText("hi")})
			for what, err := range map[string]error{"request": err, "probe": client.Probe(t.Context())} {
				if got := wantKind(t, err, provider.KindUnreachable); got.Detail != tc.want {
					t.Errorf("%s: detail %q, want %q", what, got.Detail, tc.want)
				}
			}
		})
	}
}

func TestTheKey(t *testing.T) {
	for name, value := range map[string]string{
		"OPENAI_API_KEY": "sk-from-the-environment", "OPENAI_ORG_ID": "org", "OPENAI_PROJECT_ID": "proj",
		"OPENAI_BASE_URL": "http://127.0.0.1:1", "OPENAI_CUSTOM_HEADERS": "X-Leak: yes", "OPENAI_ADMIN_KEY": "sk-admin",
	} {
		t.Setenv(name, value)
	}
	for name, tc := range map[string]struct {
		key  func() (string, error)
		want []string
	}{
		"is sent":             {func() (string, error) { return testKey, nil }, []string{"Bearer " + testKey}},
		"is not made up":      {nil, nil},
		"follows its changes": {rotating("one", "two"), []string{"Bearer one"}},
	} {
		t.Run(name, func(t *testing.T) {
			model := fakellm.New(fakellm.Text("ok"))
			client := connect(t, model, func(o *openai.Options) { o.Key = tc.key })
			if _, err := client.CreateMessage(t.Context(), provider.Request{Model: "m", MaxTokens: 1, Messages: userText("hi")}); err != nil {
				t.Fatal(err)
			}
			header := model.Requests()[0].Header
			if diff := cmp.Diff(tc.want, header.Values("Authorization")); diff != "" {
				t.Errorf("Authorization (-want +got):\n%s", diff)
			}
			for _, h := range []string{"X-Leak", "OpenAI-Organization", "OpenAI-Project"} {
				if header.Get(h) != "" {
					t.Errorf("header %s comes from the environment", h)
				}
			}
		})
	}
}

func TestWithoutItsKeyNothingIsSent(t *testing.T) {
	for name, key := range map[string]func() (string, error){
		"empty":      func() (string, error) { return "", nil },
		"unreadable": func() (string, error) { return "", io.EOF },
	} {
		model := fakellm.New()
		client := connect(t, model, func(o *openai.Options) { o.Key = key })
		_, err := client.CreateMessage(t.Context(), provider.Request{Model: "m", MaxTokens: 1, Messages: userText("hi")})
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
	_, err := client.CreateMessage(t.Context(), provider.Request{Model: "m", MaxTokens: 1, Messages: userText("hi")})
	wantKind(t, err, provider.KindInvalid)
	wantKind(t, client.Probe(t.Context()), provider.KindInvalid)
	if len(visited) != 0 {
		t.Error("the other host was asked")
	}
}

func TestAWebSiteIsNoProvider(t *testing.T) {
	site := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write([]byte("<h1>Welcome</h1>"))
	})
	wantKind(t, connect(t, site).Probe(t.Context()), provider.KindInvalid)
}

func TestProbe(t *testing.T) {
	for status, want := range map[int]provider.Kind{
		200: "", 404: "", 405: "", 501: "",
		401: provider.KindUnauthorized, 403: provider.KindUnauthorized, 429: provider.KindRateLimited,
		500: provider.KindFailed, 400: provider.KindRejected,
	} {
		var path, key string
		client := connect(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			path, key = r.URL.Path, r.Header.Get("Authorization")
			w.WriteHeader(status)
		}))
		err := client.Probe(t.Context())
		if want == "" && err != nil {
			t.Errorf("status %d: %v, want no error", status, err)
		} else if want != "" {
			wantKind(t, err, want)
		}
		if path != "/v1/models" || key != "Bearer "+testKey {
			t.Errorf("asked %s with %q", path, key)
		}
	}
}

func TestNewRefusesBadOptions(t *testing.T) {
	with := func(modify func(*openai.Options)) openai.Options {
		o := openai.Options{Options: provider.Options{BaseURL: "https://h/v1", HTTP: http.DefaultClient}}
		modify(&o)
		return o
	}
	if _, err := openai.New(with(func(*openai.Options) {})); err != nil {
		t.Fatal(err)
	}
	for name, options := range map[string]openai.Options{
		"no URL":                   with(func(o *openai.Options) { o.BaseURL = "://" }),
		"no host":                  with(func(o *openai.Options) { o.BaseURL = "https://" }),
		"another scheme":           with(func(o *openai.Options) { o.BaseURL = "ftp://h/v1" }),
		"an unknown field":         with(func(o *openai.Options) { o.MaxTokensField = "tokens" }),
		"no HTTP client":           with(func(o *openai.Options) { o.HTTP = nil }),
		"Azure without a version":  with(func(o *openai.Options) { o.Azure = &config.Azure{} }),
		"Azure without a base URL": with(func(o *openai.Options) { o.BaseURL, o.Azure = "", &config.Azure{APIVersion: "v"} }),
	} {
		if _, err := openai.New(options); err == nil {
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

func wantKind(t *testing.T, err error, want provider.Kind) *provider.Error {
	t.Helper()
	var got *provider.Error
	if !errors.As(err, &got) || got.Kind != want {
		t.Fatalf("error %v, want kind %s", err, want)
	}
	return got
}
