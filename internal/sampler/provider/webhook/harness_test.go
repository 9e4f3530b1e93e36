package webhook_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.uber.org/goleak"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider/outbound"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider/webhook"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

// testKey is base64 of 32 bytes.
const testKey = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeHandler records requests and answers each in the same way.
type fakeHandler struct {
	reply http.HandlerFunc

	mu       sync.Mutex
	requests []fakeRequest
}

type fakeRequest struct {
	method string
	header http.Header
	body   []byte
}

func (h *fakeHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	h.mu.Lock()
	h.requests = append(h.requests, fakeRequest{r.Method, r.Header.Clone(), body})
	h.mu.Unlock()
	h.reply(w, r)
}

// only returns the request, if there was one.
func (h *fakeHandler) only(t *testing.T) fakeRequest {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.requests) != 1 {
		t.Fatalf("%d requests, want 1", len(h.requests))
	}
	return h.requests[0]
}

func reply(status int, contentType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Content-Type"] = []string{contentType}
		if contentType == "" {
			w.Header()["Content-Type"] = nil // else net/http guesses one
		}
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

func replyText(text string) http.HandlerFunc { return reply(http.StatusOK, "text/plain", text) }
func replyJSON(text string) http.HandlerFunc { return reply(http.StatusOK, "application/json", text) }

// connect starts a fake handler and a client of it.
func connect(t *testing.T, answer http.HandlerFunc, key func() (string, error)) (*webhook.Client, *fakeHandler) {
	t.Helper()
	handler := &fakeHandler{reply: answer}
	server := httptest.NewServer(handler)
	client := outbound.New(outbound.Options{})
	t.Cleanup(func() {
		client.CloseIdleConnections()
		server.Close()
	})
	return newClient(t, server.URL+"/sample?tenant=a", key, client), handler
}

func newClient(t *testing.T, url string, key func() (string, error), client *http.Client) *webhook.Client {
	t.Helper()
	c, err := webhook.New(provider.Options{BaseURL: url, Key: key, HTTP: client})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func signed() (string, error) { return testKey, nil }

func text(s string) wire.Content { return wire.Content{Type: wire.ContentText, Text: s} }

func question() provider.Request {
	return provider.Request{Model: "m", MaxTokens: 9, Messages: []wire.SamplingMessage{{Role: wire.RoleUser, Content: []wire.Content{text("hi")}}}}
}

// wantError checks an error of a call and that it says nothing of what the
// handler said, nor the key.
func wantError(t *testing.T, err error, kind provider.Kind, detail string) {
	t.Helper()
	var got *provider.Error
	if !errors.As(err, &got) {
		t.Fatalf("error %v, want a *provider.Error", err)
	}
	if got.Kind != kind || got.Detail == "" || !strings.Contains(got.Detail, detail) {
		t.Errorf("kind %s, detail %q; want %s and %q", got.Kind, got.Detail, kind, detail)
	}
	wantSafe(t, got.Error(), got.Detail, fmt.Sprintf("%+v", got.Cause))
}

const ownWords = "own words"

func wantSafe(t *testing.T, texts ...string) {
	t.Helper()
	for _, s := range texts {
		for _, secret := range []string{ownWords, testKey, "tenant=a"} {
			if strings.Contains(s, secret) {
				t.Errorf("%q holds %q", s, secret)
			}
		}
	}
}

// normal writes JSON with its keys sorted and its numbers as they are.
func normal(t *testing.T, data string) string {
	t.Helper()
	dec := json.NewDecoder(strings.NewReader(data))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		t.Fatalf("%v in %s", err, data)
	}
	out, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// schema is a part of the published schema.
func schema(t testing.TB, part string) *jsonschema.Schema {
	t.Helper()
	s, err := jsonschema.NewCompiler().Compile("../../../../docs/webhook.schema.json" + part)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// follows reports whether JSON is as a schema says.
func follows(t testing.TB, s *jsonschema.Schema, data string) error {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(strings.NewReader(data))
	if err != nil {
		return err
	}
	return s.Validate(v)
}
