package webhook

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

// body is what a handler is sent. docs/webhook.schema.json describes it.
type body struct {
	Type    string              `json:"type"`
	ID      string              `json:"id"`
	Model   string              `json:"model"`
	Params  wire.SamplingParams `json:"params"`
	Context requestContext      `json:"context"`
}

type requestContext struct {
	Server    string `json:"server"`
	Namespace string `json:"namespace,omitempty"`
	Session   string `json:"session,omitempty"`
	Policy    string `json:"policy"`
}

// newBody returns an *provider.UnsupportedError where a request holds what
// cannot be written, and an *provider.Error where the policy does.
func newBody(id string, req *provider.Request) ([]byte, error) {
	b := body{
		Type: wire.MethodSampling, ID: id, Model: req.Model,
		Params: wire.SamplingParams{
			Messages: req.Messages, Temperature: req.Temperature, MaxTokens: req.MaxTokens,
			StopSequences: req.StopSequences, Metadata: req.Metadata, Tools: req.Tools,
		},
		Context: requestContext(req.Context),
	}
	if req.SystemPrompt != "" {
		b.Params.SystemPrompt = &req.SystemPrompt
	}
	if req.ToolChoice != "" {
		b.Params.ToolChoice = &wire.ToolChoice{Mode: req.ToolChoice}
	}
	data, err := marshal(b)
	if err != nil {
		return nil, &provider.UnsupportedError{What: "the request holds content that cannot be written as JSON"}
	}
	if len(req.ExtraBody) == 0 {
		return data, nil
	}
	if data, err = merge(data, req.ExtraBody); err != nil {
		return nil, &provider.Error{Kind: provider.KindRejected, Detail: "the policy's extraBody is no JSON object", Cause: err}
	}
	return data, nil
}

// merge adds what an object has and ours has not.
func merge(ours []byte, extra json.RawMessage) ([]byte, error) {
	var added, merged map[string]json.RawMessage
	if err := json.Unmarshal(extra, &added); err != nil {
		return nil, fmt.Errorf("read extraBody: %w", err)
	}
	if err := json.Unmarshal(ours, &merged); err != nil {
		return nil, err
	}
	for name, value := range added {
		// Some handlers read keys without case, and ours are all lower-case.
		if _, ok := merged[strings.ToLower(name)]; !ok {
			merged[name] = value
		}
	}
	return marshal(merged)
}

// marshal writes JSON without escaping <, > and &: content is often code.
func marshal(v any) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimRight(buf.Bytes(), "\n"), nil
}
