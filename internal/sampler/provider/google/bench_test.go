package google_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider/google"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

// BenchmarkCreateMessage measures translation and SDK, without a network.
func BenchmarkCreateMessage(b *testing.B) {
	const answer = `{"candidates":[{"content":{"role":"model","parts":[{"text":"ok"}]},"finishReason":"STOP"}]}`
	client, err := google.New(provider.Options{HTTP: &http.Client{Transport: transportFunc(func(req *http.Request) (*http.Response, error) {
		_, _ = io.Copy(io.Discard, req.Body)
		return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(answer))}, nil
	})}})
	if err != nil {
		b.Fatal(err)
	}
	for name, req := range map[string]provider.Request{
		"one message": hello(),
		"a long talk": func() provider.Request {
			req := hello()
			req.Tools = tools(strings.Split("abcdefghijklmnopqrstuvwxyzABCDEF", "")...)
			for range 25 {
				req.Messages = append(req.Messages, assistant(textBlock("well")), wire.SamplingMessage{Role: wire.RoleUser, Content: []wire.Content{textBlock("go on")}})
			}
			return req
		}(),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := client.CreateMessage(b.Context(), req); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
