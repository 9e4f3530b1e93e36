package openai_test

import (
	"bytes"
	"io"
	"net/http"
	"testing"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider/openai"
)

// canned answers every request at once, so that what is measured is the client.
type canned []byte

func (c canned) RoundTrip(req *http.Request) (*http.Response, error) {
	if _, err := io.Copy(io.Discard, req.Body); err != nil {
		return nil, err
	}
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}},
		Body: io.NopCloser(bytes.NewReader(c)), Request: req,
	}, nil
}

// BenchmarkCreateMessage is one request without a network.
func BenchmarkCreateMessage(b *testing.B) {
	client, err := openai.New(openai.Options{Options: provider.Options{
		BaseURL: "http://model/v1",
		Key:     func() (string, error) { return testKey, nil },
		HTTP: &http.Client{Transport: canned(`{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,` +
			`"finish_reason":"stop","logprobs":null,"message":{"role":"assistant","content":"Bees dance.","refusal":null}}],` +
			`"usage":{"prompt_tokens":11,"completion_tokens":7,"total_tokens":18,"prompt_tokens_details":{"cached_tokens":0}}}`)},
	}})
	if err != nil {
		b.Fatal(err)
	}
	req := provider.Request{Model: "m", MaxTokens: 100, Temperature: new(0.2), SystemPrompt: "be brief", Messages: userText("What do bees do?")}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := client.CreateMessage(b.Context(), req); err != nil {
			b.Fatal(err)
		}
	}
}
