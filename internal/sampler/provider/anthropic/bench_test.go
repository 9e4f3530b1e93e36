package anthropic_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider/anthropic"
)

// fakeTransport answers at once, so that only our own work and the official
// client's are measured.
type fakeTransport struct{}

func (fakeTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	if _, err := io.Copy(io.Discard, req.Body); err != nil {
		return nil, err
	}
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}}, Request: req,
		Body: io.NopCloser(strings.NewReader(`{"id":"msg_1","type":"message","role":"assistant","model":"claude-sonnet-4-5",
			"content":[{"type":"text","text":"hello there"}],"stop_reason":"end_turn","stop_sequence":null,
			"usage":{"input_tokens":5,"output_tokens":6}}`)),
	}, nil
}

func BenchmarkCreateMessage(b *testing.B) {
	client, err := anthropic.New(provider.Options{
		HTTP: &http.Client{Transport: fakeTransport{}},
		Key:  func() (string, error) { return testKey, nil },
	})
	if err != nil {
		b.Fatal(err)
	}
	req := with(asks(user(text("hi"))), func(r *provider.Request) { r.SystemPrompt = "be brief" })
	b.ReportAllocs()
	for b.Loop() {
		if _, err := client.CreateMessage(b.Context(), req); err != nil {
			b.Fatal(err)
		}
	}
}
