package webhook

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

// answer is what of an object is read beside the result itself.
type answer struct {
	Usage   *usage          `json:"usage"`
	Error   json.RawMessage `json:"error"`
	Content json.RawMessage `json:"content"`
}

type usage struct {
	InputTokens  int64 `json:"inputTokens"`
	OutputTokens int64 `json:"outputTokens"`
}

const notAResult = "its answer is no sampling result: "

// Bounds of what an answer can say beside its content.
const (
	maxName   = 256     // bytes of model and stopReason
	maxTokens = 1 << 40 // limits add them up
)

// newResponse reads an answer. What cannot be passed on faithfully is an error:
// an answer that was guessed is worse than none.
func newResponse(contentType string, data []byte, req *provider.Request) (*provider.Response, error) {
	name, charset := mediaType(contentType)
	switch {
	case name != mediaTypeText && name != mediaTypeJSON:
		return nil, invalid("its answer is neither text/plain nor application/json")
	case charset != "" && charset != "utf-8" && charset != "us-ascii", !utf8.Valid(data):
		return nil, invalid("its answer is not in UTF-8")
	case name == mediaTypeText:
		return textResponse(string(data), req), nil
	}
	data = bytes.TrimSpace(data)
	switch {
	case !json.Valid(data):
		return nil, invalid("its answer is not JSON")
	case data[0] == '"':
		var text string
		if err := json.Unmarshal(data, &text); err != nil {
			return nil, invalid("its answer is not JSON")
		}
		return textResponse(text, req), nil
	case data[0] != '{':
		return nil, invalid("its answer is neither a string nor an object")
	}
	var a answer
	if err := json.Unmarshal(data, &a); err != nil {
		return nil, invalid("its answer's usage is not {inputTokens, outputTokens}, both whole numbers")
	}
	if len(a.Error) > 0 && !bytes.Equal(a.Error, []byte("null")) {
		return nil, refusal(a.Error)
	}
	if len(a.Content) > 0 && a.Content[0] == '[' {
		if _, err := provider.Items(a.Content); err != nil {
			return nil, err
		}
	}
	return resultResponse(data, a.Usage, req)
}

func textResponse(text string, req *provider.Request) *provider.Response {
	return &provider.Response{Result: wire.SamplingResult{
		Role: wire.RoleAssistant, Content: []wire.Content{{Type: wire.ContentText, Text: text}},
		Model: req.Model, StopReason: wire.StopEndTurn,
	}}
}

func resultResponse(data []byte, used *usage, req *provider.Request) (*provider.Response, error) {
	var result wire.SamplingResult
	if err := result.UnmarshalJSON(data); err != nil {
		var problem *wire.Error
		if errors.As(err, &problem) { // what follows the place may quote a number
			place, _, _ := strings.Cut(problem.Message, ":")
			return nil, invalid(notAResult + "see " + place)
		}
		return nil, invalid(notAResult + "see result")
	}
	if result.Role != wire.RoleAssistant {
		return nil, invalid(notAResult + "result.role must be assistant")
	}
	uses, err := checkContent(result.Content, len(req.Tools) > 0)
	if err != nil {
		return nil, err
	}
	if len(result.Content) == 0 {
		// A handler may say nothing; a result without content is not valid.
		result.Content = []wire.Content{{Type: wire.ContentText}}
	}
	if len(result.Model) > maxName || len(result.StopReason) > maxName {
		return nil, invalid(fmt.Sprintf("its answer's model or stopReason has more than %d bytes", maxName))
	}
	if result.Model == "" {
		result.Model = req.Model
	}
	if result.StopReason == "" && uses {
		result.StopReason = wire.StopToolUse
	}
	response := &provider.Response{Result: result}
	if used != nil {
		if min(used.InputTokens, used.OutputTokens) < 0 || max(used.InputTokens, used.OutputTokens) > maxTokens {
			return nil, invalid("its answer's usage has impossible numbers")
		}
		response.Usage = provider.Usage(*used)
	}
	return response, nil
}

// checkContent holds the rules for what an assistant can say.
func checkContent(blocks []wire.Content, offered bool) (usesTools bool, err error) {
	ids := map[string]bool{}
	for i, block := range blocks {
		at := fmt.Sprintf("%sresult.content[%d]", notAResult, i)
		switch block.Type {
		case wire.ContentText, wire.ContentImage, wire.ContentAudio:
		case wire.ContentToolUse:
			if !offered {
				return false, invalid(at + " calls a tool, but none was offered")
			}
			if ids[block.ID] {
				return false, invalid(at + ".id is there twice")
			}
			ids[block.ID] = true
		default:
			return false, invalid(at + " belongs in a user message")
		}
	}
	return len(ids) > 0, nil
}

// refusal says what an error of the handler means. Its message is not read.
func refusal(data json.RawMessage) error {
	var e struct {
		Code *int `json:"code"`
	}
	if json.Unmarshal(data, &e) != nil || e.Code == nil {
		return invalid("its error has no code")
	}
	cause := fmt.Errorf("code %d", *e.Code)
	switch *e.Code {
	case wire.CodeRejected:
		return &provider.Error{Kind: provider.KindRefused, Detail: "the handler refused the request", Cause: cause}
	case wire.CodeInvalidParams:
		return &provider.UnsupportedError{What: "the policy's handler does not take a request like this"}
	case wire.CodeInternal:
		return &provider.Error{Kind: provider.KindFailed, Detail: "the handler says that it failed", Cause: cause}
	default:
		return invalid("its error has none of the codes -1, -32602 and -32603")
	}
}

func invalid(detail string) *provider.Error {
	return &provider.Error{Kind: provider.KindInvalid, Detail: detail}
}
